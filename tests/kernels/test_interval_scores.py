"""Scores of intervals and distributions against closed forms and numerical integration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import mean_pinball_loss

from edaphos.kernels.interval_scores import (
    crps_of_quantiles,
    crps_of_weights,
    interval_score,
    interval_terms,
    intervals_from_sums,
    pinball_loss,
)
from edaphos.kernels.metrics import metrics

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.9])
def test_pinball_loss_is_scikit_learns(level):
    y, q = RNG.normal(size=50), RNG.normal(size=50)
    assert pinball_loss(y, q, level).mean() == pytest.approx(mean_pinball_loss(y, q, alpha=level))


def test_an_intervals_score_is_the_loss_of_its_bounds():
    y = RNG.lognormal(2, 1, 80)
    low, high = y * RNG.uniform(0.5, 1.2, 80), y * RNG.uniform(1.1, 2, 80)
    for level in (0.5, 0.9):
        alpha = 1 - level
        bounds = pinball_loss(y, low, alpha / 2) + pinball_loss(y, high, 1 - alpha / 2)
        np.testing.assert_allclose(interval_score(y, low, high, level), 2 / alpha * bounds)


def test_sums_give_the_measures_of_weighted_rows():
    y = RNG.normal(size=60)
    low, high, times = y - RNG.normal(0.5, 1, 60), y + 1.0, RNG.integers(0, 3, 60)
    high = np.maximum(low, high)
    gaps = low.copy()
    gaps[times == 2] = np.nan
    found = intervals_from_sums(interval_terms(y, gaps, high, 0.8, times).sum(axis=0))
    once = times == 1
    plain = metrics(y[once], y[once], low[once], high[once], coverage=0.8)
    for name in ("PICP", "MPIW", "IS"):
        assert found[name] == pytest.approx(plain[name])
    assert found["below"] == pytest.approx(np.mean(y[once] < low[once]))
    assert found["PICP"] + found["below"] + found["above"] == pytest.approx(1)
    assert np.isnan(intervals_from_sums(np.zeros(6))["PICP"])


def test_crps_of_a_normal_distribution_is_its_closed_form():
    # Gneiting & Raftery 2007, eq. 5: sd (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))
    y = np.array([-3.0, -0.4, 0.0, 1.7])
    closed = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi)
    levels = (np.arange(4000) + 0.5) / 4000
    quantiles = np.tile(stats.norm.ppf(levels), (4, 1))
    np.testing.assert_allclose(crps_of_quantiles(y, quantiles, levels), closed, rtol=2e-4)


@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=7),
    st.integers(-12, 12),
    st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_crps_of_few_quantiles_is_exact_for_what_they_tell(values, observed, seed):
    """By integrating (F - 1{y <= x})² of the distribution that is joined up from them."""
    q = np.sort(np.array(values, float))
    tau = np.sort(np.random.default_rng(seed).uniform(0.01, 0.99, len(q)))
    if len(np.unique(tau)) < len(tau):
        return
    y = float(observed)

    def cdf(x: float) -> float:
        if x < q[0]:
            return 0.0
        if x >= q[-1]:
            return 1.0
        k = int(np.searchsorted(q, x, side="right")) - 1
        return float(tau[k] + (x - q[k]) / (q[k + 1] - q[k]) * (tau[k + 1] - tau[k]))

    edges = np.unique([*q, y])
    expected = sum(
        integrate.quad(lambda x: (cdf(x) - (y <= x)) ** 2, a, b)[0]
        for a, b in itertools.pairwise(edges)
    )
    found = crps_of_quantiles(np.array([y]), q[None], tau)[0]
    assert found == pytest.approx(expected, abs=1e-8)


def test_crps_of_point_masses_is_that_of_all_pairs():
    values, weight = RNG.lognormal(1, 1, 40).round(1), RNG.integers(0, 4, 40).astype(float)
    share = weight / weight.sum()
    for y in (0.1, 2.0, 50.0):
        pairs = share @ np.abs(values[:, None] - values) @ share
        assert crps_of_weights(y, values, weight) == pytest.approx(
            share @ np.abs(values - y) - pairs / 2
        )
    assert crps_of_weights(3.0, [5.0], [2.0]) == 2.0
    fine = (np.arange(2000) + 0.5) / 2000
    quantiles = np.quantile(np.repeat(values, weight.astype(int)), fine, method="inverted_cdf")
    near = crps_of_quantiles(np.array([2.0]), quantiles[None], fine)[0]
    assert near == pytest.approx(crps_of_weights(2.0, values, weight), rel=1e-3)


def test_what_cannot_be_scored_is_refused_or_missing():
    assert np.isnan(crps_of_quantiles(np.array([1.0]), np.array([[0.0, np.nan]]), [0.1, 0.9]))[0]
    with pytest.raises(ValueError, match="must be"):
        crps_of_quantiles(np.ones(2), np.ones((2, 3)), [0.1, 0.9])
    with pytest.raises(ValueError, match="ascend"):
        crps_of_quantiles(np.ones(2), np.ones((2, 2)), [0.9, 0.1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval_score(1.0, 0.0, 2.0, 1.0)
