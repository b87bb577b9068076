"""Quantiles of the training targets that share leaves with a row, for 64 rows at once.

All that a group's rows find in the leaves of all trees is counted twice over. First into a coarse
histogram with a column for each row, 64 at a time: it tells in which buckets the wanted order
statistics lie. Then what lies in those buckets is collected for each row, sorted, and looked
through. Counts are integers, so nothing is rounded but the interpolation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .forest_nodes import ForestNodes
from .forest_targets import LENGTH_BITS, MANY, TIMES_BITS, LeafTargets
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
MOST_BUCKETS = 256
#: Bytes, at most, of what a block's rows find in all trees: leaves with masks, for each group.
FOUND_BYTES = 1 << 25
#: More than the first are better counted than sorted, if values lie close enough; more than the
#: second are not sorted by insertion.
_FEW, _MANY = 12, 32

#: Lines between what groups find, beyond the most there can be: without them, all groups' lines
#: would compete for the same few places of the first-level cache.
_PAD = 4
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_LANES = np.uint64(LANES)
_LOW, _LENGTH = np.uint64(0xFFFFFFFF), (_ONE << LENGTH_BITS) - _ONE


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
    most = max(1, FOUND_BYTES // (16 * LANES * len(nodes.roots)))
    groups = min(groups_at_once(nodes, columns), most)
    distinct = len(targets.values)
    shift = max(0, (distinct - 1).bit_length() - (MOST_BUCKETS - 1).bit_length())
    counted = np.int16 if targets.most <= np.iinfo(np.int16).max else np.int32
    sums = np.empty((len(leaf_values), columns.shape[1]))
    found = np.empty((columns.shape[1], len(quantiles)))

    def run(first: int, last: int) -> None:
        _tree_quantiles(
            *nodes.parts,
            leaf_values,
            targets.words,
            targets.keys,
            targets.values,
            columns,
            first,
            last,
            groups,
            TIMES_BITS + np.uint64(shift),
            np.empty((((distinct - 1) >> shift) + 1, LANES), counted),
            quantiles,
            sums,
            found,
        )

    over_blocks(run, columns.shape[1], groups, threads)
    return sums, found


@kernel()
def _count(
    entries: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    shift: np.uint64,
    counts: NDArray[np.integer],
) -> None:
    """Fill `counts` with how many targets of each row lie in each bucket or a lower one.

    `entries` has a leaf's word and a mask of rows in each line.
    """
    counts[:] = 0
    flat = counts.reshape(-1)
    for i in range(entries.shape[0]):
        word, mask = entries[i, 0], entries[i, 1]
        if word & MANY == _ZERO:
            add_where(flat, (word >> shift) * _LANES, mask, flat.dtype.type(word & _LOW))
        else:
            first = (word & ~MANY) >> LENGTH_BITS
            for at in range(first, first + (word & _LENGTH)):
                key = keys[at]
                add_where(flat, (key >> shift) * _LANES, mask, flat.dtype.type(key & _LOW))
    for low in range(counts.shape[0] - 1):
        for lane in range(LANES):
            counts[low + 1, lane] += counts[low, lane]


@kernel()
def _buckets(
    counts: NDArray[np.integer],
    quantiles: NDArray[np.float64],
    below: NDArray[np.integer],
    bucket_of: NDArray[np.integer],
) -> None:
    """Fill in the order statistic below each quantile and its bucket, each ``(q, 64)``."""
    for q in range(quantiles.shape[0]):
        for lane in range(LANES):
            below[q, lane] = np.int64(np.floor(quantiles[q] * (counts[-1, lane] - 1)))
            bucket_of[q, lane] = 0
        for bucket in range(counts.shape[0]):
            for lane in range(LANES):
                bucket_of[q, lane] += counts[bucket, lane] <= below[q, lane]


@kernel()
def _reserve(
    counts: NDArray[np.integer],
    below: NDArray[np.integer],
    bucket_of: NDArray[np.integer],
    rows: int,
    wanted: NDArray[np.uint64],
    end: NDArray[np.int32],
    parts: NDArray[np.int64],
) -> int:
    """Reserve places for what lies in the buckets that a quantile of a row needs.

    Parameters
    ----------
    wanted
        Filled with the rows that need a bucket, ``(buckets,)``.
    end
        Where a row's part of a bucket ends so far, ``(buckets, 64)``; set where it is needed.
    parts
        Filled with where the parts begin that hold the order statistic below a quantile and the
        next one, which may be the first of a later bucket, and the latter's bucket,
        ``(3, q, 64)``.

    Returns
    -------
    int
        Places.
    """
    wanted[:] = 0
    used, last = 0, counts.shape[0] - 1
    for lane in range(rows):
        bit = _ONE << np.uint64(lane)
        for q in range(below.shape[0]):
            bucket, other = np.int64(bucket_of[q, lane]), np.int64(bucket_of[q, lane])
            while other < last and counts[other, lane] <= below[q, lane] + 1:
                other += 1
            if counts[other, lane] <= below[q, lane] + 1:
                other = bucket  # nothing lies above the last order statistic
            for here in (bucket, other):
                if wanted[here] & bit == _ZERO:
                    wanted[here] |= bit
                    end[here, lane] = used
                    used += counts[here, lane]
                    if here > 0:
                        used -= counts[here - 1, lane]
            parts[0, q, lane], parts[1, q, lane] = end[bucket, lane], end[other, lane]
            parts[2, q, lane] = other
    return used


@kernel()
def _keep(
    key: np.uint64,
    bucket: np.uint64,
    mask: np.uint64,
    end: NDArray[np.int32],
    kept: NDArray[np.uint64],
) -> None:
    while mask != _ZERO:
        lane = lowest(mask)
        kept[end[bucket, lane]] = key
        end[bucket, lane] += 1
        mask &= mask - _ONE


@kernel()
def _collect(
    entries: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    shift: np.uint64,
    wanted: NDArray[np.uint64],
    end: NDArray[np.int32],
    kept: NDArray[np.uint64],
) -> None:
    """Put what lies in wanted buckets where places are reserved, moving their ends."""
    for i in range(entries.shape[0]):
        word, mask = entries[i, 0], entries[i, 1]
        if word & MANY == _ZERO:
            bucket = word >> shift
            _keep(word, bucket, mask & wanted[bucket], end, kept)
        else:
            first = (word & ~MANY) >> LENGTH_BITS
            for at in range(first, first + (word & _LENGTH)):
                bucket = keys[at] >> shift
                _keep(keys[at], bucket, mask & wanted[bucket], end, kept)


@kernel()
def _sorted(keys: NDArray[np.uint64], tally: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Sort the keys of one bucket in place, each value once; return those that are left.

    Few are sorted by insertion, many are counted in `tally`, all zero before and after.
    """
    size, slots = keys.shape[0], tally.shape[0]
    if size > _FEW and size * 4 > slots:
        first = (keys[0] >> TIMES_BITS) & ~np.uint64(slots - 1)
        for i in range(size):
            tally[(keys[i] >> TIMES_BITS) - first] += np.int64(keys[i] & _LOW)
        size = 0
        for slot in range(slots):
            if tally[slot] > 0:
                keys[size] = ((first + np.uint64(slot)) << TIMES_BITS) | np.uint64(tally[slot])
                tally[slot] = 0
                size += 1
        return keys[:size]
    if size > _MANY:
        keys.sort()
        return keys
    for i in range(1, size):
        key = keys[i]
        j = i - 1
        while j >= 0 and keys[j] > key:
            keys[j + 1] = keys[j]
            j -= 1
        keys[j + 1] = key
    return keys


@kernel()
def _statistic(keys: NDArray[np.uint64], position: np.int64) -> np.uint64:
    """Return the place of the order statistic at `position` of sorted keys."""
    i, seen = 0, np.int64(keys[0] & _LOW)
    while seen <= position:
        i += 1
        seen += np.int64(keys[i] & _LOW)
    return keys[i] >> TIMES_BITS


@kernel()
def _group_quantiles(
    entries: NDArray[np.uint64],
    targets: NDArray[np.uint64],
    distinct: NDArray[np.float64],
    shift: np.uint64,
    quantiles: NDArray[np.float64],
    counts: NDArray[np.integer],
    kept: NDArray[np.uint64],
    result: NDArray[np.float64],
) -> NDArray[np.uint64]:
    """Fill in the quantiles of a group's rows, ``(rows, q)``; return `kept`, grown if need be."""
    rows, q_count = result.shape
    below = np.empty((q_count, LANES), counts.dtype)
    bucket_of = np.empty((q_count, LANES), counts.dtype)
    wanted = np.empty(counts.shape[0], np.uint64)
    end = np.empty(counts.shape, np.int32)
    parts = np.empty((3, q_count, LANES), np.int64)
    tally = np.zeros(1 << (shift - TIMES_BITS), np.int64)
    _count(entries, targets, shift, counts)
    _buckets(counts, quantiles, below, bucket_of)
    used = _reserve(counts, below, bucket_of, rows, wanted, end, parts)
    if used > kept.shape[0]:
        kept = np.empty(2 * used, np.uint64)
    _collect(entries, targets, shift, wanted, end, kept)
    for lane in range(rows):
        for q in range(q_count):
            bucket, other = np.int64(bucket_of[q, lane]), parts[2, q, lane]
            keys = _sorted(kept[parts[0, q, lane] : end[bucket, lane]], tally)
            end[bucket, lane] = parts[0, q, lane] + keys.shape[0]
            position = np.int64(below[q, lane])
            if bucket > 0:
                position -= counts[bucket - 1, lane]
            low = high = distinct[_statistic(keys, position)]
            if other != bucket:
                high = distinct[kept[parts[1, q, lane] : end[other, lane]].min() >> TIMES_BITS]
            elif below[q, lane] + 1 < counts[-1, lane]:
                high = distinct[_statistic(keys, position + 1)]
            exact = quantiles[q] * (counts[-1, lane] - 1)
            result[lane, q] = low + (exact - below[q, lane]) * (high - low)
    return kept


@kernel()
def _tree_quantiles(
    nodes: NDArray[np.uint32],
    roots: NDArray[np.uint64],
    feature_bits: int,
    depth: int,
    leaf_values: NDArray[np.float64],
    words: NDArray[np.uint64],
    targets: NDArray[np.uint64],
    distinct: NDArray[np.float64],
    columns: NDArray[np.float32],
    first: int,
    last: int,
    groups: int,
    shift: np.uint64,
    counts: NDArray[np.integer],
    quantiles: NDArray[np.float64],
    sums: NDArray[np.float64],
    result: NDArray[np.float64],
) -> None:
    values, low, high, gaps, list_, waiting, found = scratch(columns.shape[0], groups, depth)
    flat, size = values.reshape(-1), values.shape[1]
    kinds, trees = sums.shape[0], roots.shape[0]
    block = np.empty(kinds * size)
    entries = np.empty((groups, LANES * trees + _PAD, 2), np.uint64)
    used = np.empty(groups, np.int64)
    kept = np.empty(1, np.uint64)
    for begin in range(first, last, size):
        rows = min(size, last - begin)
        fill_block(columns, begin, begin + rows, values, low, high, gaps)
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
                entries[group, used[group], 0], entries[group, used[group], 1] = words[leaf], mask
                used[group] += 1
                for kind in range(kinds):
                    where = np.uint64(kind * size) + group * _LANES
                    add_where(block, where, mask, leaf_values[kind, leaf])
        for kind in range(kinds):
            for i in range(rows):
                sums[kind, begin + i] = block[kind * size + i]
        for group in range((rows + LANES - 1) // LANES):
            here = begin + group * LANES
            kept = _group_quantiles(
                entries[group, : used[group]],
                targets,
                distinct,
                shift,
                quantiles,
                counts,
                kept,
                result[here : min(here + LANES, begin + rows)],
            )
