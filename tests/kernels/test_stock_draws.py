"""Intervals of stocks against closed forms: products of lognormals are lognormal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edaphos.kernels.stock_draws import Z95, Marginal, normal_points, stock_summary


def correlated(r: float) -> np.ndarray:
    return np.array([[1.0, r, 0], [r, 1.0, 0], [0, 0, 1.0]])


@settings(max_examples=12, deadline=None)
@given(st.floats(0.1, 0.8), st.floats(0.05, 0.3), st.floats(-0.9, 0.9))
def test_product_of_lognormals(s1, s2, r):
    content = Marginal("lognormal", np.array([3.0]), np.array([s1]))
    density = Marginal("lognormal", np.array([0.2]), np.array([s2]))
    mean, (low, middle, high) = stock_summary(
        content,
        density,
        Marginal.fraction(0.0, 0.0),
        20,
        points=normal_points(2**14, correlated(r)),
    )
    mu, sd = 3.2 + np.log(0.2), np.sqrt(s1**2 + s2**2 + 2 * r * s1 * s2)
    assert mean[0] == pytest.approx(np.exp(mu + sd**2 / 2), rel=3e-3)
    assert middle[0] == pytest.approx(np.exp(mu), rel=5e-3)
    assert low[0] == pytest.approx(np.exp(mu - Z95 * sd), rel=1e-2)
    assert high[0] == pytest.approx(np.exp(mu + Z95 * sd), rel=1e-2)


def test_quantiles_of_a_product_are_no_products_of_quantiles():
    content, density = Marginal.lognormal(5, 40), Marginal.lognormal(0.9, 1.6)
    none = Marginal.fraction(0.0, 0.0)
    _, (low, _, high) = stock_summary(content, density, none, 20)
    assert high[0] < 0.95 * 40 * 1.6 * 0.2
    assert low[0] > 1.05 * 5 * 0.9 * 0.2
    tied = normal_points(correlation=correlated(-0.7))
    _, (low_tied, _, high_tied) = stock_summary(content, density, none, 20, points=tied)
    assert high_tied - low_tied < 0.9 * (high - low)  # light soils are rich ones


def test_fragments_have_their_mean_and_spread():
    z = normal_points(4096)[:, 2]
    drawn = Marginal.fraction([0.1, 0.5, 0.0], [0.1, 0.2, 0.3]).quantile(z)
    assert drawn.mean(axis=1) == pytest.approx([0.1, 0.5, 0.0], abs=1e-3)
    assert drawn.std(axis=1) == pytest.approx([0.1, 0.2, 0.0], abs=2e-3)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    held = stats.beta(0.8, 7.2)  # of mean 0.1 and standard deviation 0.1
    assert np.quantile(drawn[0], 0.9) == pytest.approx(held.ppf(0.9), rel=5e-3)


def test_mean_of_independent_factors_is_the_product_of_means():
    mean, _ = stock_summary(
        Marginal.lognormal_of_mean([20.0, 50.0], 0.6),
        Marginal.normal([1.3, 0.9], 0.15),
        Marginal.fraction([0.2, 0.0], 0.1),
        [20.0, 30.0],
        points=normal_points(4096),
    )
    assert mean == pytest.approx([20 * 1.3 * 0.8 * 0.2, 50 * 0.9 * 0.3], rel=3e-3)


def test_a_cell_does_not_depend_on_others(monkeypatch):
    n = 50
    rng = np.random.default_rng(0)
    content = Marginal.lognormal_of_mean(rng.uniform(5, 50, n), 0.5)
    density, none = Marginal.normal(np.full(n, 1.3), 0.1), Marginal.fraction(0.1, 0.05)
    whole = stock_summary(content, density, none, 20)
    monkeypatch.setattr("edaphos.kernels.stock_draws._BLOCK", 7 * 1024)
    parts = stock_summary(content, density, none, 20)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_unknown_stays_unknown_and_nonsense_is_refused():
    mean, quantiles = stock_summary(
        Marginal.lognormal([np.nan, 5], [9, 9]),
        Marginal.normal(1.3, 0.1),
        Marginal.fraction(0, 0),
        5,
    )
    assert np.isnan(mean[0])
    assert np.isnan(quantiles[:, 0]).all()
    assert np.isfinite(mean[1])
    with pytest.raises(ValueError, match="within 0 to 1"):
        Marginal.fraction(1.2, 0.1)
    with pytest.raises(ValueError, match="positive definite"):
        normal_points(correlation=np.ones((3, 3)))
