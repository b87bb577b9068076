"""Arms: rows and weights as in the paper, ends of w_p, and arms joined from spare parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.arm import Arm
from edaphos.engine.hybrid.couplings import (
    ForestOnly,
    Hybrid,
    Persistence,
    ProcessAsCovariate,
    ProcessFromForest,
    ProcessOnly,
    ProcessResidual,
    from_first,
    make_arm,
)
from edaphos.engine.hybrid.fair_start import carried, carried_unseen
from edaphos.engine.hybrid.learners import ForestLearner
from edaphos.engine.hybrid.rows import between, hybrid_rows, observed_rows
from edaphos.engine.hybrid.site_years import SiteYears

from .stand_ins import PowerProcess
from .worlds import site_years

FOREST = ForestLearner(trees=20, seed=4)


def test_rows_are_weighted_as_in_the_paper() -> None:
    data = site_years(30)
    rows = hybrid_rows(data, from_first(PowerProcess(), data), 0.3)
    assert len(rows) == 30 * 21
    np.testing.assert_allclose(rows.weight[~rows.simulated], 0.7)
    np.testing.assert_allclose(rows.weight[rows.simulated], 0.3 * 2 / 19)
    assert set(data.years[rows.year[rows.simulated]]) == set(range(1981, 2000))


def test_simulations_get_their_share_whatever_the_weights_of_sites() -> None:
    data = site_years(30, dates=(1985, 1992, 1998))
    stock = data.stock.copy()
    stock[:10, 12:] = np.nan  # ten sites sampled once only, simulated from there on
    data = replace(data, stock=stock, weight=np.random.default_rng(0).uniform(0.2, 3, 30))
    rows = hybrid_rows(data, from_first(PowerProcess(), data), 0.4)
    share = rows.weight[rows.simulated].sum() / rows.weight.sum()
    assert share == pytest.approx(0.4)
    of_site = rows.weight[rows.simulated] / data.weight[rows.site[rows.simulated]]
    np.testing.assert_allclose(of_site, of_site[0])
    once = between(data)[0]
    assert data.years[once].tolist() == list(range(1986, 1999))


def test_rows_without_values_are_dropped_and_counted() -> None:
    data = site_years(10)
    data.yearly[3, 0, 0] = np.nan  # an observation
    data.yearly[4, 7, 1] = np.nan  # a simulation
    simulated = from_first(PowerProcess(), data)
    simulated[5] = np.nan
    rows = hybrid_rows(data, simulated, 0.5)
    assert (rows.dropped_observed, rows.dropped_simulated) == (1, 1 + 19)
    assert len(rows) == 10 * 21 - 21
    assert np.isnan(ForestOnly(FOREST).fit(data).predict(data)[4, 7])


def test_no_weight_for_simulations_is_the_forest_alone_bit_for_bit() -> None:
    data = site_years(30)
    data = replace(data, weight=np.random.default_rng(1).uniform(0.5, 2, 30))
    alone = ForestOnly(FOREST).fit(data)
    hybrid = Hybrid(PowerProcess(), FOREST, w_p=0.0).fit(data)
    np.testing.assert_array_equal(hybrid.predict(data), alone.predict(data))
    assert not np.array_equal(
        Hybrid(PowerProcess(), FOREST, w_p=0.1).fit(data).predict(data), alone.predict(data)
    )


def test_all_weight_for_simulations_forgets_later_observations() -> None:
    data = site_years(30)
    later = replace(data, stock=data.stock + 100 * (data.years > 1990))
    assert np.isfinite(later.stock).any()
    first, second = (
        Hybrid(PowerProcess(), FOREST, w_p=1.0).fit(d).predict(data) for d in (data, later)
    )
    np.testing.assert_array_equal(first, second)


def test_an_arm_leaves_what_it_was_made_of_as_it_was() -> None:
    data = site_years(20)
    learner = ForestLearner(trees=5)
    arm = Hybrid(PowerProcess(), learner).fit(data)
    with pytest.raises(InputError, match="not fitted"):
        learner.arrays  # noqa: B018
    again = arm.fit(data.take(np.arange(10))).predict(data)
    fresh = Hybrid(PowerProcess(), learner).fit(data.take(np.arange(10))).predict(data)
    np.testing.assert_array_equal(again, fresh)


def test_the_process_alone_begins_from_each_sites_first_observation() -> None:
    data = site_years(6, dates=(1985, 2000))
    data.stock[0] = np.nan
    data.stock[1, 5] = np.nan
    paths = ProcessOnly(PowerProcess()).fit(data).predict(data)
    assert np.isnan(paths[0]).all()
    np.testing.assert_array_equal(np.isnan(paths[1]), data.years < 2000)
    np.testing.assert_array_equal(paths[2, 5], data.stock[2, 5])
    ratio = data.drivers.input_driver[20, 2] / data.drivers.input_driver[5, 2]
    assert paths[2, 20] == pytest.approx(data.stock[2, 5] * ratio**0.3)


def test_the_process_begins_from_the_forest_where_nothing_was_observed() -> None:
    data, places = site_years(40, dates=(1983, 2000)), site_years(9, seed=5).without_stock()
    arm = ProcessFromForest(PowerProcess(), FOREST).fit(data)
    stock = ForestOnly(FOREST).fit(data).predict(places)[:, 3]
    paths = arm.predict(places)
    assert np.isnan(paths[:, :3]).all()
    np.testing.assert_array_equal(paths[:, 3], stock)
    driver = places.drivers.input_driver.T
    np.testing.assert_allclose(paths[:, 20], stock * (driver[:, 20] / driver[:, 3]) ** 0.3)


def test_persistence_keeps_the_forests_stock_of_the_first_sampled_year() -> None:
    data = site_years(30, dates=(1985, 2000))
    stock = ForestOnly(FOREST).fit(data).predict(data)[:, 5]
    found = Persistence(FOREST).fit(data).predict(data)
    np.testing.assert_array_equal(found, np.repeat(stock[:, None], 21, axis=1))


def test_a_residual_is_added_to_the_process_and_a_covariate_is_its_stock() -> None:
    """With a learner of nothing but means, both can be told by hand."""
    data, places = site_years(40), site_years(10, seed=3).without_stock()
    mean = DummyRegressor()
    fair = ProcessFromForest(PowerProcess(), mean).fit(data)
    residual = ProcessResidual(PowerProcess(), mean).fit(data)
    added = residual.predict(places) - fair.predict(places)
    np.testing.assert_allclose(added, added[0, 0])
    left = data.stock - carried_unseen(fair, data, 5, 0)
    assert added[0, 0] == pytest.approx(np.nanmean(left))
    line = LinearRegression()
    covariate = ProcessAsCovariate(PowerProcess(), line).fit(data)
    fair = ProcessFromForest(PowerProcess(), line).fit(data)
    by_hand = LinearRegression().fit(
        np.column_stack([_rows(data), carried_unseen(fair, data, 5, 0)[data.sampled]]),
        data.stock[data.sampled],
    )
    rows = np.column_stack([_rows(places, all_years=True), fair.predict(places).reshape(-1)])
    np.testing.assert_allclose(
        covariate.predict(places).reshape(-1), by_hand.predict(rows), rtol=1e-4
    )


def test_before_the_start_couplings_take_the_process_at_its_start() -> None:
    data = site_years(40, dates=(1984, 2000))
    arm = ProcessFromForest(PowerProcess(), FOREST).fit(data)
    found = carried(arm, data)
    np.testing.assert_array_equal(found[:, :4], np.repeat(found[:, 4:5], 4, axis=1))
    for coupling in (ProcessAsCovariate, ProcessResidual):
        assert np.isfinite(coupling(PowerProcess(), FOREST).fit(data).predict(data)).all()


def _rows(data: SiteYears, *, all_years: bool = False) -> np.ndarray:
    return data.rows(*np.nonzero(np.isfinite(data.stock) | all_years))


def test_arms_are_made_by_name() -> None:
    names = {
        "ml": "ml", "persistence": "persistence", "forest_trend": "forest_trend", "po": "po",
        "po_fair": "po_fair", "poml": "poml", "guarded": "poml", "trusted": "trusted",
        "no_process": "trusted",
        "covariate": "covariate", "residual": "residual", "net": "net",
    }  # fmt: skip
    for name, known in names.items():
        arm = make_arm(name, PowerProcess(), FOREST)
        assert isinstance(arm, Arm)
        assert arm.name == known
    assert vars(make_arm("poml", PowerProcess(), FOREST, w_p=0.2))["w_p"] == 0.2
    assert vars(make_arm("guarded", PowerProcess(), FOREST))["rows"] == "guarded"
    with pytest.raises(InputError, match='did you mean "poml"'):
        make_arm("pom", PowerProcess(), FOREST)
    with pytest.raises(InputError, match='arm "ml"'):
        make_arm("ml", PowerProcess(), FOREST, w_p=0.2)
    with pytest.raises(InputError, match='"paper" or "guarded"'):
        make_arm("poml", PowerProcess(), FOREST, rows="both")
    with pytest.raises(InputError, match='"tuned"'):
        make_arm("poml", PowerProcess(), FOREST, w_p="best")


def test_a_forest_refuses_rows_of_other_covariates() -> None:
    data = site_years(20)
    arm = make_arm("guarded", PowerProcess(), FOREST).fit(data)
    with pytest.raises(InputError, match="7 covariates, these rows have 4"):
        arm.learned.predict(data.rows(np.arange(3), np.arange(3)))  # type: ignore[attr-defined]


def test_what_cannot_be_learned_from_is_refused() -> None:
    data = site_years(8)
    with pytest.raises(InputError, match=r"0\.\.1, found 1\.5"):
        Hybrid(PowerProcess(), FOREST, w_p=1.5).fit(data)
    with pytest.raises(InputError, match="no observation"):
        observed_rows(data.without_stock())
    with pytest.raises(InputError, match="no site was sampled"):
        ProcessFromForest(PowerProcess(), FOREST).fit(data.without_stock())
