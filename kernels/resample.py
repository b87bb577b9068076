"""Resampling of rasters: weighted means of amounts, largest area of classes.

A target cell takes from the source cells named by its **taps**: along each axis the first source
index, how many follow, and their weights. Bilinear interpolation, area averaging and nearest
neighbour differ in their taps only. Whatever a cell's taps are, the loop over a window and the
loop over single cells do the same operations in the same order in float64, so they agree bit for
bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

#: Two classes tie when their areas differ by less than this part of the cell's valid area.
TIE = 1e-9


class Taps(NamedTuple):
    """Source cells and weights along one axis for each of n target cells.

    Parameters
    ----------
    first
        Index of the first source cell, shape ``(n,)``.
    number
        Number of consecutive source cells, shape ``(n,)``; 0 outside the source.
    weights
        Non-negative weights, shape ``(n, most)``; those beyond `number` are not read.
    """

    first: NDArray[np.int64]
    number: NDArray[np.int64]
    weights: NDArray[np.float64]

    def cut(self, start: int, stop: int) -> Taps:
        """Return the taps of the target cells from `start` to before `stop`."""
        return Taps(self.first[start:stop], self.number[start:stop], self.weights[start:stop])


@kernel()
def mean_window(
    source: NDArray[np.float32],
    row0: int,
    col0: int,
    rows: Taps,
    cols: Taps,
    out: NDArray[np.float32],
    top: int,
    left: int,
) -> None:
    """Average `source` over a rectangle of target cells, renormalised over valid source cells.

    ``out = sum(w v) / sum(w)`` over the taps whose value is not NaN; NaN where there is none.

    Parameters
    ----------
    source
        Part of the source, ``(plane, y, x)``, whose first cell is (`row0`, `col0`) of the whole.
    row0, col0
        Where `source` begins, in the indices of the taps.
    rows, cols
        Taps of the target's rows and columns.
    out
        Written at ``[:, top:top + len(rows.first), left:left + len(cols.first)]``.
    top, left
        Where to write.
    """
    width = source.shape[2]
    sums = np.empty(width)
    masses = np.empty(width)
    for p in range(source.shape[0]):
        for i in range(rows.first.size):
            sums[:] = 0.0
            masses[:] = 0.0
            for r in range(rows.number[i]):
                weight = rows.weights[i, r]
                line = source[p, rows.first[i] - row0 + r]
                for c in range(width):
                    value = np.float64(line[c])
                    valid = value == value
                    sums[c] += weight * (value if valid else 0.0)
                    masses[c] += weight if valid else 0.0
            for j in range(cols.first.size):
                at = cols.first[j] - col0
                number = cols.number[j]
                if number == 2:  # bilinear: the loop below, unrolled
                    near, far = cols.weights[j, 0], cols.weights[j, 1]
                    total = near * sums[at] + far * sums[at + 1]
                    mass = near * masses[at] + far * masses[at + 1]
                else:
                    total = 0.0
                    mass = 0.0
                    for c in range(number):
                        weight = cols.weights[j, c]
                        total += weight * sums[at + c]
                        mass += weight * masses[at + c]
                out[p, top + i, left + j] = total / mass if mass > 0.0 else np.nan


@kernel()
def mean_cells(
    source: NDArray[np.float32],
    row0: int,
    col0: int,
    rows: Taps,
    cols: Taps,
    row_of: NDArray[np.int64],
    col_of: NDArray[np.int64],
    out: NDArray[np.float32],
    where: NDArray[np.int64],
) -> None:
    """Average `source` over single target cells, as :func:`mean_window` does over a rectangle.

    Parameters
    ----------
    source, row0, col0, rows, cols
        As in :func:`mean_window`.
    row_of, col_of
        For each cell its position in `rows` and in `cols`, shape ``(n,)``.
    out
        Shape ``(plane, m)``, written at ``[:, where]``.
    where
        Position of each cell in `out`, shape ``(n,)``.
    """
    for p in range(source.shape[0]):
        for k in range(row_of.size):
            i, j = row_of[k], col_of[k]
            up, at = rows.first[i] - row0, cols.first[j] - col0
            total = 0.0
            mass = 0.0
            for c in range(cols.number[j]):
                column = 0.0
                column_mass = 0.0
                for r in range(rows.number[i]):
                    weight = rows.weights[i, r]
                    value = np.float64(source[p, up + r, at + c])
                    valid = value == value
                    column += weight * (value if valid else 0.0)
                    column_mass += weight if valid else 0.0
                total += cols.weights[j, c] * column
                mass += cols.weights[j, c] * column_mass
            out[p, where[k]] = total / mass if mass > 0.0 else np.nan


@kernel()
def _tally(
    codes: NDArray[np.int64], areas: NDArray[np.float64], found: int, code: np.int64, area: float
) -> int:
    """Add `area` to the account of `code`; return how many codes there are now."""
    for k in range(found):
        if codes[k] == code:
            areas[k] += area
            return found
    codes[found] = code
    areas[found] = area
    return found + 1


@kernel()
def _largest(codes: NDArray[np.int64], areas: NDArray[np.float64], found: int) -> float:
    """Return the code with the largest area, the smallest code among ties, NaN if there is none."""
    best = 0.0
    total = 0.0
    for k in range(found):
        total += areas[k]
        best = max(best, areas[k])
    winner = np.nan
    for k in range(found):
        if areas[k] >= best - TIE * total and not codes[k] >= winner:
            winner = float(codes[k])
    return winner


@kernel()
def _mode(
    plane: NDArray[Any],
    up: int,
    at: int,
    rows: Taps,
    i: int,
    cols: Taps,
    j: int,
    missing: int,
    codes: NDArray[np.int64],
    areas: NDArray[np.float64],
) -> float:
    """Return the code that covers most of one target cell, NaN if all of it is missing."""
    found = 0
    for r in range(rows.number[i]):
        last = np.int64(missing)
        run = 0.0
        for c in range(cols.number[j]):
            code = np.int64(plane[up + r, at + c])
            if code != last:
                if last != missing:
                    found = _tally(codes, areas, found, last, run * rows.weights[i, r])
                last = code
                run = 0.0
            run += cols.weights[j, c]
        if last != missing:
            found = _tally(codes, areas, found, last, run * rows.weights[i, r])
    return _largest(codes, areas, found)


@kernel()
def _most_taps(rows: Taps, cols: Taps) -> int:
    """Return the largest number of source cells below one target cell."""
    return int(max(rows.weights.shape[1] * cols.weights.shape[1], 1))


@kernel()
def mode_window(
    source: NDArray[Any],
    row0: int,
    col0: int,
    rows: Taps,
    cols: Taps,
    missing: int,
    out: NDArray[np.float32],
    top: int,
    left: int,
) -> None:
    """Write the class with the largest overlapped area for a rectangle of target cells.

    Classes equal to `missing` do not count; a tie goes to the smallest code. With one tap of
    weight 1 on each axis this is nearest neighbour. Parameters as in :func:`mean_window`.
    """
    codes = np.empty(_most_taps(rows, cols), np.int64)
    areas = np.empty(codes.size)
    for p in range(source.shape[0]):
        for i in range(rows.first.size):
            for j in range(cols.first.size):
                if codes.size == 1 and rows.number[i] * cols.number[j] == 1:  # nearest
                    code = source[p, rows.first[i] - row0, cols.first[j] - col0]
                    out[p, top + i, left + j] = np.nan if code == missing else code
                    continue
                out[p, top + i, left + j] = _mode(
                    source[p],
                    rows.first[i] - row0,
                    cols.first[j] - col0,
                    rows,
                    i,
                    cols,
                    j,
                    missing,
                    codes,
                    areas,
                )


@kernel()
def mode_cells(
    source: NDArray[Any],
    row0: int,
    col0: int,
    rows: Taps,
    cols: Taps,
    row_of: NDArray[np.int64],
    col_of: NDArray[np.int64],
    missing: int,
    out: NDArray[np.float32],
    where: NDArray[np.int64],
) -> None:
    """Write the class with the largest overlapped area for single cells, as :func:`mode_window`."""
    codes = np.empty(_most_taps(rows, cols), np.int64)
    areas = np.empty(codes.size)
    for p in range(source.shape[0]):
        for k in range(row_of.size):
            i, j = row_of[k], col_of[k]
            up, at = rows.first[i] - row0, cols.first[j] - col0
            out[p, where[k]] = _mode(source[p], up, at, rows, i, cols, j, missing, codes, areas)


@kernel()
def mean_lattice(
    source: NDArray[np.float32],
    row0: int,
    col0: int,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    out: NDArray[np.float32],
    where: NDArray[np.int64],
) -> None:
    """Average the source cells that hold the sub-points of each target cell, NaN left out.

    Parameters
    ----------
    source, row0, col0
        As in :func:`mean_window`.
    rows, cols
        Source cell of each sub-point, shape ``(n, sub-points)``; a negative row lies outside.
    out, where
        As in :func:`mean_cells`.
    """
    for p in range(source.shape[0]):
        for k in range(rows.shape[0]):
            total = 0.0
            mass = 0.0
            for s in range(rows.shape[1]):
                if rows[k, s] >= 0:
                    value = np.float64(source[p, rows[k, s] - row0, cols[k, s] - col0])
                    if value == value:
                        total += value
                        mass += 1.0
            out[p, where[k]] = total / mass if mass > 0.0 else np.nan


@kernel()
def mode_lattice(
    source: NDArray[Any],
    row0: int,
    col0: int,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    missing: int,
    out: NDArray[np.float32],
    where: NDArray[np.int64],
) -> None:
    """Write the commonest class among the sub-points of each target cell (ties: smallest code).

    Parameters as in :func:`mean_lattice`.
    """
    codes = np.empty(max(rows.shape[1], 1), np.int64)
    areas = np.empty(codes.size)
    for p in range(source.shape[0]):
        for k in range(rows.shape[0]):
            found = 0
            for s in range(rows.shape[1]):
                if rows[k, s] >= 0:
                    code = np.int64(source[p, rows[k, s] - row0, cols[k, s] - col0])
                    if code != missing:
                        found = _tally(codes, areas, found, code, 1.0)
            out[p, where[k]] = _largest(codes, areas, found)
