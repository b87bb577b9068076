"""Walking a regression forest: the mean and quantiles of many rows in one pass.

A forest is a handful of flat arrays (:class:`ForestArrays`), which can be memory-mapped. Trees
are stored depth first, so that a node's left child is the next row. Thresholds are float32 and
rounded down, which makes every decision ``x <= threshold`` of a float32 ``x`` the same as with
scikit-learn's float64 thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

LEAF = -1
#: Rows walked together: leaf indices of a block stay in cache between trees and quantiles.
BLOCK_ROWS = 512
#: Training targets in one bucket of the coarse histogram, as a power of two.
BUCKET_BITS = 8


@dataclass(frozen=True)
class ForestArrays:
    """A fitted forest.

    Parameters
    ----------
    roots
        First node of each tree, int64, shape ``(trees + 1,)``; the last entry is the node count.
    feature
        Feature tested by each node, :data:`LEAF` for a leaf, int16, ``(nodes,)``.
    threshold
        A row goes left where ``x <= threshold``, float32, ``(nodes,)``.
    right
        Inner nodes: index of the right child. Leaves: index of the leaf. int32, ``(nodes,)``.
    missing_left
        Whether NaN goes left, bool, ``(nodes,)``.
    leaf_mean
        Arithmetic mean of the in-bag training targets of each leaf, float64, ``(leaves,)``.
    leaf_start
        Where each leaf's entries begin in `leaf_rank`, int64, ``(leaves + 1,)``.
    leaf_rank
        Ranks (positions in `sorted_y`) of the in-bag training rows of each leaf, a row drawn
        twice listed twice, int32, ``(trees * rows,)``.
    sorted_y
        Training targets in ascending order, float64, ``(rows,)``.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    leaf_mean: NDArray[np.float64]
    leaf_start: NDArray[np.int64]
    leaf_rank: NDArray[np.int32]
    sorted_y: NDArray[np.float64]

    @property
    def trees(self) -> int:
        """Number of trees."""
        return len(self.roots) - 1


def predict(
    forest: ForestArrays, rows: NDArray[np.float32], quantiles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and quantiles of the predictive distribution of each row.

    The mean averages the leaf means over trees (Breiman 2001). Quantiles are those of all in-bag
    training targets that share a leaf with the row, pooled over trees, interpolated linearly
    between order statistics: the conditional distribution of Meinshausen (2006, *JMLR* 7), each
    leaf weighted by its size, as ``quantile-forest`` computes it by default with
    ``max_samples_leaf=None``. Summation runs in tree order on one thread, so a row's result does
    not depend on the rows beside it.

    Parameters
    ----------
    forest
        The forest.
    rows
        Features, C-contiguous float32, ``(n, features)``; NaN is missing.
    quantiles
        Ascending or not, each in 0..1, shape ``(q,)``; may be empty.

    Returns
    -------
    mean, quantiles
        Shapes ``(n,)`` and ``(n, q)``, in units of the training target.
    """
    mean = np.empty(len(rows))
    found = np.empty((len(rows), len(quantiles)))
    _predict(
        forest.roots,
        forest.feature,
        forest.threshold,
        forest.right,
        forest.missing_left,
        forest.leaf_mean,
        forest.leaf_start,
        forest.leaf_rank,
        forest.sorted_y,
        rows,
        quantiles,
        mean,
        found,
    )
    return mean, found


def log_centre(forest: ForestArrays, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``expm1`` of the mean of ``log1p(y)``: the centre on the log scale, ``(n,)``.

    This is what a forest trained on ``log1p(y)`` and back-transformed without correction gives;
    it lies below the arithmetic mean, and is what scores on the log scale are for.
    """
    sizes = np.diff(forest.leaf_start)
    logs = np.log1p(forest.sorted_y)[forest.leaf_rank]
    leaf_log = np.add.reduceat(logs, forest.leaf_start[:-1]) / sizes
    mean, _ = predict(replace(forest, leaf_mean=leaf_log), rows, np.empty(0))
    return np.expm1(mean)


def leaves(forest: ForestArrays, rows: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the leaf index of each row in each tree, shape ``(n, trees)``."""
    out = np.empty((len(rows), forest.trees), np.int32)
    _leaves(
        forest.roots,
        forest.feature,
        forest.threshold,
        forest.right,
        forest.missing_left,
        rows,
        out,
    )
    return out


@kernel()
def _leaves(
    roots: NDArray[np.int64],
    feature: NDArray[np.int16],
    threshold: NDArray[np.float32],
    right: NDArray[np.int32],
    missing_left: NDArray[np.bool_],
    rows: NDArray[np.float32],
    out: NDArray[np.int32],
) -> None:
    for tree in range(out.shape[1]):
        root = roots[tree]
        for i in range(rows.shape[0]):
            node = root
            split = feature[node]
            while split >= 0:
                x = rows[i, split]
                go_left = missing_left[node] if np.isnan(x) else x <= threshold[node]
                node = node + 1 if go_left else np.int64(right[node])
                split = feature[node]
            out[i, tree] = right[node]


@kernel()
def _order_statistic(
    position: np.int64, counts: NDArray[np.int32], coarse: NDArray[np.int32]
) -> int:
    """Return the rank that holds the `position`-th (from 0) of all counted entries."""
    seen = np.int64(0)
    bucket = 0
    while seen + coarse[bucket] <= position:
        seen += coarse[bucket]
        bucket += 1
    rank = bucket << BUCKET_BITS
    while seen + counts[rank] <= position:
        seen += counts[rank]
        rank += 1
    return rank


@kernel()
def _predict(
    roots: NDArray[np.int64],
    feature: NDArray[np.int16],
    threshold: NDArray[np.float32],
    right: NDArray[np.int32],
    missing_left: NDArray[np.bool_],
    leaf_mean: NDArray[np.float64],
    leaf_start: NDArray[np.int64],
    leaf_rank: NDArray[np.int32],
    sorted_y: NDArray[np.float64],
    rows: NDArray[np.float32],
    quantiles: NDArray[np.float64],
    mean: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    trees = roots.shape[0] - 1
    block = np.empty((BLOCK_ROWS, trees), np.int32)
    counts = np.zeros(sorted_y.shape[0], np.int32)
    coarse = np.zeros((sorted_y.shape[0] >> BUCKET_BITS) + 1, np.int32)
    for first in range(0, rows.shape[0], BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, rows.shape[0])
        _leaves(
            roots, feature, threshold, right, missing_left, rows[first:last], block[: last - first]
        )
        for i in range(first, last):
            own = block[i - first]
            total = 0.0
            for tree in range(trees):
                total += leaf_mean[own[tree]]
            mean[i] = total / trees
            if quantiles.shape[0] == 0:
                continue
            entries = np.int64(0)
            for tree in range(trees):
                for k in range(leaf_start[own[tree]], leaf_start[own[tree] + 1]):
                    counts[leaf_rank[k]] += 1
                    coarse[leaf_rank[k] >> BUCKET_BITS] += 1
                entries += leaf_start[own[tree] + 1] - leaf_start[own[tree]]
            for q in range(quantiles.shape[0]):
                position = quantiles[q] * (entries - 1)
                below = np.int64(np.floor(position))
                low = sorted_y[_order_statistic(below, counts, coarse)]
                high = low
                if below + 1 < entries:
                    high = sorted_y[_order_statistic(below + 1, counts, coarse)]
                found[i, q] = low + (position - below) * (high - low)
            for tree in range(trees):
                for k in range(leaf_start[own[tree]], leaf_start[own[tree] + 1]):
                    counts[leaf_rank[k]] = 0
                    coarse[leaf_rank[k] >> BUCKET_BITS] = 0
