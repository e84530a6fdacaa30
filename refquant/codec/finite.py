"""The one demand on weights that every encoder makes: each is a number."""

from __future__ import annotations

import math
from array import array

from refquant.errors import NonFiniteError


def check_finite(weights: array[float], what: str = "weight", rule: str = "TEN-7") -> None:
    """Refuse a NaN or an infinity among float32 weights, naming the first.

    A binary64 sum of fewer than 2^896 binary32 numbers cannot overflow, and keeps a NaN or an infinity to
    the end: so the sum is finite exactly when every weight is. Empty input passes.

    Raises NonFiniteError with the index and the rule that is broken. Rule: TEN-7.
    """
    if not math.isfinite(sum(weights)):
        index = next(i for i, weight in enumerate(weights) if not math.isfinite(weight))
        raise NonFiniteError(f"{what} is {weights[index]}, not a finite number", index=index, rule=rule)
