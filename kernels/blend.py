"""A regional map that passes into another one towards its border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Floats = NDArray[np.float64]


def border_weight(rows: NDArray[np.int64], cols: int, height: int, width: float) -> Floats:
    """Return the weight of a regional map, 0 at its border and 1 from `width` cells inside on.

    A cubic in between, ``3 t² - 2 t³``, whose slope is 0 at both ends, so that the blend has no
    kink.

    Parameters
    ----------
    rows
        Rows that are asked for, ``(n,)``.
    cols, height
        Columns and rows of the whole map.
    width
        Of the passage, in cells; 0 for none.

    Returns
    -------
    ndarray
        ``(n, cols)``.

    Examples
    --------
    >>> border_weight(np.array([2]), 5, 5, 2.0).round(3).tolist()
    [[0.156, 0.844, 1.0, 0.844, 0.156]]
    """
    across = np.arange(cols)
    x = np.minimum(across, cols - 1 - across) + 0.5
    y = np.minimum(rows, height - 1 - rows) + 0.5
    return _eased(np.minimum(y[:, None], x[None, :]), width)


def inside_weight(inside: NDArray[np.bool_], width: float) -> Floats:
    """Return the same weight for a map within a border of any shape, 0 outside of it.

    Parameters
    ----------
    inside
        Which cells lie within the border, ``(rows, cols)``. Rows that are wanted need `width` more
        on both sides; what is beyond the array does not count as outside.
    width
        Of the passage, in cells; 0 for none.

    Returns
    -------
    ndarray
        ``(rows, cols)``, by the distance from a cell's centre to the nearest one outside, less half
        a cell.

    Examples
    --------
    >>> inside_weight(np.array([[False, True, True, True]]), 2.0).round(3).tolist()
    [[0.0, 0.156, 0.844, 1.0]]
    """
    if inside.all():
        return np.ones(inside.shape)
    away = np.asarray(distance_transform_edt(inside), np.float64)
    return np.where(inside, _eased(away - 0.5, width), 0.0)


def _eased(away: Floats, width: float) -> Floats:
    t = np.clip(away / width, 0.0, 1.0) if width > 0 else np.ones_like(away)
    return np.asarray(t**2 * (3 - 2 * t))


def bilinear(values: NDArray[np.floating], y: Floats, x: Floats) -> Floats:
    """Return values between cell centres, NaN where none of the four neighbours has one.

    Neighbours without a value are left out, the others weighing as before.

    Parameters
    ----------
    values
        ``(rows, cols)``, NaN for missing.
    y, x
        Places counted in cells from the centre of the first one, of one shape; beyond the outermost
        centres the nearest one counts, beyond half a cell more nothing.
    """
    rows, cols = values.shape
    inside = (y >= -0.5) & (y <= rows - 0.5) & (x >= -0.5) & (x <= cols - 0.5)
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, cols - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    total, weight = np.zeros(y.shape), np.zeros(y.shape)
    for down in (0, 1):
        for right in (0, 1):
            r, c = np.minimum(top + down, rows - 1), np.minimum(left + right, cols - 1)
            w = np.abs(1 - down - (y - top)) * np.abs(1 - right - (x - left))
            found = values[r, c].astype(np.float64)
            known = np.isfinite(found)
            total += np.where(known, w * found, 0.0)
            weight += np.where(known, w, 0.0)
    return np.where(inside & (weight > 1e-12), total / np.maximum(weight, 1e-12), np.nan)
