"""The vectors: their form, their ids, their rules, and that they are what the oracle says."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conformance import departures, generate, generate_models, ids
from conformance.cases.family import Family, check, strictest
from conformance.cases.flags import FLAGS, KINDS, ROW
from conformance.departures import KNOWN
from refquant.codec import kmeans
from refquant.conformance import vectors
from refquant.conformance.judge import PROPERTIES
from refquant.conformance.operations import OPERATIONS, comparison, floats_from_hex
from refquant.conformance.vector_checks import LEVELS
from refquant.errors import ArgumentError
from tests import oracle

FOLDER = Path(generate.__file__).parent
FAMILIES = vectors.families()


@pytest.mark.parametrize("name", FAMILIES)
def test_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((FOLDER / "schema" / "vectors.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(FAMILIES[name])


def cases() -> Iterator[tuple[str, Any]]:
    for name, content in FAMILIES.items():
        for case in content["cases"]:
            yield name, case


def test_schema_knows_the_operations() -> None:
    """The schema's fields of each operation are those that the runner reads."""
    schema = json.loads((FOLDER / "schema" / "vectors.json").read_text())
    case = schema["$defs"]["case"]
    assert case["properties"]["operation"]["enum"] == list(OPERATIONS)
    for name, part in zip(OPERATIONS, case["oneOf"]):
        assert part["properties"]["operation"]["const"] == name
        assert part["properties"]["input"]["required"] == list(OPERATIONS[name].inputs)
        good = part["oneOf"][1]["properties"]
        assert list(good["compare"]["properties"]) == list(OPERATIONS[name].outputs)
    assert set(schema["$defs"]["how"]["oneOf"][3]["properties"]["property"]["enum"]) == set(PROPERTIES)


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "fly"},
        {"input": {"codes": "00"}},
        {"input": {"codes": "00", "nbits": 1, "more": 2}},
        {"expected": {"codes": "00"}},
        {"expected": {"error": {"rule": "PACK-1"}}},
        {"compare": {}},
        {"compare": {"bytes": "roughly"}},
        {"compare": {"bytes": {"property": "beauty"}}},
        {"compare": {"codes": "exact"}},
        {"flags": []},
        {"rules": []},
    ],
)
def test_schema_refuses(change: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((FOLDER / "schema" / "vectors.json").read_text())
    validator: Any = jsonschema.Draft202012Validator(schema)
    content = FAMILIES["packing"]
    case = next(case for case in content["cases"] if case["operation"] == "pack")
    assert validator.is_valid({**content, "cases": [case]})
    assert not validator.is_valid({**content, "cases": [{**case, **change}]})


def test_ids_tell_what_a_case_asks() -> None:
    seen: Counter[str] = Counter()
    for name, case in cases():
        seen[case["id"]] += 1
        asked = [case["operation"], case["input"]]
        if case["compare"] != comparison(case["operation"], case["expected"]):
            asked.append(case["compare"])
        text = json.dumps(asked, sort_keys=True)
        assert case["id"] == f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    assert max(seen.values()) == 1
    assert len(seen) >= 1500


def test_cases_are_what_cases_must_be() -> None:
    """Fields, rules of errors, levels that a rule allows: `family.check`."""
    for name, case in cases():
        check(case)
        assert set(case["rules"]) <= set(FAMILIES[name]["rules"])
        assert set(case["flags"]) <= set(FAMILIES[name]["flags"])


def test_levels_are_those_of_the_strictest_rule() -> None:
    """Only a rule that says MUST of one thing and SHOULD of another has cases of both levels."""
    for _, case in cases():
        if case["level"] != strictest(case["rules"]):
            assert case["rules"] == ["PACK-5"]
            assert case["title"] == "surplus bytes"
    assert {level for _, case in cases() for level in [case["level"]]} == set(LEVELS)


class TestFlags:
    def test_every_case_has_one(self) -> None:
        for _, case in cases():
            assert case["flags"], case["id"]
            assert len(set(case["flags"])) == len(case["flags"])
            assert any(not ROW.fullmatch(name) for name in case["flags"]), case["id"]

    def test_all_are_used_and_of_a_kind(self) -> None:
        assert {name for _, case in cases() for name in case["flags"]} >= set(FLAGS)
        assert {flag.kind for flag in FLAGS.values()} | {"departure"} == set(KINDS)

    def test_invalid_is_what_expects_an_error(self) -> None:
        for _, case in cases():
            assert ("invalid" in case["flags"]) == ("error" in case["expected"]), case["id"]
        chosen, _ = vectors.select(flag_globs=["invalid"])
        assert {case["operation"] for case in chosen} == set(OPERATIONS)

    def test_departures_are_the_known_failures_of_coremltools(self) -> None:
        flagged = {(case["id"], name) for _, case in cases() for name in case["flags"] if ROW.fullmatch(name)}
        listed = json.loads(KNOWN.read_text(encoding="utf-8"))["known_failures"]
        assert flagged == {(entry["cases"], entry["reason"].partition(":")[0]) for entry in listed}
        assert len(flagged) == len(listed) > 0

    def test_a_case_that_repeats_has_the_flags_of_both(self) -> None:
        family = Family("packing")
        for rules, flags in (("PACK-1", "length"), ("PACK-2", "bits length")):
            family.add("pack", "twice", rules, {"codes": "", "nbits": 1}, {"bytes": ""}, flags)
        ((_, case),) = family.cases.items()
        assert (case["rules"], case["flags"][:2]) == (["PACK-1", "PACK-2"], ["length", "bits"])


def test_every_operation_has_good_and_bad_cases() -> None:
    kinds: dict[str, set[bool]] = {}
    for content in FAMILIES.values():
        for case in content["cases"]:
            kinds.setdefault(case["operation"], set()).add("error" in case["expected"])
    assert {operation for operation, found in kinds.items() if found == {False, True}} == set(OPERATIONS)


def test_sentences_are_the_specifications() -> None:
    sentences = generate.sentences()
    for content in FAMILIES.values():
        for rule, sentence in content["rules"].items():
            assert sentences[rule] == sentence


@pytest.mark.parametrize("name", FAMILIES)
def test_canonical(name: str) -> None:
    """Every file is in its canonical form, those that need a peer to be made too."""
    path = FOLDER / "vectors" / f"{name}.json"
    assert path.read_text(encoding="utf-8") == generate.reform(path), "run: python -m conformance.generate"


@pytest.mark.parametrize("name", [name for name in generate.FAMILIES if name != "kmeans"])
def test_current(name: str) -> None:
    text = (FOLDER / "vectors" / f"{name}.json").read_text(encoding="utf-8")
    assert text == generate.collect(name), "run: python -m conformance.generate"


@pytest.mark.parametrize("module", [departures, generate, generate_models, ids])
def test_help(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks what a tool does is told, and nothing else happens."""
    with pytest.raises(SystemExit) as caught:
        module.main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m {module.__name__} [-h] [--check]")


@pytest.mark.slow
def test_current_kmeans() -> None:
    test_current("kmeans")


#: Operation -> lengths of what it reads, of cases that expect a result.
LENGTHS_OF = {
    "pack": "codes", "unpack": "count", "half.encode": "weights", "half.decode": "bytes",
    "linear.encode": "weights", "symmetric.encode": "weights", "linear_lut.encode": "weights",
    "custom_lut.encode": "weights", "lut.decode": "codes", "kmeans.encode": "weights",
    "linear.decode": "codes", "int8.encode": "weights", "int8.decode": "codes",
}  # fmt: skip


@pytest.mark.parametrize("operation", LENGTHS_OF)
def test_lengths(operation: str) -> None:
    """Lengths 1 to 17 and 63 to 65, at each number of bits where there is one."""
    field = LENGTHS_OF[operation]
    kind = OPERATIONS[operation].inputs[field]
    found: dict[int, set[int]] = {}
    for _, case in cases():
        if case["operation"] == operation and "error" not in case["expected"]:
            given = case["input"]
            nbits = given.get("nbits", len(given.get("table", "")) // 8)
            size = len(given[field]) // kind.digits if kind.digits else given[field]
            found.setdefault(nbits, set()).add(size)
    counts = {2**n for n in range(1, 9)} if operation == "lut.decode" else set(range(1, 9))
    assert set(found) == (counts if "nbits" in OPERATIONS[operation].inputs or counts > {16} else {0})
    for nbits, sizes in found.items():
        assert sizes >= {*range(1, 18), 63, 64, 65}, nbits


def test_clusterings_have_more_weights_than_entries() -> None:
    wanted = {case["input"]["nbits"] for _, case in cases() if "inertia" in case["expected"]}
    assert wanted == set(range(1, 9))


def test_kmeans_has_a_third_voice() -> None:
    """The oracle's least inertia lies between refquant's proven bound and what refquant's optimum costs."""
    for _, case in cases():
        if "inertia" not in case["expected"]:
            continue
        weights = floats_from_hex(case["input"]["weights"])
        found = kmeans.encode(weights, case["input"]["nbits"], exact=True)
        cost = oracle.kmeans.inertia(list(weights), list(found.codes), list(found.table))
        bound = Fraction(kmeans.certify(weights, found.table).bound)
        least = Fraction(case["expected"]["inertia"])
        assert bound <= least <= cost, case["id"]
        # Rounding an entry to binary32 moves it by half a unit, which costs no more than its square a weight.
        half_units = [Fraction(math.ldexp(max(abs(entry), 2.0**-126), -24)) for entry in found.table]
        rounding = sum((half_units[code] ** 2 for code in found.codes), Fraction(0))
        assert cost - bound <= rounding + least * Fraction(1, 10**12), case["id"]


class TestSelection:
    def test_by_family_id_and_level(self) -> None:
        everything, rules = vectors.select()
        assert len(everything) == sum(content["count"] for content in FAMILIES.values())
        assert "PACK-1" in rules
        some, _ = vectors.select(["pack*", "half"], level="required")
        assert {case["family"] for case in some} == {"packing", "half"}
        assert {case["level"] for case in some} == {"required"}
        (one,), _ = vectors.select(id_globs=[some[0]["id"]])
        assert one == some[0]

    def test_nothing(self) -> None:
        with pytest.raises(ArgumentError, match="no case is chosen"):
            vectors.select(["nothing"])

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(vectors, "FOLDERS", (tmp_path,))
        with pytest.raises(ArgumentError, match="not installed"):
            vectors.families()


def test_protocol_schema_takes_what_is_said() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator: Any = jsonschema.Draft202012Validator(
        json.loads((FOLDER / "schema" / "protocol.json").read_text())
    )
    from refquant.conformance import testee

    case = FAMILIES["packing"]["cases"][3]
    bad = next(case for case in FAMILIES["packing"]["cases"] if "error" in case["expected"])
    for line in (
        {"seq": 1, "command": "start", "protocol": 1},
        {"seq": 1, **testee.start()},
        {"seq": 2, "command": "run", "operation": case["operation"], "input": case["input"]},
        {"seq": 2, **testee.run(case["operation"], case["input"])},
        {"seq": 3, **testee.run(bad["operation"], bad["input"])},
        {"seq": 4, **testee.run("fly", {})},
        {"seq": 5, "command": "stop"},
    ):
        validator.validate(line)
    assert not validator.is_valid({"seq": 1, "result": {"bytes": "xyz"}})
    assert not validator.is_valid({"command": "stop"})


def test_examples_of_the_page_are_lines_of_the_protocol() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator: Any = jsonschema.Draft202012Validator(
        json.loads((FOLDER / "schema" / "protocol.json").read_text())
    )
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith('{"seq"')]
    assert len(lines) == 6
    for line in lines:
        validator.validate(json.loads(line))
