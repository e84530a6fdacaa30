"""What all arithmetic here takes for granted: that Python's floats are binary64, and rounded once.

They are, but for one family of machines. Pythons for 32-bit x86 processors mostly compute in the x87 unit,
in 64 bits of significand, and round to 53 where a result is put down: twice in all, now and then to another
number. There the unit is told to keep to 53 bits, as other systems have it from the start (Windows, FreeBSD).
Threads and processes that are started later inherit that.
"""

from __future__ import annotations

#: The two bits of the x87 control word that say how long significands are, and what they are for 53 bits.
#: Source: Intel, Architectures Software Developer's Manual, volume 1, 8.1.5.2.
PRECISION, DOUBLE = 0x300, 0x200

#: Bytes enough for C's fenv_t, which begins with the control word. Source: glibc and musl: at most 32.
ENVIRONMENT = 64


def rounds_once(large: float = 1e16, small: float = 2.9999) -> bool:
    """Tell whether a sum is rounded once: between numbers that are 2 apart, 3 is a tie and 2.9999 is none."""
    return large + small == large + 2.0


def ensure() -> None:
    """See to it that floats are rounded once. Raises ImportError where that cannot be had."""
    if not rounds_once():
        _shorten_significands()
        if not rounds_once():
            raise ImportError(
                "refquant needs floats that are binary64: those of this Python are rounded twice"
            )


def _shorten_significands() -> None:
    """Set the x87 unit to 53 bits, where there is a way to do that."""
    try:
        import ctypes

        library = ctypes.CDLL(None)
        environment = (ctypes.c_ushort * (ENVIRONMENT // 2))()
        library.fegetenv(environment)
        environment[0] = environment[0] & ~PRECISION | DOUBLE
        library.fesetenv(environment)
    except (ImportError, OSError, TypeError, AttributeError):  # each where C's own library is not at hand
        return
