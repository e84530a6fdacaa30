"""What is known of mutants: results of earlier runs, kept in a file, and the survivors that are accepted."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.mutants.mutants import ROOT, Mutant

#: Where results are kept, so that a run can go on where another stopped.
FOLDER = ROOT.parent / ".mutants"

#: The survivors that are accepted: a list of reasons, each with ids of mutants.
ACCEPTED = Path(__file__).with_name("accepted.json")


class Result(NamedTuple):
    """What came of one mutant."""

    id: str
    #: `killed`, `timed out`, which is as good, or `survived`.
    outcome: str
    #: Id of the test that noticed it.
    test: str | None
    #: Hash of the module and of the tests that this rests on.
    key: str


class Ledger:
    """Results by mutant; those of another module or other tests do not count."""

    def __init__(self, path: Path = FOLDER / "results.jsonl") -> None:
        self.path = path
        self.results: dict[str, Result] = {}
        if path.exists():
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    result = Result(**json.loads(line))
                    self.results[result.id] = result

    def add(self, mutant: Mutant, outcome: str, test: str | None) -> Result:
        """Write a result down."""
        result = Result(mutant.id, outcome, test, key(mutant, outcome, test))
        self.results[mutant.id] = result
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result._asdict()) + "\n")
        return result

    def known(self, mutant: Mutant) -> Result | None:
        """Give a mutant's result, if it still counts."""
        result = self.results.get(mutant.id)
        if result and result.key == key(mutant, result.outcome, result.test):
            return result
        return None


def key(mutant: Mutant, outcome: str, test: str | None) -> str:
    """Hash what a result rests on: the module and the test that failed or, where none did, all tests."""
    tests = hash_of(test) if test else hash_of_all("tests")
    return f"{hash_of(f'refquant/{mutant.file}')} {tests}"


@cache
def hash_of(file: str) -> str:
    """Hash a file of the project, or the one that a test is in."""
    return hashlib.sha256((ROOT.parent / file.split("::")[0]).read_bytes()).hexdigest()[:16]


@cache
def hash_of_all(*folders: str) -> str:
    """Hash the modules in some folders of the project, but for those that are here."""
    paths = sorted(path for folder in folders for path in (ROOT.parent / folder).rglob("*.py"))
    hashes = [hash_of(str(path.relative_to(ROOT.parent))) for path in paths if path.parent != ACCEPTED.parent]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def accepted() -> dict[str, str]:
    """Give the accepted survivors with the reason of each."""
    groups = json.loads(ACCEPTED.read_text(encoding="utf-8"))
    return {mutant: group["reason"] for group in groups for mutant in group["mutants"]}
