"""How the oracle says no."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - the input is refused; the oracle itself has made no error
    """The specification demands that this input be refused.

    Attributes:
        rule: id of the rule, such as `PACK-4`.
        index: position of the first offending element, where the fault lies in one element.
    """

    def __init__(self, rule: str, index: int | None = None) -> None:
        super().__init__(rule if index is None else f"{rule} at index {index}")
        self.rule = rule
        self.index = index
