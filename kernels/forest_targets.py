"""The training targets in the leaves of a forest, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

#: A key is the place of a target among all, and in its lower bits how often it is there.
TIMES_BITS = np.uint64(32)
#: Marks the word of a leaf that is not the key of its only target: where its keys begin, and in
#: its lower bits how many they are.
MANY = np.uint64(1 << 63)
LENGTH_BITS = np.uint64(24)


@dataclass(frozen=True)
class LeafTargets:
    """The training targets of each leaf, each value once with how often it is there.

    Parameters
    ----------
    words
        Of each leaf: the key of its only target, or where its keys are, uint64, ``(leaves,)``.
    keys
        Of the targets of the other leaves, ascending in each, uint64.
    values
        Distinct training targets, ascending, float64.
    most
        Targets in the leaves of a row, at most.
    """

    words: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    values: NDArray[np.float64]
    most: int


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

    Raises
    ------
    ValueError
        For a leaf of more distinct targets than a word can tell.
    """
    values, place_of = np.unique(sorted_y, return_inverse=True)
    largest = int(np.diff(leaf_start).max(initial=0))
    if largest >> int(LENGTH_BITS):
        raise ValueError(f"a leaf holds {largest:,} targets, and {1 << int(LENGTH_BITS):,} is most")
    words = np.empty(len(leaf_start) - 1, np.uint64)
    keys = np.empty(len(leaf_rank), np.uint64)
    used = _leaf_targets(leaf_start, place_of.astype(np.uint64)[leaf_rank], words, keys)
    return LeafTargets(words, keys[:used].copy(), values, trees * largest)


@kernel()
def _leaf_targets(
    leaf_start: NDArray[np.int64],
    places: NDArray[np.uint64],
    words: NDArray[np.uint64],
    keys: NDArray[np.uint64],
) -> int:
    used = 0
    for leaf in range(words.shape[0]):
        own = np.sort(places[leaf_start[leaf] : leaf_start[leaf + 1]])
        first = used
        for i in range(own.shape[0]):
            if i > 0 and own[i] == own[i - 1]:
                keys[used - 1] += np.uint64(1)
            else:
                keys[used] = (own[i] << TIMES_BITS) | np.uint64(1)
                used += 1
        if used == first + 1:
            words[leaf] = keys[first]
            used = first
        else:
            words[leaf] = MANY | (np.uint64(first) << LENGTH_BITS) | np.uint64(used - first)
    return used
