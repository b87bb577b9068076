"""Opening one source and reading windows of it in normal order.

A :class:`Source` hides how a file is stored: whatever it is, ``read(step, rect)`` gives float32
rows from north to south and columns from west to east, missing as NaN. Only the cells asked for
are read, so that a raster may be larger than memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..errors import InputError
from .axes import Axis, Layout, NativeGrid, lay_out
from .native import Native, Rect
from .packaged import PACKAGE, dataset
from .raster_source import open_raster
from .spec import LayerSpec
from .staging import StagedNative, is_staged
from .xarray_source import open_xarray


@dataclass(frozen=True)
class Source:
    """One layer's source in normal order."""

    native: Native
    layout: Layout
    swapped: bool = False
    crop: Rect | None = None

    @property
    def geobox(self) -> GeoBox:
        """Its grid in normal order, or the part of it that is kept."""
        box = self.layout.geobox
        if self.crop is None:
            return box
        return box[self.crop.row0 : self.crop.row1, self.crop.col0 : self.crop.col1]

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return self.native.steps

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a rectangle that lies on the grid, float32, missing as NaN."""
        if self.crop is not None:
            down, right = self.crop.row0, self.crop.col0
            rect = Rect(rect.row0 + down, rect.row1 + down, rect.col0 + right, rect.col1 + right)
        rows, columns = self.layout.geobox.shape
        row0, row1 = (
            (rows - rect.row1, rows - rect.row0)
            if self.layout.flip_rows
            else (rect.row0, rect.row1)
        )
        parts = [
            self._stored(step, Rect(row0, row1, start, stop))
            for start, stop in _unrolled(rect.col0, rect.col1, self.layout.roll, columns)
        ]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return values[::-1] if self.layout.flip_rows else values

    def _stored(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Read columns that are stored in one run, in west-to-east order."""
        if self.layout.flip_columns:
            size = self.layout.stored_columns
            rect = rect._replace(col0=size - rect.col1, col1=size - rect.col0)
        if self.swapped:
            values = self.native.read(step, Rect(rect.col0, rect.col1, rect.row0, rect.row1)).T
        else:
            values = self.native.read(step, rect)
        return values[:, ::-1] if self.layout.flip_columns else values


def _unrolled(col0: int, col1: int, roll: int, columns: int) -> Iterator[tuple[int, int]]:
    """Yield stored column runs for normal columns, split where the stored order starts anew."""
    start = col0
    while start < col1:
        stored = (start + roll) % columns
        length = min(col1 - start, columns - stored)
        yield stored, stored + length
        start += length


def open_source(spec: LayerSpec, base: Path, staging: Path | None = None) -> Source:
    """Open a layer's source.

    Parameters
    ----------
    spec
        The layer.
    base
        Folder that relative file names are taken from.
    staging
        Folder of staged arrays, for sources that cannot be read by windows (see ``staging.py``);
        without it these can be described but not read.

    Raises
    ------
    InputError
        Where a file is missing, unreadable, laid out in an undeclared way, or does not match the
        time axis declared.
    """
    native = _open_native(spec, base, staging)
    grid = native.grid
    if spec.bounds is not None:
        grid = _with_bounds(grid, spec.bounds)
    if spec.swapped_axes:
        grid = replace(grid, x=grid.y, y=grid.x)
    layout = lay_out(grid, spec, spec.file)
    if native.steps != spec.steps:
        raise InputError(
            f'layer "{spec.name}", {spec.file}: declared time = "{spec.time}" expects {spec.steps} '
            f"step(s), found {native.steps}; correct time, years or files"
        )
    crop = _cropped(layout.geobox, spec) if spec.crop is not None else None
    return Source(native, layout, spec.swapped_axes, crop)


def _cropped(box: GeoBox, spec: LayerSpec) -> Rect:
    """Return the rows and columns whose centres lie inside the crop."""
    assert spec.crop is not None
    west, south, east, north = spec.crop
    x = box.affine.c + box.affine.a * (np.arange(box.shape[1]) + 0.5)
    y = box.affine.f + box.affine.e * (np.arange(box.shape[0]) + 0.5)
    columns = np.flatnonzero((x > west) & (x < east))
    rows = np.flatnonzero((y > south) & (y < north))
    if len(rows) < 2 or len(columns) < 2:
        raise InputError(
            f'layer "{spec.name}", {spec.file}: crop = {list(spec.crop)} leaves {len(rows)} rows '
            f"and {len(columns)} columns of a grid that reaches from {x[0]:g} to {x[-1]:g} and "
            f"from {y[-1]:g} to {y[0]:g}; expected [west, south, east, north] around at least two"
        )
    return Rect(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def source_files(spec: LayerSpec, base: Path) -> list[Path]:
    """Return the files (or Zarr folders) behind a layer; each must exist."""
    if spec.file.startswith(PACKAGE):
        return dataset(spec).files
    found = []
    for name in spec.paths:
        path = base / name
        if not path.exists():
            raise InputError(
                f'layer "{spec.name}": file {path} does not exist; correct file, or the folder in '
                "[paths] that it is taken from"
            )
        found.append(path)
    return found


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder with their names."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for item in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{item.relative_to(path).as_posix()}\0{hash_file(item)}\n".encode())
    return digest.hexdigest()


def _open_native(spec: LayerSpec, base: Path, staging: Path | None) -> Native:
    files = source_files(spec, base)
    if is_staged(spec):
        return StagedNative(spec, files, staging)
    suffix = Path(spec.paths[0]).suffix.lower()
    if suffix in {".nc", ".nc4", ".cdf", ".zarr", ".h5"}:
        return open_xarray(spec, files)
    return open_raster(spec, files)


def _with_bounds(grid: NativeGrid, bounds: tuple[float, float, float, float]) -> NativeGrid:
    """Replace a grid's coordinates by those that its outer edges give, keeping its directions."""
    west, south, east, north = bounds

    def stretched(axis: Axis, low: float, high: float) -> Axis:
        res = (high - low) / axis.size
        return (
            Axis(low + res / 2, res, axis.size)
            if axis.step > 0
            else Axis(high - res / 2, -res, axis.size)
        )

    x, y = stretched(grid.x, west, east), stretched(grid.y, south, north)
    return replace(grid, x=x, y=y, labels="centres")
