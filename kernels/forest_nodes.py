"""A forest's nodes in 8 bytes each, depth first, with features that are known pruned away.

A node is two 32-bit words, so that a walk down touches little memory:

=====  ====================================================================================
word   inner node
=====  ====================================================================================
0      threshold, float32; a leaf has its index here, and nothing in word 1
1      bits 0 and 1: whether the left and the right child are leaves; bit 2: whether NaN goes
       left; then the feature, in as many bits as features need; then the offset of the right
       child. The left child is the next row.
=====  ====================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

LEFT_LEAF, RIGHT_LEAF, MISSING_LEFT = np.uint32(1), np.uint32(2), np.uint32(4)
#: Bits of word 1 before the feature.
FLAG_BITS = 3
#: A root that is a leaf itself is marked in :attr:`ForestNodes.roots`.
ROOT_LEAF = np.uint64(1 << 63)
_WORD = 32


@dataclass(frozen=True)
class ForestNodes:
    """Nodes made ready to be walked.

    Parameters
    ----------
    nodes
        uint32, ``(nodes, 2)``, as the module says.
    roots
        Row of each tree's root, uint64, ``(trees,)``, with :data:`ROOT_LEAF` added where it is one.
    feature_bits
        Bits that features take in a node.
    depth
        Most inner nodes on the way to a leaf.
    features
        Columns that rows must have: one more than the highest feature asked for.
    """

    nodes: NDArray[np.uint32]
    roots: NDArray[np.uint64]
    feature_bits: int
    depth: int
    features: int

    @property
    def parts(self) -> tuple[NDArray[np.uint32], NDArray[np.uint64], int, int]:
        """What kernels take of it."""
        return self.nodes, self.roots, self.feature_bits, self.depth


def pack_nodes(
    roots: NDArray[np.int64],
    feature: NDArray[np.int16],
    threshold: NDArray[np.float32],
    right: NDArray[np.int32],
    missing_left: NDArray[np.bool_],
    known: NDArray[np.float32],
) -> ForestNodes:
    """Pack a forest's nodes, leaving out every split on a feature that is known.

    Parameters
    ----------
    roots, feature, threshold, right, missing_left
        As in :class:`~edaphos.kernels.forest.ForestArrays`.
    known
        Value of each feature, NaN where it is not known, ``(features,)``.

    Raises
    ------
    ValueError
        If a left subtree has more nodes than the bits that features leave can count.
    """
    bits = max(1, int(len(known) - 1).bit_length())
    room = 1 << (_WORD - FLAG_BITS - bits)
    nodes = np.empty((len(feature), 2), np.uint32)
    starts = np.empty(len(roots) - 1, np.uint64)
    pending = np.empty((2, int(np.diff(roots).max(initial=0)) + 1), np.int64)
    used, depth, farthest, features = _pack(
        roots, feature, threshold, right, missing_left, known, bits, nodes, starts, pending
    )
    if farthest >= room:
        raise ValueError(
            f"a tree has {farthest - 1:,} nodes left of one node; with {len(known)} features "
            f"there is room for {room - 2:,}: use fewer features, or larger leaves"
        )
    packed = nodes if used == len(nodes) else nodes[:used].copy()
    return ForestNodes(packed, starts, bits, depth, features)


def depth_first(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a tree's nodes depth first, left before right.

    Parameters
    ----------
    left, right
        Children of each node, -1 for those of a leaf, ``(nodes,)``; the first node is the root.
    """
    order = np.empty(len(left), np.int64)
    _depth_first(left.astype(np.int64), right.astype(np.int64), order)
    return order


@kernel()
def _depth_first(
    left: NDArray[np.int64], right: NDArray[np.int64], order: NDArray[np.int64]
) -> None:
    waiting = np.empty(left.shape[0] + 1, np.int64)
    waiting[0], waits, used = 0, 1, 0
    while waits > 0:
        waits -= 1
        node = waiting[waits]
        order[used] = node
        used += 1
        if left[node] >= 0:
            waiting[waits], waiting[waits + 1] = right[node], left[node]
            waits += 2


@kernel()
def _below(
    node: np.int64,
    feature: NDArray[np.int16],
    threshold: NDArray[np.float32],
    right: NDArray[np.int32],
    known: NDArray[np.float32],
) -> np.int64:
    """Return the first node at or below `node` that is a leaf or asks for an unknown feature."""
    while feature[node] >= 0 and not np.isnan(known[feature[node]]):
        node = node + 1 if known[feature[node]] <= threshold[node] else np.int64(right[node])
    return node


@kernel()
def _pack(
    roots: NDArray[np.int64],
    feature: NDArray[np.int16],
    threshold: NDArray[np.float32],
    right: NDArray[np.int32],
    missing_left: NDArray[np.bool_],
    known: NDArray[np.float32],
    bits: int,
    nodes: NDArray[np.uint32],
    starts: NDArray[np.uint64],
    pending: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Fill `nodes` and `starts`; return rows used, depth, farthest right child, and features.

    `pending` holds right children that are still to be packed, and the rows of their parents.
    """
    floats = nodes.view(np.float32)
    used = deepest = farthest = features = 0
    level = np.zeros(pending.shape[1], np.int64)
    for tree in range(starts.shape[0]):
        node = _below(roots[tree], feature, threshold, right, known)
        starts[tree] = used | (ROOT_LEAF if feature[node] < 0 else np.uint64(0))
        waiting = depth = 0
        while True:
            row, used = used, used + 1
            if feature[node] < 0:
                nodes[row, 0], nodes[row, 1] = right[node], 0
                if waiting == 0:
                    break
                waiting -= 1
                node, parent, depth = pending[0, waiting], pending[1, waiting], level[waiting]
                offset = used - parent
                farthest = max(farthest, offset)
                nodes[parent, 1] |= np.uint32(offset) << np.uint32(FLAG_BITS + bits)
                continue
            left = _below(node + 1, feature, threshold, right, known)
            other = _below(np.int64(right[node]), feature, threshold, right, known)
            word = np.uint32(feature[node]) << np.uint32(FLAG_BITS)
            word |= LEFT_LEAF if feature[left] < 0 else np.uint32(0)
            word |= RIGHT_LEAF if feature[other] < 0 else np.uint32(0)
            word |= MISSING_LEFT if missing_left[node] else np.uint32(0)
            floats[row, 0], nodes[row, 1] = threshold[node], word
            features = max(features, feature[node] + 1)
            depth += 1
            deepest = max(deepest, depth)
            pending[0, waiting], pending[1, waiting], level[waiting] = other, row, depth
            waiting += 1
            node = left
    return used, deepest, farthest, features
