"""Walking trees with packets of neighbouring rows.

Neighbours on a map take almost the same way down a tree. So a tree is walked once for a block of
rows, with a list of who has come to a node: groups of 64 rows, each with a mask of those of them
that have. Where the threshold lies outside all values of the block, nothing need be compared;
elsewhere 64 rows are compared at once and the list is split. Which rows are neighbours, and how
they are cut into blocks, changes the speed but no result: a row's own path decides its leaves, and
sums run over trees in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .forest_nodes import FLAG_BITS, LEFT_LEAF, MISSING_LEFT, RIGHT_LEAF, ROOT_LEAF, ForestNodes
from .jit import kernel
from .lanes import LANES, add_where, at_most, at_most_or_nan, lowest

#: Groups in a block, at most: what is read of a tree is then shared by many rows.
MOST_GROUPS = 128
#: Bytes of a block's values, about: they should stay in the second-level cache.
BLOCK_BYTES = 1 << 19
#: Bytes that a walk needs beside what it is given and what it returns, about.
WALK_BYTES = 1 << 23
#: Sides, in cells, of the square of a whole group, and of about what a block holds.
PACKET_SIDE, REGION_SIDE = 8, 64

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_LANES = np.uint64(LANES)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_THRESHOLD, _WORD = 0, 1
#: Columns of the list of who has come to a node.
_GROUP, _MASK = 0, 1
#: Columns of the nodes that wait: row, whether it is a leaf, and its part of the list.
_NODE, _LEAF, _FIRST, _LAST = 0, 1, 2, 3
#: Columns of what a walk finds.
FOUND_LEAF, FOUND_GROUP, FOUND_MASK = 0, 1, 2


def groups_at_once(nodes: ForestNodes, columns: NDArray[np.float32]) -> int:
    """Return how many groups of 64 rows a block has, having seen that no column is missing."""
    features = len(columns)
    if features < nodes.features:
        raise ValueError(f"the trees ask for {nodes.features} features, and there are {features}")
    return int(np.clip(BLOCK_BYTES // (4 * LANES * max(features, 1)), 8, MOST_GROUPS))


def packet_order(wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the flat indices of wanted cells so that neighbours on the map are walked together.

    Cells come by squares of :data:`PACKET_SIDE`, those by squares of :data:`REGION_SIDE`.

    Parameters
    ----------
    wanted
        Cells of a tile, ``(y, x)``.
    """
    cells = np.empty(int(np.count_nonzero(wanted)), np.int64)
    _packet_order(np.ascontiguousarray(wanted), cells)
    return cells


@kernel()
def _packet_order(wanted: NDArray[np.bool_], cells: NDArray[np.int64]) -> None:
    height, width = wanted.shape
    used = 0
    for top in range(0, height, REGION_SIDE):
        for left in range(0, width, REGION_SIDE):
            for y0 in range(top, min(top + REGION_SIDE, height), PACKET_SIDE):
                for x0 in range(left, min(left + REGION_SIDE, width), PACKET_SIDE):
                    for y in range(y0, min(y0 + PACKET_SIDE, height)):
                        for x in range(x0, min(x0 + PACKET_SIDE, width)):
                            if wanted[y, x]:
                                cells[used] = y * width + x
                                used += 1


def over_blocks(run: Callable[[int, int], None], rows: int, groups: int, threads: int) -> None:
    """Call ``run(first, last)`` for blocks of rows; kernels release the GIL."""
    step = groups * LANES
    blocks = [(first, min(first + step, rows)) for first in range(0, rows, step)]
    share = -(-len(blocks) // max(threads, 1))
    parts = [blocks[i : i + share] for i in range(0, len(blocks), max(share, 1))]
    if len(parts) <= 1:
        if blocks:
            run(blocks[0][0], blocks[-1][1])
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: run(part[0][0], part[-1][1]), parts))


def tree_sums(
    nodes: ForestNodes,
    leaf_values: NDArray[np.float64],
    columns: NDArray[np.float32],
    runs: int = 1,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Return what the values of each row's leaves add up to over runs of trees, in their order.

    Parameters
    ----------
    nodes
        The trees, as many in each run.
    leaf_values
        Values of each leaf, C-contiguous, ``(values, leaves)``.
    columns
        Features, C-contiguous, ``(features, n)``.
    runs
        Number of runs of trees.
    threads
        That share the rows; results do not depend on them.

    Returns
    -------
    array
        ``(values, runs, n)``.

    Raises
    ------
    ValueError
        If columns are missing.
    """
    groups = groups_at_once(nodes, columns)
    sums = np.empty((len(leaf_values), runs, columns.shape[1]))

    def run(first: int, last: int) -> None:
        _tree_sums(*nodes.parts, leaf_values, columns, first, last, groups, sums)

    over_blocks(run, columns.shape[1], groups, threads)
    return sums


def tree_leaves(nodes: ForestNodes, columns: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the leaf of each row in each tree, ``(n, trees)``; as :func:`tree_sums`."""
    groups = groups_at_once(nodes, columns)
    leaves = np.empty((columns.shape[1], len(nodes.roots)), np.int32)
    _tree_leaves(*nodes.parts, columns, groups, leaves)
    return leaves


@kernel()
def fill_block(
    columns: NDArray[np.float32],
    first: int,
    last: int,
    values: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    gaps: NDArray[np.bool_],
) -> None:
    """Copy rows `first` to `last` into a block ``(features, rows)``, with each feature's range.

    The last group is filled up with the last row. The range of a feature with gaps is NaN, which
    decides nothing.
    """
    for f in range(columns.shape[0]):
        least, most, missing = np.float32(np.inf), np.float32(-np.inf), False
        for i in range(values.shape[1]):
            x = columns[f, min(first + i, last - 1)]
            values[f, i] = x
            least, most = min(least, x), max(most, x)
            missing |= np.isnan(x)
        low[f], high[f], gaps[f] = least, most, missing
        if missing:
            low[f] = high[f] = np.nan


@kernel()
def _split(
    list_: NDArray[np.uint64],
    first: np.uint64,
    last: np.uint64,
    values: NDArray[np.float32],
    start: np.uint64,
    threshold: np.float32,
    nan_left: bool,
) -> tuple[np.uint64, np.uint64]:
    """Split part of a list: who goes left is put behind it, who goes right takes its place.

    Returns the end of those who go right, and of those who go left.
    """
    right, left = first, last
    if nan_left:
        for i in range(first, last):
            group, mask = list_[i, _GROUP], list_[i, _MASK]
            goes = at_most_or_nan(values, start + group * _LANES, threshold)
            list_[left, _GROUP], list_[left, _MASK] = group, mask & goes
            left += np.uint64((mask & goes) != _ZERO)
            list_[right, _GROUP], list_[right, _MASK] = group, mask & ~goes
            right += np.uint64((mask & ~goes) != _ZERO)
    else:
        for i in range(first, last):
            group, mask = list_[i, _GROUP], list_[i, _MASK]
            goes = at_most(values, start + group * _LANES, threshold)
            list_[left, _GROUP], list_[left, _MASK] = group, mask & goes
            left += np.uint64((mask & goes) != _ZERO)
            list_[right, _GROUP], list_[right, _MASK] = group, mask & ~goes
            right += np.uint64((mask & ~goes) != _ZERO)
    return right, left


@kernel()
def walk_tree(
    nodes: NDArray[np.uint32],
    root: np.uint64,
    feature_bits: int,
    values: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    gaps: NDArray[np.bool_],
    rows: int,
    list_: NDArray[np.uint64],
    waiting: NDArray[np.uint64],
    found: NDArray[np.uint64],
) -> np.uint64:
    """Find the leaves of a block's rows in one tree.

    Parameters
    ----------
    nodes, root, feature_bits
        The tree, as in :class:`~edaphos.kernels.forest_nodes.ForestNodes`.
    values, low, high, gaps
        The block, as :func:`fill_block` leaves it, `values` flat.
    rows
        Rows of the block that are meant.
    list_, waiting
        Scratch, ``(groups * (depth + 2), 2)`` and ``(depth + 1, 4)``.
    found
        Filled with a leaf, a group, and a mask of rows in each line, ``(rows, 3)``.

    Returns
    -------
    int
        Lines found.
    """
    floats = nodes.view(np.float32)
    stride = np.uint64(values.shape[0] // max(low.shape[0], 1))
    feature_mask = (_ONE << np.uint64(feature_bits)) - _ONE
    feature_shift, offset_shift = np.uint64(FLAG_BITS), np.uint64(FLAG_BITS + feature_bits)
    first, last = _ZERO, np.uint64((rows + LANES - 1) // LANES)
    for i in range(last):
        list_[i, _GROUP], list_[i, _MASK] = i, _ALL
    spare = last * _LANES - np.uint64(rows)
    list_[last - _ONE, _MASK] = _ALL >> spare
    node, is_leaf = root & ~ROOT_LEAF, (root & ROOT_LEAF) != _ZERO
    lines = waits = _ZERO
    while True:
        if is_leaf:
            leaf = np.uint64(nodes[node, _THRESHOLD])
            for i in range(first, last):
                found[lines, FOUND_LEAF] = leaf
                found[lines, FOUND_GROUP] = list_[i, _GROUP]
                found[lines, FOUND_MASK] = list_[i, _MASK]
                lines += _ONE
            if waits == _ZERO:
                return lines
            waits -= _ONE
            node, is_leaf = waiting[waits, _NODE], waiting[waits, _LEAF] != _ZERO
            first, last = waiting[waits, _FIRST], waiting[waits, _LAST]
            continue
        word, threshold = np.uint64(nodes[node, _WORD]), floats[node, _THRESHOLD]
        feature = (word >> feature_shift) & feature_mask
        left_leaf, right_leaf = (word & LEFT_LEAF) != _ZERO, (word & RIGHT_LEAF) != _ZERO
        if high[feature] <= threshold:
            node, is_leaf = node + _ONE, left_leaf
        elif low[feature] > threshold:
            node, is_leaf = node + (word >> offset_shift), right_leaf
        else:
            nan_left = gaps[feature] and (word & MISSING_LEFT) != _ZERO
            right_end, left_end = _split(
                list_, first, last, values, feature * stride, threshold, nan_left
            )
            if left_end == last:
                node, is_leaf = node + (word >> offset_shift), right_leaf
                last = right_end
            else:
                if right_end != first:
                    waiting[waits, _NODE] = node + (word >> offset_shift)
                    waiting[waits, _LEAF] = np.uint64(right_leaf)
                    waiting[waits, _FIRST], waiting[waits, _LAST] = first, right_end
                    waits += _ONE
                node, is_leaf = node + _ONE, left_leaf
                first, last = last, left_end


@kernel()
def scratch(features: int, groups: int, depth: int) -> Any:
    """Return what :func:`fill_block` and :func:`walk_tree` need for blocks of `groups` groups."""
    return (
        np.empty((features, groups * LANES), np.float32),
        np.empty(features, np.float32),
        np.empty(features, np.float32),
        np.empty(features, np.bool_),
        np.empty((groups * (depth + 2), 2), np.uint64),
        np.empty((depth + 1, 4), np.uint64),
        np.empty((groups * LANES, 3), np.uint64),
    )


@kernel()
def _tree_sums(
    nodes: NDArray[np.uint32],
    roots: NDArray[np.uint64],
    feature_bits: int,
    depth: int,
    leaf_values: NDArray[np.float64],
    columns: NDArray[np.float32],
    first: int,
    last: int,
    groups: int,
    sums: NDArray[np.float64],
) -> None:
    values, low, high, gaps, list_, waiting, found = scratch(columns.shape[0], groups, depth)
    flat, size = values.reshape(-1), values.shape[1]
    kinds, runs = sums.shape[:2]
    each = roots.shape[0] // runs
    block = np.empty(kinds * runs * size)
    for begin in range(first, last, size):
        rows = min(size, last - begin)
        fill_block(columns, begin, begin + rows, values, low, high, gaps)
        block[:] = 0.0
        for tree in range(roots.shape[0]):
            lines = walk_tree(
                nodes, roots[tree], feature_bits, flat, low, high, gaps, rows, list_, waiting, found
            )
            for kind in range(kinds):
                start = np.uint64((kind * runs + tree // each) * size)
                for i in range(lines):
                    place = start + found[i, FOUND_GROUP] * _LANES
                    value = leaf_values[kind, found[i, FOUND_LEAF]]
                    add_where(block, place, found[i, FOUND_MASK], value)
        for kind in range(kinds):
            for run in range(runs):
                for i in range(rows):
                    sums[kind, run, begin + i] = block[(kind * runs + run) * size + i]


@kernel()
def _tree_leaves(
    nodes: NDArray[np.uint32],
    roots: NDArray[np.uint64],
    feature_bits: int,
    depth: int,
    columns: NDArray[np.float32],
    groups: int,
    leaves: NDArray[np.int32],
) -> None:
    values, low, high, gaps, list_, waiting, found = scratch(columns.shape[0], groups, depth)
    flat, size = values.reshape(-1), values.shape[1]
    for begin in range(0, columns.shape[1], size):
        rows = min(size, columns.shape[1] - begin)
        fill_block(columns, begin, begin + rows, values, low, high, gaps)
        for tree in range(roots.shape[0]):
            lines = walk_tree(
                nodes, roots[tree], feature_bits, flat, low, high, gaps, rows, list_, waiting, found
            )
            for i in range(lines):
                mask = found[i, FOUND_MASK]
                while mask != _ZERO:
                    row = found[i, FOUND_GROUP] * _LANES + lowest(mask)
                    leaves[begin + row, tree] = found[i, FOUND_LEAF]
                    mask &= mask - _ONE
