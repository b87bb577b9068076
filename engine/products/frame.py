"""How a map is laid on paper: a globe in an equal-area projection, anything else as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from ..grid import Grid
from ..status import Status

WORLD_WIDTH = 1300
#: Pixels along the longer side of a map at least: small grids get several for each cell, so that
#: coasts and hatching are finer than cells.
LEAST_PIXELS = 480
GLOBE = "+proj=eqearth +datum=WGS84"


@dataclass(frozen=True)
class Frame:
    """How cells are laid on paper: for each pixel, which cell; and where the paper's edges are."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    inside: NDArray[np.bool_]
    extent: tuple[float, float, float, float]
    world: bool

    def lay(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the cell value of each pixel (of cell (0, 0) outside)."""
        return values[self.rows, self.cols]

    def coast(self, status: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the pixels of sea that touch land, from the status of the cells."""
        land = (self.lay(status) != Status.SEA) & self.inside
        touched = np.zeros_like(land)
        touched[1:] |= land[:-1]
        touched[:-1] |= land[1:]
        touched[:, 1:] |= land[:, :-1]
        touched[:, :-1] |= land[:, 1:]
        return touched & ~land & self.inside


def frame_of(
    grid: Grid,
    status: NDArray[np.uint8] | None = None,
    *,
    world_width: int = WORLD_WIDTH,
    least: int = LEAST_PIXELS,
) -> Frame:
    """Lay a grid on paper: a globe in the equal-area Equal Earth projection, else as it is.

    Parameters
    ----------
    grid
        Of the cells.
    status
        Of the cells; a globe is cut to the latitudes of its land.
    world_width
        Columns of pixels of a globe.
    least
        Pixels along the longer side of anything else at least; 1 for one pixel to a cell.

    Šavrič, Patterson, Jenny 2019, *Int. J. Geogr. Inf. Sci.* 33(3), 454-465.
    """
    if not grid.wraps:
        times = -(-least // max(grid.shape))
        down, across = (np.repeat(np.arange(n), times) for n in grid.shape)
        rows, cols = np.meshgrid(down, across, indexing="ij")
        x0, y0 = grid.origin
        extent = (
            x0,
            x0 + grid.shape[1] * grid.resolution[0],
            y0 - grid.shape[0] * grid.resolution[1],
            y0,
        )
        return Frame(rows, cols, np.ones(rows.shape, bool), extent, world=False)
    south, north = _land_span(grid, status)
    forward = Transformer.from_crs("EPSG:4326", GLOBE, always_xy=True)
    reach = float(forward.transform(180.0, 0.0)[0])
    bottom, top = (float(forward.transform(0.0, v)[1]) for v in (south, north))
    height = round(world_width * (top - bottom) / (2 * reach))
    x = np.linspace(-reach, reach, world_width * 2 + 1)[1::2]
    y = np.linspace(top, bottom, height * 2 + 1)[1::2]
    lon, lat = forward.transform(*np.meshgrid(x, y), direction="INVERSE")
    # PROJ wraps what lies beyond the outline back onto the globe, so the outline decides.
    edge, _ = forward.transform(np.full(height, 180.0), lat[:, world_width // 2])
    inside = np.abs(x)[None, :] <= np.asarray(edge)[:, None]
    row, col, found = grid.locate(np.where(inside, lon, 0.0), np.where(inside, lat, 0.0))
    return Frame(row, col, inside & found, (-reach, reach, bottom, top), world=True)


def _land_span(grid: Grid, status: NDArray[np.uint8] | None) -> tuple[float, float]:
    if status is None:
        return -60.0, 85.0
    idle = (Status.SEA, Status.ICE, Status.OUTSIDE_BOUNDARY)
    busy = np.flatnonzero((~np.isin(status, idle)).any(axis=1))
    if not len(busy):
        return -60.0, 85.0
    lat, step = grid.y_of(busy[[0, -1]]), grid.resolution[1]
    return max(-89.9, float(lat[1]) - step - 1.5), min(89.9, float(lat[0]) + step + 1.5)
