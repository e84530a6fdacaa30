"""One message and its values as plain data: nothing is lost or added on the way, in either direction."""

from __future__ import annotations

import pytest

from refquant.errors import TensorError
from refquant.model import stored, tensor
from refquant.model.layers import Site, sites
from refquant.model.stored import Stored
from refquant.schema.coreml import Model, WeightParams
from tests import bending
from tests.bending import FLOATS, HALVES, LINEAR, SIGNED, TABLE, bent
from tests.hard import weights

#: Form -> a message in it, and its values.
MESSAGES: dict[str, tuple[WeightParams, Stored]] = {
    "empty": (WeightParams(), Stored("empty")),
    "float32": (bending.floats(1.0), Stored("float32", b"\0\0\x80\x3f")),
    "float16": (bending.halves(1.0), Stored("float16", b"\0\x3c")),
    "linear": (
        bending.linear(b"\x40", 2, [0.5], [1.0]),
        Stored("linear", b"\x40", 2, weights([0.5]), weights([1.0])),
    ),
    "lut": (bending.table(b"\x80", 1, [1.0, 2.0]), Stored("lut", b"\x80", 1, table=weights([1.0, 2.0]))),
    "int8": (bending.signed(b"\xff"), Stored("int8", b"\xff", 8, weights([0.5]))),
}


@pytest.mark.parametrize("form", stored.FORMS)
class TestForms:
    """TEN-1: At most one of `floatValue`, `float16Value`, `rawValue` and `int8RawValue` MUST be non-empty."""

    def test_taken(self, form: str) -> None:
        params, values = MESSAGES[form]
        assert tensor.take(params) == values

    @pytest.mark.parametrize("before", stored.FORMS)
    def test_stored_in_the_place_of_another(self, form: str, before: str) -> None:
        params, values = MESSAGES[form]
        made = WeightParams()
        made.CopyFrom(MESSAGES[before][0])
        tensor.store(made, values)
        assert made == params


def test_what_counts_as_empty() -> None:
    """TEN-1: ... Raw bytes without a `quantization` message count as empty."""
    assert tensor.take(WeightParams(rawValue=b"\1", int8RawValue=b"\1")) == Stored("empty")
    assert tensor.take(bending.linear(b"", 8, [1.0])) == Stored("empty")


class TestRuns:
    """TEN-3: A reader MUST accept `floatValue` split over several packed runs or written unpacked, and give
    the same weights as for one packed run.
    """

    def test_several_and_empty_ones(self) -> None:
        whole = weights([1.0, 2.0, 3.0])
        data = stored.float32(whole).payload
        params = WeightParams(floatBytes=[b"", data[:4], b"", data[4:]])
        assert tensor.float32_weights(params) == whole
        assert tensor.take(params) == Stored("float32", data)


class TestPlaces:
    """An error about a tensor says in which layer it is."""

    def site(self, model: Model) -> Site:
        return next(sites(model.neuralNetwork.layers[0]))

    @pytest.mark.parametrize(
        ("model", "form"),
        [(FLOATS, "float32"), (HALVES, "float16"), (LINEAR, "linear"), (TABLE, "lut"), (SIGNED, "int8")],
    )
    def test_form(self, model: Model, form: str) -> None:
        assert tensor.located_form(self.site(model)) == form

    def test_where(self) -> None:
        site = self.site(bent(FLOATS, {"weights.float16Value": bytes(12)}))
        for refused in (tensor.located_form, tensor.decode):
            with pytest.raises(TensorError) as caught:
                refused(site)
            assert str(caught.value) == (
                "layer 'fc' (innerProduct), tensor weights: holds float32 and float16 values at once"
            )
            assert caught.value.__suppress_context__
