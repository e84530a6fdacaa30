"""Fuzzing that is led by the branches which inputs take, where atheris installs.

    pip install atheris
    python -m tests.fuzz.guided [OPTIONS OF libFuzzer] [FOLDER FOR INPUTS]

An input is a source of chance, from which mutations of a base are drawn as elsewhere; one that begins with a
zero byte is the bytes of a model. So what libFuzzer changes in an input changes one decision or a few.
"""

from __future__ import annotations

import random
import sys
from collections import Counter

try:
    import atheris
except ImportError:
    sys.exit(
        "atheris is not installed here, and installs on some platforms only; python -m tests.fuzz needs none"
    )

with atheris.instrument_imports(include=["refquant"]):
    from tests.fuzz.bends import draw
    from tests.fuzz.crew import chosen, data_of
    from tests.fuzz.findings import document
    from tests.fuzz.target import explore

#: First byte of an input that is the bytes of a model.
BYTES = 0


class Chance(random.Random):
    """Takes its decisions from bytes, and after their end the first of all choices."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self.data = data
        self.at = 0

    def getrandbits(self, bits: int) -> int:
        """Give a number of so many bits."""
        size = (bits + 7) // 8
        part = self.data[self.at : self.at + size]
        self.at += size
        return int.from_bytes(part, "little") & ((1 << bits) - 1)

    def random(self) -> float:
        """Give a number below 1."""
        return self.getrandbits(16) / (1 << 16)


def test_one(data: bytes) -> None:
    """Try an input; what must not be is raised, as libFuzzer expects."""
    conversions = chosen(data[-1] if data else 0, 1)
    if data[:1] == bytes([BYTES]):
        found = explore(data[1:], conversions, Counter())
        told = ""
    else:
        given = draw(Chance(data))
        found = explore(data_of(given), conversions, Counter())
        told = document([("found by atheris", given)]) if found else ""
    if found:
        raise AssertionError(f"{', '.join(found)}\n{told}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()
