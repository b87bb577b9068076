from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edaphos.kernels.conformal import (
    block_weights,
    conformal_margin,
    margins,
    outside_by,
    weighted_quantile,
    widen,
)

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [9, 19, 20, 57, 199])
def test_the_margin_is_the_order_statistic_of_the_paper(n, level):
    y = RNG.normal(size=n)
    low, high = -0.3 + 0 * y, 0.8 + 0 * y
    rank = int(np.ceil(round((n + 1) * level, 9)))
    scores = np.sort(np.maximum(low - y, y - high))
    expected = scores[rank - 1] if rank <= n else np.inf
    assert conformal_margin(y, low, high, level) == expected


@pytest.mark.parametrize("level", [0.8, 0.9])
@pytest.mark.parametrize("n", [19, 50])
def test_coverage_of_exchangeable_rows_is_the_beta_distribution_of_theory(n, level):
    # Of n rows, coverage of further rows given the margin is Beta(k, n + 1 - k) distributed with
    # k = ceil((n + 1) level) (Vovk 2012): here the probability between the bounds is known.
    rng, draws = np.random.default_rng([n, round(100 * level)]), 4000
    covered = np.empty(draws)
    for i in range(draws):
        y = rng.exponential(size=n)
        m = conformal_margin(y, np.full(n, 0.2), np.full(n, 1.0), level)
        covered[i] = stats.expon.cdf(1.0 + m) - stats.expon.cdf(max(0.2 - m, 0.0))
    k = int(np.ceil(round((n + 1) * level, 9)))
    theory = stats.beta(k, n + 1 - k)
    assert covered.mean() == pytest.approx(theory.mean(), abs=4 * theory.std() / np.sqrt(draws))
    assert covered.std() == pytest.approx(theory.std(), rel=0.06)
    assert stats.kstest(covered, theory.cdf).pvalue > 1e-4


def test_too_few_rows_have_no_finite_margin():
    y = RNG.normal(size=9)
    assert conformal_margin(y, y * 0, y * 0) == np.abs(y).max()
    assert conformal_margin(y[:8], np.zeros(8), np.zeros(8)) == np.inf
    assert conformal_margin([], [], []) == np.inf


@given(st.lists(st.integers(0, 4), min_size=12, max_size=40), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_whole_weights_are_repeated_rows(times, seed):
    y = np.random.default_rng(seed).normal(size=len(times))
    low, high = np.full_like(y, -0.5), np.full_like(y, 0.5)
    repeated = np.repeat(np.arange(len(y)), times)
    assert conformal_margin(y, low, high, 0.8, np.array(times, float)) == conformal_margin(
        y[repeated], low[repeated], high[repeated], 0.8
    )


def test_rows_that_are_not_known_are_left_out():
    y = RNG.normal(size=60)
    low, high = y * 0 - 0.1, y * 0 + 0.1
    gaps, bound = y.copy(), low.copy()
    gaps[:5], bound[5:9] = np.nan, np.nan
    assert conformal_margin(gaps, bound, high) == conformal_margin(y[9:], low[9:], high[9:])


def test_a_margin_covers_what_it_was_learned_on():
    y = RNG.lognormal(2, 1, 300)
    low, high = y * RNG.uniform(0.7, 1.3, 300), y * RNG.uniform(0.9, 1.6, 300)
    scales = [(None, 0.0), (0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.3), (1.0, 1.0)]
    for offset, power in scales:
        m = conformal_margin(y, low, high, 0.9, offset=offset, power=power)
        below, above = widen(low, high, m, offset, power)
        inside = np.mean((below <= y * (1 + 1e-12)) & (y <= above * (1 + 1e-12)))
        assert 0.9 <= inside <= 0.9 + 2 / 300


def test_blocks_of_any_size_weigh_alike():
    # A large block whose intervals fail and forty small ones whose intervals hold.
    blocks = np.r_[np.zeros(400, int), np.repeat(np.arange(1, 41), 5)]
    y = np.where(blocks == 0, 9.0, RNG.uniform(-1, 1, 600))
    low, high, group = np.full(600, -1.0), np.full(600, 1.0), np.zeros(600, int)
    by_row, _ = margins(y, low, high, group, 1)
    by_block, _ = margins(y, low, high, group, 1, blocks=blocks)
    assert by_row[0] == 8.0
    assert by_block[0] <= 0
    assert block_weights(blocks).sum() == pytest.approx(41)
    assert block_weights(blocks)[:400].sum() == pytest.approx(1)


def test_blocks_are_covered_where_rows_depend_on_each_other():
    # Blocks of very different sizes with an error of their own, correlated with the size: a row of
    # a new block is held with blocks as units; with rows as units it is not.
    rng = np.random.default_rng(8)
    inside = {True: [], False: []}
    for _ in range(300):
        size = rng.integers(1, 40, 60)
        spread = np.where(size > 20, 0.3, 1.5)
        shift = rng.normal(0, spread)
        block = np.repeat(np.arange(60), size)
        y = shift[block] + rng.normal(0, 0.1, len(block))
        new = rng.normal(0, np.where(rng.integers(1, 40, 200) > 20, 0.3, 1.5))
        new += rng.normal(0, 0.1, 200)
        zero = np.zeros(len(y))
        for grouped in (True, False):
            m, _ = margins(
                y, zero, zero, np.zeros(len(y), int), 1, blocks=block if grouped else None
            )
            inside[grouped].append(np.mean(np.abs(new) <= m[0]))
    assert np.mean(inside[True]) == pytest.approx(0.9, abs=0.02)
    assert np.mean(inside[False]) < 0.85


def test_small_groups_take_the_margin_of_all():
    y = RNG.normal(size=300)
    group = np.r_[np.zeros(150, int), np.ones(140, int), np.full(5, 2), np.full(5, -1)]
    y[group == 1] *= 3
    low, high = y * 0 - 0.5, y * 0 + 0.5
    found, pooled = margins(y, low, high, group, 4)
    assert found[0] == conformal_margin(y[:150], low[:150], high[:150])
    assert found[1] > 2 * found[0]
    assert found[2] == found[3] == pooled == conformal_margin(y, low, high)
    # 150 rows tell 99 %, 140 too, and 30 or more may be too few for it
    found, pooled = margins(y, low, high, np.where(np.arange(300) < 250, 0, 1), 2, level=0.99)
    assert np.isinf(conformal_margin(y[250:], low[250:], high[250:], 0.99))
    assert found[1] == pooled == conformal_margin(y, low, high, 0.99)


def test_a_factor_keeps_bounds_positive_and_does_not_depend_on_units():
    y = RNG.lognormal(2, 1.2, 400)
    low, high = np.full(400, 6.0), np.full(400, 9.0)
    m = conformal_margin(y, low, high, offset=0.0)
    below, above = widen(low, high, m, 0.0)
    assert below == pytest.approx(low * np.exp(-m))
    assert above == pytest.approx(high * np.exp(m))
    assert conformal_margin(y * 1e3, low * 1e3, high * 1e3, offset=0.0) == pytest.approx(m)
    assert (widen(low, high, conformal_margin(y, low, high))[0] < 0).any()
    assert (widen([0.0, 2.0], [1.0, 3.0], 5.0, 1.0)[0] == 0).all()


def test_a_margin_of_nothing_moves_nothing():
    # Quantiles of a forest are observed values: rows lie on the bound itself.
    low, high = RNG.lognormal(1, 2, 500), RNG.lognormal(4, 2, 500)
    for offset in (None, 0.0, 1.0):
        below, above = widen(low, high, 0.0, offset)
        np.testing.assert_array_equal(below[low <= high], low[low <= high])
        np.testing.assert_array_equal(above[low <= high], high[low <= high])


def test_bounds_do_not_cross():
    below, above = widen([1.0, 0.0], [2.0, 10.0], -2.0)
    assert below.tolist() == [1.5, 2.0]
    assert above.tolist() == [1.5, 8.0]
    below, above = widen([1.0], [3.0], -5.0, 1.0)
    assert below == above
    assert 1 < below[0] < 3


@given(st.floats(-3, 3), st.sampled_from([None, 0.0, 1.0]))
@settings(max_examples=50, deadline=None)
def test_widening_by_the_score_just_reaches_the_value(score, offset):
    low, high, y = np.array([2.0]), np.array([50.0]), np.array([7.0])
    own = outside_by(y, low, high, offset)
    below, above = widen(low, high, own, offset)
    assert min(abs(below - y), abs(above - y))[0] < 1e-9
    wider = widen(low, high, own + abs(score), offset)
    assert wider[0] <= below
    assert above <= wider[1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"low": [0.0]}, "one length"),
        ({"level": 90}, "between 0 and 1"),
        ({"weight": [1.0, -1.0, 1.0]}, "not be negative"),
        ({"weight": [1.0]}, "as long as"),
        ({"offset": 0.0}, "above 0"),
    ],
)
def test_wrong_input_is_named(bad, message):
    given_ = {"y": [1.0, 2.0, 0.0], "low": [0.5, 0.5, 0.5], "high": [3.0, 3.0, 3.0]}
    with pytest.raises(ValueError, match=message):
        conformal_margin(**{**given_, **bad})


def test_intervals_are_those_of_mapie_and_crepes():
    path = Path(__file__).resolve().parents[1] / "golden" / "conformal" / "intervals.json"
    golden = json.loads(path.read_text())
    assert len(golden["cqr"]) == len(golden["groups"]) == 2
    for case in golden["cqr"]:
        m = conformal_margin(case["y"], case["low"], case["high"], case["level"])
        low, high = widen(case["new_low"], case["new_high"], m)
        assert low == pytest.approx(case["low_moved"], rel=1e-12)
        assert high == pytest.approx(case["high_moved"], rel=1e-12)
    for case in golden["groups"]:
        group, at = np.array(case["group"]), case["predicted"]
        by_group, _ = margins(case["y"], at, at, group, 2, case["level"], fewest=1)
        low, high = widen(case["new"], case["new"], by_group[case["new_group"]])
        assert low == pytest.approx(case["low"], rel=1e-12)
        assert high == pytest.approx(case["high"], rel=1e-12)


def test_weighted_quantiles_are_numpys_where_weights_are_equal():
    values = np.random.default_rng(6).standard_normal(99)
    levels = np.array([0.05, 0.31, 0.5, 0.95])
    mine = weighted_quantile(values, np.full(99, 1 / 99), levels)
    np.testing.assert_array_equal(mine, np.quantile(values, levels, method="inverted_cdf"))
    assert weighted_quantile(values, np.full(99, 0.5 / 99), 0.9, total=1.0) == values.max()
    assert weighted_quantile(values, np.full(99, 0.5), 0.9, total=99, unreached=np.inf) == np.inf
    doubled, half = np.repeat(values, 2), block_weights(np.repeat(np.arange(99), 2))
    np.testing.assert_array_equal(weighted_quantile(doubled, half, levels), mine)


def test_powers_lie_between_the_values_own_scale_and_the_logarithm():
    low, high = np.array([2.0, 30.0]), np.array([8.0, 120.0])
    np.testing.assert_allclose(widen(low, high, 1.5, 1.0, 1.0), widen(low, high, 1.5), rtol=1e-14)
    near = widen(low, high, 0.2 * 1e-6, 1.0, 1e-6)  # (v^p - 1) / p tends to log(v)
    np.testing.assert_allclose(near, widen(low, high, 0.2, 1.0), rtol=1e-5)
    root = widen(low, high, 0.4, 1.0, 0.5)
    np.testing.assert_allclose(root[1], (np.sqrt(high + 1) + 0.4) ** 2 - 1)
    np.testing.assert_array_equal(widen(low, high, 0.0, 1.0, 0.5), (low, high))
    # a margin beyond the bound leaves nothing below 0, nor turns it about
    assert widen([0.5], [4.0], 9.0, 1.0, 0.5)[0][0] == 0
    crossed = widen(low, high, -9.0, 1.0, 0.5)
    np.testing.assert_array_equal(*crossed)
    with pytest.raises(ValueError, match="power"):
        widen(low, high, 1.0, 1.0, -0.5)
