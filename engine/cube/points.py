"""From points to the cells a cube is read at: where they lie, which differ, which go together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..grid import Grid
from .resampling import NEIGHBOURHOOD, Indices, canonical_cols, canonical_rows
from .stack_reader import Planes, StackReader


def located(
    grid: Grid, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> tuple[Indices, Indices, NDArray[np.bool_]]:
    """Return row and column of the cell of each WGS 84 point, and whether it lies on the grid.

    Raises
    ------
    InputError
        Longitudes and latitudes are not two lists of one length.
    """
    lon, lat = np.atleast_1d(np.asarray(lon, float)), np.atleast_1d(np.asarray(lat, float))
    if lon.shape != lat.shape or lon.ndim != 1:
        raise InputError(
            f"longitudes and latitudes must be two lists of one length, found shapes "
            f"{lon.shape} and {lat.shape}"
        )
    return grid.locate(lon, lat)


def unique_cells(
    reader: StackReader, grid: Grid, rows: Indices, cols: Indices, planes: Planes
) -> NDArray[np.float32]:
    """Return the values of cells, ``(bands, times, n)``, each different cell evaluated once."""
    if rows.size == 0:
        return np.empty((*planes.shape, 0), np.float32)
    low, width = int(cols.min()), int(cols.max() - cols.min()) + 1
    keys, back = np.unique(rows * width + (cols - low), return_inverse=True)
    values = reader.cells(grid, keys // width, keys % width + low, planes)
    return np.take(values, back, axis=2)


def patch_cells(grid: Grid, rows: Indices, cols: Indices, size: int) -> tuple[Indices, Indices]:
    """Return canonical rows and columns of all cells of patches, flat."""
    offset = np.arange(size) - size // 2
    shape = (rows.size, size, size)
    down = canonical_rows(grid, rows[:, None] + offset)[:, :, None]
    across = canonical_cols(grid, cols[:, None] + offset)[:, None, :]
    return np.broadcast_to(down, shape).ravel(), np.broadcast_to(across, shape).ravel()


def neighbouring(
    rows: Indices, cols: Indices, inside: NDArray[np.bool_], size: int
) -> Iterator[Indices]:
    """Cut the points on the grid into batches, neighbours together."""
    chosen = np.flatnonzero(inside)
    order = chosen[np.lexsort((cols[chosen] // NEIGHBOURHOOD, rows[chosen] // NEIGHBOURHOOD))]
    for start in range(0, order.size, size):
        yield order[start : start + size]
