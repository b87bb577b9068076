"""Distance to the nearest of many points with amounts and classes, exact, for rows of a raster.

The squared distance of two points is the sum of the squared differences of their amounts, plus a
penalty for each class in which they differ. Which points need be looked at is told by the leading
principal axes of the points, along which covariates, being correlated, mostly differ: the distance
along a few axes is never above that along all. Points lie in a balanced tree whose nodes know their
ranges along these axes and the classes present. Neighbours on a map are much alike, so the tree is
walked once for a packet of rows: a node is left out where the box around the whole packet is
farther from it than each row's nearest point so far, and a point where it is so along the axes.

Axes only leave out, with room for their own rounding. Distances are summed over the amounts as
they are, in the same order by the same operations for every pair, so that no bit of what is found
depends on the axes, the tree, the packet, or the rows' order. (Friedman, Bentley & Finkel 1977,
*ACM Trans. Math. Softw.* 3, for the tree; packets as in ``kernels/forest_walk.py``.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

#: Points in a leaf at most, rows in a packet, and axes that are looked at first.
LEAF, PACKET, AXES = 8, 64, 8
#: A node knows of this many classes of a column apart; more share a bit.
_BITS = 64
#: What a distance along axes may be wrong by: a share of itself, and of the largest coordinate.
_OF_ITSELF, _OF_LARGEST = 1e-5, 4e-6

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
    axes
        Leading principal axes of the points, ``(amounts, axes)``, each of length 1.
    leading
        The points along them, ``(n, axes)``.
    low, high
        Ranges along them in each node, ``(nodes, axes)``.
    present
        Classes in each node as bits, ``(nodes, classes)``.
    """

    amounts: Floats
    classes: Codes
    penalties: Floats
    first: NDArray[np.int64]
    axes: NDArray[np.float64]
    leading: Floats
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
    axes = _principal_axes(amounts)
    leading = _along(axes, amounts)
    leaves = 1
    while leaves * LEAF < n:
        leaves *= 2
    order, first = np.arange(n), [0, n]
    while len(first) <= leaves:  # a level of the tree after another
        split = [0]
        for i, start in enumerate(first[:-1]):
            end = first[i + 1]
            part = order[start:end]
            values = _most_spread(leading[part], classes[part], own)
            order[start:end] = part[np.argsort(values, kind="stable")]
            split += [start + (end - start + 1) // 2, end]
        first = split
    kept = np.ascontiguousarray(amounts[order], np.float32)
    codes = np.ascontiguousarray(classes[order], np.int32)
    bounds, along = np.array(first, np.int64), np.ascontiguousarray(leading[order])
    return NearestTree(kept, codes, own, bounds, axes, along, *_ranges(along, codes, bounds))


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
        tree.amounts, tree.classes, tree.penalties, tree.first, tree.axes, tree.leading,
        tree.low, tree.high, tree.present,
        np.ascontiguousarray(amounts, np.float32), np.ascontiguousarray(classes, np.int32), found,
    )  # fmt: skip
    return found


def _principal_axes(amounts: Floats) -> NDArray[np.float64]:
    """Return the axes along which points scatter most, at most :data:`AXES`, as columns."""
    known = amounts.astype(np.float64)
    known -= known.mean(axis=0)
    axes = np.linalg.eigh(known.T @ known)[1][:, ::-1]
    return np.ascontiguousarray(axes[:, :AXES])


def _along(axes: NDArray[np.float64], amounts: Floats) -> Floats:
    """Return points along axes, ``(n, axes)``; rounded once."""
    return (amounts.astype(np.float64) @ axes).astype(np.float32)


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
    axes: NDArray[np.float64],
    leading: Floats,
    low: Floats,
    high: Floats,
    present: NDArray[np.uint64],
    amounts: Floats,
    classes: Codes,
    found: Floats,
) -> None:
    """Replace `found`, squared distances to be added, by distances."""
    width, kinds, n = points.shape[1], codes.shape[1], amounts.shape[1]
    front, leaves = axes.shape[1], len(first) - 1
    x, c = np.empty((width, PACKET), np.float32), np.empty((kinds, PACKET), np.int32)
    ahead, along = np.empty((front, PACKET), np.float32), np.empty(PACKET)
    box_low, box_high = np.empty(front, np.float32), np.empty(front, np.float32)
    box_present = np.empty(kinds, np.uint64)
    best, limit = np.empty(PACKET, np.float32), np.empty(PACKET, np.float32)
    sums = np.empty(PACKET, np.float32)
    waiting, bounds = np.empty(128, np.int64), np.empty(128, np.float32)
    largest = np.float32(0.0)
    for j in range(front):
        largest = max(largest, -low[0, j], high[0, j])
    start = 0  # the leaf from which the packet before came out
    for begin in range(0, n, PACKET):
        rows = min(PACKET, n - begin)
        reach = largest
        for j in range(width):
            for i in range(PACKET):
                x[j, i] = amounts[j, begin + min(i, rows - 1)]
        for a in range(front):
            along[:] = 0.0
            for j in range(width):
                for i in range(PACKET):
                    along[i] += axes[j, a] * x[j, i]
            for i in range(PACKET):
                ahead[a, i] = along[i]
            box_low[a], box_high[a] = ahead[a].min(), ahead[a].max()
            reach = max(reach, -box_low[a], box_high[a])
        for j in range(kinds):
            box_present[j] = 0
            for i in range(PACKET):
                c[j, i] = classes[j, begin + min(i, rows - 1)]
                box_present[j] |= np.uint64(1) << np.uint64(c[j, i] % _BITS)
        room = np.float32(_OF_LARGEST * reach)
        best[:] = np.inf
        limit[:] = np.inf
        most = _scan(
            points, codes, penalties, leading, first[start], first[start + 1], x, c, ahead,
            sums, best, limit, room,
        )  # fmt: skip
        held, used, closest = start, 1, most
        waiting[0], bounds[0] = 0, 0.0
        while used > 0:
            used -= 1
            node = waiting[used]
            if bounds[used] >= most:
                continue
            while node < leaves - 1:
                left, right = 2 * node + 1, 2 * node + 2
                to_left = _bound(
                    low[left], high[left], present[left], penalties,
                    box_low, box_high, box_present, most,
                )  # fmt: skip
                to_right = _bound(
                    low[right], high[right], present[right], penalties,
                    box_low, box_high, box_present, most,
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
                most = _scan(
                    points, codes, penalties, leading, first[leaf], first[leaf + 1], x, c, ahead,
                    sums, best, limit, room,
                )  # fmt: skip
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
    most: np.float32,
) -> np.float32:
    """Return a squared distance that no point of a node and no row of a packet are nearer than.

    Adding stops where it is above `most` already.
    """
    total = np.float32(0.0)
    for j in range(len(low)):
        gap = max(low[j] - box_high[j], box_low[j] - high[j])
        gap = max(gap, np.float32(0.0))
        total += gap * gap
        if total >= most:
            return total
    for j in range(len(present)):
        if present[j] & box_present[j] == 0:
            total += penalties[j]
    return total


@kernel(inline=True)
def _scan(
    points: Floats,
    codes: Codes,
    penalties: Floats,
    leading: Floats,
    begin: int,
    end: int,
    x: Floats,
    c: Codes,
    ahead: Floats,
    sums: Floats,
    best: Floats,
    limit: Floats,
    room: np.float32,
) -> np.float32:
    """Lower `best` where a point of a leaf is nearer; return the largest limit.

    A limit is the squared distance along axes from which on no point can be nearer.
    """
    for p in range(begin, end):
        for i in range(PACKET):
            sums[i] = 0.0
        for a in range(leading.shape[1]):
            at = leading[p, a]
            for i in range(PACKET):
                gap = ahead[a, i] - at
                sums[i] += gap * gap
        near = False
        for i in range(PACKET):
            near |= sums[i] < limit[i]
        if not near:
            continue
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
            away = np.sqrt(best[i]) * np.float32(1 + _OF_ITSELF) + room
            limit[i] = away * away
    return limit.max()
