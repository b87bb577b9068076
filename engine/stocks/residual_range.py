"""How far errors of a map go together: from residuals of profiles that were left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import norm, rankdata

from edaphos.kernels.random_field import EARTH_RADIUS_KM, unit_vectors

from ..errors import InputError

Floats = NDArray[np.float64]

#: Classes of distance, km. Nearer pairs may be one place sampled twice.
_NEAREST, _FARTHEST, _CLASSES = 1.0, 3000.0, 16
#: Residuals looked at; more are drawn from.
_MOST = 3000
#: Fewest residuals that tell anything.
FEWEST = 50


def correlogram(
    lon: Floats, lat: Floats, residual: Floats, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    """Return mean distance (km), correlation and pairs of each class of distance.

    Residuals are turned into normal scores; mean products of pairs by distance are the correlogram.

    Parameters
    ----------
    lon, lat
        Degrees, ``(n,)``.
    residual
        Of places that the model had not seen, ``(n,)``, on any monotone scale.
    seed
        Of the draw where there are very many.

    Raises
    ------
    InputError
        Fewer than 50 residuals.
    """
    known = np.isfinite(residual)
    lon, lat, residual = lon[known], lat[known], residual[known]
    if len(residual) < FEWEST:
        raise InputError(
            f"the range of errors needs {FEWEST} residuals or more, found {len(residual)}: state "
            "length_km and nugget instead"
        )
    if len(residual) > _MOST:
        rows = np.random.default_rng(seed).choice(len(residual), _MOST, replace=False)
        lon, lat, residual = lon[rows], lat[rows], residual[rows]
    score = norm.ppf((rankdata(residual) - 0.5) / len(residual))
    distance = EARTH_RADIUS_KM * pdist(unit_vectors(lon, lat).T)  # chords, as fields have them
    product = _pair_products(score)
    edges = np.geomspace(_NEAREST, _FARTHEST, _CLASSES + 1)
    place = np.digitize(distance, edges) - 1
    used = (place >= 0) & (place < _CLASSES)
    counts = np.bincount(place[used], minlength=_CLASSES)
    filled = counts > 0
    at = np.bincount(place[used], distance[used], minlength=_CLASSES)[filled] / counts[filled]
    found = np.bincount(place[used], product[used], minlength=_CLASSES)[filled] / counts[filled]
    return at, found, counts[filled].astype(np.float64)


def _pair_products(score: Floats) -> Floats:
    """Return products of all pairs in the order of ``pdist``."""
    i, j = np.triu_indices(len(score), 1)
    return np.asarray(score[i] * score[j])
