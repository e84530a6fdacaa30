"""A tensor's values as plain data: what a conversion says of itself, and floats on any machine.

What it makes of the values is tested in tests/codec and tests/test_quantize.py, what it refuses in
tests/test_refusals.py.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

import pytest

from refquant.errors import HalfRangeError, ShapeError
from refquant.model import stored
from refquant.model.layout import Layout
from refquant.model.stored import NONE, Request, Stored, Task
from tests.hard import weights

WHERE = {"layer": "fc", "layer_type": "innerProduct", "tensor": "weights"}


def test_every_form_can_be_read() -> None:
    assert tuple(stored.DECODERS) == stored.FORMS
    assert stored.decode(Stored("empty"), Layout((2,))) == weights([])


def test_there_is_nothing_in_a_tensor_but_what_is_said() -> None:
    assert stored.float32(weights([])) == Stored("float32") == ("float32", b"", 0, NONE, NONE, NONE)


def test_nothing_is_done_but_what_is_asked_for() -> None:
    """HALF-3: On request a writer MAY leave a whole layer in float32."""
    request, large = Request("half", 16), stored.float32(weights([70000.0]))
    assert tuple(request) == ("half", 16, None, False, False, False)
    with pytest.raises(HalfRangeError):
        stored.convert(Task(WHERE, large, Layout((1,))), request)


class TestConversion:
    """A conversion tells the form, and the seconds of the arithmetic and of the packing, each by itself."""

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        times: Iterator[float] = iter([10.0, 12.0, 17.0])
        monkeypatch.setattr(stored, "perf_counter", lambda: next(times))

    @pytest.mark.parametrize(
        ("mode", "form"), [("dequantization", "float32"), ("half", "float16"), ("int8", "int8")]
    )
    def test_without_packing(self, mode: str, form: str) -> None:
        task = Task(WHERE, stored.float32(weights([1.0, 2.0])), Layout((2,)))
        found = stored.convert(task, Request(mode, 16))
        assert isinstance(found, stored.Converted)
        assert (found.stored.form, *found[1:]) == (form, 0, 2.0, 0.0, None)

    @pytest.mark.parametrize(("mode", "form"), [("linear", "linear"), ("linear_lut", "lut")])
    def test_with_packing(self, mode: str, form: str) -> None:
        task = Task(WHERE, stored.float32(weights([1.0, 1 + 2.0**-22])), Layout((2,)))
        found = stored.convert(task, Request(mode, 4))
        assert isinstance(found, stored.Converted)
        assert (found.stored.form, *found[1:]) == (form, 1, 2.0, 5.0, None)


class TestFloats:
    """TEN-2: `floatValue` MUST hold one binary32 number a weight, in tensor order (the last dimension runs
    fastest), as a packed run of little-endian words.
    """

    @pytest.mark.parametrize("order", ["little", "big"])
    def test_words_of_memory_are_turned_where_it_is_the_other_way(
        self, monkeypatch: pytest.MonkeyPatch, order: str
    ) -> None:
        monkeypatch.setattr(sys, "byteorder", order)
        monkeypatch.setattr(stored, "VIEWS", False)
        given = weights([1.0, -2.5])
        memory = given.tobytes()
        payload = memory if order == "little" else memory[3::-1] + memory[:3:-1]
        assert stored.float32(given) == Stored("float32", payload)
        assert stored.floats(payload) == given == weights([1.0, -2.5])

    @pytest.mark.skipif(
        sys.byteorder == "big" or platform.python_implementation() != "CPython", reason="floats are copied"
    )
    def test_a_payload_is_read_in_place(self) -> None:
        payload = bytearray(weights([1.0, 2.0]).tobytes())
        found = stored.floats(payload)  # type: ignore[arg-type] # bytes, which nobody else can change
        payload[:4] = weights([3.0]).tobytes()
        assert found.tolist() == [3.0, 2.0]


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((2, 3), "1 values do not fill shape 2 x 3 (6)"), ((0,), "1 values do not fill shape 0 (0)")],
)
def test_shape_that_is_not_filled(shape: tuple[int, ...], sentence: str) -> None:
    """TEN-6: The number of stored weights MUST equal the product of the shape that the layer states."""
    with pytest.raises(ShapeError) as caught:
        stored.decode(stored.float32(weights([1.0])), Layout(shape))
    assert caught.value.reason == sentence


def test_a_shape_without_dimensions_holds_one_number() -> None:
    assert stored.decode(stored.float32(weights([1.0])), Layout(())).tolist() == [1.0]
    with pytest.raises(ShapeError) as caught:
        stored.decode(stored.float32(weights([1.0, 2.0])), Layout(()))
    assert caught.value.reason == "2 values do not fill shape () (1)"
