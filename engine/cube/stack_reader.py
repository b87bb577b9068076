"""One stack of a cube, read from Zarr and resampled onto the cells of a grid."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from edaphos.kernels.resample import (
    mean_cells,
    mean_lattice,
    mean_window,
    mode_cells,
    mode_lattice,
    mode_window,
)

from ..grid import Grid, Window
from ..place import Place
from ..store import zarr_store
from .layout import CLASS_FILL, Stack
from .resampling import (
    NEIGHBOURHOOD,
    Indices,
    LatticeCells,
    Projected,
    TapCells,
    canonical_cols,
    canonical_rows,
    geometry,
)

#: Source bytes held at once while resampling a window (more only if one target row needs more).
STRIP_BYTES = 64 * 2**20
#: Source bytes of a block of chunks when single cells are read.
BLOCK_BYTES = 8 * 2**20
#: Points transformed or looked up at once.
BATCH_POINTS = 2**19
#: Bytes of scratch for each of those points, measured.
POINT_BYTES = 200


@dataclass(frozen=True)
class Planes:
    """Which bands, and which months or years (positions; none for a static stack)."""

    bands: tuple[int, ...]
    times: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Number of bands and of times (1 for a static stack)."""
        return len(self.bands), max(1, len(self.times))

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class Box:
    """Source rows and columns, ends excluded; columns may pass the ends of a closed source."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def cells(self) -> int:
        """Number of source cells."""
        return (self.bottom - self.top) * (self.right - self.left)


class StackReader:
    """Reads one stack; opened at first use and safe to share between threads."""

    def __init__(self, root: Place, stack: Stack) -> None:
        self.stack = stack
        self._root = root
        self._lock = threading.Lock()
        self._array: zarr.Array[Any] | None = None

    @property
    def array(self) -> zarr.Array[Any]:
        """The stack's values."""
        with self._lock:
            if self._array is None:
                store = zarr_store(self._root, read_only=True)
                path = f"{self.stack.path}/values"
                self._array = zarr.open_array(store=store, path=path, mode="r", zarr_format=3)
            return self._array

    # -- values on a grid -----------------------------------------------------------------------

    def window(self, window: Window, planes: Planes) -> NDArray[np.float32]:
        """Return the cells of a window, shape ``(bands, times, y, x)``."""
        rows, cols = canonical_rows(window.grid, window.rows), window.cols
        how = geometry(window.grid, self.stack)
        if isinstance(how, Projected):
            cols = canonical_cols(window.grid, cols)
            flat = self.cells(
                window.grid, np.repeat(rows, cols.size), np.tile(cols, rows.size), planes
            )
            return flat.reshape(*planes.shape, *window.shape)
        out = np.full((len(planes), *window.shape), np.nan, np.float32)
        row_taps = how.rows(rows)
        for start, stop in _turns_of(window):
            col_taps = how.cols(canonical_cols(window.grid, cols[start:stop]))
            across = _span(col_taps.first, col_taps.number)
            if across is None:
                continue
            for upper, lower in self._strips(row_taps.number, across, planes):
                part = row_taps.cut(upper, lower)
                down = _span(part.first, part.number)
                if down is None:
                    continue
                source = self.load(Box(*down, *across), planes)
                place = (down[0], across[0], part, col_taps)
                if self.stack.kind == "class":
                    mode_window(source, *place, CLASS_FILL, out, upper, start)
                else:
                    mean_window(source, *place, out, upper, start)
        return out.reshape(*planes.shape, *window.shape)

    def cells(
        self, grid: Grid, rows: Indices, cols: Indices, planes: Planes
    ) -> NDArray[np.float32]:
        """Return single cells, shape ``(bands, times, n)``; `rows` and `cols` are canonical.

        Cells are grouped by blocks of source chunks, so that a chunk is read once, or again where
        a cell reaches into it from the block before.
        """
        how = geometry(grid, self.stack)
        out = np.full((len(planes), rows.size), np.nan, np.float32)
        for batch in _batches(rows, cols, max(1, BATCH_POINTS // how.subpoints)):
            cells = how.cells(rows[batch], cols[batch])
            for chosen, box in self._blocks(cells.extent(), planes):
                source = self.load(box, planes)
                self._evaluate(cells, chosen, source, box, out, batch[chosen])
        return out.reshape(*planes.shape, rows.size)

    def _evaluate(
        self,
        cells: TapCells | LatticeCells,
        chosen: Indices,
        source: NDArray[Any],
        box: Box,
        out: NDArray[np.float32],
        where: Indices,
    ) -> None:
        is_class = self.stack.kind == "class"
        place: tuple[Any, ...]
        if isinstance(cells, TapCells):
            place = (box.top, box.left, cells.rows, cells.cols)
            place = (*place, cells.row_of[chosen], cells.col_of[chosen])
            if is_class:
                mode_cells(source, *place, CLASS_FILL, out, where)
            else:
                mean_cells(source, *place, out, where)
        else:
            place = (box.top, box.left, cells.rows[chosen], cells.cols[chosen])
            if is_class:
                mode_lattice(source, *place, CLASS_FILL, out, where)
            else:
                mean_lattice(source, *place, out, where)

    # -- source values --------------------------------------------------------------------------

    def load(self, box: Box, planes: Planes) -> NDArray[Any]:
        """Return source values, shape ``(bands * times, y, x)``, times fastest."""
        width = self.stack.shape[1]
        if box.right - box.left > width:
            whole = self.load(Box(box.top, box.bottom, 0, width), planes)
            return np.ascontiguousarray(whole[:, :, np.arange(box.left, box.right) % width])
        pieces = [
            self._load(box.top, box.bottom, left, right, planes)
            for left, right in _around(box.left, box.right, width)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=2)

    def _load(self, top: int, bottom: int, left: int, right: int, planes: Planes) -> NDArray[Any]:
        bands, times = planes.shape
        where = (slice(top, bottom), slice(left, right))
        shape = (bands, times, bottom - top, right - left)
        band_runs = list(_runs(planes.bands))
        if not planes.times:
            parts = [self.array[band, *where] for _, band in band_runs]
            flat = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return np.ascontiguousarray(flat)
        out = np.empty(shape, self.array.dtype)
        for to_time, time in _runs(planes.times):
            for to_band, band in band_runs:
                values = cast(NDArray[Any], self.array[time, band, *where])
                out[to_band, to_time] = np.swapaxes(values, 0, 1)
        return out.reshape(bands * times, *shape[2:])

    # -- how much at once -----------------------------------------------------------------------

    def _strips(
        self, counts: Indices, across: tuple[int, int], planes: Planes
    ) -> Iterator[tuple[int, int]]:
        """Cut target rows so that the source below each strip stays within `STRIP_BYTES`."""
        height = self._strip_height(int(counts.max(initial=1)), across, planes)
        for upper in range(0, counts.size, height):
            yield upper, min(upper + height, counts.size)

    def _strip_height(self, taps: int, across: tuple[int, int], planes: Planes) -> int:
        line = (across[1] - across[0]) * len(planes) * self.array.dtype.itemsize
        return max(1, STRIP_BYTES // (line * taps))

    def _blocks(
        self, extent: tuple[Indices, Indices, Indices, Indices], planes: Planes
    ) -> Iterator[tuple[Indices, Box]]:
        """Group cells by the block of source chunks they begin in; yield positions and box."""
        top, bottom, left, right = extent
        chosen = np.flatnonzero((bottom > top) & (right > left))
        if chosen.size == 0:
            return
        top, bottom, left, right = (a[chosen] for a in (top, bottom, left, right))
        whole = Box(int(top.min()), int(bottom.max()), int(left.min()), int(right.max()))
        if whole.cells * len(planes) * self.array.dtype.itemsize <= 2 * BLOCK_BYTES:
            yield chosen, whole
            return
        height, width = self._block_shape(planes)
        down, across = top // height, left // width
        key = (down - down.min()) * int(across.max() - across.min() + 1) + (across - across.min())
        order = np.argsort(key, kind="stable")
        cuts = np.flatnonzero(np.diff(key[order])) + 1
        for group in np.split(order, cuts):
            box = Box(
                int(top[group].min()),
                int(bottom[group].max()),
                int(left[group].min()),
                int(right[group].max()),
            )
            yield chosen[group], box

    def _block_shape(self, planes: Planes) -> tuple[int, int]:
        """Return rows and columns of a block: whole chunks, about `BLOCK_BYTES` in all planes."""
        height, width = self.array.chunks[-2:]
        chunk = height * width * self.array.dtype.itemsize * len(planes)
        side = max(1, math.isqrt(max(1, BLOCK_BYTES // chunk)))
        return height * side, width * side

    def scratch_bytes(self, window: Window, planes: Planes) -> int:
        """Return an upper estimate of the bytes held while :meth:`window` runs, output aside."""
        item = self.array.dtype.itemsize
        concurrent = 16 * math.prod(self.array.chunks) * item
        how = geometry(window.grid, self.stack)
        if isinstance(how, Projected):
            points = min(window.height * window.width * how.subpoints, BATCH_POINTS)
            height, width = self._block_shape(planes)
            source = max(2 * BLOCK_BYTES, 4 * height * width * item * len(planes))
            return points * POINT_BYTES + 2 * source + concurrent
        row_taps = how.rows(canonical_rows(window.grid, window.rows))
        most = 0
        for start, stop in _turns_of(window):
            col_taps = how.cols(canonical_cols(window.grid, window.cols[start:stop]))
            across = _span(col_taps.first, col_taps.number)
            if across is None:
                continue
            for upper, lower in self._strips(row_taps.number, across, planes):
                down = _span(row_taps.first[upper:lower], row_taps.number[upper:lower])
                if down is not None:
                    most = max(most, Box(*down, *across).cells * len(planes) * item)
        return 3 * most + concurrent  # compressed, decoded and, where planes are reordered, a copy


def _turns_of(window: Window) -> Iterator[tuple[int, int]]:
    """Cut the columns of a window where a closed grid begins anew; yield positions."""
    if not window.grid.wraps:
        yield 0, window.width
        return
    cuts = np.flatnonzero(np.diff(window.cols // window.grid.shape[1])) + 1
    yield from pairwise([0, *(int(c) for c in cuts), window.width])


def _span(first: Indices, count: Indices) -> tuple[int, int] | None:
    """Return the source cells that all taps of an axis lie in, none if all are outside."""
    valid = count > 0
    if not valid.any():
        return None
    return int(first[valid].min()), int((first[valid] + count[valid]).max())


def _around(left: int, right: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut columns that may pass the ends of a closed source into runs within it."""
    while left < right:
        start = left % width
        length = min(width - start, right - left)
        yield start, start + length
        left += length


def _runs(positions: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Cut positions into consecutive runs; yield where they go and where they are read."""
    start = 0
    for k in range(1, len(positions) + 1):
        if k == len(positions) or positions[k] != positions[k - 1] + 1:
            yield slice(start, k), slice(positions[start], positions[k - 1] + 1)
            start = k


def _batches(rows: Indices, cols: Indices, size: int) -> Iterator[Indices]:
    """Cut cells into batches, neighbours together."""
    if rows.size <= size:
        yield np.arange(rows.size)
        return
    order = np.lexsort((cols // NEIGHBOURHOOD, rows // NEIGHBOURHOOD))
    for start in range(0, rows.size, size):
        yield order[start : start + size]
