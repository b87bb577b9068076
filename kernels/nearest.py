"""Distance to the nearest of many points with amounts and classes, exact, for rows of a raster.

The squared distance of two points is the sum of the squared differences of their amounts, plus a
penalty for each class in which they differ. Points lie in a balanced tree whose nodes know the
range of each amount and the classes present. Neighbours on a map are much alike, so the tree is
walked once for a packet of rows: a node is left out where the box around the whole packet is
farther from it than each row's nearest point so far.

Every distance is summed in the same order by the same operations, and so is every bound, which is
therefore never above the distances that it stands for, to the last bit. What is found hence does
not depend on the tree, on the packet, or on the rows' order. (Friedman, Bentley & Finkel 1977, *ACM
Trans. Math. Softw.* 3, for the tree; packets as in ``kernels/forest_walk.py``.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

#: Points in a leaf at most, and rows in a packet.
LEAF, PACKET = 8, 32
#: A node knows of this many classes of a column apart; more share a bit.
_BITS = 64

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]


@dataclass(frozen=True)
class NearestTree:
    """Points in a balanced binary tree, node ``i`` above ``2 i + 1`` and ``2 i + 2``.

    Parameters
    ----------
    amounts, classes
        Of the points, leaf by leaf, C-contiguous, ``(n, amounts)`` and ``(n, classes)``.
    penalties
        Added to the squared distance where a class differs, ``(classes,)``.
    first
        Position of each leaf's first point and, last, of the end, ``(leaves + 1,)``.
    low, high
        Ranges of the amounts in each node, ``(nodes, amounts)``.
    present
        Classes in each node as bits, ``(nodes, classes)``.
    """

    amounts: Floats
    classes: Codes
    penalties: Floats
    first: NDArray[np.int64]
    low: Floats
    high: Floats
    present: NDArray[np.uint64]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, name).nbytes for name in self.__dataclass_fields__)


def build_tree(amounts: Floats, classes: Codes, penalties: Sequence[float]) -> NearestTree:
    """Put points in a tree.

    Parameters
    ----------
    amounts
        Finite, ``(n, amounts)``, n at least 1.
    classes
        Not negative, ``(n, classes)``.
    penalties
        Of each class column, not negative.
    """
    n = len(amounts)
    if n == 0:
        raise ValueError("there is no nearest of no points")
    own = np.asarray(penalties, np.float32)
    leaves = 1
    while leaves * LEAF < n:
        leaves *= 2
    order, first = np.arange(n), [0, n]
    while len(first) <= leaves:  # a level of the tree after another
        split = [0]
        for i, start in enumerate(first[:-1]):
            end = first[i + 1]
            part = order[start:end]
            values = _most_spread(amounts[part], classes[part], own)
            order[start:end] = part[np.argsort(values, kind="stable")]
            split += [start + (end - start + 1) // 2, end]
        first = split
    kept = np.ascontiguousarray(amounts[order], np.float32)
    codes = np.ascontiguousarray(classes[order], np.int32)
    bounds = np.array(first, np.int64)
    return NearestTree(kept, codes, own, bounds, *_ranges(kept, codes, bounds))


def nearest(
    tree: NearestTree, amounts: Floats, classes: Codes, extra: Floats | None = None
) -> Floats:
    """Return the distance of each row to its nearest point, ``(n,)``.

    Parameters
    ----------
    tree
        The points.
    amounts, classes
        Of the rows, C-contiguous, ``(amounts, n)`` and ``(classes, n)``; rows that are alike
        should lie beside each other, for speed alone.
    extra
        Added to each row's squared distance, ``(n,)``.
    """
    n = amounts.shape[1]
    found = np.zeros(n, np.float32) if extra is None else extra.astype(np.float32)
    _nearest(
        tree.amounts, tree.classes, tree.penalties, tree.first, tree.low, tree.high, tree.present,
        np.ascontiguousarray(amounts, np.float32), np.ascontiguousarray(classes, np.int32), found,
    )  # fmt: skip
    return found


def _most_spread(amounts: Floats, classes: Codes, penalties: Floats) -> NDArray[np.float64]:
    """Return the column by which points are to be split: that which adds most to distances."""
    if len(amounts) == 0:
        return np.zeros(0)
    spread = 2 * amounts.var(axis=0, dtype=np.float64)
    apart = np.zeros(len(penalties))
    for j, penalty in enumerate(penalties):
        shares = np.unique(classes[:, j], return_counts=True)[1] / len(classes)
        apart[j] = penalty * (1 - (shares**2).sum())
    most = int(np.argmax(np.concatenate([spread, apart])))
    if most < len(spread):
        return amounts[:, most].astype(np.float64)
    return classes[:, most - len(spread)].astype(np.float64)


def _ranges(
    amounts: Floats, classes: Codes, first: NDArray[np.int64]
) -> tuple[Floats, Floats, NDArray[np.uint64]]:
    """Return the ranges of amounts and the classes of every node, from the leaves up."""
    leaves = len(first) - 1
    low = np.full((2 * leaves - 1, amounts.shape[1]), np.inf, np.float32)
    high = np.full_like(low, -np.inf)
    present = np.zeros((2 * leaves - 1, classes.shape[1]), np.uint64)
    bits = np.uint64(1) << (classes % _BITS).astype(np.uint64)
    for leaf in range(leaves):
        part, node = slice(first[leaf], first[leaf + 1]), leaves - 1 + leaf
        if first[leaf] < first[leaf + 1]:
            low[node], high[node] = amounts[part].min(axis=0), amounts[part].max(axis=0)
            present[node] = np.bitwise_or.reduce(bits[part], axis=0)
    for node in range(leaves - 2, -1, -1):
        left, right = 2 * node + 1, 2 * node + 2
        low[node], high[node] = (
            np.minimum(low[left], low[right]),
            np.maximum(high[left], high[right]),
        )
        present[node] = present[left] | present[right]
    return low, high, present


@kernel()
def _nearest(
    points: Floats,
    codes: Codes,
    penalties: Floats,
    first: NDArray[np.int64],
    low: Floats,
    high: Floats,
    present: NDArray[np.uint64],
    amounts: Floats,
    classes: Codes,
    found: Floats,
) -> None:
    """Replace `found`, squared distances to be added, by distances."""
    width, kinds, n = points.shape[1], codes.shape[1], amounts.shape[1]
    leaves = len(first) - 1
    x, c = np.empty((width, PACKET), np.float32), np.empty((kinds, PACKET), np.int32)
    box_low, box_high = np.empty(width, np.float32), np.empty(width, np.float32)
    box_present = np.empty(kinds, np.uint64)
    best, sums = np.empty(PACKET, np.float32), np.empty(PACKET, np.float32)
    waiting, bounds = np.empty(128, np.int64), np.empty(128, np.float32)
    start = 0  # the leaf from which the packet before came out
    for begin in range(0, n, PACKET):
        rows = min(PACKET, n - begin)
        for j in range(width):
            for i in range(PACKET):
                x[j, i] = amounts[j, begin + min(i, rows - 1)]
            box_low[j], box_high[j] = x[j].min(), x[j].max()
        for j in range(kinds):
            box_present[j] = 0
            for i in range(PACKET):
                c[j, i] = classes[j, begin + min(i, rows - 1)]
                box_present[j] |= np.uint64(1) << np.uint64(c[j, i] % _BITS)
        best[:] = np.inf
        most = np.float32(np.inf)
        _scan(points, codes, penalties, first[start], first[start + 1], x, c, sums, best)
        most = best.max()
        held, used = start, 1
        waiting[0], bounds[0] = 0, 0.0
        closest = most
        while used > 0:
            used -= 1
            node = waiting[used]
            if bounds[used] >= most:
                continue
            while node < leaves - 1:
                left, right = 2 * node + 1, 2 * node + 2
                to_left = _bound(
                    low[left], high[left], present[left], penalties, box_low, box_high, box_present
                )
                to_right = _bound(
                    low[right], high[right], present[right], penalties,
                    box_low, box_high, box_present,
                )  # fmt: skip
                near, far = (left, right) if to_left <= to_right else (right, left)
                if max(to_left, to_right) < most:
                    waiting[used], bounds[used] = far, max(to_left, to_right)
                    used += 1
                if min(to_left, to_right) >= most:
                    node = -1
                    break
                node = near
            if node >= 0 and node - (leaves - 1) != start:
                leaf = node - (leaves - 1)
                _scan(points, codes, penalties, first[leaf], first[leaf + 1], x, c, sums, best)
                most = best.max()
                if most < closest:
                    closest, held = most, leaf
        start = held
        for i in range(rows):
            found[begin + i] = np.sqrt(best[i] + found[begin + i])


@kernel(inline=True)
def _bound(
    low: Floats,
    high: Floats,
    present: NDArray[np.uint64],
    penalties: Floats,
    box_low: Floats,
    box_high: Floats,
    box_present: NDArray[np.uint64],
) -> np.float32:
    """Return a squared distance that no point of a node and no row of a packet are nearer than."""
    total = np.float32(0.0)
    for j in range(len(low)):
        gap = max(low[j] - box_high[j], box_low[j] - high[j])
        gap = max(gap, np.float32(0.0))
        total += gap * gap
    for j in range(len(present)):
        if present[j] & box_present[j] == 0:
            total += penalties[j]
    return total


@kernel(inline=True)
def _scan(
    points: Floats,
    codes: Codes,
    penalties: Floats,
    begin: int,
    end: int,
    x: Floats,
    c: Codes,
    sums: Floats,
    best: Floats,
) -> None:
    """Lower `best` where a point of a leaf is nearer."""
    for p in range(begin, end):
        for i in range(PACKET):
            sums[i] = 0.0
        for j in range(points.shape[1]):
            at = points[p, j]
            for i in range(PACKET):
                gap = x[j, i] - at
                sums[i] += gap * gap
        for j in range(codes.shape[1]):
            for i in range(PACKET):
                sums[i] += penalties[j] if c[j, i] != codes[p, j] else np.float32(0.0)
        for i in range(PACKET):
            best[i] = min(best[i], sums[i])
