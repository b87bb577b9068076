"""How a map too large for one file is cut into several: blocks of 10 degrees, or of equal cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from affine import Affine
from odc.geo.geobox import GeoBox

from ..grid import Grid
from .layers import Block

#: A map of more cells than this becomes several files.
WHOLE_CELLS = 2**31
#: Side of a block in degrees, on grids of longitude and latitude.
BLOCK_DEGREES = 10.0
#: Cells along a block's side that projected grids come near to.
BLOCK_CELLS = 4096
#: One coarse file shows the whole map to those who zoom out; its longer side has at most so many
#: cells. Between it and the full cells the overviews of the blocks serve.
COARSE_CELLS = 16_384


@dataclass(frozen=True)
class Part:
    """One file of a product: a rectangle of the map.

    Parameters
    ----------
    name
        ``003-017``, row and column of the block; empty where the file is the whole map.
    row0, col0, height, width
        Cells of the map.
    """

    name: str
    row0: int
    col0: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def grid(self, whole: Grid) -> Grid:
        """Return the part's own grid."""
        affine = whole.geobox.affine * Affine.translation(self.col0, self.row0)
        return Grid(GeoBox(self.shape, affine, whole.geobox.crs), whole.tile_size, whole.name)

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield what is read at once: the map's blocks of `size` cells, clipped to the part.

        They are counted from the map's corner, so that two parts share few chunks of the map.
        """
        for rows in _aligned(self.row0, self.height, size):
            for cols in _aligned(self.col0, self.width, size):
                yield rows, cols


class Tiling(tuple[Part, ...]):
    """The parts of a map, row by row."""

    def coarse_factor(self, shape: tuple[int, int]) -> int:
        """Return how many cells of a map of `shape` the coarse file joins along each side."""
        factor = 2
        while max(shape) / factor > COARSE_CELLS:
            factor *= 2
        return factor

    def coarse_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the coarse file of a map of `shape`."""
        factor = self.coarse_factor(shape)
        return math.ceil(shape[0] / factor), math.ceil(shape[1] / factor)


def tiling(grid: Grid, *, whole_cells: int = WHOLE_CELLS) -> Tiling:
    """Return the files that a layer of `grid` becomes: one, or blocks where it is too large.

    Blocks lie between the parallels and meridians at multiples of 10 degrees; on projected grids
    they are squares of a multiple of the tile size, near 4,096 cells.
    """
    height, width = grid.shape
    if height * width <= whole_cells:
        return Tiling((Part("", 0, 0, height, width),))
    if grid.is_geographic:
        rows = _every_degrees(-grid.origin[1], grid.resolution[1], height)
        cols = _every_degrees(grid.origin[0], grid.resolution[0], width)
    else:
        side = grid.tile_size * max(1, round(BLOCK_CELLS / grid.tile_size))
        rows, cols = _every_cells(side, height), _every_cells(side, width)
    return Tiling(
        Part(f"{r:03d}-{c:03d}", row[0], col[0], row[1], col[1])
        for r, row in enumerate(rows)
        for c, col in enumerate(cols)
    )


def _every_degrees(start: float, step: float, count: int) -> list[tuple[int, int]]:
    """Cut `count` cells of `step` degrees, from `start` on, at multiples of 10 degrees.

    Returns first cell and number of cells of each piece.
    """
    first = math.floor(start / BLOCK_DEGREES) + 1
    last = math.ceil((start + count * step) / BLOCK_DEGREES)
    inner = (round((k * BLOCK_DEGREES - start) / step) for k in range(first, last))
    edges = sorted({0, count, *(edge for edge in inner if 0 < edge < count)})
    return [(a, b - a) for a, b in pairwise(edges)]


def _every_cells(side: int, count: int) -> list[tuple[int, int]]:
    return [(start, min(side, count - start)) for start in range(0, count, side)]


def _aligned(start: int, count: int, size: int) -> Iterator[slice]:
    end = start + count
    while start < end:
        stop = min(end, (start // size + 1) * size)
        yield slice(start, stop)
        start = stop
