"""Zones that totals are wanted of: a file of polygons or of classes, read block by block.

A cell belongs to the zone that its centre lies in, so that zones that do not overlap share the land
among them without rest. At a cell size well below that of the zones the areas so counted are those
of the polygons (cells along a border fall to one side as often as to the other).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ..errors import InputError
from ..grid import Grid
from ..products.layers import Block
from .class_zones import AnyClass, ClassZones, read_legend
from .polygon_zones import PolygonZones, read_polygons

#: What the names of files of classes end with; others are read as polygons.
RASTERS = frozenset({".tif", ".tiff", ".vrt", ".img", ".nc"})


class Codes(Protocol):
    """Zone codes of a grid's cells."""

    def __getitem__(self, where: Block, /) -> NDArray[Any]:
        """Return the codes of a block; -1 where there is no zone."""


@dataclass(frozen=True)
class ZoneMap:
    """Zones on a grid.

    Parameters
    ----------
    codes
        Read block by block.
    names
        By code. Codes of one name are one zone.
    source
        Where they come from, for people: the file's name, and the column.
    """

    codes: Codes
    names: Mapping[int, str]
    source: str

    @property
    def note(self) -> str:
        """What should be known of the cells read so far, "" where nothing."""
        shared = getattr(self.codes, "shared", 0)
        if not shared:
            return ""
        return (
            f"{shared:,} cells lie in more than one zone of {self.source}; they count in the one "
            "that comes first in the file, so zones listed later are smaller here than their "
            "polygons"
        )


def open_zones(
    path: str | Path,
    grid: Grid,
    *,
    column: str | None = None,
    layer: str | None = None,
    legend: str | Path | None = None,
) -> ZoneMap:
    """Open a file of zones on a grid.

    Parameters
    ----------
    path
        GeoJSON, GeoPackage, shapefile or whatever else GDAL reads as polygons; or a raster of whole
        numbers (GeoTIFF and the like), of which a cell takes the class at its centre.
    grid
        Of the map.
    column
        Of the polygons' table: the zones' name. Polygons of one name are one zone.
    layer
        Of a GeoPackage with several.
    legend
        CSV with columns ``code,name`` for a raster.

    Raises
    ------
    InputError
        The file is missing or cannot be read, has no polygons, no such column, or no CRS.
    """
    file = Path(path)
    if not file.exists():
        raise InputError(
            f"{file}: no such file of zones; expected polygons (GeoJSON, GeoPackage, shapefile) "
            "or a raster of classes (GeoTIFF)"
        )
    if file.suffix.lower() in RASTERS:
        if column or layer:
            raise InputError(
                f"{file}: a raster of classes has no columns or layers; name its classes with "
                "--legend FILE (CSV: code,name)"
            )
        names = AnyClass() if legend is None else read_legend(legend)
        return ZoneMap(ClassZones(file, grid), names, file.name)
    if legend is not None:
        raise InputError(f"{file}: a legend is for rasters; polygons are named by --name COLUMN")
    polygons = read_polygons(file, column, layer)
    return ZoneMap(
        PolygonZones(polygons, grid),
        dict(enumerate(polygons.names)),
        f"{file.name}, {polygons.column}",
    )
