"""How fields are compared: each kind, right and wrong, and answers that cannot be read."""

from __future__ import annotations

import math
from typing import Any

import pytest

from refquant.conformance import testee, vectors
from refquant.conformance.judge import judge
from refquant.conformance.operations import floats_to_hex
from tests.hard import after


def case(operation: str, given: dict[str, Any], expected: dict[str, Any], **compare: Any) -> dict[str, Any]:
    return {"operation": operation, "input": given, "expected": expected, "compare": compare}


def decoding(how: Any, weights: list[float]) -> dict[str, Any]:
    given = {"codes": bytes(range(len(weights))).hex(), "table": ""}
    return case("lut.decode", given, {"weights": floats_to_hex(weights)}, weights=how)


def weights(*values: float) -> dict[str, Any]:
    return {"result": {"weights": floats_to_hex(values)}}


NAN = float("nan")


@pytest.mark.parametrize(
    ("how", "due", "given", "message"),
    [
        ("exact", 1.0, 1.0, None),
        ("exact", 0.0, -0.0, "weights[0] (code 0): expected 0.0 (bits 00000000), got -0.0 (bits 80000000)"),
        ("number", 0.0, -0.0, None),
        ("number", -0.0, 0.0, None),
        ("number", 0.0, 2.0**-149, "weights[0] (code 0): expected 0.0"),
        ({"ulp": 2}, 1.0, after(1.0, 2), None),
        ({"ulp": 2}, 1.0, after(1.0, -2), None),
        ({"ulp": 2}, 1.0, after(1.0, 3), "weights[0] (code 0): expected 1.0"),
        ({"ulp": 2}, -0.0, 2.0**-148, None),
        ({"ulp": 1}, -(2.0**-149), 2.0**-149, "weights[0] (code 0): expected -1"),
        ({"ulp": 2}, -(2.0**-149), 2.0**-149, None),
        ({"ulp": 2}, 1.0, NAN, "weights[0] (code 0): expected 1.0"),
        ({"ulp": 2}, -1.0, 1.0, "weights[0] (code 0): expected -1.0"),
        ({"either": ["3f800000", "40000000"]}, 1.0, 2.0, None),
        ({"either": ["3f800000", "40000000"]}, 1.0, 3.0, "weights[0] (code 0): expected 1.0"),
    ],
)
def test_numbers(how: Any, due: float, given: float, message: str | None) -> None:
    found = judge(decoding(how, [due]), weights(given))
    assert found is None if message is None else str(found).startswith(message)


def test_only_what_the_case_names_is_compared() -> None:
    asked = case("int8.encode", {"weights": floats_to_hex([1.0])}, {"codes": "7f"}, codes="exact")
    assert judge(asked, {"result": {"codes": "7F", "scales": "00000000"}}) is None
    assert judge(asked, {"result": {"codes": "7e", "scales": "00000000"}}) == (
        "codes[0] (weight 1.0, bits 3f800000): expected 127, got 126"
    )


def test_binary16_is_told_by_the_number() -> None:
    asked = case("half.encode", {"weights": floats_to_hex([1.0, -2.0])}, {"bytes": "003c00c0"}, bytes="exact")
    assert judge(asked, {"result": {"bytes": "003c01c0"}}) == (
        "bytes[1] (weight -2.0, bits c0000000): expected 00c0, got 01c0"
    )
    assert judge(asked, {"result": {"bytes": "003c"}}) == "bytes: gave 1 elements, expected 2"


@pytest.mark.parametrize(
    ("index", "how", "given", "message"),
    [
        (3, "exact", {"index": 3}, None),
        (3, "exact", {"index": 2}, "refused, but for index 2 instead of 3"),
        (3, "exact", {"message": "no"}, "refused, but without an index instead of 3"),
        (3, {"either": [3, None]}, {"message": "no"}, None),
        (3, {"either": [3, None]}, {"index": 3}, None),
        (3, {"either": [3, None]}, {"index": 0}, "refused, but for index 0 instead of 3"),
        (None, "exact", {"index": None}, None),
        (None, "exact", {"message": "no"}, None),
        (None, "exact", {"index": 0}, "refused, but for index 0 instead of none"),
        (1, "exact", {"index": True}, "refused, but for index True instead of 1"),
        (1, "exact", {"index": "1"}, "refused, but for index '1' instead of 1"),
        (None, "exact", "no", None),
    ],
)
def test_errors(index: int | None, how: Any, given: Any, message: str | None) -> None:
    expected = {"error": {"rule": "TEN-7", "index": index}}
    assert judge(case("half.encode", {"weights": ""}, expected, index=how), {"error": given}) == message


def test_an_error_is_no_result_and_a_result_no_error() -> None:
    good = decoding("exact", [1.0])
    assert judge(good, {"error": {"message": "no"}}) == "answered with an error: no"
    assert judge(good, {"error": "no"}) == "answered with an error: no"
    assert judge(good, {"result": None}) == "gave no result"
    bad = case("half.encode", {"weights": ""}, {"error": {"rule": "HALF-2", "index": None}}, index="exact")
    assert judge(bad, {"result": {"bytes": ""}}) == "should have been refused by HALF-2, and was not"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "weights: gave None, which is no hexadecimal string"),
        ("3f80000g", "weights: gave '3f80000g', which is no hexadecimal string"),
        ("3f8", "weights: gave '3f8', which is no hexadecimal string"),
        ("3f80", "weights: gave 4 digits, which are no whole number of elements"),
        ("\uff13" * 8, "weights: gave '" + "\uff13" * 8 + "', which is no hexadecimal string"),
        (["3f800000"], "weights: gave ['3f800000'], which is no hexadecimal string"),
    ],
)
def test_what_cannot_be_read(given: Any, message: str) -> None:
    assert judge(decoding("exact", [1.0]), {"result": {"weights": given}}) == message


def clustered(codes: list[int], table: list[float]) -> dict[str, Any]:
    return {"result": {"codes": bytes(codes).hex(), "table": floats_to_hex(table)}}


WEIGHTS = {"weights": floats_to_hex([0.0, 10.0, 1.0]), "nbits": 1}


@pytest.mark.parametrize(
    ("codes", "table", "message"),
    [
        ([0, 1, 0], [0.5, 10.0], None),
        ([0, 1, 1], [0.5, 10.0], "codes[2] (weight 1.0, bits 3f800000): expected 0, got 1"),
        ([1, 1, 1], [0.0, 0.0], "codes[0] (weight 0.0, bits 00000000): expected 0, got 1"),
        ([0, 1], [0.5, 10.0], "codes: gave 2 elements, expected 3"),
        ([0, 1, 9], [0.5, 10.0], "codes[2] (weight 1.0, bits 3f800000): expected 0, got 9"),
        ([0, 0, 0], [], "codes[0] (weight 0.0, bits 00000000): expected 0, got 0"),
    ],
)
def test_nearest(codes: list[int], table: list[float], message: str | None) -> None:
    asked = case("kmeans.encode", WEIGHTS, {"entries": 2}, codes={"property": "nearest"})
    if table:
        assert judge(asked, clustered(codes, table)) == message
    else:
        assert judge(asked, clustered(codes, table)) is not None


def test_nearest_before_anything_is_rounded() -> None:
    """KM-2: ... Distances MUST be compared exactly, not after rounding."""
    given = {"weights": floats_to_hex([2.0**-60]), "nbits": 1}
    asked = case("kmeans.encode", given, {"entries": 2}, codes={"property": "nearest"})
    assert judge(asked, clustered([1], [-1.0, 1.0])) is None
    assert judge(asked, clustered([0], [-1.0, 1.0])) is not None


@pytest.mark.parametrize(
    ("entries", "table", "message"),
    [
        (2, [-7.0, 3.0], None),
        (2, [3.0, -7.0], "table: the entries are not in ascending order"),
        (2, [3.0], "table: gave 1 entries, expected 2"),
        (2, [3.0, NAN], "table[1]: gave nan, not a finite number"),
        (2, [3.0, NAN, 4.0], "table: gave 3 entries, expected 2"),
        (4, [0.0, 1.0, 5.0, 10.0], None),
        (4, [0.0, 1.5, 5.0, 10.0], "table: 3 distinct weights for 4 entries, and 1.0 is none"),
    ],
)
def test_clustering(entries: int, table: list[float], message: str | None) -> None:
    asked = case("kmeans.encode", WEIGHTS, {"entries": entries}, table={"property": "clustering"})
    assert judge(asked, clustered([], table)) == message


@pytest.mark.parametrize(
    ("codes", "table", "message"),
    [
        ([0, 1, 0], [0.5, 10.0], None),
        ([0, 1, 0], [0.51, 10.0], None),
        ([0, 1, 0], [0.6, 10.0], "table: the inertia is 0.52, and 0.5 is possible"),
        ([0, 1], [0.5, 10.0], "codes: gave 2 elements, expected 3"),
        ([0, 1, 2], [0.5, 10.0], "codes: 2 is past the table's 2 entries"),
        ([0, 2, 1], [0.0, 1.0, 10.0], "table: gave 3 entries, expected 2"),
        ([0, 2, 1], [0.0, 1.0, 10.0, 10.0], "table: gave 4 entries, expected 2"),
        ([0, 0, 0], [0.5], "table: gave 1 entries, expected 2"),
        ([0, 0, 0], [], "table: gave 0 entries, expected 2"),
        ([0, 1, 0], [0.5, math.inf], "table[1]: gave inf, not a finite number"),
        ([0, 1, 0], [0.5, NAN, 10.0], "table: gave 3 entries, expected 2"),
    ],
)
def test_inertia(codes: list[int], table: list[float], message: str | None) -> None:
    asked = case("kmeans.encode", WEIGHTS, {"inertia": "1/2"}, table={"property": "inertia"})
    assert judge(asked, clustered(codes, table)) == message


@pytest.mark.parametrize("nbits", range(1, 8))
def test_a_table_of_more_bits_is_no_better_answer(nbits: int) -> None:
    """More entries than were asked for leave less inertia than is possible with those."""
    for asked in vectors.select(["kmeans"])[0]:
        if "inertia" in asked["expected"] and asked["input"]["nbits"] == nbits:
            answer = testee.run("kmeans.encode", {**asked["input"], "nbits": 8})
            assert judge(asked, answer) == f"table: gave 256 entries, expected {1 << nbits}", asked["id"]
