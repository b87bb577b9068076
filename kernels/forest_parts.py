"""Forests in parts: some of the trees as a forest, forests put together, means of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .forest import LEAF, ForestArrays
from .forest_walk import tree_sums


def take_trees(forest: ForestArrays, first: int, last: int) -> ForestArrays:
    """Return trees ``first`` to ``last - 1`` of a forest.

    The mean over forests of equal numbers of trees is that of all their trees. Arrays are views
    but for the children's indices and the leaves' bounds.

    Raises
    ------
    ValueError
        If that is no tree, or there are not as many.
    """
    if not 0 <= first < last <= forest.trees:
        raise ValueError(f"no trees {first} to {last} in a forest of {forest.trees}")
    begin, end = int(forest.roots[first]), int(forest.roots[last])
    is_leaf = forest.feature[begin:end] == LEAF
    leaf_begin = int((forest.feature[:begin] == LEAF).sum())
    leaf_end = leaf_begin + int(is_leaf.sum())
    bounds = forest.leaf_start[leaf_begin : leaf_end + 1]
    entries = slice(int(bounds[0]), int(bounds[-1]))
    right = forest.right[begin:end] - np.where(is_leaf, leaf_begin, begin).astype(np.int32)
    return replace(
        forest,
        roots=forest.roots[first : last + 1] - begin,
        feature=forest.feature[begin:end],
        threshold=forest.threshold[begin:end],
        right=right,
        missing_left=forest.missing_left[begin:end],
        leaf_mean=forest.leaf_mean[leaf_begin:leaf_end],
        leaf_start=bounds - bounds[0],
        leaf_rank=forest.leaf_rank[entries],
    )


def join_trees(forests: Sequence[ForestArrays]) -> ForestArrays:
    """Return the trees of several forests as one forest, in their order, for means only.

    What quantiles need (`leaf_start`, `leaf_rank`, `sorted_y`) is left empty: the forests may have
    learned from different rows.
    """
    nodes = np.cumsum([0, *(int(f.roots[-1]) for f in forests)])
    ends = np.cumsum([0, *(len(f.leaf_mean) for f in forests)])
    right = [
        f.right + np.where(f.feature == LEAF, leaf, node).astype(np.int32)
        for f, node, leaf in zip(forests, nodes[:-1], ends[:-1], strict=True)
    ]
    roots = [f.roots[:-1] + node for f, node in zip(forests, nodes[:-1], strict=True)]
    return ForestArrays(
        roots=np.concatenate([*roots, nodes[-1:]]).astype(np.int64),
        feature=np.concatenate([f.feature for f in forests]),
        threshold=np.concatenate([f.threshold for f in forests]),
        right=np.concatenate(right),
        missing_left=np.concatenate([f.missing_left for f in forests]),
        leaf_mean=np.concatenate([f.leaf_mean for f in forests]),
        leaf_start=np.zeros(1, np.int64),
        leaf_rank=np.empty(0, np.int32),
        sorted_y=np.empty(0),
    )


def group_means(
    forest: ForestArrays, rows: NDArray[np.float32], groups: int
) -> NDArray[np.float64]:
    """Return the mean over each group of consecutive, equally many trees, ``(groups, n)``.

    Summation runs in tree order, so a row's result does not depend on the rows beside it.

    Parameters
    ----------
    forest
        Its number of trees is a multiple of `groups`.
    rows
        Features, float32, ``(n, features)``.

    Raises
    ------
    ValueError
        If trees do not divide into so many groups.
    """
    if groups < 1 or forest.trees % groups:
        raise ValueError(f"{forest.trees} trees do not divide into {groups} equal groups")
    sums = tree_sums(forest.nodes, forest.leaf_mean[None], np.ascontiguousarray(rows.T), groups)
    return sums[0] / (forest.trees // groups)


def add_trees(forest: ForestArrays, rows: NDArray[np.float32], base: float) -> NDArray[np.float64]:
    """Return `base` and what all trees add to it, ``(n,)``: the prediction of boosted trees.

    Parameters
    ----------
    forest
        Leaf means are what a leaf adds.
    rows
        Features, float32, ``(n, features)``.
    base
        Prediction before the first tree.
    """
    sums = tree_sums(forest.nodes, forest.leaf_mean[None], np.ascontiguousarray(rows.T))
    return np.asarray(base + sums[0, 0])
