"""Every published model in the folder REFQUANT_MODELS, every mode and number of bits: run with `-m models`.

Nothing but weights, fused layers and `specificationVersion` may change, and every weight must come back
within the bound that the codec states for its mode.
"""

from __future__ import annotations

import os
import warnings
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import refquant
from refquant.codec import linear, symmetric
from refquant.codec.channels import Channels, split
from refquant.model import tensor
from refquant.model.fusion import Names, fuse
from refquant.model.layers import Site
from refquant.model.walk import all_layers, all_sites, networks
from refquant.model.within import weights_within
from refquant.schema.coreml import Model, NeuralNetworkLayer, standard_model

pytestmark = pytest.mark.models

MODELS = sorted(Path(os.environ.get("REFQUANT_MODELS") or "nowhere").glob("*.mlmodel"))

SETTINGS = [
    *((nbits, mode) for mode in ("linear", "linear_lut", "kmeans_lut") for nbits in range(1, 9)),
    (8, "linear_symmetric"),
    (16, "linear"),
]


def blanked(model: Model) -> Model:
    """Copy a model without the content of its tensors, and at version 0."""
    copy = Model()
    copy.CopyFrom(model)
    for _, params in weights_within(copy):
        params.Clear()
    for owner, _ in networks(copy):
        owner.specificationVersion = 0
    return copy


def fused(model: Model) -> Model:
    copy = Model()
    copy.CopyFrom(model)
    for owner, network in networks(copy):
        frozen = {layer.name for layer in all_layers(network) if owner.isUpdatable and layer.isUpdatable}
        fuse(network, Names(owner, network), partial(is_named, frozen))
    return copy


def is_named(names: set[str], layer: NeuralNetworkLayer) -> bool:
    return layer.name in names


def channels_of(site: Site, mode: str) -> Channels:
    return site.layout.channels(site.layout.axis if mode in ("linear", "linear_symmetric") else None)


def bounds(mode: str, nbits: int, parts: Iterator[array[float]]) -> Iterator[tuple[array[float], float]]:
    """Give the weights of each channel with the greatest error that the mode may make there."""
    for part in parts:
        if nbits == 16:
            yield part, max(max(map(abs, part)) * 2.0**-11, 2.0**-25)
        elif mode == "linear_symmetric":
            yield part, symmetric.error_bound(max(map(abs, part)))
        else:
            yield part, linear.error_bound(min(part), max(part), nbits)


def check_weights(before: Site, after: Site, nbits: int, mode: str) -> int:
    """Compare the weights of a tensor with what comes back; give how many were looked at."""
    old, new = tensor.decode(before), tensor.decode(after)
    assert len(old) == len(new)
    if mode == "kmeans_lut" and nbits < 16:
        table = after.params.quantization.lookupTableQuantization.floatValue
        assert list(table) == sorted(table)
        assert len(table) == 1 << nbits
        if len(set(old)) <= len(table):
            assert old.tolist() == new.tolist()
        # No entry may be nearer than the one chosen: a weight lies no further than half a gap from it.
        gaps = [b - a for a, b in zip(table, table[1:])] or [0.0]
        reach = max(max(gaps) / 2, table[0] - min(old), max(old) - table[-1])
        assert max(abs(a - b) for a, b in zip(old, new)) <= reach
        return len(old)
    channels = channels_of(before, mode)
    for (part, bound), back in zip(bounds(mode, nbits, split(old, channels)), split(new, channels)):
        assert max(abs(a - b) for a, b in zip(part, back)) <= bound
    return len(old)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_setting(path: Path) -> None:
    original = refquant.MLModel(path).get_spec()
    before = fused(original)
    looked_at = 0
    for nbits, mode in SETTINGS:
        base = original if nbits == 16 else before
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", refquant.RefquantWarning)
            if nbits == 16 and original.isUpdatable:
                with pytest.raises(refquant.UpdatableError):
                    refquant.quantize_weights(original, 16)
                continue
            made = refquant.quantize_weights(path, nbits, mode, half_overflow="keep").get_spec()
        again = standard_model().FromString(made.SerializeToString())
        assert again.SerializeToString(deterministic=True) == made.SerializeToString(deterministic=True)
        assert blanked(made) == blanked(base)
        for old, new in zip(all_sites(base), all_sites(made)):
            changed = tensor.form(old.params) != tensor.form(new.params)
            if changed:
                looked_at += check_weights(old, new, nbits, mode)
            else:
                assert old.params == new.params
        back = refquant.dequantize_weights(made)
        assert {tensor.form(site.params) for site in all_sites(back)} <= {"float32", "empty"}
    already_half = all(tensor.form(site.params) in ("float16", "empty") for site in all_sites(original))
    assert looked_at or already_half or original.isUpdatable
