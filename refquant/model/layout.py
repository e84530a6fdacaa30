"""The shape of a tensor, and which of its dimensions runs over output channels."""

from __future__ import annotations

import math
from typing import NamedTuple

from refquant.codec.channels import Channels


class Layout(NamedTuple):
    """The shape of a tensor and the dimension that runs over its output channels."""

    shape: tuple[int, ...]
    #: Dimension with a scale and a bias for each index when quantized; None: one channel. Rule: LIN-6.
    axis: int | None = None
    #: Dimension for which a reader accepts a scale each although a writer uses one for all. Rule: DEQ-5.
    read_axis: int | None = None
    #: Groups, each with channels of its own; the first dimension runs over all of them. Rule: LAY-3.
    groups: int = 1

    @property
    def size(self) -> int:
        """Number of weights that fill the shape."""
        return math.prod(self.shape)

    @property
    def channel_axis(self) -> int | None:
        """Dimension for each index of which a reader accepts a scale; None: one for the whole tensor.

        It is the one for which a writer gives them, where there is one. Rule: LIN-6, DEQ-5.
        """
        return self.axis if self.axis is not None else self.read_axis

    @property
    def scales(self) -> int:
        """Number of scales that linear codes may come with in place of one. Rule: LAY-7."""
        axis = self.channel_axis
        return 1 if axis is None else self.shape[axis] * self.groups

    def channels(self, axis: int | None) -> Channels:
        """See the tensor as (outer, channels, inner) about an axis; None: as one channel."""
        if axis is None:
            return Channels(1, 1, self.size)
        outer, inner = math.prod(self.shape[:axis]), math.prod(self.shape[axis + 1 :])
        return Channels(outer // self.groups, self.shape[axis] * self.groups, inner, self.groups)
