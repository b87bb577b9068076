"""Spatial blocks of roughly equal area on the sphere."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def block_ids(
    lon: NDArray[np.float64], lat: NDArray[np.float64], degrees: float
) -> NDArray[np.int64]:
    """Return the number of the spatial block that holds each point, shape ``(n,)``.

    Bands of latitude about `degrees` high are cut into blocks about ``degrees / cos(latitude)``
    wide, so that blocks have roughly equal areas and a whole number of them closes each band.

    Raises
    ------
    InputError
        If `degrees` is not between 0 and 90, or a coordinate is not a longitude or latitude.
    """
    if not 0 < degrees <= 90:
        raise InputError(f"spatial blocks must be more than 0 and at most 90°, found {degrees}")
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    if not (np.isfinite(lon).all() and (np.abs(lat) <= 90).all()):
        raise InputError("samples need a longitude and a latitude (-90 to 90) in every row")
    bands = max(1, round(180 / degrees))
    height = 180 / bands
    band = np.minimum(np.floor((lat + 90) / height).astype(np.int64), bands - 1)
    middle = np.radians(-90 + (np.arange(bands) + 0.5) * height)
    in_band = np.maximum(1, np.rint(360 * np.cos(middle) / degrees)).astype(np.int64)
    column = np.floor((lon + 180) % 360 / 360 * in_band[band]).astype(np.int64)
    return np.asarray(band * math.ceil(360 / degrees) + np.minimum(column, in_band[band] - 1))
