"""The view of a tensor by its channels, on which chapters 4 and 5 rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.codec.channels import Channels, join, split
from refquant.errors import ShapeError
from tests.hard import weights
from tests.oracle.codec import channel_of

shapes = st.builds(Channels, st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.just(1))


class TestSplit:
    """LIN-6: There MUST be one scale and one bias a channel, in channel order."""

    @given(shapes)
    def test_each_weight_goes_to_its_channel(self, channels: Channels) -> None:
        size = channels.outer * channels.count * channels.inner
        expected = [
            [i for i in range(size) if channel_of(i, *channels[:3]) == channel]
            for channel in range(channels.count)
        ]
        assert [list(part) for part in split(bytes(range(size)), channels)] == expected
        assert [list(part) for part in split(weights(list(range(size))), channels)] == expected

    @given(shapes, st.integers(1, 3))
    def test_groups_are_parts_one_behind_the_other(self, part: Channels, groups: int) -> None:
        size = part.outer * part.count * part.inner
        whole = Channels(part.outer, groups * part.count, part.inner, groups)
        expected = [
            [group * size + i for i in range(size) if channel_of(i, *part[:3]) == channel]
            for group in range(groups)
            for channel in range(part.count)
        ]
        values = bytes(range(groups * size))
        assert [list(run) for run in split(values, whole)] == expected
        assert join(split(values, whole), whole) == values

    @given(shapes)
    def test_join_is_the_inverse(self, channels: Channels) -> None:
        size = channels.outer * channels.count * channels.inner
        assert join(split(bytes(range(size)), channels), channels) == bytes(range(size))
        floats = weights([i / 3 for i in range(size)])
        assert join(split(floats, channels), channels) == floats

    def test_weights_side_by_side_are_not_copied(self) -> None:
        data = bytearray(weights([1, 2, 3, 4]).tobytes())
        first, second = split(memoryview(data).cast("f"), Channels(1, 2, 2))  # type: ignore[type-var]
        data[:] = weights([5, 6, 7, 8]).tobytes()
        assert (list(first), list(second)) == ([5, 6], [7, 8])

    @pytest.mark.parametrize("channels", [(1, 3, 0), (1, 0, 1), (1, 2, 2), (2, 1, 1)])
    def test_wrong_number_of_values(self, channels: tuple[int, int, int]) -> None:
        """TEN-6: ... a writer MUST refuse a tensor that does not fill its shape."""
        outer, count, inner = channels
        for values in (b"", b"abc"):
            with pytest.raises(ShapeError, match=f"{len(values)} values do not fill"):
                list(split(values, Channels(outer, count, inner)))

    def test_groups_that_do_not_divide_the_channels(self) -> None:
        with pytest.raises(ShapeError, match="6 values do not fill"):
            list(split(bytes(6), Channels(2, 3, 1, 2)))
