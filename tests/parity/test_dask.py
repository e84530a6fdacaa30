"""A cluster as the executor: dask's, here of two processes on this machine, in a virtualenv of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import TALLY
from tests.parity.conftest import virtualenv

pytestmark = pytest.mark.parity

ROOT = Path(__file__).parents[2]

SCRIPT = """
import os
from functools import partial
import refquant
from distributed import Client, LocalCluster
from refquant import parallel, sample

SETTINGS = [(8, "linear"), (8, "linear_symmetric"), (4, "kmeans_lut"), (16, "linear"), (1, "custom_lut")]

def halves(nbits, weights):
    return [-0.5, 0.5], [int(w > 0) for w in weights]

def dies(nbits, weights):
    os._exit(3)

def compare(client):
    executor = client.get_executor()
    model = sample.model_bytes()
    for settings in SETTINGS:
        alone = refquant.quantize_weights(model, *settings, lut_function=halves)
        spread = refquant.quantize_weights(model, *settings, lut_function=halves, executor=executor)
        assert spread == alone, settings
        back = refquant.dequantize_weights(alone, executor=executor)
        assert back == refquant.dequantize_weights(alone)
    # A function without a name travels too: dask pickles it by its content.
    custom = partial(refquant.quantize_weights, model, 1, "custom_lut", executor=executor)
    assert custom(lut_function=lambda nbits, weights: halves(nbits, weights)) == alone
    try:
        custom(lut_function=lambda nbits, weights: 1 / 0)
    except refquant.LutFunctionError as error:
        assert (error.layer, error.tensor) == ("conv_1", "weights"), error
    else:
        raise AssertionError("no error")
    try:
        custom(lut_function=dies)
    except refquant.WorkerError as error:
        assert "KilledWorker" in str(error), error
    else:
        raise AssertionError("no error")

if __name__ == "__main__":
    parallel.BATCH = 1
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            compare(client)
    print("same")
"""


def test_cluster(tmp_path: Path) -> None:
    """Every mode on a cluster gives the bytes of one process; errors come back, and so does a dead worker."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    python = virtualenv("dask", "distributed", "protobuf>=4.25")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    }
    done = subprocess.run(
        [str(python), str(script)], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.stdout == "same\n", done.stderr[-3000:]
    TALLY["dask: the same bytes on a cluster"] += 1
