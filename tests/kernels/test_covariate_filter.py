from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edaphos.kernels.covariate_filter import (
    batch_sizes,
    class_strength,
    filter_covariates,
    keep_covariates,
)


def correlated(rows: int, columns: int, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Covariates in families that share a factor, and a target that sees some of them."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(rows, 4))
    of = rng.integers(0, 4, columns)
    x = factors[:, of] + rng.uniform(0.1, 2, columns) * rng.normal(size=(rows, columns))
    y = factors @ np.array([1.0, 0.5, 0.2, 0.0]) + rng.normal(size=rows)
    names = [f"c{i:02d}" for i in rng.permutation(columns)]
    return pd.DataFrame(x, columns=names), pd.Series(y)


def by_hand(x: pd.DataFrame, y: pd.Series, weak: float, twin: float) -> list[str]:
    """The rule once more, with the correlations of pandas (pairwise complete)."""
    strength = x.corrwith(y).abs().round(10)
    table = x.corr().abs().round(10)
    kept: list[str] = []
    for name in strength.sort_index().sort_values(ascending=False, kind="stable").index:
        if strength[name] >= weak and not (table.loc[name, kept] > twin).any():
            kept.append(name)
    return kept


@given(st.integers(0, 10**6), st.floats(0, 0.3), st.floats(0.3, 0.95), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_same_stay_as_with_pandas(seed, weak, twin, gaps):
    x, y = correlated(60, 14, seed)
    if gaps:
        holes = np.random.default_rng(seed).random(x.shape) < 0.2
        x, y = x.mask(holes), y.mask(np.random.default_rng(seed + 1).random(60) < 0.1)
    found = keep_covariates(x.to_numpy(), y, list(x), weak, twin)
    assert [x.columns[i] for i in found] == by_hand(x, y, weak, twin)


@given(st.integers(0, 10**6), st.data())
@settings(max_examples=40, deadline=None)
def test_the_order_of_columns_and_their_units_change_nothing(seed, data):
    x, y = correlated(50, 12, seed)
    x["copy"], x["also"] = x["c03"], -3 * x["c03"] + 1e3  # equals, told apart by name
    kept = [x.columns[i] for i in keep_covariates(x.to_numpy(), y, list(x))]
    order = data.draw(st.permutations(list(x)))
    shuffled = x[order] * np.random.default_rng(seed).uniform(0.1, 30, len(order)) - 5
    assert [order[i] for i in keep_covariates(shuffled.to_numpy(), y, order)] == kept
    assert not {"c03", "copy"} & set(kept)


def test_of_two_twins_the_stronger_stays_and_a_name_decides_between_equals():
    rng = np.random.default_rng(1)
    a = rng.normal(size=500)
    x = np.stack([a + 0.3 * rng.normal(size=500), a, a, rng.normal(size=500), a * 0 + 4], axis=1)
    y = a + rng.normal(size=500)
    x[:, 3] -= y * (x[:, 3] @ y) / (y @ y)
    found = filter_covariates(x, y, ["noisy", "z", "m", "unrelated", "flat"])
    assert found.kept == (2,)
    assert found.why == ("twin", "twin", "kept", "weak", "constant")
    assert found.twin.tolist() == [2, 2, -1, -1, -1]
    assert found.twin_r[1] == pytest.approx(1)
    assert found.twin_r[0] == pytest.approx(np.corrcoef(x[:, 0], a)[0, 1])
    assert np.isnan(found.strength[4])


def test_a_covariate_that_went_takes_none_with_it():
    # b is a twin of a; c is a twin of b and not of a: c stays, though pairs met in another order
    # would have cost it.
    rng = np.random.default_rng(3)
    a, c = rng.normal(size=(2, 4000))
    b = a + c * 0.9
    x = np.stack([a * 1.0, b, c], axis=1)
    y = a + 0.3 * c + 0.1 * rng.normal(size=4000)
    r = np.corrcoef(x.T)
    assert r[0, 1] > 0.6
    assert r[1, 2] > 0.6
    assert keep_covariates(x, y, ["a", "b", "c"], twin=0.6) == (0, 2)


def test_weights_are_those_of_numpy_and_of_repeated_rows():
    x, y = correlated(80, 6, 4)
    times = np.random.default_rng(0).integers(0, 4, 80)
    found = filter_covariates(x.to_numpy(), y, list(x), weight=times.astype(float))
    repeated = filter_covariates(
        np.repeat(x.to_numpy(), times, axis=0), np.repeat(y.to_numpy(), times), list(x)
    )
    assert found.kept == repeated.kept
    assert found.strength == pytest.approx(repeated.strength)
    cov = np.cov(x["c02"], y, aweights=times)
    column = list(x).index("c02")
    assert found.strength[column] == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))


def test_thresholds_are_where_the_paper_has_them():
    # Under 0.05 goes and 0.05 itself stays; over 0.8 is a twin and 0.8 itself is not.
    u, v, w = np.linalg.qr(np.random.default_rng(2).normal(size=(30, 4)))[0].T[:3]
    u, v, w = (z - z.mean() for z in (u, v, w))
    basis = np.linalg.qr(np.stack([u, v, w], axis=1))[0].T
    y = basis[0]
    x = np.stack([0.05 * y + np.sqrt(1 - 0.05**2) * basis[1], 0.5 * y + 0.75**0.5 * basis[2]], 1)
    assert keep_covariates(x, y, ["a", "b"], weak=0.05) == (1, 0)
    assert keep_covariates(x, y, ["a", "b"], weak=0.0500001) == (1,)
    pair = np.stack([y, 0.8 * y + 0.6 * basis[1]], axis=1)
    assert keep_covariates(pair, y, ["a", "b"], twin=0.8) == (0, 1)
    assert keep_covariates(pair, y, ["a", "b"], twin=0.7999999) == (0,)


def test_batches_are_capped_at_what_is_left():
    assert batch_sizes(134) == (10, 20, 30, 37, 40, 50)
    assert batch_sizes(37) == (10, 20, 30, 37)
    assert batch_sizes(7) == (7,)
    assert batch_sizes(0) == ()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"names": ["a"]}, "as many different names"),
        ({"names": ["a", "a"]}, "as many different names"),
        ({"y": [1.0, 2.0]}, r"target and weights \(n,\)"),
        ({"weak": 5}, "weak must lie between"),
        ({"weight": [-1.0, 1.0, 1.0]}, "not be negative"),
    ],
)
def test_wrong_input_is_named(bad, message):
    usual = {"x": np.eye(3)[:, :2], "y": [1.0, 2.0, 3.0], "names": ["a", "b"]}
    with pytest.raises(ValueError, match=message):
        filter_covariates(**{**usual, **bad})


def test_classes_are_as_strong_as_an_analysis_of_variance_says():
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 12, 600).astype(float)
    y = rng.normal(size=12)[codes.astype(int)] + rng.normal(size=600)
    groups = [y[codes == code] for code in range(12)]
    f = stats.f_oneway(*groups).statistic
    # epsilon squared from F: (k - 1)(F - 1) / ((k - 1) F + n - k)
    expected = np.sqrt(11 * (f - 1) / (11 * f + 600 - 12))
    assert class_strength(codes, y, np.ones(600)) == pytest.approx(expected)
    # the number of classes alone makes none strong
    drawn = [class_strength(rng.integers(0, 60, 600), y, np.ones(600)) ** 2 for _ in range(60)]
    assert np.mean(drawn) < 0.02
    gaps = codes.copy()
    gaps[:40] = np.nan
    assert class_strength(gaps, y, np.ones(600)) == class_strength(codes[40:], y[40:], np.ones(560))
    assert np.isnan(class_strength(codes * 0, y, np.ones(600)))


def test_codes_of_classes_are_no_amounts():
    # Codes in an order that hides their meaning, and one that would make them a twin.
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 3, 900)
    y = np.array([0.0, 2.0, 0.0])[codes] + 0.5 * rng.normal(size=900)
    amount = codes + 0.01 * rng.normal(size=900) + 0.2 * y
    x, names = np.stack([codes, amount], axis=1), ["class", "amount"]
    assert abs(np.corrcoef(codes, y)[0, 1]) < 0.05
    assert np.corrcoef(codes, amount)[0, 1] > 0.8
    assert keep_covariates(x, y, names) == (1,)
    found = filter_covariates(x, y, names, classes=(0,))
    assert found.kept == (0, 1)
    assert found.strength[0] > 0.8
