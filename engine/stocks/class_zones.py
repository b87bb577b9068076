"""A raster of classes as zones: the class at the centre of each cell of a grid."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.windows import Window

from ..errors import InputError
from ..grid import Grid
from ..products.layers import Block


class AnyClass(Mapping[int, str]):
    """Names of classes without a legend: ``class 7``; none below 0."""

    def __getitem__(self, code: int) -> str:
        """Return a class's name."""
        if code < 0:
            raise KeyError(code)
        return f"class {code}"

    def __iter__(self) -> Iterator[int]:
        """Yield no codes: which there are is known when cells are read."""
        return iter(())

    def __len__(self) -> int:
        """Return 0."""
        return 0


def read_legend(path: str | Path) -> dict[int, str]:
    """Read the names of classes: a CSV with columns ``code,name``."""
    file = Path(path)
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.DictReader(opened))
        return {int(row["code"]): str(row["name"]) for row in rows}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{file}: expected a CSV with the columns code (whole numbers) and name: {error!r}"
        ) from None


class ClassZones:
    """Classes at the centres of a grid's cells, -1 where the raster has none.

    What a cell gets depends on its centre alone, so cutting a map cannot change it.
    """

    def __init__(self, file: Path, grid: Grid) -> None:
        self._grid, self._file = grid, file
        try:
            self._raster = rasterio.open(file)
        except rasterio.RasterioIOError as error:
            raise InputError(f"{file}: cannot be read as a raster: {error}") from None
        if self._raster.crs is None:
            raise InputError(f"{file} has no CRS, so where its classes lie is unknown")
        own = CRS.from_wkt(self._raster.crs.to_wkt())
        self._geographic = own.is_geographic
        same = own.equals(grid.crs, ignore_axis_order=True)
        self._to_raster = None if same else Transformer.from_crs(grid.crs, own, always_xy=True)

    def __getitem__(self, where: Block) -> NDArray[np.int64]:
        """Return the codes of a block."""
        rows, cols = where
        window = self._grid.window(
            rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start
        )
        x, y = np.meshgrid(window.x, window.y)
        if self._to_raster is not None:
            x, y = self._to_raster.transform(x, y)
        inverse = ~self._raster.transform
        if self._geographic:
            west = self._raster.bounds.left
            x = west + (x - west) % 360.0
        fx, fy = inverse * (x, y)
        known = np.isfinite(fx) & np.isfinite(fy)
        # a centre on an edge, but for rounding, is of the cell east or south of it
        col, row = (np.floor(np.where(known, v, -1.0) + 1e-9).astype(np.int64) for v in (fx, fy))
        height, width = self._raster.shape
        known &= (row >= 0) & (row < height) & (col >= 0) & (col < width)
        out = np.full(window.shape, -1, np.int64)
        if known.any():
            r0, c0 = int(row[known].min()), int(col[known].min())
            r1, c1 = int(row[known].max()) + 1, int(col[known].max()) + 1
            read = self._raster.read(1, window=Window(c0, r0, c1 - c0, r1 - r0))
            out[known] = self._codes(read[row[known] - r0, col[known] - c0])
        return out

    def _codes(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return what was read as codes, -1 where it is nodata; a class in floats is whole."""
        nodata = self._raster.nodata
        none = np.zeros(values.shape, bool) if nodata is None else values == nodata
        if values.dtype.kind == "f":
            none |= np.isnan(values)
            broken = values[~none & (values != np.rint(values))]
            if broken.size:
                raise InputError(
                    f"{self._file}: expected classes (whole numbers), found {broken[0]:g}; is this "
                    "a raster of amounts?"
                )
        return np.where(none, -1, np.where(none, 0, values).astype(np.int64))
