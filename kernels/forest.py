"""A regression forest: the mean and quantiles of many rows in one pass.

A forest is a handful of flat arrays (:class:`ForestArrays`), which can be memory-mapped. Trees
are stored depth first, so that a node's left child is the next row. Thresholds are float32 and
rounded down, which makes every decision ``x <= threshold`` of a float32 ``x`` the same as with
scikit-learn's float64 thresholds. How trees are walked is in ``forest_walk.py``: fast where rows
are neighbours on a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .forest_nodes import ForestNodes, pack_nodes
from .forest_quantiles import tree_quantiles
from .forest_targets import LeafTargets, leaf_targets
from .forest_walk import tree_leaves, tree_sums

LEAF = -1


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

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, and of what is made of them to walk."""
        own = sum(getattr(self, field.name).nbytes for field in fields(self))
        return int(own + 8 * len(self.feature) + 16 * len(self.leaf_rank))

    @cached_property
    def nodes(self) -> ForestNodes:
        """The nodes made ready to be walked."""
        return self.nodes_where({})

    def nodes_where(self, known: Mapping[int, float]) -> ForestNodes:
        """Return the nodes that are left where some features are known.

        Leaves keep their indices, and a row its leaf in each tree.

        Parameters
        ----------
        known
            Values of features, by their column.
        """
        features = max(int(self.feature.max(initial=0)) + 1, *(f + 1 for f in known), 1)
        values = np.full(features, np.nan, np.float32)
        for feature, value in known.items():
            values[feature] = value
        return pack_nodes(
            self.roots, self.feature, self.threshold, self.right, self.missing_left, values
        )

    @cached_property
    def targets(self) -> LeafTargets:
        """The training targets of each leaf, counted.

        Raises
        ------
        ValueError
            For a forest that was put together for means only.
        """
        if len(self.leaf_start) != len(self.leaf_mean) + 1:
            raise ValueError("this forest does not know the targets of its leaves: no quantiles")
        return leaf_targets(self.leaf_start, self.leaf_rank, self.sorted_y, self.trees)


class Predicted(NamedTuple):
    """What a forest says of rows.

    Parameters
    ----------
    mean
        Mean over trees of the leaf means, ``(n,)``.
    quantiles
        Of the training targets that share leaves with the row, ``(n, q)``.
    spread
        Standard deviation over trees of the leaf means, ``(n,)``, dividing by their number; empty
        unless asked for. Its error is about 1e-16 of the target's variance over the spread.
    """

    mean: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    spread: NDArray[np.float64]


def predict(
    forest: ForestArrays,
    rows: NDArray[np.float32],
    quantiles: NDArray[np.float64],
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and quantiles of the predictive distribution of each row.

    The mean averages the leaf means over trees (Breiman 2001). Quantiles are those of all in-bag
    training targets that share a leaf with the row, pooled over trees, interpolated linearly
    between order statistics: the conditional distribution of Meinshausen (2006, *JMLR* 7), each
    leaf weighted by its size, as ``quantile-forest`` computes it by default with
    ``max_samples_leaf=None``. In the paper's own weights leaves weigh alike whatever their size;
    counts instead of weights are what makes the walk fast, and with leaves of five rows or more
    move quantiles by about a hundredth of the 90 % interval's width, the highest of skewed targets
    by up to six (``benchmarks/forest.py`` measures it). Summation runs in tree order, so a row's
    result depends neither on the rows beside it nor on threads; the walk is fastest where
    neighbouring rows are alike.

    Parameters
    ----------
    forest
        The forest.
    rows
        Features, float32, ``(n, features)``; NaN is missing.
    quantiles
        Ascending or not, each in 0..1, shape ``(q,)``; may be empty.
    threads
        That share the rows.

    Returns
    -------
    mean, quantiles
        Shapes ``(n,)`` and ``(n, q)``, in units of the training target.
    """
    return predict_columns(forest, np.ascontiguousarray(rows.T), quantiles, threads=threads)[:2]


def predict_columns(
    forest: ForestArrays,
    columns: NDArray[np.float32],
    quantiles: NDArray[np.float64],
    *,
    nodes: ForestNodes | None = None,
    spread: bool = False,
    threads: int = 1,
) -> Predicted:
    """Return what :func:`predict` does, and the spread over trees, for features as columns.

    Parameters
    ----------
    forest, quantiles, threads
        As in :func:`predict`.
    columns
        Features, C-contiguous float32, ``(features, n)``; NaN is missing.
    nodes
        Of the forest, where some features are known (:meth:`ForestArrays.nodes_where`): their
        columns are not looked at, and may be left out where they are the last ones.
    spread
        Whether to tell the spread over trees.
    """
    nodes = forest.nodes if nodes is None else nodes
    # a copy, as it may be mapped from a file: that would be another type to compile for
    values, centre = np.array(forest.leaf_mean[None]), 0.0
    if spread:
        centre = float(forest.leaf_mean.mean())
        values = np.stack([forest.leaf_mean, (forest.leaf_mean - centre) ** 2])
    if len(quantiles):
        sums, found = tree_quantiles(nodes, values, forest.targets, columns, quantiles, threads)
    else:
        sums, found = (
            tree_sums(nodes, values, columns, 1, threads)[:, 0],
            np.empty((len(columns.T), 0)),
        )
    mean = sums[0] / forest.trees
    variance = [] if not spread else np.maximum(sums[1] / forest.trees - (mean - centre) ** 2, 0)
    return Predicted(mean, found, np.sqrt(variance))


def log_centre(forest: ForestArrays, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``expm1`` of the mean of ``log1p(y)``: the centre on the log scale, ``(n,)``.

    This is what a forest trained on ``log1p(y)`` and back-transformed without correction gives;
    it lies below the arithmetic mean, and is what scores on the log scale are for.
    """
    sizes = np.diff(forest.leaf_start)
    logs = np.log1p(forest.sorted_y)[forest.leaf_rank]
    leaf_log = np.add.reduceat(logs, forest.leaf_start[:-1]) / sizes
    sums = tree_sums(forest.nodes, leaf_log[None], np.ascontiguousarray(rows.T))
    return np.expm1(sums[0, 0] / forest.trees)


def leaves(
    forest: ForestArrays, rows: NDArray[np.float32], nodes: ForestNodes | None = None
) -> NDArray[np.int32]:
    """Return the leaf index of each row in each tree, shape ``(n, trees)``."""
    columns = np.ascontiguousarray(rows.T)
    return tree_leaves(forest.nodes if nodes is None else nodes, columns)
