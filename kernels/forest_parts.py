"""Some of the trees of a forest, as a forest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .forest import LEAF, ForestArrays


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


def split_trees(forest: ForestArrays, parts: int) -> list[ForestArrays]:
    """Return a forest as `parts` forests of equally many trees; the rest is left out.

    Raises
    ------
    ValueError
        If there are fewer trees than parts.
    """
    each = forest.trees // parts
    if each == 0:
        raise ValueError(f"a forest of {forest.trees} trees has no {parts} parts")
    return [take_trees(forest, i * each, (i + 1) * each) for i in range(parts)]
