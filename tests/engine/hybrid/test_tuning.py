"""Tuning w_p: the largest weight within one standard error of the best, standard errors right."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.hybrid.couplings import Hybrid
from edaphos.engine.hybrid.learners import ForestLearner
from edaphos.engine.hybrid.site_years import Floats, SiteYears
from edaphos.engine.hybrid.tuning import GRID, choose, tune

from .stand_ins import PowerProcess
from .worlds import site_years


def test_ties_go_to_the_larger_weight_and_clear_losses_do_not() -> None:
    rng = np.random.default_rng(0)
    total, group = np.ones(400), np.arange(400) // 4
    shared = rng.chisquare(1, 400)
    noise = 0.1 * rng.standard_normal(400)
    near = shared + noise - noise.mean() + 0.001
    far = shared + 0.5
    found = choose((0.0, 0.3, 0.9), np.stack([shared, near, far]), total, group)
    assert found.chosen == 0.3
    assert found.beyond[1] == pytest.approx(0.001)
    assert found.beyond[2] == pytest.approx(0.5)
    # with equal weights the error of the mean over groups
    sums = (near - shared).reshape(100, 4).sum(axis=1)
    assert found.margin[1] == pytest.approx(sums.std(ddof=1) * 10 / 400)


def test_errors_are_weighted_and_read_at_observations_alone() -> None:
    data = site_years(40)
    data.stock[:5] = np.nan

    def prepare(train: SiteYears) -> object:
        def attempt(w_p: float, held: SiteYears) -> Floats:
            assert not held.sampled.any()
            return np.full(held.stock.shape, 10 * w_p)

        return attempt

    found = tune(data, prepare, grid=(0.3, 0.5))  # type: ignore[arg-type]
    stock = data.stock[data.sampled]
    np.testing.assert_allclose(found.error, [((stock - v) ** 2).mean() for v in (3, 5)])


def test_a_process_that_observations_contradict_gets_no_weight_unless_guarded() -> None:
    """Stocks rise by 16 %; a process that halves them must not be followed."""
    data, learner = site_years(60), ForestLearner(trees=20)
    paper = Hybrid(PowerProcess(-3.0), learner, w_p="tuned", folds=3).fit(data)
    assert paper.tuning is not None
    assert paper.tuning.grid == GRID
    assert paper.w_p_found == 0
    assert paper.tuning.beyond[-1] > 4 * paper.tuning.margin[-1]
    guarded = Hybrid(PowerProcess(-3.0), learner, w_p="tuned", folds=3, rows="guarded").fit(data)
    assert guarded.tuning is not None
    assert guarded.tuning.error[-1] < 0.2 * paper.tuning.error[-1]
    assert guarded.w_p_found is not None
    assert guarded.w_p_found > 0
    same = Hybrid(PowerProcess(-3.0), learner, w_p=guarded.w_p_found, rows="guarded", folds=3).fit(
        data
    )
    np.testing.assert_array_equal(guarded.predict(data), same.predict(data))
