"""From a fitted scikit-learn forest to flat arrays, and those arrays to files and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.forest import LEAF, ForestArrays
from edaphos.kernels.forest_nodes import depth_first

from ..errors import InputError


def pack(
    forest: Any,
    features: NDArray[np.float32],
    y: NDArray[np.float64],
    weight: NDArray[np.float64] | None = None,
) -> ForestArrays:
    """Flatten a fitted random forest, keeping targets on their original scale.

    The trees may have been grown on a transformed target; leaf means and quantiles are those of
    `y`, so that a mean is the arithmetic mean and no back-transformation bias arises.

    Parameters
    ----------
    forest
        Fitted ``RandomForestRegressor`` or ``ExtraTreesRegressor`` of scikit-learn, or
        ``RandomForestQuantileRegressor`` of quantile-forest.
    features
        Training rows, ``(n, features)`` float32.
    y
        Training targets on the original scale, ``(n,)``.
    weight
        By which leaf means weight the rows drawn into them, ``(n,)``; alike if None.

    Raises
    ------
    InputError
        For trees too large to be walked.
    """
    order = np.argsort(y, kind="stable")
    rank = np.empty(len(y), np.int32)
    rank[order] = np.arange(len(y), dtype=np.int32)
    trees = [_plain(estimator.tree_) for estimator in forest.estimators_]
    means, starts, ranks = [], [np.zeros(1, np.int64)], []
    for estimator, tree, drawn in zip(
        forest.estimators_, trees, forest.estimators_samples_, strict=True
    ):
        members = tree.leaf_of_node[estimator.tree_.apply(features)[drawn]]
        size = np.bincount(members, minlength=tree.leaves)
        means.append(_leaf_means(members, size, y[drawn], weight, drawn))
        starts.append(starts[-1][-1] + np.cumsum(size))
        ranks.append(rank[drawn][np.argsort(members, kind="stable")])
    packed = ForestArrays(
        **_joined(trees),
        leaf_mean=np.concatenate(means),
        leaf_start=np.concatenate(starts),
        leaf_rank=np.concatenate(ranks),
        sorted_y=y[order],
    )
    _see_that_it_can_be_walked(packed)
    return packed


def pack_boosted(
    model: Any, link: Literal["identity", "log"] = "identity"
) -> tuple[ForestArrays, float]:
    """Flatten a fitted ``GradientBoostingRegressor`` or ``HistGradientBoostingRegressor``.

    Parameters
    ----------
    model
        The model.
    link
        What the trees add up to: the prediction, or its logarithm, as with the losses poisson and
        gamma.

    Returns
    -------
    forest, base
        Leaves hold what they add to the prediction, which begins with `base`:
        :func:`~edaphos.kernels.forest_parts.add_trees` puts them together. Quantiles are not to be
        had of it.

    Raises
    ------
    InputError
        For classes among the features, a loss on another scale than the link's, or another first
        guess than a constant.
    """
    if hasattr(model, "_baseline_prediction"):
        if model.loss not in _LOSSES[link]:
            raise InputError(
                f'boosted trees with loss "{model.loss}" add up on another scale than that of the '
                f"{link} link; fit with {' or '.join(_LOSSES[link])}"
            )
        if model.is_categorical_ is not None:
            raise InputError("boosted trees that split classes cannot be packed; code them first")
        base = float(np.ravel(model._baseline_prediction)[0])
        grown = [_plain_boosted(one.nodes) for (one,) in model._predictors]
        added = [tree.value for tree in grown]
    else:
        first = getattr(model.init_, "constant_", 0.0 if model.init_ == "zero" else None)
        if first is None:
            raise InputError("boosted trees must begin with a constant; fit without init")
        base = float(np.ravel(first)[0])
        grown = [_plain(estimator.tree_) for estimator in model.estimators_[:, 0]]
        added = [model.learning_rate * tree.value for tree in grown]
    forest = ForestArrays(
        **_joined(grown),
        leaf_mean=np.concatenate(added),
        leaf_start=np.zeros(1, np.int64),
        leaf_rank=np.empty(0, np.int32),
        sorted_y=np.empty(0),
    )
    _see_that_it_can_be_walked(forest)
    return forest, base


_LOSSES = {
    "identity": ("squared_error", "absolute_error", "quantile"),
    "log": ("poisson", "gamma"),
}


def _see_that_it_can_be_walked(forest: ForestArrays) -> None:
    """Refuse trees that do not fit into their nodes now, not when a map is made."""
    try:
        _ = forest.nodes
    except ValueError as error:
        raise InputError(str(error)) from error


@dataclass(frozen=True)
class _Tree:
    """A tree depth first; `right` of inner nodes counts nodes of the tree, that of leaves leaves.

    Of each leaf: its `value`. Of each node as the tree had it before: its leaf, -1 for inner ones.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]
    leaf_of_node: NDArray[np.int64]

    @property
    def leaves(self) -> int:
        return len(self.value)


def _plain(tree: Any) -> _Tree:
    """Take what is needed of a scikit-learn tree."""
    return _ordered(
        tree.children_left,
        tree.children_right,
        tree.feature,
        tree.threshold,
        tree.missing_go_to_left,
        tree.value[:, 0, 0],
    )


def _plain_boosted(nodes: NDArray[Any]) -> _Tree:
    """Take what is needed of a tree of histogram boosting."""
    leaf = nodes["is_leaf"].astype(bool)
    left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
    return _ordered(
        left,
        right,
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"],
        nodes["value"],
    )


def _ordered(
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    feature: NDArray[np.int64],
    threshold: NDArray[np.float64],
    missing_left: NDArray[np.integer],
    value: NDArray[np.float64],
) -> _Tree:
    order = depth_first(left, right)
    leaf = left[order] == -1
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    leaf_of_node = np.full(len(order), -1)
    leaf_of_node[order[leaf]] = np.arange(int(leaf.sum()))
    return _Tree(
        np.where(leaf, LEAF, feature[order]).astype(np.int16),
        _round_down(threshold[order]),
        np.where(leaf, leaf_of_node[order], position[right[order]]).astype(np.int32),
        missing_left[order].astype(bool),
        value[order[leaf]],
        leaf_of_node,
    )


def _joined(trees: Sequence[_Tree]) -> dict[str, Any]:
    """Return the nodes of all trees, one after the other."""
    nodes = np.cumsum([0, *(len(tree.feature) for tree in trees)])
    leaves = np.cumsum([0, *(tree.leaves for tree in trees)])
    right = [
        tree.right + np.where(tree.feature == LEAF, leaf, node).astype(np.int32)
        for tree, node, leaf in zip(trees, nodes[:-1], leaves[:-1], strict=True)
    ]
    return {
        "roots": nodes.astype(np.int64),
        "feature": np.concatenate([tree.feature for tree in trees]),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "right": np.concatenate(right),
        "missing_left": np.concatenate([tree.missing_left for tree in trees]),
    }


def save_arrays(forest: ForestArrays, folder: Path) -> None:
    """Write each array as ``<name>.npy``."""
    for field in fields(forest):
        np.save(folder / f"{field.name}.npy", getattr(forest, field.name), allow_pickle=False)


def load_arrays(folder: Path) -> ForestArrays:
    """Memory-map what :func:`save_arrays` wrote."""
    arrays = {}
    for field in fields(ForestArrays):
        path = folder / f"{field.name}.npy"
        if not path.exists():
            raise InputError(
                f"{path}: missing, the saved forest is incomplete; fit the model again"
            )
        arrays[field.name] = np.load(path, mmap_mode="r", allow_pickle=False)
    return ForestArrays(**arrays)


def _leaf_means(
    members: NDArray[np.int64],
    size: NDArray[np.int64],
    y: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
    drawn: NDArray[np.int64],
) -> NDArray[np.float64]:
    if weight is None:
        return np.bincount(members, weights=y) / size
    own = weight[drawn]
    return np.bincount(members, weights=own * y) / np.bincount(members, weights=own)


def _round_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above each threshold."""
    with np.errstate(over="ignore"):  # nothing finite lies below the lowest float32
        near = threshold.astype(np.float32)
        below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near > threshold, below, near).astype(np.float32)
