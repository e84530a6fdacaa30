"""The vectors: the cases of the kit, as they are shipped."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refquant.conformance.vector_checks import LEVELS, fault
from refquant.errors import ArgumentError

if TYPE_CHECKING:
    from importlib.abc import Traversable

#: Where vectors are in an installed package, which may be an archive, and in a checkout.
FOLDERS: tuple[Traversable, ...] = (
    files("refquant.conformance") / "data",
    Path(__file__).parents[2] / "conformance",
)

Case = dict[str, Any]


def folder() -> Traversable:
    """Find the folder of the kit's data. Raises ArgumentError where the package was installed without."""
    for place in FOLDERS:
        if (place / "vectors").is_dir():
            return place
    raise ArgumentError("the conformance vectors are not installed")


def families() -> dict[str, dict[str, Any]]:
    """Read every file of vectors: family -> its content."""
    texts = {path.name: path for path in (folder() / "vectors").iterdir() if path.name.endswith(".json")}
    return {
        name[: -len(".json")]: json.loads(texts[name].read_text(encoding="utf-8")) for name in sorted(texts)
    }


def read(path: str) -> dict[str, dict[str, Any]]:
    """Read one more file of vectors, such as fuzzing saves: family -> its content.

    Raises ArgumentError where it is not one, which says what is wrong, and in which case or line.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{path} is no file of vectors: {error}") from error
    wrong = fault(content)
    if wrong:
        raise ArgumentError(f"{path} is no file of vectors: {wrong}")
    return {content["family"]: content}


def select(
    family_globs: Iterable[str] = ("*",),
    id_globs: Iterable[str] = ("*",),
    level: str = "optional",
    given: dict[str, dict[str, Any]] | None = None,
    flag_globs: Iterable[str] = ("*",),
) -> tuple[list[Case], dict[str, str]]:
    """Choose cases by family, id and flag, and up to a level; with them, the sentences of all rules.

    The families are those of the kit where no others are given. Raises ArgumentError where nothing is
    chosen, so that a typing error is not taken for a success.
    """
    wanted_levels = LEVELS[: LEVELS.index(level) + 1]
    ids, flags = list(id_globs), list(flag_globs)
    cases, rules = [], {}
    known = families() if given is None else given
    for name, content in known.items():
        rules.update(content["rules"])
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in family_globs):
            cases += [
                {**case, "family": name}
                for case in content["cases"]
                if case["level"] in wanted_levels
                and any(fnmatch.fnmatchcase(case["id"], pattern) for pattern in ids)
                and any(fnmatch.fnmatchcase(flag, pattern) for flag in case["flags"] for pattern in flags)
            ]
    if not cases:
        raise ArgumentError(f"no case is chosen; the families are {', '.join(known)}")
    return cases, rules
