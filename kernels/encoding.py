"""Packing floats into the integers a map stores, counting what does not fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel


def quantise(
    values: NDArray[np.floating], scale: float, fill: int, largest: int
) -> tuple[NDArray[np.uint16], int, int]:
    """Return ``round(values / scale)`` as uint16, and how many values lay out of its range.

    Parameters
    ----------
    values
        Any shape; NaN becomes `fill`.
    scale
        Width of one step, in the units of `values`.
    fill
        Code for missing.
    largest
        Largest code that stands for a value.

    Returns
    -------
    codes, below, above
        Values outside ``0 .. largest * scale`` are set to the nearer end, never wrapped.
    """
    codes = np.empty(values.shape, np.uint16)
    flat = np.ascontiguousarray(values).reshape(-1)
    below, above = _quantise(flat, scale, fill, largest, codes.reshape(-1))
    return codes, int(below), int(above)


@kernel()
def _quantise(
    values: NDArray[np.floating], scale: float, fill: int, largest: int, codes: NDArray[np.uint16]
) -> tuple[int, int]:
    below = above = 0
    for i in range(values.shape[0]):
        value = values[i]
        if np.isnan(value):
            codes[i] = fill
            continue
        code = np.rint(value / scale)
        if code < 0:
            below += 1
            code = 0.0
        elif code > largest:
            above += 1
            code = np.float64(largest)
        codes[i] = np.uint16(code)
    return below, above
