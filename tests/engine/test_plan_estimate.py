"""Totals from samples: exact where all is measured, and intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.plan_estimate import fit_line, neediest, strata_of, total


def make_tiles(count: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Soil cells of tiles, and what each takes: a constant, a cost a cell, and noise."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(1, 10_000, count)
    return cells, 0.3 + 1e-4 * cells * np.exp(rng.normal(0, noise, count))


def draw(strata: np.ndarray, each: int, rng: np.random.Generator) -> np.ndarray:
    """`each` tiles of every stratum."""
    parts = [rng.permutation(np.flatnonzero(strata == s))[:each] for s in np.unique(strata)]
    return np.concatenate(parts)


def test_strata_are_quartiles_of_cells() -> None:
    strata = strata_of(np.arange(1, 101))
    assert np.bincount(strata).tolist() == [25, 25, 25, 25]
    assert (np.diff(strata) >= 0).all()


def test_equal_tiles_are_one_stratum() -> None:
    assert strata_of(np.full(9, 512)).tolist() == [0] * 9


def test_a_line_is_found_again_without_noise() -> None:
    cells, seconds = make_tiles(20, 0.0)
    line = fit_line(cells, seconds)
    assert (line.constant, line.slope) == pytest.approx((0.3, 1e-4))


def test_neither_constant_nor_slope_is_negative() -> None:
    cells = np.array([10, 20, 30])
    steep = fit_line(cells, np.array([0.1, 2.0, 4.0]))
    assert (steep.constant, steep.slope) == pytest.approx((0.0, 6.1 / 60))
    falling = fit_line(cells, np.array([3.0, 2.0, 1.0]))
    assert (falling.constant, falling.slope) == (2.0, 0.0)


def test_measuring_all_leaves_nothing_open() -> None:
    cells, seconds = make_tiles(30, 0.5)
    found = total(cells, strata_of(cells), np.arange(30), seconds)
    assert found.value == pytest.approx(seconds.sum())
    assert found.low == pytest.approx(found.high)


def test_the_interval_holds_the_truth_in_nine_of_ten_samples() -> None:
    cells, seconds = make_tiles(400, 0.4)
    strata, truth = strata_of(cells), seconds.sum()
    rng = np.random.default_rng(5)
    inside, values = [], []
    for _ in range(600):
        chosen = draw(strata, 5, rng)
        found = total(cells, strata, chosen, seconds[chosen])
        inside.append(found.low <= truth <= found.high)
        values.append(found.value)
    assert 0.84 < np.mean(inside) < 0.96
    assert np.mean(values) == pytest.approx(truth, rel=0.02)


def test_drift_widens_by_itself() -> None:
    cells, seconds = make_tiles(30, 0.0)
    found = total(cells, strata_of(cells), np.arange(30), seconds, drift=0.1)
    assert found.high == pytest.approx(seconds.sum() * (1 + 1.645 * 0.1), rel=1e-3)


def test_the_next_tile_is_of_the_stratum_that_leaves_most_open() -> None:
    cells = np.concatenate([np.full(50, 100), np.full(50, 200)])
    strata = strata_of(cells)
    chosen = np.array([0, 1, 50, 51])
    assert neediest(cells, strata, chosen, np.array([1.0, 1.0, 1.0, 5.0])) == 1
    assert neediest(cells, strata, chosen, np.array([1.0, 5.0, 3.0, 3.0])) == 0
    assert neediest(cells, strata, np.arange(100), np.ones(100)) == -1
