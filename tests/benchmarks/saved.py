"""The file of results: what was measured, on which machine, by which versions."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.measuring import Result, Skip
from tests.benchmarks.rows import Duel, Measured


class Saved(NamedTuple):
    """Everything that a file of results says."""

    #: `processor`, `cores`, `memory` and `system`.
    machine: dict[str, str]
    #: Name of an interpreter -> its version, and those of its libraries.
    interpreters: dict[str, str]
    #: Name of a row -> what came of it.
    results: dict[str, Result]

    def add(self, name: str, result: Result, interpreters: dict[str, str]) -> None:
        """Put in the result of a row, instead of an older one.

        Raises ValueError where an interpreter is not what it was: the results would not belong together.
        """
        for interpreter, version in interpreters.items():
            if self.interpreters.setdefault(interpreter, version) != version:
                raise ValueError(f"{interpreter} was {self.interpreters[interpreter]} and is {version}")
        self.results[name] = result


def read(path: Path) -> Saved:
    """Read a file of results."""
    content = json.loads(path.read_text(encoding="utf-8"))
    results = {name: _result(result) for name, result in content["results"].items()}
    return Saved(content["machine"], content["interpreters"], results)


def write(saved: Saved, path: Path) -> None:
    """Write a file of results; whoever reads it again gets the same."""
    content = {**saved._asdict(), "results": {name: _shown(result) for name, result in saved.results.items()}}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def started(path: Path | None) -> Saved:
    """Go on with a file of results, or begin one. Raises ValueError where another machine has begun it."""
    machine = this_machine()
    if path is None or not path.exists():
        return Saved(machine, {}, {})
    saved = read(path)
    if saved.machine != machine:
        raise ValueError(f"{path} was measured on another machine: {saved.machine}, and this is {machine}")
    return saved


def this_machine() -> dict[str, str]:
    """Describe this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    """Name the processor as Linux does, or as Python can."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _result(content: dict[str, Any]) -> Result:
    duels = [
        Duel(**{**duel, "ours": Measured(**duel["ours"]), "other": Measured(**duel["other"])})
        for duel in content["duels"]
    ]
    return Result(content["day"], content["load"], duels, [Skip(**skip) for skip in content["skipped"]])


def _shown(result: Result) -> dict[str, Any]:
    duels = [
        {**duel._asdict(), "ours": duel.ours._asdict(), "other": duel.other._asdict()}
        for duel in result.duels
    ]
    return {**result._asdict(), "duels": duels, "skipped": [skip._asdict() for skip in result.skipped]}
