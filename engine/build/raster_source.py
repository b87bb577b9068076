"""GeoTIFF, COG and whatever else GDAL reads, by window."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from ..errors import InputError
from .axes import Axis, NativeGrid
from .native import Rect, unreadable
from .spec import LayerSpec


@dataclass(frozen=True)
class RasterNative:
    """Bands of one raster, or one band of several, read by window."""

    where: str
    bands: tuple[tuple[Path, int], ...]
    grid: NativeGrid
    units: str
    long_name: str
    ignore_nodata: bool
    nodata: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return len(self.bands)

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a stored window."""
        path, band = self.bands[step]
        window = Window(rect.col0, rect.row0, rect.col1 - rect.col0, rect.row1 - rect.row0)
        try:
            with rasterio.open(path) as raster:
                stored = raster.read(band, window=window, masked=not self.ignore_nodata)
                scale, offset = raster.scales[band - 1], raster.offsets[band - 1]
        except rasterio.errors.RasterioError as error:
            raise unreadable(self.where, error) from error
        values = np.ma.filled(stored.astype(np.float32), np.nan)
        for missing in self.nodata:
            values[values == np.float32(missing)] = np.nan
        return values if (scale, offset) == (1, 0) else (values * scale + offset).astype(np.float32)


def open_raster(spec: LayerSpec, files: list[Path]) -> RasterNative:
    """Open rasters that share one grid; the last cell of each is read, to find truncated ones."""
    where = f'layer "{spec.name}", {spec.file}'
    first: tuple[Any, ...] = ()
    bands: list[tuple[Path, int]] = []
    grid: NativeGrid | None = None
    units = long_name = ""
    for path in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                raster = rasterio.open(path)
        except rasterio.errors.RasterioError as error:
            raise unreadable(f'layer "{spec.name}", {path}', error) from error
        with raster:
            this = (raster.shape, raster.transform, raster.crs)
            if first and this != first:
                raise InputError(
                    f"{where}: {path.name} has shape {raster.shape} and transform "
                    f"{tuple(raster.transform)[:6]}, but the first file has {first[0]} and "
                    f"{tuple(first[1])[:6]}; all steps must share one grid"
                )
            first = this
            every_band = len(files) == 1 and spec.steps > 1
            chosen = range(1, raster.count + 1) if every_band else [spec.band]
            if spec.band > raster.count:
                raise InputError(
                    f"{where}: band = {spec.band}, but the file has {raster.count} band(s)"
                )
            own = (raster.scales[spec.band - 1], raster.offsets[spec.band - 1])
            if own != (1.0, 0.0) and (spec.scale, spec.offset) != (1.0, 0.0):
                raise InputError(
                    f"{where}: the file states the scale {own[0]:g} and offset {own[1]:g} itself, "
                    "and they are applied; leave scale and offset out of the TOML"
                )
            bands.extend((path, band) for band in chosen)
            if grid is None:
                grid = _raster_grid(raster, spec, where)
                units = raster.units[spec.band - 1] or ""
                long_name = raster.descriptions[spec.band - 1] or ""
            _probe(raster, spec.band, f'layer "{spec.name}", {path}')
    assert grid is not None
    return RasterNative(
        where, tuple(bands), grid, units, long_name, spec.ignore_file_nodata, spec.nodata
    )


def _raster_grid(raster: Any, spec: LayerSpec, where: str) -> NativeGrid:
    t = raster.transform
    if t.is_identity and spec.bounds is None:
        raise InputError(
            f"{where}: the raster has no georeference; declare bounds = [west, south, east, north] "
            'of its outer edges, and its crs, such as "EPSG:4326"'
        )
    if t.b != 0 or t.d != 0:
        raise InputError(
            f"{where}: the raster is rotated (transform {tuple(t)[:6]}); warp it first"
        )
    # A raster without georeference starts in its upper left corner.
    step = -abs(t.e) if t.is_identity else t.e
    x = Axis(t.c + t.a / 2, t.a, raster.width)
    y = Axis(t.f + step / 2, step, raster.height)
    crs = raster.crs.to_wkt() if raster.crs else ""
    return NativeGrid(x, y, crs, "centres", rows_certain=False)


def _probe(raster: Any, band: int, where: str) -> None:
    """Read the last cells, so that a truncated file is found before anything is written."""
    try:
        raster.read(band, window=Window(raster.width - 1, raster.height - 1, 1, 1))
    except rasterio.errors.RasterioError as error:
        raise unreadable(where, error) from error
