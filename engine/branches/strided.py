"""Windows whose cells lie some cells apart: as much ground on fine cells as nets learned on coarse.

A net that learned squares of 5 x 5 cells of 10 km looks 20 km to each side. On cells of 250 m it
sees as far where each cell of its square is taken 40 cells after the last (dilated, or à trous:
Yu & Koltun 2016, ICLR). Cells are those of the grid, not means over the coarse ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..conv.learning_rows import Floats
from .fitted import BATCH, FittedBranches
from .group_set import offsets


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
    rows = max(1, BATCH // width)
    strips = []
    for first in range(0, height, rows):
        count = min(rows, height - first)
        squares = [
            _squares(planes, window, stride, halo, first, count, width)
            for planes, window in zip(groups, windows, strict=True)
        ]
        said = nets.of_squares(squares, layers)
        strips.append(said.reshape(*said.shape[:-1], count, width))
    return np.concatenate(strips, axis=-2)


def _squares(
    planes: NDArray[np.float32],
    window: int,
    stride: int,
    halo: int,
    first: int,
    count: int,
    width: int,
) -> NDArray[np.float32]:
    """Return the squares of a strip of rows, ``(cells, bands, window, window)``."""
    out = np.empty((count, width, len(planes), window, window), np.float32)
    for row, col, down, right in offsets(window, stride):
        y, x = halo + first + down, halo + right
        out[..., row, col] = np.moveaxis(planes[:, y : y + count, x : x + width], 0, -1)
    return out.reshape(count * width, len(planes), window, window)
