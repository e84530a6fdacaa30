"""The list of ids: it only grows, and a released id keeps its question and its answer."""

from __future__ import annotations

import pytest

from conformance import ids

OLD = {"a-1": {"added": "0.1.0", "digest": "x"}, "a-2": {"added": "0.2.0", "digest": "y"}}


def updated(cases: dict[str, str], frozen: bool = False, **options: object) -> ids.Entries:
    return ids.updated(OLD, cases, "0.2.0", frozen, **options)  # type: ignore[arg-type] # of this file alone


def test_current() -> None:
    """Ids present are exactly those of the list, less the retired, with the same meaning."""
    entries = ids.read()
    kept = {name: entry["digest"] for name, entry in entries.items() if "retired" not in entry}
    assert kept == ids.present(), "run: python -m conformance.ids"
    assert ids.LIST.read_text(encoding="utf-8") == ids.written(entries)


def test_new_ones_are_added() -> None:
    found = updated({"a-1": "x", "a-2": "y", "a-3": "z"})
    assert found == {**OLD, "a-3": {"added": "0.2.0", "digest": "z"}}


def test_a_released_one_is_kept() -> None:
    with pytest.raises(ValueError, match="a-1 is gone, and not retired"):
        updated({"a-2": "y"})
    with pytest.raises(ValueError, match="a-1 means something else now"):
        updated({"a-1": "other", "a-2": "y"})


def test_what_is_not_released_may_change() -> None:
    assert updated({"a-1": "x", "a-2": "other"})["a-2"] == {"added": "0.2.0", "digest": "other"}
    assert updated({"a-1": "x"}) == {"a-1": OLD["a-1"]}
    with pytest.raises(ValueError, match="a-2 means something else now"):
        updated({"a-1": "x", "a-2": "other"}, frozen=True)


def test_a_retired_one_never_comes_back() -> None:
    found = updated({"a-2": "y"}, retire=("a-1",), reason="it was wrong")
    assert found["a-1"] == {**OLD["a-1"], "retired": "0.2.0", "reason": "it was wrong"}
    assert ids.updated(found, {"a-2": "y"}, "0.3.0", False) == found
    with pytest.raises(ValueError, match="a-1 is retired"):
        ids.updated(found, {"a-1": "x", "a-2": "y"}, "0.3.0", False)


def test_meaning() -> None:
    case = {"operation": "pack", "input": {}, "expected": {}, "compare": {}, "title": "old"}
    assert ids.meaning({**case, "title": "new"}) == ids.meaning(case)
    for field in ("operation", "input", "expected", "compare"):
        assert ids.meaning({**case, field: "other"}) != ids.meaning(case)
    assert ids.meaning({**case, "repeat": 2}) != ids.meaning(case)
