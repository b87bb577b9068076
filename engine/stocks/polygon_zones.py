"""Polygons as zones: which one holds the centre of each cell of a grid."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from ..errors import InputError, did_you_mean
from ..grid import Grid
from ..products.layers import Block

Codes = NDArray[np.int32]

#: Columns that are taken as names, where none is named, in this order.
USUAL_NAMES = ("name", "name_en", "admin", "country", "zone", "biome_name", "eco_name", "iso_a3")
#: Side of the blocks that polygons are drawn in, cells. They are of the grid, whatever is read, so
#: that no rounding can depend on how a map is cut.
DRAWN = 512
#: Blocks kept.
KEPT = 96


@dataclass(frozen=True)
class Polygons:
    """Shapes and the zone that each is of.

    Parameters
    ----------
    shapes
        Polygons, in the file's order, ``(n,)``.
    zone
        Position of each one's name among `names`, ``(n,)``.
    names
        Of zones, in order of appearance.
    crs
        Of the coordinates.
    column
        Where the names come from.
    """

    shapes: NDArray[np.object_]
    zone: NDArray[np.int32]
    names: tuple[str, ...]
    crs: CRS
    column: str


def read_polygons(file: Path, column: str | None = None, layer: str | None = None) -> Polygons:
    """Read polygons and their names.

    Raises
    ------
    InputError
        What cannot be used, and what to do.
    """
    import geopandas

    try:
        table = geopandas.read_file(file, layer=layer) if layer else geopandas.read_file(file)
    except Exception as error:  # whatever its driver raises
        raise InputError(f"{file}: cannot be read as polygons: {error}") from None
    if not isinstance(table, geopandas.GeoDataFrame):
        raise InputError(f"{file}: expected polygons, found a table without any shapes")
    if table.crs is None:
        raise InputError(
            f"{file} has no CRS, so where its polygons lie is unknown; write it with one "
            "(`ogr2ogr -a_srs EPSG:4326 out.gpkg in.shp`)"
        )
    usable = table.geom_type.isin(["Polygon", "MultiPolygon", "GeometryCollection"])
    usable &= ~table.geometry.is_empty
    if not usable.any():
        kinds = ", ".join(sorted(set(table.geom_type.dropna()))) or "nothing"
        raise InputError(f"{file}: expected polygons, found {kinds}")
    table = table[usable]
    columns = [str(c) for c in table.columns if c != table.geometry.name]
    named = _name_column(file, columns, column, table)
    if named is None:
        words = [f"polygon {i + 1}" for i in range(len(table))]
    else:
        words = ["unnamed" if v is None or v != v else str(v) for v in table[named]]
    names = tuple(dict.fromkeys(words))
    place = {name: i for i, name in enumerate(names)}
    shapes = shapely.make_valid(np.asarray(table.geometry.values, dtype=object))
    zone = np.array([place[word] for word in words], np.int32)
    return Polygons(shapes, zone, names, CRS.from_user_input(table.crs), named or "by number")


def _name_column(file: Path, columns: list[str], wanted: str | None, table: Any) -> str | None:
    if wanted is not None:
        if wanted not in columns:
            raise InputError(f'{file} has no column "{wanted}"; {did_you_mean(wanted, columns)}')
        return wanted
    by_lower = {name.lower(): name for name in reversed(columns)}
    usual = [by_lower[name] for name in USUAL_NAMES if name in by_lower]
    texts = [name for name in columns if table[name].map(lambda v: isinstance(v, str)).any()]
    return next(iter([*usual, *texts]), None)


class PolygonZones:
    """Codes of the polygons that hold the centres of a grid's cells, -1 where none does.

    Where polygons overlap, the one that comes first in the file has the cell; `shared` counts such
    cells of the blocks drawn so far.
    """

    def __init__(self, polygons: Polygons, grid: Grid) -> None:
        self.shared = 0
        self._grid, self._polygons = grid, polygons
        self._tree = shapely.STRtree(polygons.shapes)
        west, east = grid.origin[0], grid.origin[0] + grid.shape[1] * grid.resolution[0]
        turned = grid.is_geographic and (west < -180 - 1e-9 or east > 180 + 1e-9)
        same = polygons.crs.equals(grid.crs, ignore_axis_order=True)
        self._direct = same and not turned
        self._to_polygons = (
            None if same else Transformer.from_crs(grid.crs, polygons.crs, always_xy=True)
        )
        self._kept: OrderedDict[tuple[int, int], Codes] = OrderedDict()
        self._counted: set[tuple[int, int]] = set()
        shapely.prepare(polygons.shapes)

    def __getitem__(self, where: Block) -> Codes:
        """Return the codes of a block."""
        rows, cols = where
        out = np.full((rows.stop - rows.start, cols.stop - cols.start), -1, np.int32)
        for i in range(rows.start // DRAWN, (rows.stop - 1) // DRAWN + 1):
            for j in range(cols.start // DRAWN, (cols.stop - 1) // DRAWN + 1):
                drawn = self._block(i, j)
                top, left = i * DRAWN, j * DRAWN
                r0, r1 = max(rows.start, top), min(rows.stop, top + drawn.shape[0])
                c0, c1 = max(cols.start, left), min(cols.stop, left + drawn.shape[1])
                part = drawn[r0 - top : r1 - top, c0 - left : c1 - left]
                out[r0 - rows.start : r1 - rows.start, c0 - cols.start : c1 - cols.start] = part
        return out

    def _block(self, i: int, j: int) -> Codes:
        key = (i, j)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        height = min(DRAWN, self._grid.shape[0] - i * DRAWN)
        width = min(DRAWN, self._grid.shape[1] - j * DRAWN)
        drawn, twice = (self._drawn if self._direct else self._looked_up)(i, j, height, width)
        if key not in self._counted:
            self._counted.add(key)
            self.shared += int(twice.sum())
        self._kept[key] = drawn
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return drawn

    def _drawn(self, i: int, j: int, height: int, width: int) -> tuple[Codes, NDArray[np.bool_]]:
        """Draw polygons of the grid's own CRS."""
        x0, y0 = self._grid.origin
        dx, dy = self._grid.resolution
        left, top = x0 + j * DRAWN * dx, y0 - i * DRAWN * dy
        box = shapely.box(left, top - height * dy, left + width * dx, top)
        near = np.sort(self._tree.query(box, predicate="intersects"))
        at = Affine(dx, 0, left, 0, -dy, top)
        drawn: Codes = np.full((height, width), -1, np.int32)
        twice = np.zeros(drawn.shape, bool)
        zones = self._polygons.zone[near]
        for zone in dict.fromkeys(zones.tolist()):
            parts = [(shape, 1) for shape in self._polygons.shapes[near[zones == zone]]]
            held = rasterio.features.rasterize(parts, drawn.shape, transform=at, dtype="uint8") > 0
            twice |= held & (drawn >= 0)
            drawn[held & (drawn < 0)] = zone
        return drawn, twice

    def _looked_up(
        self, i: int, j: int, height: int, width: int
    ) -> tuple[Codes, NDArray[np.bool_]]:
        """Look up cell centres in polygons of another CRS, or across the dateline."""
        window = self._grid.window(i * DRAWN, j * DRAWN, height, width)
        x, y = (a.ravel() for a in np.meshgrid(window.x, window.y))
        if self._to_polygons is not None:
            x, y = self._to_polygons.transform(x, y)
        if self._polygons.crs.is_geographic:
            x = (np.where(np.isfinite(x), x, np.nan) + 180.0) % 360.0 - 180.0
        drawn, twice = np.full(x.size, -1, np.int32), np.zeros(x.size, bool)
        on_earth = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if on_earth.size:
            ends = x[on_earth].min(), y[on_earth].min(), x[on_earth].max(), y[on_earth].max()
            for one in np.sort(self._tree.query(shapely.box(*ends), predicate="intersects")):
                shape, zone = self._polygons.shapes[one], int(self._polygons.zone[one])
                west, south, east, north = shape.bounds
                here = on_earth[
                    (x[on_earth] >= west)
                    & (x[on_earth] <= east)
                    & (y[on_earth] >= south)
                    & (y[on_earth] <= north)
                ]
                held = here[shapely.contains_xy(shape, x[here], y[here])]
                twice[held] |= (drawn[held] >= 0) & (drawn[held] != zone)
                free = held[drawn[held] < 0]
                drawn[free] = zone
        return drawn.reshape(height, width), twice.reshape(height, width)
