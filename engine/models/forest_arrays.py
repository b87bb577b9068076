"""From a fitted scikit-learn forest to flat arrays, and those arrays to files and back."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.forest import LEAF, ForestArrays

from ..errors import InputError


def pack(
    forest: Any,
    features: NDArray[np.float32],
    y: NDArray[np.float64],
    weight: NDArray[np.float64] | None = None,
) -> ForestArrays:
    """Flatten a fitted ``RandomForestRegressor``, keeping targets on their original scale.

    The trees may have been grown on a transformed target; leaf means and quantiles are those of
    `y`, so that a mean is the arithmetic mean and no back-transformation bias arises.

    Parameters
    ----------
    forest
        Fitted ``sklearn.ensemble.RandomForestRegressor``.
    features
        Training rows, ``(n, features)`` float32.
    y
        Training targets on the original scale, ``(n,)``.
    weight
        By which leaf means weight the rows drawn into them, ``(n,)``; alike if None.
    """
    order = np.argsort(y, kind="stable")
    rank = np.empty(len(y), np.int32)
    rank[order] = np.arange(len(y), dtype=np.int32)
    parts: dict[str, list[NDArray[Any]]] = {f.name: [] for f in fields(ForestArrays)}
    nodes = leaves = entries = 0
    for estimator, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        tree = estimator.tree_
        is_leaf = tree.children_left == -1
        inner = np.flatnonzero(~is_leaf)
        if not np.array_equal(tree.children_left[inner], inner + 1):
            raise InputError("the forest's trees are not depth-first; fit without max_leaf_nodes")
        leaf_of_node = np.cumsum(is_leaf) - 1
        right = np.where(is_leaf, leaf_of_node + leaves, tree.children_right + nodes)
        members = leaf_of_node[tree.apply(features)[drawn]]
        by_leaf = np.argsort(members, kind="stable")
        size = np.bincount(members, minlength=int(is_leaf.sum()))
        parts["roots"].append(np.array([nodes], np.int64))
        parts["feature"].append(np.where(is_leaf, LEAF, tree.feature).astype(np.int16))
        parts["threshold"].append(_round_down(tree.threshold))
        parts["right"].append(right.astype(np.int32))
        parts["missing_left"].append(tree.missing_go_to_left.astype(bool))
        parts["leaf_mean"].append(_leaf_means(members, size, y[drawn], weight, drawn))
        parts["leaf_start"].append(entries + np.cumsum(size) - size)
        parts["leaf_rank"].append(rank[drawn][by_leaf])
        nodes, leaves, entries = nodes + len(is_leaf), leaves + len(size), entries + len(drawn)
    parts["roots"].append(np.array([nodes], np.int64))
    parts["leaf_start"].append(np.array([entries], np.int64))
    parts["sorted_y"].append(y[order])
    return ForestArrays(**{name: np.concatenate(arrays) for name, arrays in parts.items()})


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
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(
        np.float32
    )
