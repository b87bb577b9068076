"""Packets against scikit-learn: the same leaf of every row in every tree, whatever lies beside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from threadpoolctl import threadpool_limits

from edaphos.engine.errors import InputError
from edaphos.engine.models.forest_arrays import pack, pack_boosted
from edaphos.kernels import forest_nodes, forest_walk
from edaphos.kernels.forest import leaves, predict, predict_columns
from edaphos.kernels.forest_nodes import pack_nodes
from edaphos.kernels.forest_parts import add_trees
from edaphos.kernels.forest_walk import packet_order, tree_sums

from .forests import FEATURES, KINDS, expected_leaves, forests, grow, rows_of, target_of

slow = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
NONE = np.empty(0)


@slow
@given(forests, st.integers(0, 2**16), st.integers(1, 200), st.sampled_from(KINDS))
def test_every_leaf_is_scikit_learns(grown, seed, count, kind):
    model, x, y = grown
    new = np.concatenate([rows_of(kind, seed, count), x])
    if not np.isnan(x).any():
        new = np.where(np.isnan(new), np.float32(0), new)  # scikit-learn refuses what it never saw
    packed = pack(model, x, y)
    np.testing.assert_array_equal(leaves(packed, new), expected_leaves(model, new))
    np.testing.assert_allclose(predict(packed, new, NONE)[0], model.predict(new), rtol=1e-12)


@slow
@given(forests, st.integers(0, 2**16), st.integers(0, 2**16))
def test_blocks_that_begin_or_end_at_a_threshold(grown, seed, which):
    """The range of a block's values decides a split only where the threshold is not inside."""
    model, x, y = grown
    packed = pack(model, x, y)
    node = packed.roots[which % packed.trees]  # which every row comes to
    threshold = packed.threshold[node]
    ends = [np.nextafter(threshold, np.float32(end)) for end in (-np.inf, np.inf)]
    if packed.feature[node] < 0 or not np.isfinite(ends).all():
        return
    for values in ([threshold], [threshold, ends[1]], [ends[0], threshold], [ends[1]]):
        rows = np.nan_to_num(rows_of("smooth", seed, len(values)))
        rows[:, packed.feature[node]] = values
        np.testing.assert_array_equal(leaves(packed, rows), expected_leaves(model, rows))


@slow
@given(forests, st.integers(0, 2**16), st.integers(1, 300))
def test_missing_values_go_where_scikit_learn_sends_them(grown, seed, count):
    model, x, y = grown
    if not np.isnan(x).any():
        x = np.where(rows_of("missing", seed, len(x)) > 1, np.float32(np.nan), x)
        model.fit(x, y)
    new = rows_of("smooth", seed, count, gaps=np.isnan(x).any())
    packed = pack(model, x, y)
    np.testing.assert_array_equal(leaves(packed, new), expected_leaves(model, new))


@slow
@given(forests, st.integers(0, 2**16), st.data())
def test_bits_do_not_depend_on_order_blocks_or_threads(grown, seed, data):
    model, x, y = grown
    packed, levels = pack(model, x, y), np.array([0.1, 0.5])
    new = rows_of(data.draw(st.sampled_from(KINDS)), seed, data.draw(st.integers(1, 900)))
    whole = predict_columns(packed, np.ascontiguousarray(new.T), levels, spread=True)
    order = np.random.default_rng(seed).permutation(len(new))
    cut = data.draw(st.integers(0, len(new)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest_walk, "MOST_GROUPS", 8)
        for part in (order[:cut], order[cut:]):
            some = np.ascontiguousarray(new[part].T)
            again = predict_columns(packed, some, levels, spread=True, threads=3)
            for name, found in again._asdict().items():
                np.testing.assert_array_equal(found, getattr(whole, name)[part], err_msg=name)
            means = predict_columns(packed, some, NONE).mean
            np.testing.assert_array_equal(means, whole.mean[part])


@slow
@given(forests, st.integers(0, 2**16), st.data())
def test_known_features_are_pruned_and_nothing_else_changes(grown, seed, data):
    model, x, y = grown
    packed = pack(model, x, y)
    new = rows_of("rounded", seed, 100)
    columns = data.draw(st.sets(st.integers(0, FEATURES - 1)))
    known = {f: float(data.draw(st.sampled_from(new[:, f].tolist()))) for f in columns}
    for feature, value in known.items():
        new[:, feature] = value
    nodes = packed.nodes_where(known)
    np.testing.assert_array_equal(leaves(packed, new, nodes), leaves(packed, new))
    inner = packed.feature[packed.feature >= 0]
    if set(inner) <= columns:
        assert len(nodes.nodes) == packed.trees  # nothing is asked any more
        assert nodes.features == 0
    assert len(nodes.nodes) <= len(packed.feature)
    rest = max((int(f) for f in set(inner) - columns), default=-1) + 1
    blind = np.ascontiguousarray(new.T[:rest])  # columns of known features may be left out
    for q in (NONE, np.array([0.5])):
        found = predict_columns(packed, blind, q, nodes=nodes)
        whole = predict_columns(packed, np.ascontiguousarray(new.T), q)
        np.testing.assert_array_equal(found.mean, whole.mean)
        np.testing.assert_array_equal(found.quantiles, whole.quantiles)


@slow
@given(forests, st.integers(0, 2**16))
def test_the_spread_is_that_of_the_trees(grown, seed):
    model, x, y = grown
    new = rows_of("smooth", seed, 70)
    found = predict_columns(pack(model, x, y), np.ascontiguousarray(new.T), NONE, spread=True)
    trees = np.stack([tree.predict(new) for tree in model.estimators_])
    np.testing.assert_allclose(found.spread, trees.std(axis=0), rtol=1e-6, atol=1e-6 * y.std())


@pytest.mark.parametrize("kind", ["smooth", "rounded", "missing"])
@pytest.mark.parametrize("seed", [0, 1])
def test_boosted_trees_add_up_as_scikit_learns(kind, seed):
    x = rows_of(kind, seed, 300)
    y = target_of(x, seed)
    new = rows_of(kind, seed + 7, 200)
    models = [HistGradientBoostingRegressor(max_iter=20, random_state=seed)]
    models.append(HistGradientBoostingRegressor(loss="absolute_error", max_iter=5))
    if kind != "missing":
        models.append(GradientBoostingRegressor(n_estimators=15, random_state=seed))
        models.append(GradientBoostingRegressor(n_estimators=5, init="zero", max_leaf_nodes=9))
    for model in models:
        with threadpool_limits(1):
            forest, base = pack_boosted(model.fit(x, y))
        found = add_trees(forest, new, base)
        np.testing.assert_allclose(found, model.predict(new), rtol=1e-12, atol=1e-12)
        with pytest.raises(ValueError, match="no quantiles"):
            predict(forest, new, np.array([0.5]))


def test_boosted_trees_that_do_not_add_up_are_refused():
    x = rows_of("smooth", 0, 60)
    y = target_of(x, 0) + 1
    poisson = HistGradientBoostingRegressor(loss="poisson", max_iter=2).fit(x, y)
    with pytest.raises(InputError, match='"poisson"'):
        pack_boosted(poisson)
    forest, base = pack_boosted(poisson, "log")
    found = np.exp(add_trees(forest, x[:20].astype(np.float32), base))
    np.testing.assert_allclose(found, poisson.predict(x[:20]), rtol=1e-12)
    classes = np.column_stack([x, np.arange(60) % 3])
    by_class = HistGradientBoostingRegressor(categorical_features=[5], max_iter=2).fit(classes, y)
    with pytest.raises(InputError, match="classes"):
        pack_boosted(by_class)
    guessed = GradientBoostingRegressor(n_estimators=2, init=RandomForestRegressor(2)).fit(x, y)
    with pytest.raises(InputError, match="constant"):
        pack_boosted(guessed)


def test_best_first_trees_are_put_depth_first():
    x = rows_of("smooth", 3, 200)
    y = target_of(x, 3)
    model = RandomForestRegressor(8, max_leaf_nodes=20, random_state=0).fit(x, y)
    assert any(
        (t.tree_.children_left[t.tree_.children_left >= 0] != 1).any() for t in model.estimators_
    )
    new = rows_of("smooth", 4, 150)
    mean, median = predict(pack(model, x, y), new, np.array([0.5]))
    np.testing.assert_allclose(mean, model.predict(new), rtol=1e-12)
    assert median.min() >= y.min()
    assert median.max() <= y.max()


def test_infinite_values_go_the_way_of_their_sign():
    model, x, y = grow("smooth", 2, 5, 100)
    new = rows_of("smooth", 5, 90)
    large = np.where(np.abs(new) > 1, np.sign(new) * np.float32(3e38), new)
    endless = np.where(np.abs(new) > 1, np.sign(new) * np.float32(np.inf), new)
    packed = pack(model, x, y)
    np.testing.assert_array_equal(leaves(packed, endless), expected_leaves(model, large))


def test_columns_that_are_missing_are_not_read():
    model, x, y = grow("smooth", 2, 5, 100)
    with pytest.raises(ValueError, match="ask for 5 features, and there are 4"):
        predict(pack(model, x, y), x[:, :4], NONE)


def test_trees_too_large_for_their_nodes_are_refused():
    """A left chain of 150 nodes, with so many features that little room is left for offsets."""
    inner = 150
    feature = np.r_[np.zeros(inner, np.int16), np.full(inner + 1, -1, np.int16)]
    right = np.r_[2 * inner - np.arange(inner), np.arange(inner + 1)].astype(np.int32)
    size = 2 * inner + 1
    arrays = (feature, np.zeros(size, np.float32), right, np.zeros(size, bool))
    unknown = np.full(1 << 21, np.nan, np.float32)
    assert pack_nodes(np.array([0, size]), *arrays, unknown[: 1 << 20]).depth == inner
    with pytest.raises(ValueError, match="299 nodes left of one node"):
        pack_nodes(np.array([0, size]), *arrays, unknown)


def test_a_forest_that_could_not_be_walked_is_refused_when_it_is_packed(monkeypatch):
    model, x, y = grow("smooth", 2, 3, 100)
    monkeypatch.setattr(forest_nodes, "_WORD", 9)
    with pytest.raises(InputError, match="use fewer features, or larger leaves"):
        pack(model, x, y)


@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 2**16))
def test_cells_are_ordered_by_squares_and_none_is_lost(height, width, seed):
    wanted = np.random.default_rng(seed).random((height, width)) < 0.8
    cells = packet_order(wanted)
    np.testing.assert_array_equal(np.sort(cells), np.flatnonzero(wanted))
    squares = [(y // 64, x // 64, y % 64 // 8, x % 64 // 8) for y, x in np.argwhere(wanted)]
    y, x = cells // width, cells % width
    found = list(zip(y // 64, x // 64, y % 64 // 8, x % 64 // 8, strict=True))
    assert found == sorted(squares)


def test_no_rows_and_one_row():
    model, x, y = grow("smooth", 2, 5, 100)
    packed = pack(model, x, y)
    mean, quantiles = predict(packed, x[:0], np.array([0.5]))
    assert mean.shape == (0,)
    assert quantiles.shape == (0, 1)
    assert tree_sums(packed.nodes, packed.leaf_mean[None], x.T[:, :1].copy(), 5).shape == (1, 5, 1)
