"""The year-within-source check, on samples in which years and sources are what we make them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from edaphos.engine.assess import yearly
from edaphos.engine.assess.yearly import check_years, static_residuals, yearly_check
from edaphos.engine.errors import InputError
from edaphos.engine.samples import Samples


def rows(
    seed: int = 0,
    n: int = 1500,
    apart: float = 0.0,
    within: float = 8.0,
    offset: float = 0.0,
    trend: float = 0.0,
    noise: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return year, source, residual, block: three sources, their mean years `apart` years apart."""
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 3, n)
    year = np.round(1990 + apart * (source - 1) + rng.uniform(-1, 1, n) * within * np.sqrt(3))
    residual = offset * source + trend * (year - 1990) / 10 + noise * rng.standard_normal(n)
    return year, source, residual, rng.integers(0, 50, n)


def test_years_within_sources_show_a_trend_that_is_there() -> None:
    found = check_years(*rows(trend=0.8), units="kg m-2")
    assert found.verdict == "yes"
    assert found.explained < 0.05
    assert found.within.low < 0.8 < found.within.high
    assert f"{found.within.value:.3g} kg m-2" in found.to_text()


def test_trends_are_those_of_regressions_with_and_without_a_constant_for_each_source() -> None:
    year, source, residual, block = rows(apart=6, offset=0.5, trend=0.3)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(year))
    found = check_years(year, source, residual, block, weight=weight)
    ones = np.ones_like(year)
    dummies = np.stack([year / 10, *(source == s for s in range(3))], axis=1).astype(float)
    root = np.sqrt(weight)
    inside = np.linalg.lstsq(dummies * root[:, None], residual * root, rcond=None)[0][0]
    plain = np.stack([year / 10, ones], axis=1)
    over = np.linalg.lstsq(plain * root[:, None], residual * root, rcond=None)[0][0]
    assert found.within.value == pytest.approx(inside, rel=1e-6)
    assert found.overall.value == pytest.approx(over, rel=1e-6)
    means = np.array([np.average(year[source == s], weights=weight[source == s]) for s in range(3)])
    between = np.average((means[source] - np.average(year, weights=weight)) ** 2, weights=weight)
    total = np.average((year - np.average(year, weights=weight)) ** 2, weights=weight)
    assert found.explained == pytest.approx(between / total)


def test_interval_of_independent_rows_is_that_of_a_regression() -> None:
    year, source, residual, _ = rows(n=3000)
    found = check_years(year, np.zeros_like(source), residual, np.arange(3000))
    told = scipy.stats.linregress(year / 10, residual)
    assert found.overall.value == pytest.approx(told.slope)
    width = found.overall.high - found.overall.low
    assert width == pytest.approx(2 * 1.96 * told.stderr, rel=0.1)


@pytest.mark.parametrize(
    ("world", "verdict", "words"),
    [
        ({"apart": 30, "within": 3}, "no", "lies between sources"),
        ({"apart": 0, "within": 0.6}, "no", "varies by"),
        ({"apart": 12, "within": 7}, "hardly", "lies between sources"),
        ({"apart": 4, "within": 8, "offset": 3}, "hardly", "not that within"),
        ({"n": 20, "within": 1.5}, "hardly", "could be missed"),
        ({"apart": 4, "within": 8}, "yes", "does not contradict"),
    ],
)
def test_verdicts(world: dict, verdict: str, words: str) -> None:
    found = check_years(*rows(**world))
    assert found.verdict == verdict
    assert words in found.reason
    assert words in found.to_text()


def test_one_year_or_one_place_cannot_tell() -> None:
    year, source, residual, block = rows()
    assert check_years(np.full_like(year, 1990), source, residual, block).verdict == "no"
    found = check_years(year, source, residual, np.zeros_like(block))
    assert found.verdict == "no"
    assert "blocks" in found.reason
    assert np.isnan(found.within.low)


def test_a_source_of_one_year_adds_nothing_within() -> None:
    year, source, residual, block = rows(trend=0.5)
    more = 400
    found = check_years(
        np.concatenate([year, np.full(more, 2015.0)]),
        np.concatenate([source, np.full(more, 7)]),
        np.concatenate([residual, np.full(more, 25.0)]),
        np.concatenate([block, np.arange(more) % 50]),
    )
    alone = check_years(year, source, residual, block)
    assert found.within.value == pytest.approx(alone.within.value)
    assert found.overall.value > 3 * alone.overall.value
    assert found.sources == 4
    assert found.verdict == "hardly"


def samples(confounded: bool, undated: int = 40, seed: int = 0) -> Samples:
    """Return stocks that depend on elevation and, by 0.6 in ten years, on the year."""
    rng = np.random.default_rng(seed)
    n = 600
    source = rng.choice(["old", "new"], n)
    year = np.where(
        source == "old", 1985 + rng.integers(0, 3, n), 2010 + rng.integers(0, 3, n)
    ).astype(float)
    if not confounded:
        year = rng.integers(1980, 2015, n).astype(float)
    elevation = rng.uniform(0, 10, n)
    y = 20 + elevation + 0.06 * (year - 1995) + 0.5 * rng.standard_normal(n)
    year[:undated] = np.nan
    table = pd.DataFrame(
        {
            "profile_id": np.arange(n).astype(str),
            "source": source,
            "lon": rng.uniform(0, 40, n),
            "lat": rng.uniform(0, 40, n),
            "year": year,
            "top_cm": 0.0,
            "bottom_cm": 30.0,
            "y": y,
            "weight": 1.0,
            "elevation": elevation.astype(np.float32),
        }
    )
    return Samples(table, ("elevation",), ("stock", "kg m-2"))


def test_samples_are_checked_by_what_a_static_model_leaves_over() -> None:
    found = yearly_check(samples(confounded=False), ("elevation",), trees=30)
    assert found.verdict == "yes"
    assert (found.rows, found.undated) == (560, 40)
    assert found.spread < 1.5  # 3 without the static model
    assert found.within.low > 0.2
    assert found.within.high < 1.0
    assert "40 rows without a date" in found.to_text()
    json.dumps(found.to_json())
    told = yearly_check(samples(confounded=True), ("elevation",), trees=30)
    assert told.verdict == "no"


def test_residuals_are_out_of_fold() -> None:
    made = samples(confounded=False, undated=0)
    noise = np.random.default_rng(3).standard_normal(len(made))
    made = Samples(made.table.assign(y=noise + 10), ("elevation",), made.target)
    left = static_residuals(made, ("elevation",), 5.0, trees=30)
    assert left.std() > noise.std()


def test_few_places_still_leave_residuals() -> None:
    made = samples(confounded=False, undated=0)
    near = made.table.assign(lon=10 + made.table["lon"] / 1000, lat=10 + made.table["lat"] / 1000)
    left = static_residuals(
        Samples(near, made.features, made.target), ("elevation",), 5.0, trees=20
    )
    assert left.std() < 1.5
    same = made.table.assign(lon=10.0, lat=10.0)
    left = static_residuals(
        Samples(same, made.features, made.target), ("elevation",), 5.0, trees=20
    )
    np.testing.assert_allclose(left, made.y - made.y.mean())


def test_many_rows_are_checked_by_a_share_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yearly, "MOST_ROWS", 300)
    found = yearly_check(samples(confounded=False), ("elevation",), trees=20)
    assert (found.rows, found.undated) == (300, 40)
    assert found.verdict == "yes"


def test_without_a_year_there_is_nothing_to_check() -> None:
    table = samples(confounded=False).table
    with pytest.raises(InputError, match="none of 600 rows has a year"):
        yearly_check(Samples(table.assign(year=np.nan), ("elevation",)), ("elevation",))
