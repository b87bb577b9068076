"""Filling coastal gaps of rasters from the nearest valid cells."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import kernel


def fill_from_nearest(
    values: NDArray[np.float32], dy: float, dx: float, radius: float, classes: bool
) -> NDArray[np.float32]:
    """Fill missing cells from the nearest valid ones.

    A missing cell takes the mean of the valid cells at the smallest distance (classes: the lowest
    code among them), if that distance is at most `radius`. Distances are between cell centres in
    the units of `dy` and `dx`, on a plane. Filled cells are never used to fill others.

    Parameters
    ----------
    values
        Shape ``(y, x)``, missing as NaN.
    dy, dx
        Cell size.
    radius
        Largest distance filled over, in the units of `dy` and `dx`.
    classes
        Whether values are class codes.

    Returns
    -------
    array of float32, shape ``(y, x)``
        A copy. Cells nearer than `radius` to the array's edge see only what lies inside it.
    """
    out = np.array(values, np.float32, order="C")
    down, right = math.floor(radius / dy + 1e-9), math.floor(radius / dx + 1e-9)
    # The valid cells in any box come from sums over the upper left, so that far gaps cost nothing.
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(~np.isnan(values), axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    offsets, rings = _rings(dy, dx, radius, down, right)
    source = np.ascontiguousarray(values, np.float32)
    _fill(source, sums, offsets, rings, down, right, classes, out)
    return out


def _rings(
    dy: float, dx: float, radius: float, down: int, right: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column offsets by distance, ``(n, 2)``, and where each new distance begins."""
    rows, columns = np.meshgrid(
        np.arange(-down, down + 1), np.arange(-right, right + 1), indexing="ij"
    )
    distance = np.hypot(rows * dy, columns * dx).ravel()
    order = np.argsort(np.round(distance / min(dy, dx), 6), kind="stable")
    order = order[distance[order] <= radius * (1 + 1e-9)]
    steps = np.diff(distance[order]) > 1e-6 * min(dy, dx)
    begins = np.concatenate([[0], np.flatnonzero(steps) + 1, [len(order)]])
    return np.stack([rows.ravel()[order], columns.ravel()[order]], axis=1), begins


@kernel()
def _fill(
    values: NDArray[np.float32],
    sums: NDArray[np.int32],
    offsets: NDArray[np.int64],
    rings: NDArray[np.int64],
    down: int,
    right: int,
    classes: bool,
    out: NDArray[np.float32],
) -> None:
    """Fill `out` in place; `sums` ``(y + 1, x + 1)`` counts valid cells above and left."""
    height, width = values.shape
    for i in range(height):
        top, bottom = max(i - down, 0), min(i + down + 1, height)
        for j in range(width):
            if not np.isnan(values[i, j]):
                continue
            left, end = max(j - right, 0), min(j + right + 1, width)
            if sums[bottom, end] - sums[top, end] - sums[bottom, left] + sums[top, left] == 0:
                continue
            for ring in range(len(rings) - 1):
                total, count, lowest = 0.0, 0, np.inf
                for k in range(rings[ring], rings[ring + 1]):
                    r, c = i + offsets[k, 0], j + offsets[k, 1]
                    if r < 0 or r >= height or c < 0 or c >= width or np.isnan(values[r, c]):
                        continue
                    total += values[r, c]
                    count += 1
                    lowest = min(lowest, values[r, c])
                if count > 0:
                    out[i, j] = lowest if classes else total / count
                    break
