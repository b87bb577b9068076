"""Arms: rows and weights as in the paper, ends of w_p, and arms joined from spare parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.arm import Arm
from edaphos.engine.hybrid.couplings import (
    ForestOnly,
    Hybrid,
    ProcessFromForest,
    ProcessOnly,
    from_first,
    make_arm,
)
from edaphos.engine.hybrid.learners import ForestLearner
from edaphos.engine.hybrid.rows import between, hybrid_rows, observed_rows

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


def test_arms_are_made_by_name() -> None:
    for name, options in {"ml": {}, "po": {}, "po_fair": {}, "poml": {"w_p": 0.2}}.items():
        arm = make_arm(name, PowerProcess(), FOREST, **options)
        assert isinstance(arm, Arm)
        assert arm.name == name
    with pytest.raises(InputError, match='did you mean "poml"'):
        make_arm("pom", PowerProcess(), FOREST)
    with pytest.raises(InputError, match='arm "ml"'):
        make_arm("ml", PowerProcess(), FOREST, w_p=0.2)


def test_what_cannot_be_learned_from_is_refused() -> None:
    data = site_years(8)
    with pytest.raises(InputError, match=r"0\.\.1, found 1\.5"):
        Hybrid(PowerProcess(), FOREST, w_p=1.5).fit(data)
    with pytest.raises(InputError, match="no observation"):
        observed_rows(data.without_stock())
    with pytest.raises(InputError, match="no site was sampled"):
        ProcessFromForest(PowerProcess(), FOREST).fit(data.without_stock())
