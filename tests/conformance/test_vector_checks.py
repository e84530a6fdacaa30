"""Files of vectors that somebody made: what is refused, and that it is said what is wrong, and where.

That the kit's own files keep to their schema is tested in tests/conformance/test_vectors.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from refquant.conformance import vectors
from refquant.conformance.judge import PROPERTIES, WORDS_WITH
from refquant.conformance.protocol import shown
from refquant.conformance.vector_checks import ARGUMENTS, NEEDED, fault
from refquant.errors import ArgumentError

FAMILIES = vectors.families()

#: A case of `pack` as this file's tests change it, one that is refused, and one that is judged by inertia.
GOOD: dict[str, Any] = {
    "id": "mine-1",
    "title": "one code",
    "operation": "pack",
    "level": "required",
    "rules": ["PACK-1"],
    "flags": ["order"],
    "input": {"codes": "01", "nbits": 1},
    "expected": {"bytes": "80"},
    "compare": {"bytes": "exact"},
}
REFUSED = {**GOOD, "expected": {"error": {"rule": "PACK-1", "index": 0}}, "compare": {"index": "exact"}}
CLUSTERED = {
    **GOOD,
    "operation": "kmeans.encode",
    "input": {"weights": "0000000040000000", "nbits": 1},
    "expected": {"inertia": "1/2"},
    "compare": {"table": {"property": "inertia"}},
}


def content(*cases: Any, **changes: Any) -> dict[str, Any]:
    return {"family": "mine", "rules": {"PACK-1": "..."}, "cases": list(cases), **changes}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_kits_own_are_good(name: str) -> None:
    assert fault(FAMILIES[name]) is None


@pytest.mark.parametrize(
    "case",
    [
        GOOD,
        REFUSED,
        CLUSTERED,
        {**GOOD, "repeat": 2},
        {**GOOD, "compare": {"bytes": {"either": ["80", "81"]}}},
        {**REFUSED, "operation": "half.decode", "input": {"bytes": "00"}},
        {**REFUSED, "compare": {"index": {"either": [0, None]}}},
        {**REFUSED, "expected": {"error": {"rule": "PACK-1", "index": None}}},
        {**CLUSTERED, "expected": {}, "compare": {"codes": {"property": "nearest"}}},
        {**CLUSTERED, "expected": {"entries": 2}, "compare": {"table": {"property": "clustering"}}},
        {**CLUSTERED, "expected": {"table": "00000000"}, "compare": {"table": {"ulp": 1}}},
    ],
)
def test_good(case: Any) -> None:
    assert fault(content(case)) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "it is a list, not an object"),
        (3, "it is 3, not an object"),
        ({}, "it has no `family`"),
        (content(family=3), "`family` is 3, not a string"),
        (content(rules=[]), "`rules` is a list, not an object"),
        (content(cases={}), "`cases` is a dict, not a list"),
        (content("pack"), "case 1: it is 'pack', not an object"),
        (content({}), "case 1: it has no `id`"),
        (content({"id": 3}), "case 1 (3): `id` is 3, not a string"),
        (content(GOOD, GOOD), "case 2 ('mine-1'): it has the id of case 1"),
    ],
)
def test_files(given: Any, message: str) -> None:
    assert fault(given) == message


@pytest.mark.parametrize("field", GOOD)
def test_every_field_must_be_there(field: str) -> None:
    short = {name: value for name, value in GOOD.items() if name != field}
    place = "case 2" if field == "id" else "case 2 ('mine-1')"
    assert fault(content({**GOOD, "id": "other"}, short)) == f"{place}: it has no `{field}`"


def refused(case: dict[str, Any], change: dict[str, Any], message: str) -> None:
    assert fault(content({**case, **change})) == f"case 1 ('mine-1'): {message}"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", None, "`title` is a NoneType, not a string"),
        ("expected", "80", "`expected` is '80', not an object"),
        ("operation", "fly", "`operation` is 'fly', which is none of the kit's"),
        ("level", "high", "`level` is 'high', not one of required, recommended, optional"),
        ("repeat", 0, "`repeat` is 0, not a number of times"),
        ("repeat", "2", "`repeat` is '2', not a number of times"),
        ("rules", ["PACK-2"], "its rule 'PACK-2' has no sentence in the `rules` of the file"),
        ("rules", [["PACK-1"]], "its rule a list has no sentence in the `rules` of the file"),
        ("flags", [1], "its flag 1 is not a string"),
        ("compare", {}, "`compare` names nothing"),
        ("compare", {"codes": "exact"}, "`compare` names 'codes', which is no field of such an answer"),
        ("compare", {"index": "exact"}, "`compare` names 'index', which is no field of such an answer"),
        ("expected", {"codes": "01"}, "`expected` has no `bytes`"),
        ("expected", {"bytes": "8g"}, "`bytes` of `expected` is '8g', not pairs of hexadecimal digits"),
    ],
)
def test_fields(field: str, value: Any, message: str) -> None:
    refused(GOOD, {field: value}, message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"codes": "01"}, "`input` has no `nbits`"),
        ({"codes": "01", "nbits": 1, "more": 2}, "`input` has 'more', which pack does not take"),
        ({"codes": "1", "nbits": 1}, "`codes` of `input` is '1', not pairs of hexadecimal digits"),
        ({"codes": [1], "nbits": 1}, "`codes` of `input` is a list, not pairs of hexadecimal digits"),
        ({"codes": "01", "nbits": True}, "`nbits` of `input` is True, not a count"),
        ({"codes": "01", "nbits": -1}, "`nbits` of `input` is -1, not a count"),
        ({"codes": "01", "nbits": 0.5}, "`nbits` of `input` is 0.5, not a count"),
    ],
)
def test_input(given: dict[str, Any], message: str) -> None:
    refused(GOOD, {"input": given}, message)


def test_digits_of_numbers() -> None:
    message = "`weights` of `input` has 6 digits, and a number takes 8"
    refused(CLUSTERED, {"input": {"weights": "000000", "nbits": 1}}, message)


@pytest.mark.parametrize(
    "how",
    [None, "roughly", {}, {"ulp": 1, "either": []}, {"ulp": "1"}, {"roughly": 1}, {"property": "beauty"}],
)
def test_comparisons(how: Any) -> None:
    said = f"`compare` has {shown(how)} for `bytes`, which the judge does not know"
    refused(GOOD, {"compare": {"bytes": how}}, said)


@pytest.mark.parametrize("how", ["number", {"ulp": 1}])
def test_comparisons_of_an_index(how: Any) -> None:
    said = f"`compare` has {shown(how)} for `index`, which the judge does not know"
    refused(REFUSED, {"compare": {"index": how}}, said)


@pytest.mark.parametrize("inertia", [0.5, "1/0", "0.5", "1/2 "])
def test_an_inertia_is_a_fraction(inertia: Any) -> None:
    said = f"`inertia` of `expected` is {inertia!r}, not a fraction such as '1/2'"
    refused(CLUSTERED, {"expected": {"inertia": inertia}}, said)


def test_properties_need_what_they_compare_with() -> None:
    refused(CLUSTERED, {"expected": {"entries": 2}}, "`expected` has no `inertia`")
    asked = {**CLUSTERED, "compare": {"table": {"property": "clustering"}}}
    refused(asked, {}, "`expected` has no `entries`")
    refused(asked, {"expected": {"entries": "2"}}, "`entries` of `expected` is '2', not a count")


@pytest.mark.parametrize("error", ["PACK-1", {"index": 0}, {"rule": 1, "index": 0}])
def test_errors_name_a_rule(error: Any) -> None:
    refused(REFUSED, {"expected": {"error": error}}, "`error` of `expected` is no object with a `rule`")


@pytest.mark.parametrize("index", [{}, {"index": "0"}, {"index": True}, {"index": 0.5}])
def test_errors_have_an_index(index: dict[str, Any]) -> None:
    said = "`error` of `expected` has no `index` that is a position or null"
    refused(REFUSED, {"expected": {"error": {"rule": "PACK-1", **index}}}, said)


def test_tables_know_what_the_judge_knows() -> None:
    assert set(ARGUMENTS) == {*WORDS_WITH, "property"}
    assert set(NEEDED) <= set(PROPERTIES)


class TestRead:
    def test_what_is_wrong_is_said_with_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(content({**GOOD, "operation": "fly"})))
        with pytest.raises(ArgumentError) as caught:
            vectors.read(str(path))
        said = "case 1 ('mine-1'): `operation` is 'fly', which is none of the kit's"
        assert str(caught.value) == f"{path} is no file of vectors: {said}"

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b'{"family": "mine",\n"rules": oops}', "line 2 column 10"),
            (b"\xff", "can't decode byte 0xff"),
            (b"[" * 100_000, ""),
        ],
    )
    def test_no_json(self, tmp_path: Path, data: bytes, message: str) -> None:
        path = tmp_path / "mine.json"
        path.write_bytes(data)
        with pytest.raises(ArgumentError, match=f"is no file of vectors: .*{message}"):
            vectors.read(str(path))

    def test_without_assertions_too(self, tmp_path: Path) -> None:
        """`python -O` leaves assertions out."""
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(content({**GOOD, "input": {"codes": ""}})))
        command = ["-O", "-m", "refquant", "conformance", "run", "--vectors", str(path)]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "case 1 ('mine-1'): `input` has no `nbits`" in done.stderr
