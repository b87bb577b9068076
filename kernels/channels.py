"""What a net sees of raw planes: standardised amounts, one-hot classes, shares that are present.

Every cell is worked on by itself, in float32 and in one order, so a cell's channels are the same
bits in a patch and in a tile. Missing is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel


@kernel()
def standardise(
    values: NDArray[np.float32],
    centre: np.float32,
    factor: np.float32,
    low: np.float32,
    high: np.float32,
    fill: np.float32,
    out: NDArray[np.float32],
    present: NDArray[np.uint16],
) -> None:
    """Write ``(values - centre) * factor``, or `fill` where missing; count what is present.

    Values outside the bounds count as the nearer one.

    Parameters
    ----------
    values
        Raw values, shape ``(n, cells)``.
    centre, factor, low, high, fill
        In the units of `values`, but for `factor`, per unit, and `fill`, in those of `out`.
    out
        Written, ``(n, cells)``.
    present
        Gets 1 added where there is a value, ``(n, cells)``.
    """
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[i, j]
            valid = value == value
            inside = min(max(value, low), high)
            out[i, j] = (inside - centre) * factor if valid else fill
            present[i, j] += np.uint16(valid)


@kernel()
def one_hot(
    values: NDArray[np.float32],
    codes: NDArray[np.float32],
    fill: np.float32,
    out: NDArray[np.float32],
    present: NDArray[np.uint16],
) -> None:
    """Write 1 where a class is the code and 0 where it is another; `fill` where missing.

    Parameters
    ----------
    values
        Class codes, shape ``(n, cells)``.
    codes
        The code of each channel, ``(codes,)``.
    out
        Written, ``(n, codes, cells)``.
    fill, present
        As in :func:`standardise`.
    """
    for i in range(values.shape[0]):
        for k in range(codes.size):
            for j in range(values.shape[1]):
                value = values[i, j]
                same = np.float32(1.0) if value == codes[k] else np.float32(0.0)
                out[i, k, j] = same if value == value else fill
        for j in range(values.shape[1]):
            present[i, j] += np.uint16(values[i, j] == values[i, j])


@kernel()
def share(present: NDArray[np.uint16], planes: int, out: NDArray[np.float32]) -> None:
    """Write the share of `planes` that is present at each cell, and set the counts back to 0."""
    whole = np.float32(planes)
    for i in range(present.shape[0]):
        for j in range(present.shape[1]):
            out[i, j] = np.float32(present[i, j]) / whole
            present[i, j] = 0


@kernel()
def moments(values: NDArray[np.float32], origin: float, sums: NDArray[np.float64]) -> None:
    """Add to count, sum and sum of squares of ``value - origin``, smallest and largest value.

    Parameters
    ----------
    values
        Shape ``(n, cells)``; missing ones do not count.
    origin
        A value near the mean, so that the sum of squares keeps its digits.
    sums
        The five numbers, float64; begin with ``(0, 0, 0, inf, -inf)``.
    """
    count, total, squares, low, high = sums[0], sums[1], sums[2], sums[3], sums[4]
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = np.float64(values[i, j])
            if value == value:
                away = value - origin
                count += 1.0
                total += away
                squares += away * away
                low = min(low, value)
                high = max(high, value)
    sums[0], sums[1], sums[2], sums[3], sums[4] = count, total, squares, low, high
