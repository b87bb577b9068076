"""Quantiles of the training targets that share leaves with a row, for 64 rows at once.

All that a group's rows find in the leaves of all trees goes into a histogram with a column for each
row, 64 at a time: first a coarse one, which tells in which buckets the wanted order statistics lie,
then a fine one of those buckets. Counts are integers, so nothing is rounded but the interpolation.
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
from .lanes import LANES, add_lanes, add_where

#: Bits of a target's place that tell its bucket, at most, and those beyond, at least: 64 columns
#: of either histogram should stay in cache.
COARSE_BITS, FINE_BITS = 10, 5
#: Bytes, at most, of what a block's rows find in all trees: leaves with masks, for each group.
FOUND_BYTES = 1 << 25
#: Lines between what groups find, beyond the most there can be: without them, all groups' lines
#: would compete for the same few places of the first-level cache.
_PAD = 4
_ZERO, _ONE, _TWO = np.uint64(0), np.uint64(1), np.uint64(2)
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
    bits = (distinct - 1).bit_length()
    shift = max(min(FINE_BITS, bits), bits - COARSE_BITS)
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
    for bucket in range(1, counts.shape[0]):
        add_lanes(flat, np.uint64(bucket) * _LANES, np.uint64(bucket - 1) * _LANES)


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
def _want(
    counts: NDArray[np.integer],
    below: NDArray[np.integer],
    bucket_of: NDArray[np.integer],
    rows: int,
    wanted: NDArray[np.uint64],
    part_of: NDArray[np.uint64],
) -> np.uint64:
    """Fill in which rows need a bucket, and its part of the fine histogram; return the parts.

    A quantile needs the order statistic below it, and the next one, which may be the first of a
    later bucket; its bucket takes the second place in `bucket_of`, ``(2, q, 64)``.
    """
    wanted[:] = 0
    parts, last = _ZERO, counts.shape[0] - 1
    for lane in range(rows):
        bit = _ONE << np.uint64(lane)
        for q in range(below.shape[0]):
            bucket = np.int64(bucket_of[0, q, lane])
            for step in range(2):
                while bucket < last and counts[bucket, lane] <= below[q, lane] + step:
                    bucket += 1
                bucket_of[step, q, lane] = bucket
                if wanted[bucket] == _ZERO:
                    part_of[bucket] = parts
                    parts += _ONE
                wanted[bucket] |= bit
    return parts


@kernel()
def _refine(
    entries: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    shift: np.uint64,
    wanted: NDArray[np.uint64],
    part_of: NDArray[np.uint64],
    fine: NDArray[np.integer],
) -> None:
    """Fill in how many targets of each row lie at a place of a wanted bucket or before it."""
    fine[:] = 0
    flat, slots = fine.reshape(-1), np.uint64(fine.shape[1])
    for i in range(entries.shape[0]):
        word, mask = entries[i, 0], entries[i, 1]
        first = (word & ~MANY) >> LENGTH_BITS
        many = word & MANY != _ZERO
        length = word & _LENGTH if many else _ONE
        for at in range(first, first + length):
            key = keys[at] if many else word
            bucket = key >> shift
            rows = mask & wanted[bucket]
            if rows != _ZERO:
                slot = part_of[bucket] * slots + ((key >> TIMES_BITS) & (slots - _ONE))
                add_where(flat, slot * _LANES, rows, flat.dtype.type(key & _LOW))
    for part in range(fine.shape[0]):
        begin = np.uint64(part) * slots
        for slot in range(begin + _ONE, begin + slots):
            add_lanes(flat, slot * _LANES, (slot - _ONE) * _LANES)


@kernel()
def _place(
    position: np.int64,
    bucket: np.int64,
    lane: int,
    counts: NDArray[np.integer],
    part_of: NDArray[np.uint64],
    fine: NDArray[np.integer],
) -> np.int64:
    """Return the place, among all targets, of a row's order statistic, which is in `bucket`."""
    if bucket > 0:
        position -= counts[bucket - 1, lane]
    low, step = np.int64(0), fine.shape[1] >> 1
    while step > 0:
        if fine[part_of[bucket], low + step - 1, lane] <= position:
            low += step
        step >>= 1
    return bucket * fine.shape[1] + low


@kernel()
def _group_quantiles(
    entries: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    distinct: NDArray[np.float64],
    shift: np.uint64,
    quantiles: NDArray[np.float64],
    counts: NDArray[np.integer],
    fine: NDArray[np.integer],
    result: NDArray[np.float64],
) -> NDArray[np.integer]:
    """Fill in the quantiles of a group's rows, ``(rows, q)``; return `fine`, grown if need be."""
    rows, q_count = result.shape
    below = np.empty((q_count, LANES), counts.dtype)
    bucket_of = np.empty((2, q_count, LANES), counts.dtype)
    wanted = np.empty(counts.shape[0], np.uint64)
    part_of = np.empty(counts.shape[0], np.uint64)
    _count(entries, keys, shift, counts)
    _buckets(counts, quantiles, below, bucket_of[0])
    parts = _want(counts, below, bucket_of, rows, wanted, part_of)
    if parts > fine.shape[0]:
        fine = np.empty((parts + parts // _TWO, fine.shape[1], LANES), counts.dtype)
    _refine(entries, keys, shift, wanted, part_of, fine[:parts])
    for lane in range(rows):
        for q in range(q_count):
            position, most = np.int64(below[q, lane]), np.int64(counts[-1, lane])
            low = high = distinct[
                _place(position, np.int64(bucket_of[0, q, lane]), lane, counts, part_of, fine)
            ]
            if position + 1 < most:
                other = np.int64(bucket_of[1, q, lane])
                high = distinct[_place(position + 1, other, lane, counts, part_of, fine)]
            result[lane, q] = low + (quantiles[q] * (most - 1) - position) * (high - low)
    return fine


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
    fine = np.empty((1, 1 << (shift - TIMES_BITS), LANES), counts.dtype)
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
            fine = _group_quantiles(
                entries[group, : used[group]],
                targets,
                distinct,
                shift,
                quantiles,
                counts,
                fine,
                result[here : min(here + LANES, begin + rows)],
            )
