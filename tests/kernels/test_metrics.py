from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn import metrics as sk

from edaphos.kernels.metrics import (
    METRICS,
    means_from_sums,
    metric_terms,
    metrics,
    metrics_from_sums,
    sum_by,
)

RNG = np.random.default_rng(11)
OBS = RNG.lognormal(2.3, 0.9, 400)
PRED = 0.7 * OBS + RNG.normal(0, 6, 400) + 4
WEIGHT = RNG.uniform(0.1, 3, 400)

values = st.floats(-500, 500, allow_nan=False, width=32)
pairs = st.integers(3, 40).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=values), arrays(np.float64, n, elements=values)
    )
)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_errors_and_r2_equal_scikit_learn(weight):
    m = metrics(OBS, PRED, weight=weight)
    assert m["MAE"] == pytest.approx(sk.mean_absolute_error(OBS, PRED, sample_weight=weight))
    assert m["RMSE"] == pytest.approx(sk.root_mean_squared_error(OBS, PRED, sample_weight=weight))
    assert m["R2"] == pytest.approx(sk.r2_score(OBS, PRED, sample_weight=weight))
    assert m["ME"] == pytest.approx(np.average(PRED - OBS, weights=weight))


def test_correlation_equals_scipy_and_has_its_sign():
    r = stats.pearsonr(OBS, PRED).statistic
    assert metrics(OBS, PRED)["r"] == pytest.approx(r)
    assert metrics(OBS, PRED)["r2"] == pytest.approx(r**2)
    assert metrics(OBS, -PRED)["r"] == pytest.approx(-r)


def test_interval_score_equals_two_pinball_losses():
    # IS = 2 / alpha * (pinball loss of both bounds), Gneiting & Raftery 2007, section 6.2.
    lower, upper = PRED - 9, PRED + 12
    m = metrics(OBS, PRED, lower, upper, coverage=0.9)
    pinball = sk.mean_pinball_loss(OBS, lower, alpha=0.05) + sk.mean_pinball_loss(
        OBS, upper, alpha=0.95
    )
    assert m["IS"] == pytest.approx(2 / 0.1 * pinball)
    assert m["MPIW"] == pytest.approx(21)
    assert m["PICP"] == pytest.approx(np.mean((lower <= OBS) & (upper >= OBS)))


def test_worked_by_hand():
    # o = 1 2 3 4, p = 2 2 4 6: errors 1 0 1 2; means 2.5, 3.5; variances 1.25, 2.75; cov 1.75.
    m = metrics([1.0, 2, 3, 4], [2.0, 2, 4, 6], lower=[0.0, 2, 3.5, 0], upper=[3.0, 3, 5, 3])
    assert m["n"] == 4
    assert m["ME"] == pytest.approx(1.0)
    assert m["MAE"] == pytest.approx(1.0)
    assert m["RMSE"] == pytest.approx(np.sqrt(6 / 4))
    assert m["R2"] == pytest.approx(1 - 6 / 5)
    assert m["r2"] == pytest.approx(1.75**2 / (1.25 * 2.75))
    assert m["CCC"] == pytest.approx(2 * 1.75 / (1.25 + 2.75 + 1.0))
    r = 1.75 / np.sqrt(1.25 * 2.75)
    kge = 1 - np.sqrt((r - 1) ** 2 + (np.sqrt(2.75 / 1.25) - 1) ** 2 + (3.5 / 2.5 - 1) ** 2)
    assert m["KGE"] == pytest.approx(kge)
    assert m["PICP"] == pytest.approx(0.5)  # the bound itself counts as inside
    assert m["MPIW"] == pytest.approx((3 + 1 + 1.5 + 3) / 4)
    assert m["IS"] == pytest.approx((3 + 1 + 1.5 + 3 + 20 * (0.5 + 1.0)) / 4)


def test_undefined_is_nan_and_the_rest_stays():
    one = metrics([3.0], [4.0])
    assert one["ME"] == 1
    undefined = ("R2", "r", "r2", "CCC", "KGE", "PICP", "MPIW", "IS")
    assert all(np.isnan(one[name]) for name in undefined)
    none = metrics([np.nan], [4.0])
    assert none["n"] == 0
    assert all(np.isnan(none[name]) for name in METRICS[1:])
    flat = metrics([0.1, 0.1, 0.1], [1.0, 2.0, 3.0])
    assert np.isnan(flat["R2"])
    assert np.isnan(flat["KGE"])
    assert flat["CCC"] == pytest.approx(0, abs=1e-12)
    centred = metrics([-1.0, 0.0, 1.0], [-1.0, 0.5, 1.0])
    assert np.isnan(centred["KGE"])
    assert centred["R2"] == pytest.approx(1 - 0.25 / 2)
    constant_prediction = metrics([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    assert constant_prediction["R2"] == pytest.approx(0)
    assert np.isnan(constant_prediction["r2"])


def test_rows_that_cannot_be_scored_are_left_out():
    obs, pred = OBS.copy(), PRED.copy()
    obs[:5], pred[5:9] = np.nan, np.inf
    lower, upper = PRED - 9, PRED + 9
    lower[20:30] = np.nan
    m = metrics(obs, pred, lower, upper)
    expected = metrics(OBS[9:], PRED[9:])
    assert m["n"] == 391
    assert m["CCC"] == pytest.approx(expected["CCC"])
    bounded = np.r_[9:20, 30:400]
    assert m["PICP"] == pytest.approx(np.mean(np.abs(OBS - PRED)[bounded] <= 9))


def test_variance_of_large_numbers_does_not_drown_in_rounding():
    shifted = metrics(OBS + 1e8, PRED + 1e8)
    plain = metrics(OBS, PRED)
    for name in ("RMSE", "R2", "r", "r2", "CCC"):
        assert shifted[name] == pytest.approx(plain[name], rel=1e-5)


def test_integer_weights_equal_repeated_rows():
    times = RNG.integers(0, 4, len(OBS))
    lower, upper = PRED - 9, PRED + 9
    weighted = metrics(OBS, PRED, lower, upper, weight=times.astype(float))
    repeated = metrics(*(np.repeat(v, times) for v in (OBS, PRED, lower, upper)))
    for name in METRICS[1:]:
        assert weighted[name] == pytest.approx(repeated[name]), name


def test_sums_of_groups_give_each_group_and_the_whole():
    codes = RNG.integers(-1, 6, len(OBS))
    terms = metric_terms(OBS, PRED, PRED - 9, PRED + 9)
    sums = sum_by(terms, codes, 6)
    by_group = metrics_from_sums(sums)
    for group in range(6):
        rows = codes == group
        alone = metrics(OBS[rows], PRED[rows], PRED[rows] - 9, PRED[rows] + 9)
        for name in METRICS:
            assert by_group[name][group] == pytest.approx(alone[name]), name
    whole = metrics_from_sums(sums.sum(axis=0))
    kept = codes >= 0
    means = means_from_sums(sums.sum(axis=0))
    assert means == pytest.approx((OBS[kept].mean(), PRED[kept].mean()))
    assert float(whole["KGE"]) == pytest.approx(metrics(OBS[kept], PRED[kept])["KGE"])


@given(pairs)
@settings(max_examples=150, deadline=None)
def test_bounds_that_always_hold(pair):
    m = metrics(*pair)
    assert m["RMSE"] >= m["MAE"] - 1e-9
    assert m["MAE"] >= abs(m["ME"]) - 1e-9
    if np.isfinite(m["r2"]):
        assert 0 <= m["r2"] <= 1
        assert abs(m["CCC"]) <= np.sqrt(m["r2"]) + 1e-9  # Lin 1989: |CCC| <= |r|
        assert m["R2"] <= m["r2"] + 1e-7


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_perfect_predictions(pair):
    obs = pair[0]
    m = metrics(obs, obs)
    assert m["RMSE"] == 0
    if np.isfinite(m["R2"]):
        assert m["R2"] == 1
        assert m["CCC"] == pytest.approx(1)


@given(pairs, st.floats(0.01, 100))
@settings(max_examples=60, deadline=None)
def test_ratios_do_not_depend_on_units(pair, factor):
    obs, pred = pair
    m, scaled = metrics(obs, pred), metrics(obs * factor, pred * factor)
    assert scaled["RMSE"] == pytest.approx(m["RMSE"] * factor, rel=1e-6, abs=1e-9)
    if np.isfinite(m["R2"]) and np.std(obs) > 1e-3:
        assert scaled["R2"] == pytest.approx(m["R2"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"pred": PRED[:-1]}, "one length"),
        ({"weight": -WEIGHT}, "not be negative"),
        ({"coverage": 90.0}, "between 0 and 1"),
    ],
)
def test_wrong_input_is_named(bad, message):
    with pytest.raises(ValueError, match=message):
        metrics(**{"obs": OBS, "pred": PRED, **bad})
