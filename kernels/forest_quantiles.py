"""Quantiles of the training targets that share leaves with a row, for 64 rows at once.

All that a group's rows find in the leaves of all trees is counted twice over. First into a coarse
histogram with a column for each row, 64 at a time: it tells in which buckets the wanted order
statistics lie. Then what lies in those buckets is collected for each row, sorted, and looked
through. Counts are integers, so nothing is rounded but the interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .forest_nodes import ForestNodes
from .forest_walk import (
    FOUND_GROUP,
    FOUND_LEAF,
    FOUND_MASK,
    fill_block,
    groups_at_once,
    over_blocks,
    scratch,
    walk_tree,
)
from .jit import kernel
from .lanes import LANES, add_where, lowest

#: Buckets of the coarse histogram, at most: 64 columns of them stay in the first-level cache.
MOST_BUCKETS = 128
#: Groups in a block, at most: what is found in all trees is kept for each of them.
MOST_GROUPS = 32
#: Fewer than this are sorted by insertion.
_FEW = 24

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_LANES, _COUNT_BITS = np.uint64(LANES), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_VALUE, _TIMES = 0, 1


@dataclass(frozen=True)
class LeafTargets:
    """The training targets of each leaf, each value once with how often it is there.

    Parameters
    ----------
    start
        Where each leaf's runs begin, int64, ``(leaves + 1,)``.
    runs
        Place of the value in `values`, and how often it is in the leaf, int32, ``(runs, 2)``.
    values
        Distinct training targets, ascending, float64.
    """

    start: NDArray[np.int64]
    runs: NDArray[np.int32]
    values: NDArray[np.float64]


def leaf_targets(
    leaf_start: NDArray[np.int64], leaf_rank: NDArray[np.int32], sorted_y: NDArray[np.float64]
) -> LeafTargets:
    """Count the distinct targets of each leaf.

    Parameters
    ----------
    leaf_start, leaf_rank, sorted_y
        As in :class:`~edaphos.kernels.forest.ForestArrays`.
    """
    values, place = np.unique(sorted_y, return_inverse=True)
    start = np.empty(len(leaf_start), np.int64)
    runs = np.empty((len(leaf_rank), 2), np.int32)
    used = _leaf_targets(leaf_start, place.astype(np.int32)[leaf_rank], start, runs)
    return LeafTargets(start, runs[:used].copy(), values)


@kernel()
def _leaf_targets(
    leaf_start: NDArray[np.int64],
    places: NDArray[np.int32],
    start: NDArray[np.int64],
    runs: NDArray[np.int32],
) -> int:
    used = 0
    for leaf in range(leaf_start.shape[0] - 1):
        start[leaf] = used
        own = np.sort(places[leaf_start[leaf] : leaf_start[leaf + 1]])
        for i in range(own.shape[0]):
            if i > 0 and own[i] == own[i - 1]:
                runs[used - 1, _TIMES] += 1
            else:
                runs[used, _VALUE], runs[used, _TIMES] = own[i], 1
                used += 1
    start[-1] = used
    return used


def tree_quantiles(
    nodes: ForestNodes,
    leaf_values: NDArray[np.float64],
    targets: LeafTargets,
    columns: NDArray[np.float32],
    quantiles: NDArray[np.float64],
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums over trees, and quantiles of the pooled targets of each row's leaves.

    Parameters
    ----------
    nodes, leaf_values, columns, threads
        As in :func:`~edaphos.kernels.forest_walk.tree_sums`.
    targets
        Of each leaf.
    quantiles
        Each in 0..1, ``(q,)``.

    Returns
    -------
    sums, quantiles
        Of the leaf's values over all trees, ``(values, n)``, with the bits of
        :func:`~edaphos.kernels.forest_walk.tree_sums`; and linear between order statistics,
        ``(n, q)``.
    """
    groups = min(groups_at_once(nodes, columns), MOST_GROUPS)
    shift = max(0, (len(targets.values) - 1).bit_length() - (MOST_BUCKETS - 1).bit_length())
    sums = np.empty((len(leaf_values), columns.shape[1]))
    found = np.empty((columns.shape[1], len(quantiles)))
    told = (targets.start, targets.runs, targets.values)

    def run(first: int, last: int) -> None:
        _tree_quantiles(
            *nodes.parts,
            leaf_values,
            *told,
            columns,
            first,
            last,
            groups,
            shift,
            quantiles,
            sums,
            found,
        )

    over_blocks(run, columns.shape[1], groups, threads)
    return sums, found


@kernel()
def _count(
    leaves: NDArray[np.uint32],
    masks: NDArray[np.uint64],
    start: NDArray[np.int64],
    runs: NDArray[np.int32],
    shift: int,
    counts: NDArray[np.int32],
) -> None:
    """Fill `counts` with how many targets of each row lie in each bucket or a lower one."""
    counts[:] = 0
    flat = counts.reshape(-1)
    for i in range(leaves.shape[0]):
        for run in range(start[leaves[i]], start[leaves[i] + 1]):
            place = np.uint64(runs[run, _VALUE] >> shift) * _LANES
            add_where(flat, place, masks[i], runs[run, _TIMES])
    for bucket in range(1, counts.shape[0]):
        for lane in range(LANES):
            counts[bucket, lane] += counts[bucket - 1, lane]


@kernel()
def _buckets(
    counts: NDArray[np.int32], quantiles: NDArray[np.float64], bucket_of: NDArray[np.int32]
) -> None:
    """Fill in the bucket of the order statistic below each quantile, ``(q, 64)``."""
    below = np.empty(LANES, np.int32)
    for q in range(quantiles.shape[0]):
        for lane in range(LANES):
            below[lane] = np.int32(np.floor(quantiles[q] * (counts[-1, lane] - 1)))
            bucket_of[q, lane] = 0
        for bucket in range(counts.shape[0]):
            for lane in range(LANES):
                bucket_of[q, lane] += np.int32(counts[bucket, lane] <= below[lane])


@kernel()
def _sort(keys: NDArray[np.uint64]) -> None:
    if keys.shape[0] > _FEW:
        keys.sort()
        return
    for i in range(1, keys.shape[0]):
        key = keys[i]
        j = i - 1
        while j >= 0 and keys[j] > key:
            keys[j + 1] = keys[j]
            j -= 1
        keys[j + 1] = key


@kernel()
def _wanted(
    counts: NDArray[np.int32],
    quantiles: NDArray[np.float64],
    bucket_of: NDArray[np.int32],
    rows: int,
    wanted: NDArray[np.uint64],
    begin: NDArray[np.int64],
) -> None:
    """Fill in which rows want what lies in a bucket, and where each row's place begins.

    A quantile wants two order statistics: the second may be the first of a later bucket.
    """
    wanted[:] = 0
    begin[0] = 0
    for lane in range(rows):
        bit, size = _ONE << np.uint64(lane), np.int64(0)
        for q in range(quantiles.shape[0]):
            bucket = bucket_of[q, lane]
            last = counts.shape[0] - 1
            above = np.int64(np.floor(quantiles[q] * (counts[last, lane] - 1))) + 1
            for _ in range(2):
                if wanted[bucket] & bit == _ZERO:
                    wanted[bucket] |= bit
                    size += counts[bucket, lane]
                    if bucket > 0:
                        size -= counts[bucket - 1, lane]
                while bucket < last and counts[bucket, lane] <= above:
                    bucket += 1
        begin[lane + 1] = begin[lane] + size


@kernel()
def _collect(
    leaves: NDArray[np.uint32],
    masks: NDArray[np.uint64],
    start: NDArray[np.int64],
    runs: NDArray[np.int32],
    shift: int,
    wanted: NDArray[np.uint64],
    end: NDArray[np.int64],
    kept: NDArray[np.uint64],
) -> None:
    """Put what lies in wanted buckets in each row's place, moving the place's end."""
    for i in range(leaves.shape[0]):
        for run in range(start[leaves[i]], start[leaves[i] + 1]):
            value = runs[run, _VALUE]
            mask = masks[i] & wanted[value >> shift]
            if mask != _ZERO:
                key = (np.uint64(value) << _COUNT_BITS) | np.uint64(runs[run, _TIMES])
                while mask != _ZERO:
                    lane = lowest(mask)
                    kept[end[lane]] = key
                    end[lane] += 1
                    mask &= mask - _ONE


@kernel()
def _interpolate(
    keys: NDArray[np.uint64],
    shift: int,
    bucket: np.int64,
    before: np.int64,
    position: np.float64,
    values: NDArray[np.float64],
) -> np.float64:
    """Return the quantile at `position` of a row's targets, of which `keys` holds some, sorted.

    `before` of them lie below `bucket`, and `bucket` is wanted.
    """
    below = np.int64(np.floor(position))
    place = 0
    while np.int64(keys[place] >> _COUNT_BITS) >> shift < bucket:
        place += 1
    seen = before + np.int64(keys[place] & _LOW)
    while seen <= below:
        place += 1
        seen += np.int64(keys[place] & _LOW)
    low = values[keys[place] >> _COUNT_BITS]
    # at the last order statistic nothing lies above, and nothing of it is taken
    high = low
    if seen <= below + 1 and place + 1 < keys.shape[0]:
        high = values[keys[place + 1] >> _COUNT_BITS]
    return low + (position - below) * (high - low)


@kernel()
def _tree_quantiles(
    nodes: NDArray[np.uint32],
    roots: NDArray[np.uint64],
    feature_bits: int,
    depth: int,
    leaf_values: NDArray[np.float64],
    start: NDArray[np.int64],
    runs: NDArray[np.int32],
    distinct: NDArray[np.float64],
    columns: NDArray[np.float32],
    first: int,
    last: int,
    groups: int,
    shift: int,
    quantiles: NDArray[np.float64],
    sums: NDArray[np.float64],
    result: NDArray[np.float64],
) -> None:
    values, low, high, gaps, list_, waiting, found = scratch(columns.shape[0], groups, depth)
    flat, size = values.reshape(-1), values.shape[1]
    kinds, trees = sums.shape[0], roots.shape[0]
    block = np.empty(kinds * size)
    leaves = np.empty((groups, LANES * trees), np.uint32)
    masks = np.empty((groups, LANES * trees), np.uint64)
    used = np.empty(groups, np.int64)
    counts = np.empty((((distinct.shape[0] - 1) >> shift) + 1, LANES), np.int32)
    bucket_of = np.empty((quantiles.shape[0], LANES), np.int32)
    wanted = np.empty(counts.shape[0], np.uint64)
    begin, end = np.empty(LANES + 1, np.int64), np.empty(LANES + 1, np.int64)
    kept = np.empty(1, np.uint64)
    for top in range(first, last, size):
        rows = min(size, last - top)
        fill_block(columns, top, top + rows, values, low, high, gaps)
        block[:] = 0.0
        used[:] = 0
        for tree in range(trees):
            lines = walk_tree(
                nodes, roots[tree], feature_bits, flat, low, high, gaps, rows, list_, waiting, found
            )
            for i in range(lines):
                leaf, group, mask = (
                    found[i, FOUND_LEAF],
                    found[i, FOUND_GROUP],
                    found[i, FOUND_MASK],
                )
                leaves[group, used[group]], masks[group, used[group]] = leaf, mask
                used[group] += 1
                for kind in range(kinds):
                    place = np.uint64(kind * size) + group * _LANES
                    add_where(block, place, mask, leaf_values[kind, leaf])
        for kind in range(kinds):
            for i in range(rows):
                sums[kind, top + i] = block[kind * size + i]
        for group in range((rows + LANES - 1) // LANES):
            here = min(LANES, rows - group * LANES)
            own, whose = leaves[group, : used[group]], masks[group, : used[group]]
            _count(own, whose, start, runs, shift, counts)
            _buckets(counts, quantiles, bucket_of)
            _wanted(counts, quantiles, bucket_of, here, wanted, begin)
            if begin[here] > kept.shape[0]:
                kept = np.empty(2 * begin[here], np.uint64)
            end[:here] = begin[:here]
            _collect(own, whose, start, runs, shift, wanted, end, kept)
            for lane in range(here):
                keys = kept[begin[lane] : end[lane]]
                _sort(keys)
                for q in range(quantiles.shape[0]):
                    bucket = np.int64(bucket_of[q, lane])
                    before = np.int64(counts[bucket - 1, lane]) if bucket > 0 else np.int64(0)
                    position = quantiles[q] * (counts[-1, lane] - 1)
                    result[top + group * LANES + lane, q] = _interpolate(
                        keys, shift, bucket, before, position, distinct
                    )
