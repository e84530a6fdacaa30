"""What tests of several modules of the codec look at."""

from __future__ import annotations

import pytest

from refquant.codec import clusters


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Prices at which clusters are bought, in order."""
    tried: list[int] = []
    buy = clusters.buy

    def noted(grid: clusters.Grid, price: int) -> clusters.Bought:
        tried.append(price)
        return buy(grid, price)

    monkeypatch.setattr(clusters, "buy", noted)
    return tried
