"""Windows whose cells lie some cells apart: as much ground on fine cells as nets learned on coarse.

A net that learned squares of 5 x 5 cells of 10 km looks 20 km to each side. On cells of 250 m it
sees as far where each cell of its square is taken 40 cells after the last (dilated, or à trous:
Yu & Koltun 2016, ICLR). Cells are those of the grid, not means over the coarse ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.branch_shape import BranchShape

from ..conv.learning_rows import Floats
from .fitted import BATCH, FittedBranches
from .group_set import offsets

#: Working memory of the cells that are asked at once.
STRIP_BYTES = 64 << 20


def map_strided(
    nets: FittedBranches,
    groups: Sequence[NDArray[np.float32]],
    layers: Sequence[Floats],
    stride: int,
) -> Floats:
    """Return what members say of all cells, ``(layers, members, 1 + levels, y, x)``.

    Parameters
    ----------
    groups
        Channels of each group with the halo of the largest window, ``(bands, y + 2 halo, x + 2
        halo)``, where the halo is `stride` times half that window.
    layers
        What nets see of each layer beside covariates
        (:meth:`~edaphos.engine.branches.fitted.FittedBranches.layers`).
    stride
        Cells from one cell of a window to the next.
    """
    windows = [group.window for group in nets.channels.groups]
    halo = max(windows) // 2 * stride
    height, width = (side - 2 * halo for side in groups[0].shape[1:])
    most = _at_once(nets.nets[0].shape)
    across = min(width, most)
    out: Floats | None = None
    for first in range(0, height, max(1, most // across)):
        rows = slice(first, min(first + max(1, most // across), height))
        for left in range(0, width, across):
            cols = slice(left, min(left + across, width))
            squares = [
                _squares(planes, window, stride, halo, rows, cols)
                for planes, window in zip(groups, windows, strict=True)
            ]
            said = nets.of_squares(squares, layers)
            if out is None:
                out = np.empty((*said.shape[:-1], height, width))
            sides = rows.stop - rows.start, cols.stop - cols.start
            out[..., rows, cols] = said.reshape(*said.shape[:-1], *sides)
    assert out is not None  # a map has cells
    return out


def _at_once(shape: BranchShape) -> int:
    """Return how many cells are asked at once, so that their squares fit a strip of a map."""
    seen = sum(branch.bands * branch.window**2 for branch in shape.branches)
    made = max((b.embedding + 3 * shape.width) * b.window**2 for b in shape.branches)
    return min(BATCH, max(1, STRIP_BYTES // (4 * (seen + made))))


def _squares(
    planes: NDArray[np.float32],
    window: int,
    stride: int,
    halo: int,
    rows: slice,
    cols: slice,
) -> NDArray[np.float32]:
    """Return the squares of some cells, ``(cells, bands, window, window)``."""
    height, width = rows.stop - rows.start, cols.stop - cols.start
    out = np.empty((height, width, len(planes), window, window), np.float32)
    for row, col, down, right in offsets(window, stride):
        y, x = halo + rows.start + down, halo + cols.start + right
        out[..., row, col] = np.moveaxis(planes[:, y : y + height, x : x + width], 0, -1)
    return out.reshape(height * width, len(planes), window, window)
