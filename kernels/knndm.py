"""Folds whose test points lie as far from training points as a map's cells lie from the samples.

kNNDM (Linnenbrink, Milà, Ludwig & Meyer 2024, *Geosci. Model Dev.* 17, 5897-5912), from the paper:
samples are clustered hierarchically (Ward), and for many numbers of clusters these are merged into
k folds along the first principal component of their positions; that partition is taken whose
distances between test points and their nearest training point are distributed most like those
between prediction points and their nearest sample, by Wasserstein's distance.

Points are unit vectors, in which Euclidean neighbours are great-circle neighbours; distances told
are great-circle distances in km. Clusters are of vectors, by chords.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .jit import kernel
from .random_field import EARTH_RADIUS_KM

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

#: Neighbours of each point that are kept, among which the nearest of another fold mostly is.
KEPT_NEIGHBOURS = 32


def unit_vectors(lon: Floats, lat: Floats) -> Floats:
    """Return points of the sphere (degrees) as vectors of length 1, ``(n, 3)``."""
    east, north = np.radians(lon), np.radians(lat)
    return np.stack(
        [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1
    )


def arc_km(chord: Floats) -> Floats:
    """Return the great-circle distance of points of the unit sphere that a chord joins."""
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / 2, 1.0))


def nearest_km(to: Floats, points: Floats) -> Floats:
    """Return the distance of each vector to the nearest of others, ``(n,)``."""
    return arc_km(cKDTree(to).query(points)[0])


class Neighbourhood:
    """Distinct points and their neighbours, for asking many partitions how far folds are apart."""

    def __init__(self, points: Floats) -> None:
        self.points = points
        kept = min(KEPT_NEIGHBOURS, len(points) - 1)
        distance, index = cKDTree(points).query(points, kept + 1)
        self.distance, self.index = distance[:, 1:], index[:, 1:]

    def nearest_km(self) -> Floats:
        """Return the distance of each point to the nearest other one, ``(n,)``."""
        return arc_km(self.distance[:, 0])

    def nearest_of_other_folds_km(self, folds: Codes) -> Floats:
        """Return the distance of each point to the nearest one of another fold, ``(n,)``."""
        other = folds[self.index] != folds[:, None]
        first = other.argmax(axis=1)
        rows = np.arange(len(folds))
        found = self.distance[rows, first]
        far = ~other[rows, first]  # all neighbours that were kept are of the same fold
        for fold in np.unique(folds[far]):
            asked = far & (folds == fold)
            tree = cKDTree(self.points[folds != fold], balanced_tree=False, compact_nodes=False)
            found[asked] = tree.query(self.points[asked])[0]
        return arc_km(found)


def wasserstein(one: Floats, other: Floats) -> float:
    """Return the area between two empirical distribution functions, in units of the values.

    >>> wasserstein(np.array([0.0, 1.0]), np.array([1.0, 4.0]))
    2.0
    """
    values = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(v), values[:-1], side="right") / len(v) for v in (one, other)]
    return float(np.sum(np.abs(below[0] - below[1]) * np.diff(values)))


def ward(points: Floats, sizes: Floats) -> tuple[Codes, Floats]:
    """Cluster points hierarchically so that each merging adds least to the squares within.

    Ward's method by chains of nearest neighbours (Murtagh 1983, *Comput. J.* 26), of clusters by
    their centres and sizes: time grows with the square of n, memory with n.

    Parameters
    ----------
    points
        Shape ``(n, axes)``.
    sizes
        How many each point stands for.

    Returns
    -------
    merged, added
        Two points, one of each of the two clusters merged, ``(n - 1, 2)``, and what that added to
        the squares within, ascending.
    """
    merged, added = _ward(points.copy(), sizes.astype(np.float64).copy())
    order = np.argsort(added, kind="stable")
    return merged[order], added[order]


def cut(merged: Codes, numbers: Codes) -> Codes:
    """Return the cluster of each point for several numbers of clusters, ``(numbers, n)``.

    Parameters
    ----------
    merged
        As :func:`ward` gives it.
    numbers
        Clusters wanted, descending.
    """
    n = len(merged) + 1
    parent = np.arange(n)
    found = np.empty((len(numbers), n), np.int64)
    done = 0
    for i, number in enumerate(numbers):
        _unite(parent, merged[done : n - int(number)])
        done = max(done, n - int(number))
        found[i] = np.unique(parent, return_inverse=True)[1]
    return found


def merge_into_folds(points: Floats, clusters: Codes, sizes: Floats, folds: int) -> Codes:
    """Return the fold of each point: whole clusters, dealt along the first principal component.

    Each `folds` clusters that follow each other along it are given one to each fold, of these the
    largest to the fold that holds least.

    Parameters
    ----------
    points, clusters, sizes
        Vectors, cluster from 0, and how many each stands for, ``(n, axes)`` and ``(n,)``.
    """
    weight = np.bincount(clusters, sizes)
    centres = np.stack([np.bincount(clusters, sizes * axis) / weight for axis in points.T], axis=1)
    middle = np.average(points, axis=0, weights=sizes)
    spread = (points - middle).T * sizes @ (points - middle)
    axis = np.linalg.eigh(spread)[1][:, -1]
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    order = np.argsort(centres @ axis, kind="stable")
    filled = np.zeros(folds)
    fold_of = np.empty(len(weight), np.int64)
    for first in range(0, len(order), folds):
        dealt = order[first : first + folds]
        dealt = dealt[np.argsort(-weight[dealt], kind="stable")]
        emptiest = np.argsort(filled, kind="stable")[: len(dealt)]
        fold_of[dealt] = emptiest
        filled[emptiest] += weight[dealt]
    return fold_of[clusters]


@kernel()
def _ward(centres: Floats, sizes: Floats) -> tuple[Codes, Floats]:
    n, axes = centres.shape
    merged, added = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
    alive = np.arange(n)  # positions of clusters, the first `left` of them
    place = np.arange(n)
    left, used, done = n, 0, 0
    chain = np.empty(n, np.int64)
    while done < n - 1:
        if used == 0:
            chain[0], used = alive[0], 1
        while True:
            top = int(chain[used - 1])
            before = int(chain[used - 2]) if used > 1 else -1
            best, nearest = np.inf, -1
            if before >= 0:  # of equals the one before, so that chains end
                nearest, best = before, _cost(centres, sizes, top, before, axes)
            for i in range(left):
                other = int(alive[i])
                if other != top:
                    cost = _cost(centres, sizes, top, other, axes)
                    if cost < best:
                        best, nearest = cost, other
            if nearest == before:
                break
            chain[used] = nearest
            used += 1
        one, other = min(top, before), max(top, before)
        used -= 2
        merged[done, 0], merged[done, 1], added[done] = one, other, best
        done += 1
        total = sizes[one] + sizes[other]
        for a in range(axes):
            centres[one, a] = (
                sizes[one] * centres[one, a] + sizes[other] * centres[other, a]
            ) / total
        sizes[one] = total
        left -= 1
        last, gap = alive[left], place[other]
        alive[gap], place[last] = last, gap
    return merged, added


@kernel(inline=True)
def _cost(centres: Floats, sizes: Floats, one: int, other: int, axes: int) -> float:
    apart = 0.0
    for a in range(axes):
        gap = centres[one, a] - centres[other, a]
        apart += gap * gap
    return apart * sizes[one] * sizes[other] / (sizes[one] + sizes[other])


@kernel()
def _unite(parent: Codes, merged: Codes) -> None:
    """Join the clusters that pairs of points are of; `parent` then tells each point's root."""
    for i in range(len(merged)):
        one, other = merged[i, 0], merged[i, 1]
        while parent[one] != one:
            one = parent[one]
        while parent[other] != other:
            other = parent[other]
        parent[max(one, other)] = min(one, other)
    for i in range(len(parent)):
        parent[i] = parent[parent[i]]  # roots come first
