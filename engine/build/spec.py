"""What a cube is to be built from: plain frozen dataclasses, filled from TOML by the recipes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..cube.layout import Kind, Time
from ..errors import InputError

Longitudes = Literal["", "0-360", "shifted"]
Rows = Literal["", "south-up"]
Cells = Literal["", "center", "corner-lower-left", "corner-upper-left"]


@dataclass(frozen=True)
class LayerSpec:
    """One covariate: where it is read from and how.

    Parameters
    ----------
    name
        As models ask for it.
    file
        A GeoTIFF, NetCDF, Zarr or CSV raster, or ``package:<dataset>``. ``{month:02d}`` or
        ``{year}`` in it stand for one file for each month or year.
    kind
        ``amount`` or ``class``; never guessed.
    time
        ``static``, ``monthly`` (twelve months) or ``yearly``.
    years
        The years held, ascending, for yearly layers.
    files
        One file for each month or year, in order, instead of a pattern in `file`.
    variable
        NetCDF or Zarr variable.
    band
        GeoTIFF band (from 1); the first one for monthly or yearly files with a band for each step.
    select
        ``(dimension, value)`` of further NetCDF or Zarr dimensions; a value of its coordinate, or a
        position from 0 where it has none. Of one dimension several values may be given, which are
        averaged by `weights`, such as soil layers by their thickness.
    weights
        A positive weight for each of several values selected; missing where any of them is.
    units, long_name, source, licence, citation
        Travel with the layer; for packaged data the package's own are the default.
    scale, offset
        ``value = stored * scale + offset``; refused for a raster that states a scale itself.
    per_day
        Monthly values are daily rates, and become totals: each is multiplied by the length of its
        month, 28.25 days for February.
    at_least
        Value from which a cell is class 1; others become class 0. For a mark that averaging would
        blur, such as 999.9 for peat.
    nodata
        Values that mean "missing", besides the file's own: as stored, or after the file's scale.
    ignore_file_nodata
        Take the file's own nodata value for a real value (a class 0 that is also "nodata").
    valid_min, valid_max
        Bounds of `value`; what is outside becomes missing and is counted.
    missing_with
        Name of a layer above, on the same grid, where this one is missing too: for files that hold
        0 over the sea.
    fill_radius_deg
        Fill missing cells from the nearest valid ones up to this distance.
    seasonal_gap
        The layer is missing in some months or places on purpose; never filled.
    directional
        Values depend on the points of the compass: aspect, northness, components of the wind.
    longitudes, rows, cells, crs, bounds, swapped_axes
        How to read a source that is not laid out north-up, from -180 to 180, by cell centres.
    crop
        West, south, east and north, in the units of the CRS, with longitudes from -180: only cells
        whose centres lie inside are kept.
    coarsen
        Cells of ``package:global-land-mask`` averaged along each side.
    """

    name: str
    file: str
    kind: Kind
    time: Time = "static"
    years: tuple[int, ...] = ()
    files: tuple[str, ...] = ()
    variable: str = ""
    band: int = 1
    select: tuple[tuple[str, float | tuple[float, ...]], ...] = ()
    weights: tuple[float, ...] = ()
    units: str = ""
    long_name: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    scale: float = 1.0
    offset: float = 0.0
    per_day: bool = False
    at_least: float | None = None
    nodata: tuple[float, ...] = ()
    ignore_file_nodata: bool = False
    valid_min: float | None = None
    valid_max: float | None = None
    missing_with: str = ""
    fill_radius_deg: float = 0.0
    seasonal_gap: bool = False
    directional: bool = False
    longitudes: Longitudes = ""
    rows: Rows = ""
    cells: Cells = ""
    crs: str = ""
    bounds: tuple[float, float, float, float] | None = None
    swapped_axes: bool = False
    crop: tuple[float, float, float, float] | None = None
    coarsen: int = 1

    @property
    def steps(self) -> int:
        """Length of the time axis (1 for static layers)."""
        return {"static": 1, "monthly": 12, "yearly": len(self.years)}[self.time]

    @property
    def paths(self) -> tuple[str, ...]:
        """The files: one for all steps, or one for each."""
        if self.files:
            return self.files
        if "{month" not in self.file and "{year" not in self.file:
            return (self.file,)
        try:
            if self.time == "monthly":
                return tuple(self.file.format(month=month) for month in range(1, 13))
            if self.time == "yearly":
                return tuple(self.file.format(year=year) for year in self.years)
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(
                f'layer "{self.name}": file = "{self.file}" is no pattern for time = '
                f'"{self.time}" ({error!r}); monthly files have {{month:02d}}, yearly ones {{year}}'
            ) from error
        raise InputError(
            f'layer "{self.name}": file = "{self.file}" has a pattern, but time = "{self.time}"; '
            'declare time = "monthly" or "yearly"'
        )


@dataclass(frozen=True)
class TerrainSpec:
    """Terrain derivatives of an elevation layer, on its own grid.

    Parameters
    ----------
    elevation
        Name of the layer, in metres.
    outputs
        ``slope``, ``aspect_sin``, ``aspect_cos``, ``tpi_<radius>km``.
    below_sea
        ``zero``: elevations below 0 m count as 0 (no bathymetry, but no land depressions either);
        ``keep``: as they are.
    """

    elevation: str
    outputs: tuple[str, ...]
    below_sea: Literal["keep", "zero"] = "zero"


@dataclass(frozen=True)
class ClimateSpec:
    """Summaries of monthly temperature and rain, each on its own grid.

    Parameters
    ----------
    temperature, rain
        Names of the monthly layers, degC and mm; either may be "".
    outputs
        Names in :data:`edaphos.engine.build.derive.CLIMATE_OUTPUTS`; ``koeppen`` needs both layers
        and lies on the finer of their grids.
    """

    temperature: str
    rain: str
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class SoilMaskSpec:
    """Where soil can be, from a land mask, land cover or both.

    Parameters
    ----------
    land
        Amount layer: the fraction of land in each cell (land where it is at least 0.5), or "".
    landcover
        Class layer, or "".
    water, ice, urban, bare
        Land cover classes of each status.
    exclude_south_of
        Cells south of this latitude become ice.
    """

    land: str = ""
    landcover: str = ""
    water: tuple[int, ...] = ()
    ice: tuple[int, ...] = ()
    urban: tuple[int, ...] = ()
    bare: tuple[int, ...] = ()
    exclude_south_of: float = -90.0


@dataclass(frozen=True)
class CubeSpec:
    """Everything a cube is built from; relative file names are taken from `base`."""

    layers: tuple[LayerSpec, ...]
    terrain: tuple[TerrainSpec, ...] = ()
    climate: tuple[ClimateSpec, ...] = ()
    soil_mask: SoilMaskSpec | None = None
    title: str = ""
    base: Path = Path()
