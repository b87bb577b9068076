"""Weights that keep crowded regions from drowning out the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError


def decluster_weights(
    lon: ArrayLike,
    lat: ArrayLike,
    cell_deg: float,
    *,
    profile: NDArray[Any] | pd.Series[Any] | None = None,
    replicates: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Return the inverse number of profiles in each layer's cell, scaled to mean 1.

    Cell declustering (Journel 1983; Deutsch and Journel 1998, GSLIB, section II.1), on rows of
    equal latitude cut into cells of nearly equal area.

    Parameters
    ----------
    lon, lat
        Degrees, shape ``(n,)``, a row for each layer.
    cell_deg
        Height of a cell in degrees.
    profile
        Identifier of each layer's profile, whose layers share its weight; by default each pair of
        coordinates is a profile.
    replicates
        Number of rows that repeat the same depth of the same profile and year, among which a
        weight is divided.

    Returns
    -------
    numpy.ndarray
        Shape ``(n,)``, float64, mean 1.

    Raises
    ------
    InputError
        Where `cell_deg` is not positive or a coordinate is missing.
    """
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    if not cell_deg > 0:
        raise InputError(f"declustering: cell_deg must be positive, found {cell_deg}")
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise InputError("declustering: coordinates must be finite; drop rows without them first")
    if len(lon) == 0:
        return np.empty(0)
    cell = cell_index(lon, lat, cell_deg)
    if profile is None:
        profile = pd.Series(lon).astype(str) + " " + pd.Series(lat).astype(str)
    table = pd.DataFrame({"cell": cell, "profile": np.asarray(profile)})
    crowd = table.groupby("cell")["profile"].transform("nunique").to_numpy(np.float64)
    weight = 1.0 / crowd
    if replicates is not None:
        weight /= np.asarray(replicates, np.float64)
    scaled: NDArray[np.float64] = weight / weight.mean()
    return scaled


def cell_index(
    lon: NDArray[np.float64], lat: NDArray[np.float64], cell_deg: float
) -> NDArray[np.int64]:
    """Return the index of the nearly equal-area cell that holds each point.

    Rows are `cell_deg` high from the south pole; a row at mid-latitude φ is cut into
    ``round(360 cos φ / cell_deg)`` cells, at least one.

    >>> cell_index(np.array([0.0, 0.5, 2.5]), np.array([0.5, 0.5, 0.5]), 2.0).tolist()
    [5156, 5156, 5157]
    """
    rows = int(np.ceil(180.0 / cell_deg))
    row = np.clip(np.floor((lat + 90.0) / cell_deg).astype(np.int64), 0, rows - 1)
    middle = np.radians(np.minimum(-90.0 + (np.arange(rows) + 0.5) * cell_deg, 90.0))
    columns = np.maximum(1, np.round(360.0 * np.cos(middle) / cell_deg)).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(columns)[:-1]])
    column = np.floor((lon % 360.0) / 360.0 * columns[row]).astype(np.int64)
    index: NDArray[np.int64] = start[row] + np.minimum(column, columns[row] - 1)
    return index
