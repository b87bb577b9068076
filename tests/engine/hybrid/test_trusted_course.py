"""A trusted course: right drivers are followed, wrong ones are not, trends are observed ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.couplings import ForestOnly, Hybrid, anchored
from edaphos.engine.hybrid.learners import ForestLearner
from edaphos.engine.hybrid.site_years import Floats, SiteYears
from edaphos.engine.hybrid.trusted_course import DAMPING, ForestTrend, TrustedCourse

from .stand_ins import PowerProcess
from .worlds import site_years

FOREST = ForestLearner(trees=30)


def driven(
    sites: int, seed: int, dates: tuple[int, ...] = (1980, 2000)
) -> tuple[SiteYears, Floats]:
    """Return sites whose stocks follow a bent input to the power 0.6, and the truth."""
    data = site_years(sites, seed, dates)
    rng = np.random.default_rng([seed, 5])
    years = data.years - data.years[0]
    rise = rng.uniform(0, 0.6, sites)
    driver = np.exp(rise[:, None] * (1 - np.exp(-years / 5)))
    level = data.stock[:, data.first[0]] * rng.lognormal(0, 0.02, sites)
    truth = level[:, None] * driver**0.6
    noise = 0.1 * rng.standard_normal(truth.shape)
    yearly = data.yearly.copy()
    yearly[..., 1] = driver
    stock = np.where(np.isfinite(data.stock), truth + noise, np.nan)
    drivers = replace(data.drivers, input_driver=driver.T)
    return replace(data, drivers=drivers, stock=stock, yearly=yearly), truth


def test_a_right_driver_is_trusted_and_a_wrong_one_is_not() -> None:
    data, _ = driven(200, 1)
    right = TrustedCourse(PowerProcess(0.6), FOREST, local=False).fit(data)
    wrong = TrustedCourse(PowerProcess(-0.6), FOREST, local=False).fit(data)
    assert right.trust["input"] > 0.7
    assert wrong.trust["input"] < 0.05
    assert right.found is not None
    assert right.found.slope[1] == pytest.approx(1, abs=3 * right.found.error[1])


def test_the_shape_between_dates_comes_from_the_process_it_trusts() -> None:
    data, _ = driven(200, 1)
    places, truth = driven(150, 2)
    at = slice(1, 20)

    def error(process: PowerProcess | None) -> float:
        arm = TrustedCourse(process, FOREST, local=False).fit(data)
        course = arm.predict(places.without_stock())
        bend = course[:, at].mean(axis=1) - course[:, [0, 20]].mean(axis=1)
        true = truth[:, at].mean(axis=1) - truth[:, [0, 20]].mean(axis=1)
        return float(np.sqrt(((bend - true) ** 2).mean()))

    assert error(PowerProcess(0.6)) < 0.5 * error(None)
    assert error(PowerProcess(-0.6)) < 1.1 * error(None)


@pytest.mark.parametrize("power", [0.6, -0.6])
def test_the_mean_trend_is_the_observed_one_whatever_the_process_says(power: float) -> None:
    data, _ = driven(200, 1)
    places, _ = driven(200, 1)
    observed = np.nanmean(data.stock[:, 20] - data.stock[:, 0])
    for arm in (
        TrustedCourse(PowerProcess(power), FOREST),
        Hybrid(PowerProcess(power), FOREST, rows="guarded"),
    ):
        course = arm.fit(data).predict(places.without_stock())
        assert (course[:, 20] - course[:, 0]).mean() == pytest.approx(observed, abs=0.1)
    paper = Hybrid(PowerProcess(-0.6), FOREST, w_p=0.9).fit(data).predict(places)
    assert (paper[:, 19] - paper[:, 0]).mean() < 0.2 * observed


@pytest.mark.parametrize("power", [0.6, -0.6])
def test_a_guarded_hybrid_loses_nothing_by_a_right_process_and_little_by_a_wrong_one(
    power: float,
) -> None:
    data, _ = driven(150, 3)
    places, truth = driven(150, 4)

    def errors(arm: ForestOnly | Hybrid) -> tuple[float, float]:
        square = (arm.fit(data).predict(places.without_stock()) - truth) ** 2
        return float(square[:, [0, 20]].mean() ** 0.5), float(square[:, 1:20].mean() ** 0.5)

    alone = errors(ForestOnly(FOREST))
    guarded = errors(Hybrid(PowerProcess(power), FOREST, rows="guarded"))
    paper = errors(Hybrid(PowerProcess(power), FOREST))
    assert guarded[0] < 1.1 * alone[0]
    # this forest is given the right driver as a covariate, so what it says between is good
    if power > 0:
        assert guarded[1] < 1.02 * alone[1]  # trees differ between machines by their rounding
    else:
        assert guarded[1] < 1.4 * alone[1]
        assert paper[1] > 2 * alone[1]


def test_without_process_and_local_change_a_level_and_a_straight_line_remain() -> None:
    data = site_years(80)
    arm = ForestTrend(None, FOREST).fit(data)
    course = arm.predict(data)
    steps = np.diff(course, axis=1)
    np.testing.assert_allclose(steps, steps[0, 0], rtol=1e-6)
    change = data.stock[:, 20] - data.stock[:, 0]
    assert 20 * steps[0, 0] == pytest.approx(change.mean(), abs=0.02)
    assert arm.trust == {}
    with pytest.raises(InputError, match="no process"):
        ForestTrend(PowerProcess(), FOREST)


def test_trends_slow_down_beyond_the_sampled_years() -> None:
    data = site_years(60, dates=(1985, 1995))
    course = ForestTrend(None, FOREST).fit(data).predict(data)
    steps = np.diff(course[0])
    np.testing.assert_allclose(steps[5:15], steps[5], rtol=1e-9)
    np.testing.assert_allclose(steps[15:] / steps[14:-1], DAMPING, rtol=1e-9)
    np.testing.assert_allclose(steps[4::-1] / steps[5:0:-1], DAMPING, rtol=1e-9)


def test_any_regression_will_do_as_a_learner() -> None:
    data, _ = driven(120, 6)
    arm = TrustedCourse(PowerProcess(0.6), LinearRegression()).fit(data)
    assert np.isfinite(arm.predict(data)).all()
    assert set(arm.trust) == {"weather", "input", "local"}


def test_guarded_rows_meet_the_mean_of_what_was_observed_at_each_site() -> None:
    data, _ = driven(60, 7)
    data.stock[:10, 20] = np.nan
    data.stock[10] = np.nan
    course = TrustedCourse(PowerProcess(0.6), FOREST).fit(data)
    paths = anchored(course, data)
    assert np.isnan(paths[10]).all()
    off = np.where(data.sampled, data.stock - paths, 0).sum(axis=1)
    np.testing.assert_allclose(np.delete(off, 10), 0, atol=1e-9)
    shape = np.delete(paths - course.predict(data), 10, axis=0)
    np.testing.assert_allclose(shape, shape[:, :1] * np.ones(21))


@pytest.mark.parametrize("sites", [12, 120])
def test_one_date_of_few_sites_or_many_leaves_the_process_at_its_prior(sites: int) -> None:
    data, _ = driven(sites, 8)
    once = replace(data, stock=np.where(data.years == 1980, data.stock, np.nan))
    arm = TrustedCourse(PowerProcess(0.6), ForestLearner(trees=10)).fit(once)
    assert arm.trust["input"] == pytest.approx(0.5)
    assert arm.trust["local"] == 0
    assert np.isfinite(arm.predict(data)).all()


def test_places_without_covariates_have_no_stock_and_teach_nothing() -> None:
    data, _ = driven(60, 9)
    data.static[3, 0] = np.nan
    with_it = TrustedCourse(PowerProcess(0.6), FOREST).fit(data)
    stock = with_it.predict(data)
    assert np.isnan(stock[3]).all()
    assert np.isfinite(np.delete(stock, 3, axis=0)).all()
    data.static[:, 0] = np.nan
    assert np.isnan(with_it.predict(data)).all()
    with pytest.raises(InputError, match="nothing to learn from"):
        TrustedCourse(PowerProcess(0.6), FOREST).fit(data)
    with pytest.raises(InputError, match="not fitted"):
        TrustedCourse(PowerProcess(0.6), FOREST).predict(data)
