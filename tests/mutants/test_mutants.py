"""The faults, and how they get into a process; `python -m tests.mutants` sees that tests notice them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refquant.codec import packing
from refquant.model.walk import OwnedNetwork
from refquant.schema.coreml import Model, NeuralNetwork
from tests.mutants import mutants as listing
from tests.mutants import suite
from tests.mutants.ledger import Ledger, accepted
from tests.mutants.mutants import Mutant, compiled, files, mutants
from tests.mutants.run import Measured

#: Source of a function's body -> what can be wrong with it.
FAULTS = {
    "x = a < b": ["a < b -> a <= b", "a < b -> a >= b"],
    "x = a is not b": ["a is not b -> a is b"],
    "x = a in b": ["a in b -> a not in b"],
    "x = a << b": ["a << b -> a >> b"],
    "x = not a": ["not a -> a"],
    "x = a or b": ["a or b -> a and b"],
    "x = 3": ["3 -> 4", "3 -> 2"],
    "x = 1e16": [],
    "x = a + 1": ["a + 1 -> a - 1", "a + 1 -> a + 2", "a + 1 -> a + 0"],
    "x = f(True)": ["f(True) -> f(False)"],
    "x = 'form'": ["'form' -> 'formX'"],
    "x = b'\\0'": ["b'\\x00' -> b'\\x01'"],
    "x = f(a, b)": ["f(a, b) -> f(b, a)"],
    "x = f(a, a)": [],
    "x = f(a=b)": ["f(a=b) -> f()"],
    "x = min(a)": ["min(a) -> max(a)"],
    "x = a[b:c]": ["b:c -> :c", "b:c -> b:"],
    "x = [y for y in a if y]": ["for y in a if y -> for y in a"],
    "x += a": ["x += a -> x -= a", "x += a -> pass"],
    "x = f(x)": ["x = f(x) -> pass"],
    "x.y = a": ["x.y = a -> pass"],
    "f(a)": ["f(a) -> pass"],
    "return a": ["return a -> return None"],
    "return None": [],
    "raise AnError('too bad', rule=a)": [
        "raise AnError('too bad', rule=a) -> pass",
        "AnError('too bad', rule=a) -> AnError('too bad')",
    ],
    "x = f'{a} is bad'": [],
    "if a: f()": ["a -> not a", "f() -> pass"],
    "while True: break": ["True -> not True", "True -> False", "break -> pass"],
    "'Say something.'": [],
}


class Scratch:
    """A module whose source is written anew each time."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "some.py"

    def mutants(self, source: str) -> list[Mutant]:
        self.file.write_text(source, encoding="utf-8")
        return mutants(self.file.name)

    def ids(self, source: str) -> list[str]:
        return [mutant.id for mutant in self.mutants(source)]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    monkeypatch.setattr(listing, "ROOT", tmp_path)
    return Scratch(tmp_path)


class TestFaults:
    @pytest.mark.parametrize("source", FAULTS)
    def test_of_a_statement(self, scratch: Scratch, source: str) -> None:
        ids = scratch.ids(f"def some():\n    {source}\n")
        assert sorted(each.split(": ", 2)[2] for each in ids) == sorted(FAULTS[source])

    def test_types_are_left_alone(self, scratch: Scratch) -> None:
        variables = "T = TypeVar('T', 'x')\nL = Literal['x']\n"
        assert scratch.ids(f"def some(a: 'x' | 1) -> 'y': ...\n{variables}") == []

    def test_each_is_another_program(self, scratch: Scratch) -> None:
        found = scratch.mutants("def some(a=1):\n    return [b + 1 for b in range(a) if b]\n")
        programs = {compiled(mutant).co_consts for mutant in found}
        assert len(programs) == len(found) == 7


class TestIds:
    """Ids stay as they are, whatever is done elsewhere, and so does the list of accepted survivors."""

    def test_no_two_are_alike(self) -> None:
        ids = [mutant.id for file in files() for mutant in mutants(file)]
        assert len(set(ids)) == len(ids) > 3000

    def test_edits_elsewhere_change_none(self, scratch: Scratch) -> None:
        function = "def some(a):\n    return a + 1, a + 1\n"
        before = scratch.ids(function)
        after = scratch.ids(f"LIMIT = 1\n\ndef other(a):\n    return a + 1\n\n{function}")
        assert before == [each for each in after if " some: " in each]
        assert before[-1] == "some.py some: constant: a + 1 -> a + 0 #2"

    def test_what_is_accepted_exists_and_says_why(self) -> None:
        reasons = accepted()
        ids = {mutant.id for file in {each.split()[0] for each in reasons} for mutant in mutants(file)}
        assert reasons.keys() <= ids
        assert all(len(reason) > 20 for reason in reasons.values())


def mutant_of(file: str, end: str) -> Mutant:
    """Give the one mutant whose id ends so."""
    (found,) = (mutant for mutant in mutants(file) if mutant.id.endswith(end))
    return found


class TestProcesses:
    def test_a_function_takes_other_code(self, tmp_path: Path) -> None:
        """Names that were imported before mean the function with the fault, too."""
        mutant = mutant_of("codec/packing.py", "count * nbits + 7 -> count * nbits + 8")
        packed_size = packing.packed_size

        def task() -> int:
            suite.swap(mutant)
            return packed_size(8, 1)

        assert ended(suite.fork(task, tmp_path / "child")) == 2
        assert packed_size(8, 1) == 1

    def test_a_cached_property_does(self, tmp_path: Path) -> None:
        mutant = mutant_of(
            "model/walk.py", "-> all((feature.type.HasField('multiArrayType') for feature in self.model..."
        )
        assert not OwnedNetwork(Model(), NeuralNetwork()).takes_arrays

        def task() -> int:
            suite.swap(mutant)
            return OwnedNetwork(Model(), NeuralNetwork()).takes_arrays

        assert ended(suite.fork(task, tmp_path / "child")) == 1

    def test_nothing_cached_is_left(self, tmp_path: Path) -> None:
        assert packing._mask(1, 16, 8) == 0x00FF_00FF_00FF_00FF
        mutant = mutant_of("codec/packing.py", "(1 << filled) - 1 -> (1 << filled) - 2")

        def task() -> int:
            suite.swap(mutant)
            return packing._mask(1, 16, 8) & 0xFF

        assert ended(suite.fork(task, tmp_path / "child")) == 0xFE

    def test_time_is_limited(self, tmp_path: Path) -> None:
        def task() -> None:
            suite.guard(0.05)
            while True:
                pass

        assert ended(suite.fork(task, tmp_path / "child")) == suite.TIMED_OUT

    def test_memory_is_limited(self, tmp_path: Path) -> None:
        def task() -> None:
            suite.guard(5)
            bytearray(suite.MEMORY)

        assert ended(suite.fork(task, tmp_path / "child")) not in (suite.SURVIVED, suite.TIMED_OUT)
        assert "MemoryError" in (tmp_path / "child" / "broken").read_text(encoding="utf-8")


class TestMeasured:
    @pytest.mark.parametrize(("at_import", "expected"), [([1, 2, 4], True), ([1], False)])
    def test_a_function_that_another_makes_at_import(
        self, scratch: Scratch, at_import: list[int], expected: bool
    ) -> None:
        """To give the outer one other code is too late: the inner one is there already."""
        found = scratch.mutants("def outer():\n    def inner():\n        return 1\n    return inner\n")
        inner = [mutant for mutant in found if "outer.inner" in mutant.id]
        measured = Measured({}, {"some.py": {str(line): [""] for line in at_import}})
        assert {measured.at_import(mutant) for mutant in inner} == {expected}


class TestLedger:
    def test_a_result_counts_while_its_ground_is_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, mutant = tmp_path / "results.jsonl", mutants("codec/packing.py")[0]
        Ledger(path).add(mutant, "killed", "tests/codec/test_packing.py::test_some")
        known = Ledger(path).known(mutant)
        assert known is not None
        assert known.outcome == "killed"
        monkeypatch.setattr("tests.mutants.ledger.hash_of", lambda file: "another")
        assert Ledger(path).known(mutant) is None


def ended(child: int) -> int:
    """Wait for a child's exit code."""
    return os.WEXITSTATUS(os.waitpid(child, 0)[1])
