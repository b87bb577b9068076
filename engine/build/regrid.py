"""A field brought to another grid by the rules that a cube is read with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from edaphos.kernels.resample import Taps, mean_window, mode_window

from ..cube.layout import CLASS_FILL, Kind, Stack
from ..cube.resampling import (
    Separable,
    canonical_cols,
    canonical_rows,
    crs_of,
    geometry,
    same_crs,
)
from ..errors import InputError
from ..grid import Grid
from .fields import Counts, Field
from .native import Rect


@dataclass(frozen=True)
class Regridded:
    """A field on another grid of the same CRS, by the rules of ``resampling.py``."""

    inner: Field
    geobox: GeoBox

    def __post_init__(self) -> None:
        if not same_crs(crs_of(str(self.inner.geobox.crs)), crs_of(str(self.geobox.crs))):
            raise InputError(
                "layers that are combined at build must share a CRS, found "
                f"{self.inner.geobox.crs} and {self.geobox.crs}; warp one of them first"
            )

    @property
    def kind(self) -> Kind:
        """As the inner field."""
        return self.inner.kind

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return self.inner.steps

    def counts(self, step: int, rect: Rect, values: NDArray[np.float32]) -> Counts:
        """Nothing is filled or cut here."""
        del step, rect, values
        return Counts()

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a window, which may leave the grid."""
        grid = Grid(self.geobox)
        how = self._geometry(grid)
        out = np.full(rect.shape, np.nan, np.float32)
        rows = how.rows(canonical_rows(grid, np.arange(rect.row0, rect.row1)))
        columns = canonical_cols(grid, np.arange(rect.col0, rect.col1))
        turns = np.flatnonzero(np.diff(columns) < 0) + 1
        for part in np.split(np.arange(len(columns)), turns):
            self._read_run(step, rows, how.cols(columns[part]), out, int(part[0]))
        return out

    def _read_run(
        self, step: int, rows: Taps, cols: Taps, out: NDArray[np.float32], left: int
    ) -> None:
        if not (rows.number.any() and cols.number.any()):
            return
        top, bottom = _span(rows)
        west, east = _span(cols)
        source = self.inner.read(step, Rect(top, bottom, west, east))[None]
        target = out[None]
        if self.kind == "class":
            codes = np.where(np.isnan(source), CLASS_FILL, source).astype(np.int16)
            mode_window(codes, top, west, rows, cols, CLASS_FILL, target, 0, left)
        else:
            mean_window(np.ascontiguousarray(source), top, west, rows, cols, target, 0, left)

    def _geometry(self, grid: Grid) -> Separable:
        box = self.inner.geobox
        stack = Stack(
            name="",
            crs=str(box.crs),
            transform=tuple(float(v) for v in box.affine[:6]),  # type: ignore[arg-type]
            shape=(int(box.shape[0]), int(box.shape[1])),
            kind=self.inner.kind,
            time="static",
            bands=("",),
        )
        how = geometry(grid, stack)
        assert isinstance(how, Separable), "grids of one CRS have separable weights"
        return how


def _span(taps: Taps) -> tuple[int, int]:
    """Return the first source cell that any target cell reads, and the one after the last."""
    used = taps.number > 0
    first = taps.first[used]
    return int(first.min()), int((first + taps.number[used]).max())
