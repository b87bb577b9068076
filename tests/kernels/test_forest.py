"""The forest walk against scikit-learn (leaves, mean) and quantile-forest (quantiles)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from edaphos.engine.models.forest_arrays import load_arrays, pack, save_arrays
from edaphos.kernels.forest import leaves, log_centre, predict

QUANTILES = np.array([0.05, 0.5, 0.95])


def training(seed: int, rows: int = 400, missing: bool = False) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(rows, 6)), 2).astype(np.float32)  # rounded: duplicated thresholds
    x[:, 5] = 1.0  # a constant feature
    y = np.round(np.exp(x[:, 0] + 0.5 * x[:, 1] * x[:, 2] + rng.normal(size=rows)), 1)
    if missing:
        x[rng.random(x.shape) < 0.1] = np.nan
    return x, y


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_leaves_and_mean_equal_scikit_learn(seed: int, missing: bool) -> None:
    x, y = training(seed, missing=missing)
    model = RandomForestRegressor(30, min_samples_leaf=3, random_state=seed).fit(x, y)
    new, _ = training(seed + 100, missing=True)
    packed = pack(model, x, y)
    nodes = model.apply(new)
    first_leaf = 0
    own = leaves(packed, new)
    for tree, estimator in enumerate(model.estimators_):
        is_leaf = estimator.tree_.children_left == -1
        expected = first_leaf + (np.cumsum(is_leaf) - 1)[nodes[:, tree]]
        np.testing.assert_array_equal(own[:, tree], expected)
        first_leaf += int(is_leaf.sum())
    mean, none = predict(packed, new, np.array([]))
    np.testing.assert_allclose(mean, model.predict(new), rtol=1e-12)
    assert none.shape == (len(new), 0)


def test_quantiles_equal_quantile_forest() -> None:
    from quantile_forest import RandomForestQuantileRegressor

    x, y = training(7)
    settings = {"min_samples_leaf": 3, "max_features": "sqrt", "random_state": 7}
    theirs = RandomForestQuantileRegressor(40, max_samples_leaf=None, **settings).fit(x, y)
    packed = pack(RandomForestRegressor(40, **settings).fit(x, y), x, y)
    new, _ = training(8)
    _, found = predict(packed, new, QUANTILES)
    np.testing.assert_allclose(found, theirs.predict(new, quantiles=list(QUANTILES)), rtol=1e-12)


def test_quantiles_equal_numpy_on_the_pooled_leaf_targets() -> None:
    x, y = training(9)
    model = RandomForestRegressor(15, min_samples_leaf=4, random_state=9).fit(x, y)
    packed = pack(model, x, y)
    new, _ = training(10, rows=50)
    _, found = predict(packed, new, np.array([0.0, 0.3, 1.0]))
    train_leaf, new_leaf = model.apply(x), model.apply(new)
    for i in range(len(new)):
        pool = np.concatenate(
            [
                y[drawn][train_leaf[drawn, tree] == new_leaf[i, tree]]
                for tree, drawn in enumerate(model.estimators_samples_)
            ]
        )
        np.testing.assert_allclose(found[i], np.quantile(pool, [0.0, 0.3, 1.0]), rtol=1e-12)


def test_float32_extremes_take_the_same_branches() -> None:
    rng = np.random.default_rng(3)
    x = rng.choice(
        np.array([-3.4e38, -1e-45, 0.0, 1e-45, 1.0, np.nextafter(1, 2), 3.4e38], np.float32),
        (300, 3),
    ).astype(np.float32)
    y = rng.normal(size=300)
    model = RandomForestRegressor(20, random_state=0).fit(x, y)
    mean, _ = predict(pack(model, x, y), x, np.array([]))
    np.testing.assert_allclose(mean, model.predict(x), rtol=1e-12)


def test_the_log_centre_is_a_forest_trained_on_logs() -> None:
    x, y = training(11)
    model = RandomForestRegressor(20, min_samples_leaf=3, random_state=0).fit(x, np.log1p(y))
    new, _ = training(12)
    expected = np.expm1(model.predict(new))
    np.testing.assert_allclose(log_centre(pack(model, x, y), new), expected, rtol=1e-10)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    x, y = training(4, rows=1500)
    packed = pack(RandomForestRegressor(10, random_state=0).fit(x, y), x, y)
    mean, quantiles = predict(packed, x, QUANTILES)
    alone = [predict(packed, x[i : i + 1], QUANTILES) for i in (0, 511, 512, 1499)]
    for (m, q), i in zip(alone, (0, 511, 512, 1499), strict=True):
        assert m[0] == mean[i]
        np.testing.assert_array_equal(q[0], quantiles[i])


def test_weights_change_the_draw_and_are_kept_in_leaf_means() -> None:
    x, y = training(5)
    weight = np.where(y > np.median(y), 3.0, 0.2)
    model = RandomForestRegressor(25, min_samples_leaf=3, random_state=1).fit(x, y, weight)
    mean, _ = predict(pack(model, x, y), x, np.array([]))
    np.testing.assert_allclose(mean, model.predict(x), rtol=1e-12)


def test_saved_arrays_come_back_equal(tmp_path) -> None:
    x, y = training(6)
    packed = pack(RandomForestRegressor(5, random_state=0).fit(x, y), x, y)
    save_arrays(packed, tmp_path)
    loaded = load_arrays(tmp_path)
    for a, b in zip(predict(packed, x, QUANTILES), predict(loaded, x, QUANTILES), strict=True):
        np.testing.assert_array_equal(a, b)
