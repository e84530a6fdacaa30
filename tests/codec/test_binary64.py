"""Chapter 0: arithmetic is in binary64, rounded once; and what is done where it is not."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from refquant.codec import binary64


def extended(large: float, small: float) -> float:
    """A sum in 64 bits of significand, rounded to 53 after that: in integers, so the same anywhere."""
    scaled = (int(large) << 60) + int(small * 2**60)
    for bits in (64, 53):
        drop = scaled.bit_length() - bits
        half, rest = 1 << (drop - 1), scaled & ((1 << drop) - 1)
        scaled = (scaled >> drop) + (rest > half or (rest == half and (scaled >> drop) & 1)) << drop
    return float(scaled >> 60)


def test_rounds_once() -> None:
    assert binary64.rounds_once()


def test_what_tells_them_apart() -> None:
    """The sum that is asked for is another number where it is rounded twice."""
    assert 1e16 + 2.9999 == 10000000000000002
    assert extended(1e16, 2.9999) == 10000000000000004


def test_a_machine_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary64, "rounds_once", lambda: False)
    with pytest.raises(ImportError, match="rounded twice"):
        binary64.ensure()
    monkeypatch.setitem(sys.modules, "ctypes", None)
    with pytest.raises(ImportError, match="rounded twice"):
        binary64.ensure()


def test_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, calls = iter([False, True, True]), []
    monkeypatch.setattr(binary64, "rounds_once", lambda: next(answers))
    monkeypatch.setattr(binary64, "_shorten_significands", lambda: calls.append(1))
    binary64.ensure()
    binary64.ensure()
    assert calls == [1]


def test_the_control_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the length of significands changes."""
    ctypes = pytest.importorskip("ctypes")
    words: list[Any] = []

    class Library:
        def fegetenv(self, environment: Any) -> None:
            environment[0], environment[1] = 0x37F, 0xFFFF

        def fesetenv(self, environment: Any) -> None:
            words.extend(environment[:2])

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    binary64._shorten_significands()
    assert words == [0x27F, 0xFFFF]
