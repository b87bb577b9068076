"""A map made small enough to look at, read block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..grid import Grid
from .layers import Block, Layer, blocks, layers, map_grid, read_block, read_status, years_of

MAX_WIDTH = 1600


@dataclass(frozen=True)
class Preview:
    """A coarse copy of a map.

    Parameters
    ----------
    grid
        Of the coarse cells.
    layers
        In the map's order.
    values
        Mean of the valid cells in each coarse cell, ``(y, x)``, by the layer's name.
    status
        Status of the cell in the middle of each coarse cell.
    factor
        Cells of the map along a side of a coarse cell.
    """

    grid: Grid
    layers: tuple[Layer, ...]
    values: Mapping[str, NDArray[np.float32]]
    status: NDArray[np.uint8]
    factor: int

    def of(
        self,
        quantity: str,
        statistic: str,
        depth: tuple[float, float],
        year: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the layer of this quantity, statistic and depth, of the first year by default.

        Raises
        ------
        KeyError
            If the map holds no such layer.
        """
        for layer in self.layers:
            same = (layer.quantity, layer.statistic, layer.depth) == (quantity, statistic, depth)
            if same and year in (None, layer.year):
                return self.values[layer.name]
        raise KeyError(f"{quantity} {statistic} {depth}")

    def has(self, statistic: str, quantity: str | None = None) -> bool:
        """Whether any layer is of this statistic, of a quantity if one is named."""
        return any(
            layer.statistic == statistic and quantity in (None, layer.quantity)
            for layer in self.layers
        )


def make_preview(ds: xr.Dataset, max_width: int = MAX_WIDTH, block: int = 2048) -> Preview:
    """Coarsen a map to at most `max_width` columns, its first and last year, block by block."""
    grid = map_grid(ds)
    factor = max(1, math.ceil(grid.shape[1] / max_width))
    ends = {0, len(years_of(ds)) - 1}
    wanted = tuple(layer for layer in layers(ds) if layer.year_index in ends)
    values = coarse_layers(ds, wanted, factor, block=block)
    status = coarse_status(ds, factor, block=block)
    return Preview(coarse_grid(grid, factor), wanted, values, status, factor)


def coarse_grid(grid: Grid, factor: int) -> Grid:
    """Return the grid of cells `factor` times as long and wide, from the same corner."""
    (west, north), (dx, dy) = grid.origin, grid.resolution
    affine = Affine(dx * factor, 0.0, west, 0.0, -dy * factor, north)
    shape = _coarse_shape(grid.shape, factor)
    return Grid(GeoBox(shape, affine, grid.geobox.crs), name=grid.name)


def coarse_layers(
    ds: xr.Dataset,
    wanted: Iterable[Layer],
    factor: int,
    *,
    of: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    block: int = 2048,
) -> dict[str, NDArray[np.float32]]:
    """Return layers coarsened by a whole `factor`, by name; each block of each is read once.

    Parameters
    ----------
    of
        What the mean of valid cells is taken of, as a function of a block of cells; their values
        by default.
    block
        Cells along a side of what is read at once; does not change the result.
    """
    grid = map_grid(ds)
    values = {
        layer.name: np.full(_coarse_shape(grid.shape, factor), np.nan, np.float32)
        for layer in wanted
    }
    named = {layer.name: layer for layer in layers(ds) if layer.name in values}
    for where in blocks(grid.shape, _step(block, factor)):
        for name, layer in named.items():
            cells = read_block(ds, layer, where)
            cells = cells if of is None else of(cells)
            values[name][_shrunk(where, factor)] = block_means(cells, factor)
    return values


def coarse_status(ds: xr.Dataset, factor: int, *, block: int = 2048) -> NDArray[np.uint8]:
    """Return the status of the cell in the middle of each coarse cell, sea where none is told."""
    shape = map_grid(ds).shape
    status = np.zeros(_coarse_shape(shape, factor), np.uint8)
    if "status" not in ds:
        return status
    for where in blocks(shape, _step(block, factor)):
        codes = read_status(ds, where)
        rows, cols = (_middles(length, factor) for length in codes.shape)
        status[_shrunk(where, factor)] = codes[rows][:, cols]
    return status


def block_means(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the mean of valid values in each ``factor`` x ``factor`` block (clipped at edges)."""
    if factor == 1:
        return values
    valid = np.isfinite(values)
    counts = _block_sums(valid, factor, np.int64)
    sums = _block_sums(np.where(valid, values, 0), factor, np.float64)
    with np.errstate(invalid="ignore"):
        return (sums / np.where(counts > 0, counts, np.nan)).astype(np.float32)


def _block_sums(values: NDArray[Any], factor: int, kind: type[np.generic]) -> NDArray[Any]:
    """Add up squares of cells: rows of squares first, then their columns, each in order."""
    down, across = _coarse_shape((values.shape[0], values.shape[1]), factor)
    beyond = down * factor - values.shape[0], across * factor - values.shape[1]
    if any(beyond):
        values = np.pad(values, ((0, beyond[0]), (0, beyond[1])))
    rows = values.reshape(down, factor, across * factor)
    total = rows[:, 0].astype(kind)
    for i in range(1, factor):
        total += rows[:, i]
    found = total[:, ::factor].copy()
    for j in range(1, factor):
        found += total[:, j::factor]
    return found


def _coarse_shape(shape: tuple[int, int], factor: int) -> tuple[int, int]:
    return math.ceil(shape[0] / factor), math.ceil(shape[1] / factor)


def _step(block: int, factor: int) -> int:
    return max(1, block // factor) * factor


def _shrunk(where: Block, factor: int) -> Block:
    rows, cols = (slice(s.start // factor, math.ceil(s.stop / factor)) for s in where)
    return rows, cols


def _middles(length: int, factor: int) -> NDArray[np.int64]:
    return np.minimum(np.arange(0, length, factor) + factor // 2, length - 1)
