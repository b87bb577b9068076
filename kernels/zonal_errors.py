r"""Errors of totals over zones, drawn with errors of cells that go together in space.

A total's error is :math:`\sum_i a_i e_i` over cells of area a. Were all e one, it would be the sum
of the cells' bounds; were they independent, next to nothing. Here

.. math:: e_i = \sqrt{1 - \nu}\, s_i(z(x_i)) + \sqrt{\nu}\, \epsilon_i

with z a standard Gaussian field of correlation :math:`\exp(-d / L)`, :math:`\epsilon` independent,
:math:`\nu` the share of the variance without correlation (nugget), and s the cell's own spread:
``high z`` where z is above 0, ``low z`` below, from its bounds, less their mean, so that the mapped
mean stays the mean. The field varies little within a *patch* of cells much smaller than L; so sums
of :math:`a_i` times spread by patch are all that is needed, however many the cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .random_field import EARTH_RADIUS_KM, matern_waves, sum_of_cosines

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Cosines of a field: their sum is near enough to Gaussian.
WAVES = 256
#: Mean of the positive part of a standard normal number.
_HALF_MEAN = 1.0 / np.sqrt(2.0 * np.pi)


def draw_errors(
    points: Floats,
    zone: Ints,
    patch: Ints,
    low: Floats,
    high: Floats,
    independent: Floats,
    *,
    length_km: float,
    nugget: float,
    patch_km: float,
    draws: int,
    rng: np.random.Generator,
) -> Floats:
    """Draw errors of the totals of zones.

    Parameters
    ----------
    points
        Unit vectors of the patches' middles, ``(3, patches)``.
    zone, patch
        Zone and patch of each part (the cells of one zone in one patch), ``(parts,)``.
    low, high
        Sums over a part's cells of area times spread below and above the mean, ``(parts,)``.
    independent
        Sums over a zone's cells of (area times spread)², ``(zones,)``.
    length_km
        L: the correlation is 0.37 at this distance, 0.05 at three times it.
    nugget
        Share of the variance without correlation in space, 0 to 1.
    patch_km
        Side of a patch. Above 2 L patches are as good as independent and errors cancel within
        them, which is allowed for.
    draws
        How many.

    Returns
    -------
    ndarray
        ``(draws, zones)``, in the units of `low`.
    """
    zones = len(independent)
    out = np.empty((draws, zones))
    within = np.sqrt(min(1.0, 2 * np.pi * (length_km / patch_km) ** 2))
    shared = np.sqrt(1.0 - nugget) * within
    middle = np.bincount(zone, (high - low) * _HALF_MEAN, minlength=zones)
    alone = np.sqrt(nugget * np.asarray(independent))
    for i in range(draws):
        waves, phases = matern_waves(WAVES, length_km, 0.5, rng)
        z = sum_of_cosines(points, waves, phases)[patch]
        field = np.bincount(zone, np.where(z > 0, high, low) * z, minlength=zones)
        out[i] = shared * (field - middle) + alone * rng.standard_normal(zones)
    return out


def standard_error(
    points: Floats, weight: Floats, *, length_km: float, nugget: float, independent: float
) -> float:
    """Return the standard error of one total whose spread is the same on both sides: exactly.

    The double sum that :func:`draw_errors` samples from, of a time that grows with the square of
    the patches.

    Parameters
    ----------
    points
        Unit vectors, ``(3, patches)``.
    weight
        Sums of area times spread, ``(patches,)``.
    length_km, nugget
        As there.
    independent
        Sum over cells of (area times spread)².
    """
    total = 0.0
    for i in range(len(weight)):
        chord = np.sqrt(np.maximum(0, 2 - 2 * points[:, i] @ points))
        total += weight[i] * float(np.exp(-chord * EARTH_RADIUS_KM / length_km) @ weight)
    return float(np.sqrt((1 - nugget) * total + nugget * independent))
