"""The results of this interpreter are those that are expected everywhere; `__main__` asks the others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from refquant.errors import RefquantWarning
from tests.determinism import __main__ as command
from tests.determinism.expected import OPEN, expected, quantizer
from tests.determinism.interpreters import CHECKOUT, Interpreter
from tests.determinism.results import CHAINS, digests, models, refquant_quantizer

HERE = Interpreter("here", [sys.executable], CHECKOUT)


@pytest.mark.filterwarnings(f"ignore::{RefquantWarning.__module__}.{RefquantWarning.__name__}")
class TestExpected:
    def test_here(self) -> None:
        assert digests(refquant_quantizer(jobs=1)) == expected()

    @pytest.mark.slow
    def test_from_the_oracle(self) -> None:
        """What is checked in is what another implementation computes; tables of k-means are open."""
        assert digests(quantizer) == expected()
        assert {chain[0]["mode"] for chain in CHAINS.values()} > set(OPEN)


class TestCommand:
    @pytest.mark.slow
    def test_another_locale_back_end_and_number_of_jobs(self, tmp_path: Path) -> None:
        run = command.Run("tr_TR.UTF-8", 2, command.PLAIN)
        answer = command.launch(HERE, run, command.locales(tmp_path / "locales"))
        assert answer["protobuf"].endswith(" python")
        assert answer["digests"] == expected()

    def test_a_difference(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """It is named, and the command fails."""
        answer: dict[str, Any] = {"python": "Fake 3", "digests": {**expected(), "small: half": "another"}}
        monkeypatch.setattr(command, "launch", lambda *_: {**answer})
        monkeypatch.setattr(command, "RUNS", command.RUNS[:1])
        assert command.main([sys.executable]) == 1
        assert "Fake 3, jobs 1: 1 of 73 differ: small: half" in capsys.readouterr().out
        answer["digests"] = expected()
        assert command.main([sys.executable]) == 0
        assert "73 the same" in capsys.readouterr().out
        del answer["digests"]["digits"]
        assert command.main([sys.executable]) == 1

    def test_what_is_not_here(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(command, "RUNS", command.RUNS[:1])
        assert command.main(["python2.1"]) == 1
        assert "python2.1: not here" in capsys.readouterr().out


def test_models_are_worth_several_jobs() -> None:
    """Work is spread in messages of 64 KiB or more."""
    assert len(models()["large"]) > 2 * 65536
