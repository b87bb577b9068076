"""Layers as fields: windows of decoded, filled and derived values, computed when asked for.

A field reads any window of its own grid, also one that leaves it: columns wrap around the globe
where the grid closes, everything else beyond the edge is missing. Fields are built on one another
(a slope asks its elevation for a window with a margin), and what a field gives for a cell does not
depend on the window it was asked for in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from edaphos.kernels.fill import fill_from_nearest

from ..cube.layout import Kind
from ..errors import InputError
from .axes import wraps
from .native import Rect
from .sources import Source
from .spec import LayerSpec

#: Days of each month; February as in the mean year.
MONTH_DAYS = (31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

#: Largest class code: classes are stored as int16, -1 being missing.
MOST_CLASS = 32_767


@dataclass(frozen=True)
class Counts:
    """What reading did to a window: cells filled, and values outside their declared range."""

    filled: int = 0
    out_of_range: int = 0


class Field(Protocol):
    """Values on a grid: float32, missing as NaN; classes as whole numbers."""

    @property
    def geobox(self) -> GeoBox:
        """The grid."""

    @property
    def kind(self) -> Kind:
        """Amounts or classes."""

    @property
    def steps(self) -> int:
        """Length of the time axis."""

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a window, which may leave the grid."""

    def counts(self, step: int, rect: Rect, values: NDArray[np.float32]) -> Counts:
        """Return what was done to a window on the grid that :meth:`read` gave as `values`."""


def spacing(geobox: GeoBox) -> tuple[float, float]:
    """Return cell size along x and y, both positive."""
    return float(geobox.affine.a), float(-geobox.affine.e)


def latitudes(geobox: GeoBox, rect: Rect) -> NDArray[np.float64]:
    """Return cell-centre y of a window's rows, which may leave the grid."""
    rows = np.arange(rect.row0, rect.row1)
    return np.asarray(geobox.affine.f + (rows + 0.5) * geobox.affine.e)


@dataclass(frozen=True)
class SourceField:
    """A source with its declared missing values, scale, offset and range applied."""

    spec: LayerSpec
    source: Source

    @property
    def geobox(self) -> GeoBox:
        """The source's grid."""
        return self.source.geobox

    @property
    def kind(self) -> Kind:
        """As declared."""
        return self.spec.kind

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return self.source.steps

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a window, which may leave the grid."""
        rows, columns = self.geobox.shape
        out = np.full(rect.shape, np.nan, np.float32)
        row0, row1 = max(rect.row0, 0), min(rect.row1, rows)
        if row0 >= row1:
            return out
        for start, stop, at in _column_runs(rect, columns, closes=wraps(self.geobox)):
            values, _ = self._decoded(step, Rect(row0, row1, start, stop))
            out[row0 - rect.row0 : row1 - rect.row0, at : at + stop - start] = values
        return out

    def counts(self, step: int, rect: Rect, values: NDArray[np.float32]) -> Counts:
        """Count values outside the declared range."""
        del values
        if self.spec.valid_min is None and self.spec.valid_max is None:
            return Counts()
        return Counts(out_of_range=self._decoded(step, rect)[1])

    def _decoded(self, step: int, rect: Rect) -> tuple[NDArray[np.float32], int]:
        spec = self.spec
        values = np.array(self.source.read(step, rect), np.float32)
        for missing in spec.nodata:
            values[values == np.float32(missing)] = np.nan
        if (spec.scale, spec.offset) != (1.0, 0.0):
            values = (values.astype(np.float64) * spec.scale + spec.offset).astype(np.float32)
        if spec.per_day:
            values *= np.float32(MONTH_DAYS[step])
        outside = np.zeros(values.shape, bool)
        if spec.valid_min is not None:
            outside |= values < spec.valid_min
        if spec.valid_max is not None:
            outside |= values > spec.valid_max
        values[outside] = np.nan
        if spec.at_least is not None:
            values = np.where(np.isnan(values), values, values >= np.float32(spec.at_least))
        self._refuse_unstorable(values)
        return values, int(outside.sum())

    def _refuse_unstorable(self, values: NDArray[np.float32]) -> None:
        """Refuse what a cube cannot hold: infinite amounts, classes that are no small integers."""
        spec = self.spec
        if spec.kind == "amount":
            if np.isinf(values).any():
                raise InputError(
                    f'layer "{spec.name}", {spec.file}: holds infinite values; declare them as '
                    "nodata, or a range by valid_min and valid_max"
                )
            return
        wrong = ~np.isnan(values) & (
            (values != np.rint(values)) | (values < 0) | (values > MOST_CLASS)
        )
        if wrong.any():
            raise InputError(
                f'layer "{spec.name}", {spec.file}: class {values[wrong][0]:g} found, expected '
                f'whole numbers from 0 to {MOST_CLASS}; declare it as nodata, or kind = "amount"'
            )


@dataclass(frozen=True)
class MaskedField:
    """A field that is missing wherever another on its grid is; a static mask serves all steps."""

    inner: Field
    mask: Field

    @property
    def geobox(self) -> GeoBox:
        """The inner grid."""
        return self.inner.geobox

    @property
    def kind(self) -> Kind:
        """As the inner field."""
        return self.inner.kind

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return self.inner.steps

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a window, which may leave the grid."""
        values = self.inner.read(step, rect)
        values[np.isnan(self.mask.read(step if self.mask.steps > 1 else 0, rect))] = np.nan
        return values

    def counts(self, step: int, rect: Rect, values: NDArray[np.float32]) -> Counts:
        """As the inner field."""
        return self.inner.counts(step, rect, values)


@dataclass(frozen=True)
class FilledField:
    """A field whose gaps are filled from the nearest valid cells up to `radius` degrees."""

    inner: Field
    radius: float

    @property
    def geobox(self) -> GeoBox:
        """The inner grid."""
        return self.inner.geobox

    @property
    def kind(self) -> Kind:
        """As the inner field."""
        return self.inner.kind

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return self.inner.steps

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a window, which may leave the grid; cells beyond the grid stay missing."""
        wide = rect.grown(*self._reach())
        values = fill_from_nearest(
            self.inner.read(step, wide),
            *spacing(self.geobox)[::-1],
            self.radius,
            self.kind == "class",
        )
        (down, right), (height, width) = self._reach(), rect.shape
        out = values[down : down + height, right : right + width]
        rows = np.arange(rect.row0, rect.row1)
        out[(rows < 0) | (rows >= self.geobox.shape[0])] = np.nan
        if not wraps(self.geobox):
            columns = np.arange(rect.col0, rect.col1)
            out[:, (columns < 0) | (columns >= self.geobox.shape[1])] = np.nan
        return out

    def counts(self, step: int, rect: Rect, values: NDArray[np.float32]) -> Counts:
        """Count filled cells."""
        before = self.inner.read(step, rect)
        filled = int((np.isnan(before) & ~np.isnan(values)).sum())
        return Counts(filled, self.inner.counts(step, rect, before).out_of_range)

    def _reach(self) -> tuple[int, int]:
        dx, dy = spacing(self.geobox)
        return math.floor(self.radius / dy + 1e-9), math.floor(self.radius / dx + 1e-9)


def _column_runs(rect: Rect, columns: int, *, closes: bool) -> list[tuple[int, int, int]]:
    """Return runs of grid columns inside a window, each with its place in the window."""
    runs = []
    start = rect.col0 if closes else max(rect.col0, 0)
    end = rect.col1 if closes else min(rect.col1, columns)
    while start < end:
        first = start % columns
        length = min(end - start, columns - first)
        runs.append((first, first + length, start - rect.col0))
        start += length
    return runs
