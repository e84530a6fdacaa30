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
    large, small = binary64.rounds_once.__defaults__ or ()
    assert binary64.rounds_once(large, small)
    assert large + small == 10000000000000002
    assert extended(large, small) == 10000000000000004


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


class Library:
    """What is asked of C's library: it notes the control word that it is given, and the word behind it."""

    def __init__(self, word: int) -> None:
        self.word = word
        self.words: list[int] = []
        self.room = 0

    def fegetenv(self, environment: Any) -> None:
        environment[0], environment[1] = self.word, 0xFFFF

    def fesetenv(self, environment: Any) -> None:
        self.words.extend(environment[:2])
        self.room = 2 * len(environment)


@pytest.mark.parametrize(
    ("word", "expected"), [(0x37F, 0x27F), (0x340, 0x240), (0x27F, 0x27F), (0xC00, 0xE00)]
)
def test_the_control_word(monkeypatch: pytest.MonkeyPatch, word: int, expected: int) -> None:
    """Nothing but the length of significands changes, and there is as much room as is said."""
    ctypes = pytest.importorskip("ctypes")
    library = Library(word)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    binary64._shorten_significands()
    assert library.words == [expected, 0xFFFF]
    assert library.room == binary64.ENVIRONMENT


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_where_the_library_is_not_at_hand(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """There is none, none that can be had by that name, or none that knows of an environment."""
    ctypes = pytest.importorskip("ctypes")
    asked: list[None] = []

    def refuse(name: None) -> None:
        asked.append(name)
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    binary64._shorten_significands()
    assert asked == [None]
