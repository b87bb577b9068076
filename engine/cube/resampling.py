"""Where the cells of a target grid lie in a source grid, and with which weights they read it.

Everything here is a function of **global integer cell indices** of the target grid, of that grid,
and of the source's grid; a window or tile never enters. Positions in the source are counted in
source cells from its north-west corner, and those within 1e-6 of a whole number are that number.

Rules
-----
Same CRS, decided for each axis from the two cell sizes alone:

* amounts, target cell up to 1.5 times the source cell: bilinear between source cell centres;
* amounts, coarser: average over the overlapped source cells, weighted by overlap. On
  longitude-latitude grids rows are weighted by the true area of the overlapped zone on the
  ellipsoid (:func:`edaphos.engine.grid.zone_area`), so that the mean is a mean over ground;
* classes: the source cell that holds the target's centre, or, where coarser, the class with the
  largest overlapped area (ties: smallest code).

Other CRS: amounts and classes are taken at the transformed target centre by the same rules, or,
where the target cell is coarser, as the unweighted mean or mode of the source cells that hold
k x k sub-points of the target cell (k from the two cell sizes, at most 16).

Missing source cells never count: weights are renormalised over the valid ones, and a target cell
is missing only if all its source cells are. Outside the source's extent cells are missing;
between its edge and the outermost centres the edge cell is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from edaphos.kernels.resample import Taps

from ..grid import Grid, zone_area
from .layout import Stack

SNAP = 1e-6
COARSER = 1.5
MOST_SUBPOINTS = 16
_METRES_PER_DEGREE = 111_319.49
#: Target cells along a square that is kept together when single cells are read in batches.
NEIGHBOURHOOD = 64

Indices = NDArray[np.int64]
Positions = NDArray[np.float64]


def snapped(position: Positions) -> Positions:
    """Return positions with those within 1e-6 of a whole number set to it."""
    whole = np.rint(position)
    return np.where(np.abs(position - whole) <= SNAP, whole, position)


def canonical_rows(grid: Grid, rows: Indices) -> Indices:
    """Return rows with those whose centre lies beyond a pole replaced by the last one before it."""
    if not grid.is_geographic:
        return rows
    north, dy = grid.origin[1], grid.resolution[1]
    first = math.ceil((north - 90) / dy - 0.5 - SNAP)
    last = math.floor((north + 90) / dy - 0.5 + SNAP)
    return np.clip(rows, first, last)


def canonical_cols(grid: Grid, cols: Indices) -> Indices:
    """Return columns taken around the globe where the grid closes."""
    return cols % grid.shape[1] if grid.wraps else cols


@dataclass(frozen=True)
class Axis:
    """One axis of a target grid and of a source grid in the same CRS.

    Parameters
    ----------
    target_origin, target_step
        Coordinate of the target's first edge and of the step to the next (negative for rows).
    source_origin, source_step
        The same for the source.
    size
        Number of source cells.
    turn
        Source cells around the globe along this axis, 0 where it is not a circle.
    is_class
        Whether the values are classes.
    is_latitude
        Whether overlaps are weighted by zone area.
    """

    target_origin: float
    target_step: float
    source_origin: float
    source_step: float
    size: int
    turn: float
    is_class: bool
    is_latitude: bool

    @property
    def coarser(self) -> bool:
        """Whether target cells are so much larger that they are averaged over."""
        return self.target_step / self.source_step > COARSER + 1e-9

    @property
    def closes(self) -> bool:
        """Whether the source's last cell is its first one's neighbour."""
        return closes(self.size, self.turn)

    def position(self, index: Indices, offset: float) -> Positions:
        """Return where `offset` of the way through target cells lies, in source cells."""
        coordinate = self.target_origin + (index + offset) * self.target_step
        return snapped(np.asarray((coordinate - self.source_origin) / self.source_step))

    def taps(self, index: Indices) -> Taps:
        """Return the source cells and weights of target cells."""
        if self.coarser:
            return self._overlaps(index)
        position = shifted(self.position(index, 0.5), self.size, self.turn)
        return taps_at(position, self.size, self.closes, self.is_class)

    def _overlaps(self, index: Indices) -> Taps:
        start, stop = self.position(index, 0.0), self.position(index, 1.0)
        if not self.closes:
            if self.turn:
                shift = _turns(start, stop, self.size, self.turn)
                start, stop = snapped(start - shift), snapped(stop - shift)
            start, stop = np.clip(start, 0, self.size), np.clip(stop, 0, self.size)
        first = np.floor(start).astype(np.int64)
        number = np.where(stop > start, np.ceil(stop).astype(np.int64) - first, 0)
        most = max(1, int(number.max(initial=0)))
        cell = first[:, None] + np.arange(most)
        low = np.maximum(cell, start[:, None])
        high = np.maximum(np.minimum(cell + 1, stop[:, None]), low)
        return Taps(first, number, self._measure(low, high))

    def _measure(self, low: Positions, high: Positions) -> Positions:
        if not self.is_latitude:
            return high - low
        north = self.source_origin + low * self.source_step
        south = self.source_origin + high * self.source_step
        return np.asarray(zone_area(south, north))


def closes(size: int, turn: float) -> bool:
    """Return whether `size` cells go once around the globe of `turn` cells."""
    return turn > 0 and abs(size - turn) < SNAP


def _turns(start: Positions, stop: Positions, size: int, turn: float) -> Positions:
    """Return whole turns (in source cells) to subtract so that intervals may meet the source."""
    misses = (stop < 0) | (start > size)
    return np.where(misses, np.floor(start / turn) * turn, 0.0)


def shifted(position: Positions, size: int, turn: float) -> Positions:
    """Return positions moved by whole turns of the globe onto a source that does not close."""
    if turn == 0 or closes(size, turn):
        return position
    return snapped(position - _turns(position, position, size, turn))


def taps_at(position: Positions, size: int, around: bool, is_class: bool) -> Taps:
    """Return the taps of points: the cell that holds each, or the two centres around it.

    Parameters
    ----------
    position
        In source cells, snapped; NaN has no taps.
    size
        Number of source cells.
    around
        Whether the source closes; taps then run past its ends and are meant modulo `size`.
    is_class
        Nearest instead of linear.
    """
    finite = np.isfinite(position)
    inside = finite if around else finite & (position >= 0) & (position <= size)
    place = np.where(inside, position, 0.0)
    if is_class:
        first = np.floor(place).astype(np.int64)
        if not around:
            first = np.minimum(first, size - 1)
        return Taps(first, inside.astype(np.int64), np.ones((place.size, 1)))
    centre = snapped(place - 0.5)
    if not around:
        centre = np.clip(centre, 0.0, size - 1.0)
    below = np.floor(centre)
    part = centre - below
    number = np.where(inside, np.where(part > 0, 2, 1), 0)
    return Taps(below.astype(np.int64), number, np.stack([1.0 - part, part], axis=1))


@dataclass(frozen=True)
class TapCells:
    """Single target cells read through taps, shared between cells of one row or column."""

    rows: Taps
    cols: Taps
    row_of: Indices
    col_of: Indices

    def extent(self) -> tuple[Indices, Indices, Indices, Indices]:
        """Return first row, row after the last, first and after-last column; empty if outside."""
        top, left = self.rows.first[self.row_of], self.cols.first[self.col_of]
        height, width = self.rows.number[self.row_of], self.cols.number[self.col_of]
        return top, top + height, left, left + width


@dataclass(frozen=True)
class LatticeCells:
    """Single target cells read at sub-points: source row and column of each, ``(n, k * k)``.

    A negative row marks a sub-point outside the source.
    """

    rows: Indices
    cols: Indices

    def extent(self) -> tuple[Indices, Indices, Indices, Indices]:
        """Return first row, row after the last, first and after-last column; empty if outside."""
        valid = self.rows >= 0
        far = np.iinfo(np.int64).max
        top = np.where(valid, self.rows, far).min(axis=1)
        left = np.where(valid, self.cols, far).min(axis=1)
        bottom = np.where(valid, self.rows + 1, -1).max(axis=1)
        right = np.where(valid, self.cols + 1, -1).max(axis=1)
        none = bottom < 0
        return np.where(none, 0, top), np.where(none, 0, bottom), left, right


class Separable:
    """A target grid and a source in the same CRS: rows and columns have taps of their own."""

    subpoints = 1

    def __init__(self, grid: Grid, stack: Stack) -> None:
        a = stack.transform
        height, width = stack.shape
        degrees = grid.is_geographic
        is_class = stack.kind == "class"
        dx, dy = grid.resolution
        turn = _turn(360.0 / a[0]) if degrees else 0.0
        self._x = Axis(grid.origin[0], dx, a[2], a[0], width, turn, is_class, False)
        self._y = Axis(grid.origin[1], -dy, a[5], a[4], height, 0.0, is_class, degrees)
        self.closes = self._x.closes

    def rows(self, rows: Indices) -> Taps:
        """Return the taps of canonical target rows."""
        return self._y.taps(rows)

    def cols(self, cols: Indices) -> Taps:
        """Return the taps of canonical target columns."""
        return self._x.taps(cols)

    def cells(self, rows: Indices, cols: Indices) -> TapCells:
        """Return how single cells are read; `rows`, `cols` canonical, ``(n,)``."""
        some_rows, row_of = np.unique(rows, return_inverse=True)
        some_cols, col_of = np.unique(cols, return_inverse=True)
        return TapCells(self.rows(some_rows), self.cols(some_cols), row_of, col_of)


class Projected:
    """A target grid and a source in different CRSs: every cell is transformed by itself."""

    def __init__(self, grid: Grid, stack: Stack) -> None:
        self._grid, self._stack = grid, stack
        self._source_crs = crs_of(stack.crs)
        a = stack.transform
        self._turn = _turn(360.0 / a[0]) if self._source_crs.is_geographic else 0.0
        self.closes = closes(stack.shape[1], self._turn)
        self.lattice = self._side()
        self.subpoints = max(1, self.lattice) ** 2

    @cached_property
    def _transformer(self) -> Transformer:
        return Transformer.from_crs(self._grid.crs, self._source_crs, always_xy=True)

    def _side(self) -> int:
        """Return sub-points along a target cell's side, 0 where it is read at its centre."""
        a = self._stack.transform
        source = math.sqrt(a[0] * -a[4]) * _metres(self._source_crs)
        dx, dy = self._grid.resolution
        ratio = math.sqrt(dx * dy) * _metres(self._grid.crs) / source
        return min(MOST_SUBPOINTS, math.ceil(ratio - SNAP)) if ratio > COARSER else 0

    def cells(self, rows: Indices, cols: Indices) -> TapCells | LatticeCells:
        """Return how single cells are read; `rows`, `cols` canonical, ``(n,)``."""
        height, width = self._stack.shape
        if not self.lattice:
            y, x = self._positions(rows, cols, np.array([0.5]))
            each = np.arange(rows.size)
            is_class = self._stack.kind == "class"
            row_taps = taps_at(y[:, 0], height, False, is_class)
            col_taps = taps_at(x[:, 0], width, self.closes, is_class)
            return TapCells(row_taps, col_taps, each, each)
        offsets = (np.arange(self.lattice) + 0.5) / self.lattice
        y, x = self._positions(rows, cols, offsets)
        inside = (y >= 0) & (y <= height) & (x >= 0) & (x <= width)
        row = np.minimum(np.where(inside, y, 0).astype(np.int64), height - 1)
        col = np.minimum(np.where(inside, x, 0).astype(np.int64), width - 1)
        return LatticeCells(np.where(inside, row, -1), col)

    def _positions(
        self, rows: Indices, cols: Indices, offsets: Positions
    ) -> tuple[Positions, Positions]:
        """Return source rows and columns of sub-points, ``(n, len(offsets)²)``, NaN where none."""
        (x0, y0), (dx, dy) = self._grid.origin, self._grid.resolution
        down, right = np.repeat(offsets, offsets.size), np.tile(offsets, offsets.size)
        y, x = y0 - (rows[:, None] + down) * dy, x0 + (cols[:, None] + right) * dx
        x, y = self._transformer.transform(x, y)
        a = self._stack.transform
        x, y = np.where(np.isfinite(x), x, np.nan), np.where(np.isfinite(y), y, np.nan)
        across, along = snapped((x - a[2]) / a[0]), snapped((y - a[5]) / a[4])
        if self.closes:
            across = across % self._stack.shape[1]
        else:
            across = shifted(across, self._stack.shape[1], self._turn)
        return along, across


@lru_cache(maxsize=256)
def geometry(grid: Grid, stack: Stack) -> Separable | Projected:
    """Return how the cells of `grid` read `stack`."""
    if same_crs(grid.crs, crs_of(stack.crs)):
        return Separable(grid, stack)
    return Projected(grid, stack)


def same_crs(one: CRS, other: CRS) -> bool:
    """Return whether coordinates mean the same in both, axis order aside.

    Longitude-latitude systems on one ellipsoid count as the same: files often say no more than
    "WGS 84" or "unknown datum based on WGS 84".
    """
    if one.equals(other, ignore_axis_order=True):
        return True
    if not (one.is_geographic and other.is_geographic):
        return False
    return _ellipsoid(one) == _ellipsoid(other)


@lru_cache(maxsize=256)
def crs_of(text: str) -> CRS:
    """Return a CRS from a manifest's text."""
    return CRS.from_user_input(text)


def _ellipsoid(crs: CRS) -> tuple[float, float, float, float]:
    ellipsoid, meridian = crs.ellipsoid, crs.prime_meridian
    assert ellipsoid is not None
    assert meridian is not None
    unit = crs.axis_info[0].unit_conversion_factor
    return ellipsoid.semi_major_metre, ellipsoid.inverse_flattening, meridian.longitude, unit


def _metres(crs: CRS) -> float:
    """Return metres to a unit of the CRS (degrees: at the equator)."""
    if crs.is_geographic:
        return _METRES_PER_DEGREE
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0


def _turn(cells: float) -> float:
    """Return cells around the globe, as a whole number where it is one."""
    whole = round(cells)
    return float(whole) if abs(cells - whole) < SNAP * 100 else cells
