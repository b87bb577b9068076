"""Quantiles of leaves' pooled targets against NumPy and quantile-forest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quantile_forest import ExtraTreesQuantileRegressor, RandomForestQuantileRegressor
from sklearn.ensemble import RandomForestRegressor

from edaphos.engine.models.forest_arrays import pack
from edaphos.kernels import forest_quantiles
from edaphos.kernels.forest import predict
from edaphos.kernels.forest_targets import leaf_targets

from .forests import forests, rows_of, target_of

LEVELS = np.array([0.05, 0.5, 0.95])
slow = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
levels = st.lists(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)), min_size=1).map(
    lambda q: np.array(q[:6])
)


def pooled(model, x, y, new) -> list[np.ndarray]:
    """The drawn targets that share a leaf with each new row, of all trees."""
    own, theirs = model.apply(x), model.apply(new)
    return [
        np.concatenate([y[d][own[d, t] == row[t]] for t, d in enumerate(model.estimators_samples_)])
        for row in theirs
    ]


@slow
@given(forests, levels, st.integers(0, 2**16), st.integers(1, 140), st.integers(0, 9))
def test_quantiles_are_numpys(grown, q, seed, count, bits):
    model, x, y = grown
    new = rows_of("smooth", seed, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest_quantiles, "FINE_BITS", bits)
        patch.setattr(forest_quantiles, "COARSE_BITS", 9 - bits)
        _, found = predict(pack(model, x, y), new, q)
    expected = np.array([np.quantile(pool, q) for pool in pooled(model, x, y, new)])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [RandomForestQuantileRegressor, ExtraTreesQuantileRegressor])
@pytest.mark.parametrize("leaf", [1, 5, 40])
def test_quantiles_are_those_of_quantile_forest(kind, leaf):
    x = rows_of("smooth", 7, 900)
    y = target_of(x, 7)
    model = kind(
        50, max_samples_leaf=None, min_samples_leaf=leaf, max_features="sqrt", random_state=1
    ).fit(x, y)
    new = rows_of("rounded", 8, 500)
    _, found = predict(pack(model, x, y), new, LEVELS)
    np.testing.assert_allclose(found, model.predict(new, quantiles=list(LEVELS)), rtol=1e-12)


def test_many_targets_in_a_leaf_are_counted_in_more_bits():
    """With 60 trees of one leaf, a row has 60,000 targets."""
    x = rows_of("smooth", 1, 1000)
    y = np.random.default_rng(0).standard_normal(1000)
    model = RandomForestRegressor(60, max_depth=1, min_samples_leaf=450, random_state=0).fit(x, y)
    packed = pack(model, x, y)
    assert packed.targets.most > np.iinfo(np.int16).max
    _, found = predict(packed, x[:20], LEVELS)
    expected = np.array([np.quantile(pool, LEVELS) for pool in pooled(model, x, y, x[:20])])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_targets_of_leaves_are_counted():
    start, rank = np.array([0, 3, 4, 8]), np.array([4, 0, 4, 2, 1, 1, 3, 0], np.int32)
    told = leaf_targets(start, rank, np.array([1.0, 2.0, 2.0, 5.0, 7.0]), 3)
    np.testing.assert_array_equal(told.values, [1, 2, 5, 7])
    assert told.most == 12
    counted = []
    for word in told.words.tolist():
        keys = [word]
        if word >> 63:
            first, length = (word & (1 << 63) - 1) >> 24, word & 0xFFFFFF
            keys = told.keys[first : first + length].tolist()
        counted.append([(key >> 32, key & 0xFFFFFFFF) for key in keys])
    assert counted == [[(0, 1), (3, 2)], [(1, 1)], [(0, 1), (1, 2), (2, 1)]]


@pytest.mark.parametrize("leaf", [5, 20])
def test_counting_rows_is_near_leaves_that_weigh_alike(leaf):
    """Meinshausen's own weights: every leaf counts the same, however many rows it holds."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3000, 5)).astype(np.float32)
    y = np.exp(1 + x[:, 0] + 0.5 * rng.standard_normal(3000))
    model = RandomForestQuantileRegressor(
        30, max_samples_leaf=None, min_samples_leaf=leaf, max_features=0.5, random_state=1
    ).fit(x, y)
    new, levels = rng.standard_normal((300, 5)).astype(np.float32), [0.05, 0.5, 0.95]
    ours = predict(pack(model, x, y), new, np.array(levels))[1]
    alike = model.predict(new, quantiles=levels, weighted_leaves=True)
    gap = np.abs(ours - alike).mean(axis=0) / (alike[:, 2] - alike[:, 0]).mean()
    assert 0 < gap[0] < 0.01
    assert gap[1] < 0.02
    assert gap[2] < 0.06
