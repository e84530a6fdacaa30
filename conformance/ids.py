"""The list of all ids there ever were: `python -m conformance.ids` (`conformance.generate` runs it too).

    python -m conformance.ids --check
    python -m conformance.ids --retire ID... --reason TEXT

`ids.json` has for each id the version that it came with and a digest of what is asked and expected; for one
that is gone, the version and the reason. It only grows: what was released keeps its id, its question and
its answer, or is retired. What came with the version that is not released yet may still change.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import refquant
from conformance.cases import HERE
from conformance.cases.family import digest
from refquant.conformance import vectors

#: The list: id -> {"added", "digest"}, and of one that is gone {"retired", "reason"} besides.
LIST = HERE / "ids.json"
CHANGES = HERE.parent / "CHANGELOG.md"

Entries = dict[str, dict[str, str]]


def meaning(case: dict[str, Any]) -> str:
    """Give the digest of all that decides whether an answer to a case is right."""
    fields = ("operation", "input", "expected", "compare", "repeat")
    return digest({field: case[field] for field in fields if field in case})[:16]


def present() -> dict[str, str]:
    """Read the cases that there are: id -> digest."""
    return {case["id"]: meaning(case) for family in vectors.families().values() for case in family["cases"]}


def read(path: Path = LIST) -> Entries:
    """Read the list."""
    found: Entries = json.loads(path.read_text(encoding="utf-8"))["ids"] if path.exists() else {}
    return found


def released(version: str) -> bool:
    """Tell whether a version has been given out."""
    return f"## {version} (not released)" not in CHANGES.read_text(encoding="utf-8")


def updated(
    old: Entries,
    cases: dict[str, str],
    version: str,
    frozen: bool,
    retire: tuple[str, ...] = (),
    reason: str = "",
) -> Entries:
    """Give the list as it has to be for the cases that there are.

    `frozen` says whether `version` has been released. Raises ValueError where a released id would get another
    meaning, vanish without having been retired, or come back.
    """
    made: Entries = {}
    for name, entry in old.items():
        free = entry["added"] == version and not frozen
        if "retired" in entry or name in retire:
            if name in cases:
                raise ValueError(f"{name} is retired, and there is a case of that id")
            made[name] = entry if "retired" in entry else {**entry, "retired": version, "reason": reason}
        elif cases.get(name) == entry["digest"]:
            made[name] = entry
        elif not free:
            what = "means something else now" if name in cases else "is gone, and not retired"
            raise ValueError(f"{name} {what}")
    for name, found in cases.items():
        made.setdefault(name, {"added": version, "digest": found})
    return dict(sorted(made.items()))


def written(entries: Entries) -> str:
    """Write the list, an id a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(entry, sort_keys=True)}" for name, entry in entries.items()]
    return '{"ids": {\n ' + ",\n ".join(lines) + "\n}}\n"


def main(arguments: list[str]) -> int:
    """Bring the list up to date, or check that it is."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.ids",
        description="Bring the list of all ids there ever were up to date, or retire some.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the list is stale")
    parser.add_argument("--retire", nargs="+", default=[], metavar="ID", help="ids that are given up")
    parser.add_argument("--reason", default="", help="why they are")
    options = parser.parse_args(arguments)
    if options.retire and not options.reason:
        parser.error("--retire needs a --reason")
    version = refquant.__version__
    try:
        entries = updated(
            read(), present(), version, released(version), tuple(options.retire), options.reason
        )
    except ValueError as error:
        raise SystemExit(f"ids.json: {error}") from None
    text = written(entries)
    if options.check:
        if LIST.read_text(encoding="utf-8") != text:
            raise SystemExit("stale: ids.json; run: python -m conformance.ids")
    else:
        LIST.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
