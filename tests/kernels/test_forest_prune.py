"""Pruned forests against scikit-learn's trees, pruned by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from edaphos.engine.models.forest_arrays import pack
from edaphos.kernels.forest import predict
from edaphos.kernels.forest_parts import join_trees
from edaphos.kernels.forest_prune import pruned

RNG = np.random.default_rng(3)
X = RNG.standard_normal((300, 4)).astype(np.float32)
Y = X[:, 0] ** 2 + RNG.standard_normal(300)
NEW = RNG.standard_normal((60, 4)).astype(np.float32)
MODEL = RandomForestRegressor(5, min_samples_leaf=3, random_state=1).fit(X, Y)
FOREST = pack(MODEL, X, Y)


def by_hand(least: int) -> list[list[np.ndarray]]:
    """For each tree and new row, the drawn targets of the last node on its way with enough rows."""
    found = []
    for estimator, drawn in zip(MODEL.estimators_, MODEL.estimators_samples_, strict=True):
        tree = estimator.tree_
        inside = estimator.decision_path(X[drawn]).toarray().astype(bool)
        rows = []
        for row in NEW:
            node = 0
            while tree.children_left[node] >= 0:
                left, right = tree.children_left[node], tree.children_right[node]
                if min(inside[:, left].sum(), inside[:, right].sum()) < least:
                    break
                node = left if row[tree.feature[node]] <= tree.threshold[node] else right
            rows.append(Y[drawn][inside[:, node]])
        found.append(rows)
    return found


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([4, 7, 20, 60, 150, 400]))
def test_a_pruned_forest_pools_what_larger_nodes_hold(least):
    forest, expected = pruned(FOREST, least), by_hand(least)
    levels = np.array([0.05, 0.4, 0.95])
    mean, quantiles = predict(forest, NEW, levels)
    for i in range(len(NEW)):
        leaves = [rows[i] for rows in expected]
        assert all(len(one) >= min(least, len(Y)) for one in leaves)
        assert mean[i] == pytest.approx(np.mean([one.mean() for one in leaves]))
        pooled = np.quantile(np.concatenate(leaves), levels)
        np.testing.assert_allclose(quantiles[i], pooled, rtol=1e-12)


def test_nothing_is_taken_back_where_leaves_are_large_enough():
    same = pruned(FOREST, 3)
    for field in fields(same):
        np.testing.assert_allclose(
            getattr(same, field.name), getattr(FOREST, field.name), rtol=1e-12, err_msg=field.name
        )


def test_a_forest_for_means_only_is_refused():
    with pytest.raises(ValueError, match="no pruning"):
        pruned(join_trees([FOREST]), 10)
