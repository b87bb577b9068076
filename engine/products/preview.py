"""A map made small enough to look at, read block by block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..grid import Grid
from .layers import Layer, blocks, layers, map_grid, read_block, read_status, years_of

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
    shape = (math.ceil(grid.shape[0] / factor), math.ceil(grid.shape[1] / factor))
    values = {layer.name: np.full(shape, np.nan, np.float32) for layer in wanted}
    status = np.zeros(shape, np.uint8)
    step = max(1, block // factor) * factor
    for rows, cols in blocks(grid.shape, step):
        where = (_shrunk(rows, factor), _shrunk(cols, factor))
        if "status" in ds:
            codes = read_status(ds, (rows, cols))
            status[where] = codes[_middles(codes.shape[0], factor)][
                :, _middles(codes.shape[1], factor)
            ]
        for layer in wanted:
            values[layer.name][where] = block_means(read_block(ds, layer, (rows, cols)), factor)
    (west, north), (dx, dy) = grid.origin, grid.resolution
    affine = Affine(dx * factor, 0.0, west, 0.0, -dy * factor, north)
    coarse = Grid(GeoBox(shape, affine, grid.geobox.crs), name=grid.name)
    return Preview(coarse, wanted, values, status, factor)


def block_means(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the mean of valid values in each ``factor`` x ``factor`` block (clipped at edges)."""
    if factor == 1:
        return values
    valid = np.isfinite(values)
    counts = _block_sums(valid.astype(np.float64), factor)
    sums = _block_sums(np.where(valid, values, 0).astype(np.float64), factor)
    with np.errstate(invalid="ignore"):
        return (sums / np.where(counts > 0, counts, np.nan)).astype(np.float32)


def _block_sums(values: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], factor), axis=0)
    return np.asarray(np.add.reduceat(rows, np.arange(0, values.shape[1], factor), axis=1))


def _shrunk(span: slice, factor: int) -> slice:
    return slice(span.start // factor, math.ceil(span.stop / factor))


def _middles(length: int, factor: int) -> NDArray[np.int64]:
    return np.minimum(np.arange(0, length, factor) + factor // 2, length - 1)
