"""Grids, windows and tiles: where every cell of a map lies.

A :class:`Grid` is a ``GeoBox`` (CRS, affine, shape) cut into square tiles. A :class:`Window` is a
rectangle of whole cells of one grid, addressed by **global integer cell indices**, so that
whatever is computed for a cell cannot depend on the tile it happened to be computed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer

from .errors import InputError, did_you_mean

HOMOLOSINE = "+proj=igh +lat_0=0 +lon_0=0 +datum=WGS84 +units=m +no_defs"
_HOMOLOSINE_ORIGIN = (-19_949_750.0, 8_361_000.0)
_HOMOLOSINE_SHAPE = (58_034, 159_246)

#: Cell size in degrees of the global longitude-latitude presets.
GLOBAL_DEGREES: dict[str, float] = {
    "global-1deg": 1.0,
    "global-0.5deg": 0.5,
    "global-0.25deg": 0.25,
    "global-0.1deg": 0.1,
    "global-5min": 1 / 12,
    "global-30s": 1 / 120,
    "global-7.5s": 1 / 480,
}
PRESETS: tuple[str, ...] = (*GLOBAL_DEGREES, "homolosine-250m")


@dataclass(frozen=True)
class Window:
    """A rectangle of whole cells of `grid`; indices are global, and may be < 0 in a halo."""

    grid: Grid
    row0: int
    col0: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def rows(self) -> NDArray[np.int64]:
        """Global row index of each row."""
        return np.arange(self.row0, self.row0 + self.height)

    @property
    def cols(self) -> NDArray[np.int64]:
        """Global column index of each column."""
        return np.arange(self.col0, self.col0 + self.width)

    @property
    def x(self) -> NDArray[np.float64]:
        """Cell-centre x of each column, in the grid's CRS."""
        return self.grid.x_of(self.cols)

    @property
    def y(self) -> NDArray[np.float64]:
        """Cell-centre y of each row, in the grid's CRS."""
        return self.grid.y_of(self.rows)

    def padded(self, halo: int) -> Window:
        """Return the window grown by `halo` cells on each side (it may leave the grid)."""
        return Window(
            self.grid,
            self.row0 - halo,
            self.col0 - halo,
            self.height + 2 * halo,
            self.width + 2 * halo,
        )


def tile_name(row: int, col: int) -> str:
    """Return the stable name of a tile.

    >>> tile_name(3, 17)
    '0003-0017'
    """
    return f"{row:04d}-{col:04d}"


@dataclass(frozen=True)
class Tile:
    """One square of a grid, clipped at its far edges: the unit of work."""

    index: tuple[int, int]
    window: Window

    @property
    def name(self) -> str:
        """Stable name, row and column of the tile: ``0003-0017``."""
        return tile_name(*self.index)


@dataclass(frozen=True)
class Grid:
    """A CRS, an affine transform and a shape, cut into square tiles.

    North-up and unrotated: x grows with the column, y falls with the row.

    Parameters
    ----------
    geobox
        The area and its cells (``odc.geo.geobox.GeoBox``).
    tile_size
        Cells along a tile's side.
    name
        Shown to people and stored in manifests.
    """

    geobox: GeoBox
    tile_size: int = 512
    name: str = "custom"

    def __post_init__(self) -> None:
        a = self.geobox.affine
        if a.b != 0 or a.d != 0 or a.a <= 0 or a.e >= 0:
            raise InputError(
                f'grid "{self.name}": expected a north-up, unrotated grid, found the transform '
                f"{tuple(round(v, 9) for v in a[:6])}; warp it first"
            )
        if self.geobox.crs is None:
            raise InputError(f'grid "{self.name}" has no CRS; give one, such as "EPSG:4326"')
        unit = self.crs.axis_info[0].unit_conversion_factor if self.crs.axis_info else 1.0
        if not self.is_geographic and abs(unit - 1.0) > 1e-12:
            raise InputError(
                f'grid "{self.name}": its CRS counts in {self.crs.axis_info[0].unit_name}, and '
                "areas and sizes here are metres; choose the CRS's variant in metres"
            )
        if self.is_geographic and self.shape[1] * self.resolution[0] > 360 + 1e-6:
            raise InputError(
                f'grid "{self.name}" is {self.shape[1] * self.resolution[0]:g} degrees wide, more '
                "than the globe; choose a resolution that divides 360, or narrower bounds"
            )
        if self.tile_size < 1:
            raise InputError(f"tile size must be at least 1 cell, found {self.tile_size}")

    # -- construction ---------------------------------------------------------------------------

    @classmethod
    def preset(cls, name: str, tile_size: int = 512) -> Grid:
        """Return a named grid, such as ``global-30s`` ("1 km") or ``homolosine-250m``.

        The Homolosine grid is that of SoilGrids 2.0 (159,246 x 58,034 cells of 250 m).
        """
        if name == "homolosine-250m":
            (x0, y0), shape = _HOMOLOSINE_ORIGIN, _HOMOLOSINE_SHAPE
            return cls(_geobox(HOMOLOSINE, x0, y0, 250.0, shape), tile_size, name)
        if name not in GLOBAL_DEGREES:
            raise InputError(f'unknown grid preset "{name}": {did_you_mean(name, PRESETS)}')
        per_degree = round(1 / GLOBAL_DEGREES[name])
        shape = (180 * per_degree, 360 * per_degree)
        return cls(_geobox("EPSG:4326", -180.0, 90.0, 1 / per_degree, shape), tile_size, name)

    @classmethod
    def from_bounds(
        cls,
        crs: str,
        bounds: tuple[float, float, float, float],
        resolution: float,
        tile_size: int = 512,
        name: str = "custom",
    ) -> Grid:
        """Return the grid that covers `bounds` from its north-west corner.

        `bounds` are west, south, east, north, and `resolution` the cell size, in units of `crs`.
        """
        west, south, east, north = bounds
        if not (west < east and south < north):
            raise InputError(
                f"grid bounds must be west < east and south < north, found {bounds}; "
                "the order is [west, south, east, north]"
            )
        if resolution <= 0:
            raise InputError(f"grid resolution must be positive, found {resolution}")
        shape = (_cells(north - south, resolution), _cells(east - west, resolution))
        return cls(_geobox(crs, west, north, resolution, shape), tile_size, name)

    # -- geometry -------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.geobox.shape[0]), int(self.geobox.shape[1])

    @property
    def resolution(self) -> tuple[float, float]:
        """Cell size along x and y (both positive), in units of the CRS."""
        return float(self.geobox.affine.a), float(-self.geobox.affine.e)

    @property
    def origin(self) -> tuple[float, float]:
        """X and y of the north-west corner."""
        return float(self.geobox.affine.c), float(self.geobox.affine.f)

    @cached_property
    def crs(self) -> CRS:
        """The CRS as pyproj knows it."""
        return CRS.from_user_input(self.geobox.crs.to_wkt())

    @property
    def is_geographic(self) -> bool:
        """Whether coordinates are degrees of longitude and latitude."""
        return bool(self.crs.is_geographic)

    @property
    def wraps(self) -> bool:
        """Whether columns close around the globe, so that the last is the first's neighbour."""
        return self.is_geographic and abs(self.shape[1] * self.resolution[0] - 360) < 1e-6

    def x_of(self, cols: NDArray[np.integer]) -> NDArray[np.float64]:
        """Cell-centre x for global column indices."""
        return self.origin[0] + (np.asarray(cols) + 0.5) * self.resolution[0]

    def y_of(self, rows: NDArray[np.integer]) -> NDArray[np.float64]:
        """Cell-centre y for global row indices."""
        return self.origin[1] - (np.asarray(rows) + 0.5) * self.resolution[1]

    def window(self, row0: int, col0: int, height: int, width: int) -> Window:
        """Return a rectangle of cells."""
        return Window(self, row0, col0, height, width)

    @property
    def whole(self) -> Window:
        """The window of all cells."""
        return Window(self, 0, 0, *self.shape)

    def locate(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return row and column of the cell holding each WGS 84 point, and whether there is one.

        A point on an edge belongs to the cell east or south of it. Longitudes are the same a
        whole turn apart, so a region across the dateline holds the points on both its sides.
        """
        lon, lat = np.asarray(lon, float), np.asarray(lat, float)
        if self.is_geographic and self.crs.to_epsg() == 4326:
            x, y = lon, lat
        else:
            x, y = Transformer.from_crs("EPSG:4326", self.crs, always_xy=True).transform(lon, lat)
        finite = np.isfinite(x) & np.isfinite(y)
        if self.is_geographic:
            west = self.origin[0]
            x = np.where(x < west, x + 360.0, np.where(x >= west + 360.0, x - 360.0, x))
        fx = np.where(finite, (x - self.origin[0]) / self.resolution[0], -1.0)
        fy = np.where(finite, (self.origin[1] - y) / self.resolution[1], -1.0)
        col, row = np.floor(fx).astype(np.int64), np.floor(fy).astype(np.int64)
        if self.wraps:
            row = np.where(fy == self.shape[0], self.shape[0] - 1, row)
            # so near the last edge that the division rounds to it
            col = np.where(fx == self.shape[1], self.shape[1] - 1, col)
        inside = (row >= 0) & (row < self.shape[0]) & (col >= 0) & (col < self.shape[1])
        return row, col, inside

    # -- tiles ----------------------------------------------------------------------------------

    @property
    def tile_counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return math.ceil(self.shape[0] / self.tile_size), math.ceil(self.shape[1] / self.tile_size)

    def tile(self, row: int, col: int) -> Tile:
        """Return the tile at this row and column of tiles."""
        rows, cols = self.tile_counts
        if not (0 <= row < rows and 0 <= col < cols):
            raise InputError(f"tile ({row}, {col}) does not exist: the grid has {rows} x {cols}")
        r0, c0, size = row * self.tile_size, col * self.tile_size, self.tile_size
        height, width = min(size, self.shape[0] - r0), min(size, self.shape[1] - c0)
        return Tile((row, col), Window(self, r0, c0, height, width))

    def tiles(self) -> Iterator[Tile]:
        """Yield all tiles, row by row."""
        rows, cols = self.tile_counts
        for row in range(rows):
            for col in range(cols):
                yield self.tile(row, col)

    # -- areas ----------------------------------------------------------------------------------

    def cell_areas(self, window: Window) -> NDArray[np.float64]:
        """Return the area of each cell in m², shape ``(height, width)`` or broadcastable to it.

        Longitude-latitude grids: exact on the WGS 84 ellipsoid (area of the zone between two
        parallels, closed form), shape ``(height, 1)``. Others: the nominal cell area where the
        projection is equal-area (Homolosine), else the nominal area divided by the projection's
        areal scale at the cell centre.
        """
        if self.is_geographic:
            dx, dy = self.resolution
            edges = self.origin[1] - np.arange(window.row0, window.row0 + window.height + 1) * dy
            zone = zone_area(edges[1:], edges[:-1])
            return np.asarray(zone * (dx / 360.0))[:, None]
        nominal = self.resolution[0] * self.resolution[1]
        projection = _projection_name(self.crs)
        if projection in _EQUAL_AREA:
            return np.full((1, 1), nominal)
        from pyproj import Proj

        x, y = np.meshgrid(window.x, window.y)
        lon, lat = Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True).transform(x, y)
        factors = Proj(self.crs).get_factors(lon, lat, errcheck=False)
        return np.asarray(nominal / np.asarray(factors.areal_scale))


def snapped(
    bounds: tuple[float, float, float, float], origin: tuple[float, float], cell: float
) -> tuple[float, float, float, float]:
    """Return bounds moved outwards to edges of cells counted from an origin.

    >>> snapped((0.3, 0.2, 1.0, 0.9), (0.0, 1.0), 0.25)
    (0.25, 0.0, 1.0, 1.0)
    """
    x, y = origin

    def edge(value: float, start: float, outwards: Callable[[float], int]) -> float:
        steps = (value - start) / cell
        near = round(steps)
        return start + cell * (near if abs(steps - near) < 1e-6 else outwards(steps))

    west, south, east, north = bounds
    return (
        edge(west, x, math.floor),
        edge(south, y, math.floor),
        edge(east, x, math.ceil),
        edge(north, y, math.ceil),
    )


def zone_area(south: NDArray[np.floating], north: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the area in m² of the zone between two parallels (degrees) on the WGS 84 ellipsoid.

    Closed form, after Snyder 1987, *Map Projections: A Working Manual*, eq. 3-12; from the equator
    ``A = pi b^2 [s / (1 - e^2 s^2) + ln((1 + e s) / (1 - e s)) / 2e]`` with ``s = sin(phi)``.
    """
    geod = Geod(ellps="WGS84")
    e = math.sqrt(geod.es)

    def from_equator(latitude: NDArray[np.floating]) -> NDArray[np.float64]:
        s = np.sin(np.radians(np.clip(latitude, -90.0, 90.0)))
        return np.asarray(
            math.pi
            * geod.b**2
            * (s / (1 - geod.es * s**2) + np.log((1 + e * s) / (1 - e * s)) / (2 * e))
        )

    return from_equator(np.asarray(north)) - from_equator(np.asarray(south))


_EQUAL_AREA = {"igh", "igh_o", "cea", "laea", "aea", "moll", "sinu", "eqearth", "goode"}


def _projection_name(crs: CRS) -> str:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return str(crs.to_dict().get("proj", ""))


def _cells(length: float, resolution: float) -> int:
    """Cells needed to cover a length, forgiving rounding noise of 1e-6 of a cell."""
    return max(1, math.ceil(length / resolution - 1e-6))


def _geobox(crs: str, x0: float, y0: float, resolution: float, shape: tuple[int, int]) -> GeoBox:
    from affine import Affine

    return GeoBox(shape, Affine(resolution, 0.0, x0, 0.0, -resolution, y0), crs)
