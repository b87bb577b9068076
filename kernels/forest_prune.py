"""A forest with larger leaves, from the same trees: splits into too few rows are taken back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .forest import LEAF, ForestArrays
from .jit import kernel


def pruned(forest: ForestArrays, least: int) -> ForestArrays:
    """Return a forest whose leaves hold at least `least` of the rows drawn for a tree.

    A split is taken back, and all below it, where either side has fewer. A tree with fewer rows
    than that is one leaf. Rows drawn twice count twice, so that a forest grown with leaves of k
    rows has none to take back for `least` up to k. The training targets of leaves stay where they
    are: those below a node follow one another.

    Parameters
    ----------
    forest
        With the targets of its leaves (:func:`~edaphos.kernels.forest_parts.join_trees` drops
        them), numbered depth first as :func:`~edaphos.engine.models.forest_arrays.pack` does.
    least
        Rows.

    Raises
    ------
    ValueError
        For a forest that was put together for means only.
    """
    if len(forest.leaf_start) != len(forest.leaf_mean) + 1:
        raise ValueError("this forest does not know the targets of its leaves: no pruning")
    nodes = len(forest.feature)
    kept, is_leaf = np.empty(nodes, np.int64), np.empty(nodes, np.bool_)
    right, roots = np.empty(nodes, np.int32), np.empty(len(forest.roots), np.int64)
    first = np.empty(len(forest.leaf_mean), np.int64)
    # copies, as they may be mapped from files: that would be other types to compile for
    used, leaves = _prune(
        np.array(forest.roots),
        np.array(forest.feature),
        np.array(forest.right),
        np.array(forest.leaf_start),
        least,
        kept,
        is_leaf,
        right,
        roots,
        first,
    )
    kept, is_leaf, first = kept[:used], is_leaf[:used], first[:leaves]
    size = np.diff(forest.leaf_start)
    start = np.append(forest.leaf_start[first], forest.leaf_start[-1])
    return replace(
        forest,
        roots=roots,
        feature=np.where(is_leaf, LEAF, forest.feature[kept]).astype(np.int16),
        threshold=forest.threshold[kept],
        right=right[:used].copy(),
        missing_left=forest.missing_left[kept],
        leaf_mean=np.add.reduceat(forest.leaf_mean * size, first) / np.diff(start),
        leaf_start=start,
    )


@kernel()
def _prune(
    roots: NDArray[np.int64],
    feature: NDArray[np.int16],
    right: NDArray[np.int32],
    leaf_start: NDArray[np.int64],
    least: int,
    kept: NDArray[np.int64],
    is_leaf: NDArray[np.bool_],
    new_right: NDArray[np.int32],
    new_roots: NDArray[np.int64],
    first: NDArray[np.int64],
) -> tuple[int, int]:
    """Fill in the nodes that stay and the first leaf of each that becomes one; count both.

    `new_right` are indices of right children among those that stay; of leaves, of the leaf.
    """
    count = feature.shape[0]
    end = np.empty(count, np.int64)  # of the nodes below each, one past the last
    leaf = np.empty(count + 1, np.int64)  # leaves before each node
    leaf[0] = 0
    for node in range(count):
        leaf[node + 1] = leaf[node] + (1 if feature[node] < 0 else 0)
    for node in range(count - 1, -1, -1):
        end[node] = node + 1 if feature[node] < 0 else end[right[node]]
    place = np.empty(count, np.int64)  # of a node among those that stay
    used = leaves = 0
    for tree in range(roots.shape[0] - 1):
        new_roots[tree] = used
        node, begin = roots[tree], used
        while node < roots[tree + 1]:
            ends = feature[node] < 0
            if not ends:
                middle = leaf_start[leaf[right[node]]]
                left_rows = middle - leaf_start[leaf[node]]
                ends = min(left_rows, leaf_start[leaf[end[node]]] - middle) < least
            kept[used], is_leaf[used], place[node] = node, ends, used
            if ends:
                new_right[used], first[leaves] = leaves, leaf[node]
                leaves += 1
            used += 1
            node = end[node] if ends else node + 1
        for at in range(begin, used):
            if not is_leaf[at]:
                new_right[at] = place[right[kept[at]]]
    new_roots[-1] = used
    return used, leaves
