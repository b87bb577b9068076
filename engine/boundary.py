"""The boundary of a map: polygons, such as a country's, outside which nothing is mapped."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from .errors import InputError, StoreError
from .grid import Grid, Window
from .place import Place
from .progress import QUIET, Reporter
from .stocks.polygon_zones import Polygons, PolygonZones, read_polygons
from .store import write_atomically

if TYPE_CHECKING:
    from .profiles.profiles import Profiles

#: The file of a run's folder that workers read its boundary from.
BOUNDARY = "boundary.json"
#: Cells along the longer side of the lattice that :meth:`Boundary.boxes` covers an area with.
LATTICE = 100
#: Points along a side of an area, or of a grid, that stand for it in another CRS.
POINTS = 50
#: Points of a polygon's piece, at most.
PIECE = 1000
#: West, south, east, north.
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Boundary:
    """Polygons, which bound an area together.

    Parameters
    ----------
    shapes
        ``(n,)``, in any order; they may overlap.
    crs
        Of their coordinates.
    """

    shapes: NDArray[np.object_]
    crs: CRS

    @classmethod
    def read(cls, file: Path, key: str) -> Boundary:
        """Read a file of polygons: GeoJSON, GeoPackage, shapefile, ...

        Parameters
        ----------
        file
            All its polygons count.
        key
            Of the recipe, by which the file was named, for the error where it is not there.

        Raises
        ------
        InputError
            There is no such file, it holds no polygons or no CRS, or longitudes beyond 180.
        """
        if not file.exists():
            raise InputError(f"{file}: no such file of polygons; correct {key}")
        found = read_polygons(file)
        west, _, east, _ = shapely.total_bounds(found.shapes)
        if found.crs.is_geographic and (west < -180 - 1e-6 or east > 180 + 1e-6):
            raise InputError(
                f"{file}: longitudes reach from {west:g} to {east:g}; cut the polygons at the date "
                "line, so that they lie within -180 to 180 (`ogr2ogr -wrapdateline`)"
            )
        return cls(found.shapes, found.crs)

    # -- questions ------------------------------------------------------------------------------

    def holds(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which places (WGS 84 degrees, ``(n,)``) lie inside, or on the border."""
        x, y = (np.asarray(a, np.float64) for a in (lon, lat))
        if not self.crs.equals(CRS.from_epsg(4326), ignore_axis_order=True):
            x, y = Transformer.from_crs("EPSG:4326", self.crs, always_xy=True).transform(x, y)
        found = np.zeros(len(x), bool)
        known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        tree = shapely.STRtree(shapely.points(x[known], y[known]))
        found[known[tree.query(self.shapes, predicate="intersects")[1]]] = True
        return found

    def extent(self, crs: Any) -> Box:
        """Return west, south, east and north of the area in another CRS.

        In degrees -180 to 180 where the area lies on both sides of the date line or about a pole.
        """
        other = CRS.from_user_input(crs)
        if other.is_geographic and not self.crs.is_geographic:
            west, south, east, north = self.degrees()
            return (-180.0, south, 180.0, north) if east > 180 else (west, south, east, north)
        if self.crs.equals(other, ignore_axis_order=True):
            west, south, east, north = shapely.total_bounds(self.shapes).tolist()
            return west, south, east, north
        found = shapely.get_coordinates(_moved(self.shapes, self.crs, other))
        found = found[np.isfinite(found).all(axis=1)]
        if not len(found):
            raise InputError(f"the boundary's polygons have no place in {other.name}")
        return (*found.min(axis=0).tolist(), *found.max(axis=0).tolist())

    def degrees(self) -> Box:
        """Return the extent in degrees; the east may be above 180, across the date line."""
        west, south, east, north = shapely.total_bounds(self._in_degrees()).tolist()
        return west, south, east, north

    def boxes(self) -> tuple[Box, ...]:
        """Return boxes of longitude and latitude that hold all of the area, and little else.

        They are rows of a lattice of :data:`LATTICE` cells along the longer side of its extent, so
        that they reach little more than a cell, one in a hundred of that side, beyond it.
        """
        shapes = self._in_degrees()
        west, south, east, north = shapely.total_bounds(shapes).tolist()
        side = max(east - west, north - south) / LATTICE or 1e-3
        rows, cols = (max(1, math.ceil(a / side)) for a in (north - south, east - west))
        left, low = np.meshgrid(west + side * np.arange(cols), south + side * np.arange(rows))
        edge = side / 20  # as edges between points were moved as straight lines
        cells = shapely.box(left - edge, low - edge, left + side + edge, low + side + edge)
        held = np.zeros(rows * cols, np.int8)
        held[shapely.STRtree(cells.ravel()).query(shapes, predicate="intersects")[1]] = 1
        found: list[Box] = []
        for row, line in enumerate(held.reshape(rows, cols)):
            y = south + side * row
            for first, last in np.flatnonzero(np.diff(line, prepend=0, append=0)).reshape(-1, 2):
                x = west + side * float(first), west + side * float(last)
                found += _on_earth(x[0] - edge, y - edge, x[1] + edge, y + side + edge)
        return tuple(found)

    def _in_degrees(self) -> NDArray[np.object_]:
        """Return the shapes in degrees, those across the date line in one piece."""
        shapes = _moved(self.shapes, self.crs, CRS.from_epsg(4326))
        turned = shapely.transform(shapes, lambda xy: np.stack([xy[:, 0] % 360, xy[:, 1]], axis=1))
        whole = [some for some in (shapes, turned) if not _torn(some)]
        if not whole:  # about a pole
            _, south, _, north = shapely.total_bounds(shapes)
            pole = (-90.0, north) if abs(south) > abs(north) else (south, 90.0)
            return np.array([shapely.box(-180, pole[0], 180, pole[1])], object)
        return min(whole, key=lambda some: np.ptp(shapely.total_bounds(some)[[0, 2]]))

    def meets(self, grid: Grid) -> bool:
        """Whether the area and a grid's lie together somewhere, as far as some points tell."""
        points = [shapely.get_coordinates(shapely.point_on_surface(self.shapes))]
        points.append(shapely.get_coordinates(self.shapes))
        to = Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        if grid.locate(*to.transform(*np.concatenate(points).T))[2].any():
            return True
        rows, cols = (np.unique(np.linspace(0, n - 1, POINTS).astype(int)) for n in grid.shape)
        x, y = np.meshgrid(grid.x_of(cols), grid.y_of(rows))
        to = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        return bool(self.holds(*to.transform(x.ravel(), y.ravel())).any())

    # -- files ----------------------------------------------------------------------------------

    def to_text(self) -> str:
        """Return the polygons as JSON, the same for the same polygons."""
        return json.dumps(
            {"crs": self.crs.to_wkt(), "wkb": shapely.to_wkb(self.shapes, True).tolist()}
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the polygons."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()

    def save(self, run: Place) -> None:
        """Write the polygons to a run's folder."""
        write_atomically(run / BOUNDARY, self.to_text())

    @classmethod
    def load(cls, run: Place, digest: str) -> Boundary:
        """Read what :meth:`save` wrote.

        Raises
        ------
        StoreError
            It is not there, or not what was written.
        """
        path = run / BOUNDARY
        try:
            told = json.loads(path.read_text())
            found = cls(shapely.from_wkb(np.array(told["wkb"], object)), CRS.from_wkt(told["crs"]))
        except (OSError, ValueError, KeyError, TypeError, shapely.GEOSException) as error:
            raise StoreError(
                f"{path}: not readable ({error!r}); start a new run (--out)"
            ) from error
        if found.digest != digest:
            raise StoreError(f"{path}: changed since the run began; start a new run (--out)")
        return found


class BoundaryMask:
    """Which cells of a grid have their centre inside a boundary, block by block.

    Of the blocks drawn so far some are kept, so that memory does not grow with the grid. Threads
    may share it.
    """

    def __init__(self, boundary: Boundary, grid: Grid) -> None:
        pieces = _pieces(boundary.shapes)
        one = np.zeros(len(pieces), np.int32)
        self._zones = PolygonZones(Polygons(pieces, one, ("",), boundary.crs, ""), grid)
        self._lock = threading.Lock()

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Return which cells of a window of the grid lie inside, ``(y, x)``."""
        rows = slice(window.row0, window.row0 + window.height)
        cols = slice(window.col0, window.col0 + window.width)
        with self._lock:
            return np.asarray(self._zones[rows, cols] >= 0)


@lru_cache(maxsize=2)
def mask_of(boundary: Boundary, grid: Grid) -> BoundaryMask:
    """Return the mask of a grid, the same one for all tiles of it that this process makes."""
    return BoundaryMask(boundary, grid)


def in_boundary(
    boundary: Boundary | None, profiles: Profiles, reporter: Reporter = QUIET
) -> Profiles:
    """Return the profiles' layers that lie inside the boundary; all of them without one.

    Raises
    ------
    InputError
        None does.
    """
    if boundary is None:
        return profiles
    lon, lat = (profiles.table[k].to_numpy(np.float64) for k in ("lon", "lat"))
    inside = boundary.holds(lon, lat)
    if not inside.any():
        ends = ", ".join(f"{a.min():.2f} to {a.max():.2f} {e}" for a, e in ((lon, "E"), (lat, "N")))
        raise InputError(
            f"grid.boundary: none of {len(inside):,} soil layers lies inside the polygons; the "
            f"layers lie at {ends}: give profiles of the area, or another file"
        )
    reporter.say(f"boundary: {int(inside.sum()):,} of {len(inside):,} soil layers lie inside")
    return replace(profiles, table=profiles.table[inside].reset_index(drop=True))


def bounded(boundary: Boundary | None) -> dict[str, str]:
    """Return what a run's identity tells of its boundary: nothing where there is none."""
    return {} if boundary is None else {"boundary": boundary.digest}


def _moved(shapes: NDArray[np.object_], crs: CRS, other: CRS) -> NDArray[np.object_]:
    """Return shapes in another CRS, their long edges cut into pieces first."""
    west, south, east, north = shapely.total_bounds(shapes)
    cut = shapely.segmentize(shapes, max(east - west, north - south) / POINTS)
    if crs.equals(other, ignore_axis_order=True):
        return np.asarray(cut)
    to = Transformer.from_crs(crs, other, always_xy=True)
    return np.asarray(shapely.transform(cut, lambda xy: np.stack(to.transform(*xy.T), axis=1)))


def _torn(shapes: NDArray[np.object_]) -> bool:
    """Whether an edge of shapes in degrees goes once around the Earth, as none of them does."""
    rings = shapely.get_rings(shapely.get_parts(shapes))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    jumps = np.abs(np.diff(points[:, 0])) > 180
    return bool((jumps & (ring[1:] == ring[:-1])).any())


def _pieces(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return shapes cut into pieces of few points, so that a block need not draw a whole coast."""
    todo, found = [part for part in shapely.get_parts(shapes) if part.area > 0], []
    while todo:
        shape = todo.pop()
        west, south, east, north = shape.bounds
        x, y = (west + east) / 2, (south + north) / 2
        wide = east - west > north - south
        if shapely.get_num_coordinates(shape) <= PIECE or not max(east - west, north - south):
            found.append(shape)
            continue
        halves = [
            shapely.box(west, south, x if wide else east, north if wide else y),
            shapely.box(x if wide else west, south if wide else y, east, north),
        ]
        parts = shapely.get_parts(shapely.intersection(shape, halves))
        todo += [part for part in parts if part.area > 0]
    return np.array(found, object)


def _on_earth(west: float, south: float, east: float, north: float) -> list[Box]:
    """Return a box with four digits after the point, no smaller; two across the date line."""
    low, high = math.floor(max(south, -90) * 1e4) / 1e4, math.ceil(min(north, 90) * 1e4) / 1e4
    left, right = math.floor(west * 1e4) / 1e4, math.ceil(east * 1e4) / 1e4
    if right <= 180:
        return [(max(left, -180.0), low, right, high)]
    beyond = (max(left - 360, -180.0), low, min(right - 360, 180.0), high)
    return [beyond] if left >= 180 else [(left, low, 180.0, high), beyond]
