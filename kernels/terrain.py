"""Terrain derivatives on grids whose cells are not square on the ground.

Slope and aspect use Horn's 3 x 3 weights with the true size of each row's cells, so that slopes at
60° north are not halved as on a grid that takes degrees for squares.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

#: Mean Earth radius, m (IUGG).
EARTH_RADIUS = 6_371_008.8
#: Elevations enter sums as whole numbers of this many to the metre, so that sums are exact and
#: cannot depend on where a window begins.
_PER_METRE = 1024.0

Float = NDArray[np.float64]


@kernel()
def gradient(z: NDArray[np.float32], dx: Float, dy: float) -> tuple[Float, Float]:
    r"""Return the ground gradient of elevation, eastward and northward (Horn 1981).

    .. math:: p = \frac{(c + 2f + i) - (a + 2d + g)}{8\,\Delta x}, \quad
              q = \frac{(a + 2b + c) - (g + 2h + i)}{8\,\Delta y}

    with rows ``abc``, ``def``, ``ghi`` from north to south.

    Parameters
    ----------
    z
        Elevation, m, shape ``(y + 2, x + 2)``: a margin of one cell. A missing neighbour (NaN)
        counts as the centre; a missing centre gives NaN.
    dx
        Cell width of each inner row, m, shape ``(y,)``.
    dy
        Cell height, m.

    Returns
    -------
    east, north : array, shape ``(y, x)``
        Rise per metre.

    References
    ----------
    Horn 1981, Proc. IEEE 69, 14-47, eq. 11.
    """
    height, width = z.shape[0] - 2, z.shape[1] - 2
    east = np.empty((height, width))
    north = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            centre = np.float64(z[i + 1, j + 1])
            if np.isnan(centre):
                east[i, j] = np.nan
                north[i, j] = np.nan
                continue
            p, q = 0.0, 0.0
            for r in range(3):
                for c in range(3):
                    value = np.float64(z[i + r, j + c])
                    rise = 0.0 if np.isnan(value) else value - centre
                    p += (c - 1) * (2 - abs(r - 1)) * rise
                    q += (1 - r) * (2 - abs(c - 1)) * rise
            east[i, j] = p / (8.0 * dx[i])
            north[i, j] = q / (8.0 * dy)
    return east, north


def slope_degrees(east: Float, north: Float) -> Float:
    """Return the steepest slope in degrees from :func:`gradient`."""
    return np.asarray(np.degrees(np.arctan(np.hypot(east, north))))


def aspect_sin_cos(east: Float, north: Float) -> tuple[Float, Float]:
    """Return sine and cosine of the downslope direction, clockwise from north; 0 and 0 where flat.

    The sine is 1 on slopes that face east, the cosine 1 on those that face north.
    """
    steepness = np.hypot(east, north)
    safe = np.where(steepness == 0, 1.0, steepness)
    return np.asarray(-east / safe), np.asarray(-north / safe)


def row_widths(latitude: Float, degrees: float) -> Float:
    """Return the ground width in m of cells `degrees` wide at each latitude (never below 1 m)."""
    metres = np.radians(degrees) * EARTH_RADIUS * np.cos(np.radians(latitude))
    return np.asarray(np.maximum(metres, 1.0))


def disk_half_widths(
    latitude: Float, dy_degrees: float, dx_degrees: float, radius: float, most: int
) -> NDArray[np.int64]:
    """Return how many cells east and west a disk on the sphere reaches, row by row.

    Parameters
    ----------
    latitude
        Centre latitude of each target row, degrees, shape ``(y,)``.
    dy_degrees, dx_degrees
        Cell size.
    radius
        Great-circle radius of the disk, m.
    most
        Upper bound of the result (half the columns of a closed grid).

    Returns
    -------
    array of int64, shape ``(y, 2 * reach + 1)``
        Half width at rows ``-reach … reach`` southward from the target; -1 where the disk does not
        reach. ``reach = floor(radius / cell height)``.
    """
    angle = radius / EARTH_RADIUS
    reach = math.floor(math.degrees(angle) / dy_degrees + 1e-9)
    offsets = np.arange(-reach, reach + 1)
    here = np.radians(latitude)[:, None]
    there = np.radians(latitude[:, None] - offsets * dy_degrees)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (np.cos(angle) - np.sin(here) * np.sin(there)) / (np.cos(here) * np.cos(there))
    half = np.degrees(np.arccos(np.clip(cosine, -1, 1))) / dx_degrees
    half = np.floor(np.where(cosine > 1, np.where(cosine > 1 + 1e-9, -1, 0), half) + 1e-9)
    half[np.abs(there) > np.pi / 2 + 1e-9] = -1
    return np.asarray(np.minimum(half, most), np.int64)


def disk_half_widths_planar(rows: int, dy: float, dx: float, radius: float) -> NDArray[np.int64]:
    """Return the same as :func:`disk_half_widths` on a plane; sizes and radius in m."""
    reach = math.floor(radius / dy + 1e-9)
    offsets = np.arange(-reach, reach + 1) * dy
    half = np.floor(np.sqrt(np.maximum(radius**2 - offsets**2, 0)) / dx + 1e-9)
    return np.tile(half.astype(np.int64), (rows, 1))


def position_index(
    z: NDArray[np.float32], half_widths: NDArray[np.int64], margin: int
) -> NDArray[np.float64]:
    """Return elevation minus its mean over a disk around each cell, m (Weiss 2001).

    Parameters
    ----------
    z
        Elevation, m, missing as NaN, shape ``(y + 2 * reach, x + 2 * margin)``.
    half_widths
        From :func:`disk_half_widths`, shape ``(y, 2 * reach + 1)``.
    margin
        Columns beyond each side; at least the largest half width.

    Returns
    -------
    array, shape ``(y, x)``
        Positive on ridges, negative in hollows; missing neighbours are left out of the mean.
    """
    valid = ~np.isnan(z)
    whole = np.where(valid, np.rint(z.astype(np.float64) * _PER_METRE), 0).astype(np.int64)
    sums = np.zeros((z.shape[0], z.shape[1] + 1), np.int64)
    counts = np.zeros_like(sums)
    np.cumsum(whole, axis=1, out=sums[:, 1:])
    np.cumsum(valid, axis=1, out=counts[:, 1:])
    return np.asarray(_position(z, sums, counts, half_widths, margin))


@kernel()
def _position(
    z: NDArray[np.float32],
    sums: NDArray[np.int64],
    counts: NDArray[np.int64],
    half_widths: NDArray[np.int64],
    margin: int,
) -> NDArray[np.float64]:
    """Take disk sums from row sums ``(rows, columns + 1)``; they are whole numbers, hence exact."""
    height, across = half_widths.shape
    reach = across // 2
    width = z.shape[1] - 2 * margin
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            column = j + margin
            total = 0
            count = 0
            for k in range(across):
                half = half_widths[i, k]
                if half >= 0:
                    total += sums[i + k, column + half + 1] - sums[i + k, column - half]
                    count += counts[i + k, column + half + 1] - counts[i + k, column - half]
            centre = np.float64(z[i + reach, column])
            out[i, j] = centre - total / count / 1024.0 if count > 0 else np.nan
    return out
