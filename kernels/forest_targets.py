"""The training targets in the leaves of a forest, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .jit import kernel


@dataclass(frozen=True)
class LeafTargets:
    """The training targets of each leaf, each value once with how often it is there.

    Parameters
    ----------
    start
        Where each leaf's entries begin, int64, ``(leaves + 1,)``.
    place
        Place of each entry in `values`, ascending in a leaf, int32.
    times
        How often it is in the leaf, int16, or int32 where a row's leaves may hold more together.
    values
        Distinct training targets, ascending, float64.
    """

    start: NDArray[np.int64]
    place: NDArray[np.int32]
    times: NDArray[np.int16] | NDArray[np.int32]
    values: NDArray[np.float64]


def leaf_targets(
    leaf_start: NDArray[np.int64],
    leaf_rank: NDArray[np.int32],
    sorted_y: NDArray[np.float64],
    trees: int,
) -> LeafTargets:
    """Count the distinct targets of each leaf.

    Parameters
    ----------
    leaf_start, leaf_rank, sorted_y
        As in :class:`~edaphos.kernels.forest.ForestArrays`.
    trees
        Their number.
    """
    values, place_of = np.unique(sorted_y, return_inverse=True)
    start = np.empty(len(leaf_start), np.int64)
    place, times = np.empty(len(leaf_rank), np.int32), np.empty(len(leaf_rank), np.int32)
    used = _leaf_targets(leaf_start, place_of.astype(np.int32)[leaf_rank], start, place, times)
    most = trees * int(np.diff(leaf_start).max(initial=0))
    few = most <= np.iinfo(np.int16).max
    counted = times[:used].astype(np.int16) if few else times[:used].copy()
    return LeafTargets(start, place[:used].copy(), counted, values)


@kernel()
def _leaf_targets(
    leaf_start: NDArray[np.int64],
    places: NDArray[np.int32],
    start: NDArray[np.int64],
    place: NDArray[np.int32],
    times: NDArray[np.int32],
) -> int:
    used = 0
    for leaf in range(leaf_start.shape[0] - 1):
        start[leaf] = used
        own = np.sort(places[leaf_start[leaf] : leaf_start[leaf + 1]])
        for i in range(own.shape[0]):
            if i > 0 and own[i] == own[i - 1]:
                times[used - 1] += 1
            else:
                place[used], times[used] = own[i], 1
                used += 1
    start[-1] = used
    return used
