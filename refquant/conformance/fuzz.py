"""Fuzzing a testee: new cases by the thousand, refquant as the judge, and the first difference made small.

Needs hypothesis (extra `conformance`), which makes the cases from a seed and shrinks what fails.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from refquant.conformance import testee as own
from refquant.conformance.judge import judge
from refquant.conformance.operations import comparison, floats_to_hex
from refquant.conformance.process import Testee, Trouble
from refquant.conformance.runner import introduce
from refquant.errors import ArgumentError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Numbers that break quantizers, mixed with random ones.
HARD = [0.0, -0.0, 1.0, 0.5, 1.5, 65504.0, 65503.0, 1e-6, 2.0**-24, 2.0**-25, 2.0**-149, 2.0**-126, 1e30]

#: Most weights of a made-up tensor.
LONGEST = 24

Given = dict[str, Any]


def strategies() -> dict[str, SearchStrategy[Given]]:
    """Make the strategy of every operation that can be fuzzed: what to put to a testee.

    Raises ArgumentError where hypothesis is not installed.
    """
    try:
        from hypothesis import strategies as st
    except ImportError:
        raise ArgumentError(
            "fuzzing needs the extra 'conformance': pip install refquant[conformance]"
        ) from None

    def f32(x: float) -> float:
        return float(struct.unpack("<f", struct.pack("<f", x))[0])

    numbers = st.one_of(
        st.floats(-4, 4, width=32),
        st.sampled_from([f32(x) for x in HARD]),
        st.integers(-40, 40).map(lambda i: i / 2),
        st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**90), max_value=2.0**90),
    )
    nbits = st.integers(1, 8)
    # Weights on a coarse grid lie between two codes as often as not.
    coarse = st.integers(-4, 4).map(lambda i: i / 2)
    weights = st.one_of(
        st.lists(numbers, min_size=1, max_size=LONGEST), st.lists(coarse, min_size=1, max_size=LONGEST)
    )

    def shaped(values: list[float], outer: int, channels: int) -> Given:
        # As many of the weights as fill a shape; so drawn, a case shrinks to one channel of few weights.
        inner = len(values) // (outer * channels)
        if inner == 0:
            outer, channels, inner = 1, 1, len(values)
        kept = floats_to_hex(values[: outer * channels * inner])
        return {"weights": kept, "outer": outer, "channels": channels, "inner": inner}

    tensors = st.builds(shaped, weights, st.integers(1, 3), st.integers(1, 3))
    flat = weights.map(lambda values: {"weights": floats_to_hex(values)})
    codes = nbits.flatmap(
        lambda n: st.lists(st.integers(0, (1 << n) - 1), max_size=LONGEST).map(
            lambda found: {"codes": bytes(found).hex(), "nbits": n}
        )
    )

    def with_nbits(strategy: SearchStrategy[Given]) -> SearchStrategy[Given]:
        return st.builds(lambda given, n: {**given, "nbits": n}, strategy, nbits)

    def unpackable(given: Given) -> Given:
        count = len(given["codes"]) // 2
        packed = own.run("pack", given)["result"]["bytes"]
        return {"bytes": packed, "nbits": given["nbits"], "count": count}

    def decodable(given: Given) -> Given:
        found = own.run("linear.encode", given)
        result = found.get("result", {"codes": "00", "scales": "3f800000", "biases": "00000000"})
        if "result" not in found:
            return {**result, "outer": 1, "channels": 1, "inner": 1}
        return {**result, **{name: given[name] for name in ("outer", "channels", "inner")}}

    return {
        "pack": codes,
        "unpack": codes.map(unpackable),
        "half.encode": flat,
        "linear.encode": with_nbits(tensors),
        "linear.decode": with_nbits(tensors).map(decodable),
        "symmetric.encode": tensors,
        "linear_lut.encode": with_nbits(flat),
        "int8.encode": flat,
    }


def fuzz(
    command: Sequence[str],
    operations: Sequence[str] = (),
    seed: int = 0,
    examples: int = 1000,
    timeout: float = 10.0,
    say: Callable[[str], object] = lambda line: None,
) -> dict[str, Any] | None:
    """Compare a testee with refquant on made-up cases; give the smallest that differs as a case, or None.

    `operations` are those to try, all that both sides have where it is empty; each gets `examples` cases.
    The same seed makes the same cases. Raises ArgumentError where there is nothing to try.
    """
    made = strategies()
    offered = set(introduce(command, timeout)["operations"])
    chosen = [name for name in made if name in offered and (not operations or name in operations)]
    if not chosen:
        raise ArgumentError(f"nothing to fuzz: what can be are {', '.join(made)}")
    testee = Testee(command, timeout)
    try:
        for name in chosen:
            found = _first_difference(testee, name, made[name], seed, examples)
            if found is not None:
                return found
            say(f"{name}: {examples} cases, no difference")
    finally:
        testee.stop()
    return None


def _first_difference(
    testee: Testee, operation: str, cases: SearchStrategy[Given], seed: int, examples: int
) -> dict[str, Any] | None:
    """Look for a case of one operation that differs, and give the smallest."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    found: list[dict[str, Any]] = []

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(cases)
    def check(asked: Given) -> None:
        case, wrong = _compare(testee, operation, asked)
        if wrong:
            found.append({**case, "difference": wrong})
            raise AssertionError(wrong)

    try:
        check()
    except AssertionError:
        return found[-1]  # hypothesis runs the smallest once more at the end
    return None


def _compare(testee: Testee, operation: str, asked: Given) -> tuple[dict[str, Any], str | None]:
    """Put one made-up case to both; what refquant says is what is expected."""
    answer = own.run(operation, asked)
    expected = answer.get("result") or {"error": {k: answer["error"][k] for k in ("rule", "index")}}
    digest = hashlib.sha256(json.dumps([operation, asked], sort_keys=True).encode()).hexdigest()[:10]
    case: dict[str, Any] = {
        "id": f"fuzz-{digest}",
        "title": "found by fuzzing",
        "operation": operation,
        "level": "required",
        "rules": [],
        "flags": [],
        "input": asked,
        "expected": expected,
        "compare": comparison(operation, expected),
        "source": "refquant",
    }
    try:
        reply = testee.ask({"command": "run", "operation": operation, "input": asked})
    except Trouble as trouble:
        return case, str(trouble)
    return case, None if "skipped" in reply else judge(case, reply)


def shown(case: dict[str, Any]) -> str:
    """Describe a case that fuzzing found, its weights as decimals."""
    lines = [f"{case['operation']}: {case['difference']}"]
    for name, value in case["input"].items():
        decimals = ""
        if name in ("weights", "scales", "biases") and value:
            numbers = struct.unpack(f">{len(value) // 8}f", bytes.fromhex(value))
            decimals = f"   ({', '.join(f'{x:g}' if math.isfinite(x) else str(x) for x in numbers)})"
        lines.append(f"  {name} = {value}{decimals}")
    return "\n".join(lines) + "\n"
