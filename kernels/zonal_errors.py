r"""Errors of totals over zones, drawn with errors of cells that go together in space.

A total's error is :math:`\sum_i a_i e_i` over cells of area a. Were all e one, it would be the sum
of the cells' bounds; were they independent, next to nothing. Here

.. math:: e_i = \sqrt{1 - \nu}\, s_i(z(x_i)) + \sqrt{\nu}\, \epsilon_i

with z a standard Gaussian field whose correlation is a sum of :math:`w_k \exp(-d / L_k)` (errors go
together over short and over long distances, and of a large zone's total the long ones decide, small
as their share may be), :math:`\epsilon` independent, :math:`\nu = 1 - \sum w_k` the share of the
variance without correlation (nugget), and s the cell's own spread:
``high z`` where z is above 0, ``low z`` below, from its bounds, less their mean, so that the mapped
mean stays the mean. The field varies little within a *patch* of cells much smaller than L; so sums
of :math:`a_i` times spread by patch are all that is needed, however many the cells. Of a structure
with L below half a patch's side patches are as good as independent, and errors cancel within them:
:math:`2 \pi L^2` over a patch's area of their variance is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .random_field import matern_waves, sum_of_cosines

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
    structures: Sequence[tuple[float, float]],
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
    structures
        Share w of the variance and length L, km, of each structure; shares sum to 1 at most, and
        the rest is without correlation. At L the correlation of a structure is 0.37 of its start,
        at three times it 0.05.
    patch_km
        Side of a patch.
    draws
        How many.

    Returns
    -------
    ndarray
        ``(draws, zones)``, in the units of `low`.
    """
    zones = len(independent)
    out = np.empty((draws, zones))
    nugget = max(0.0, 1.0 - sum(share for share, _ in structures))
    kept = [share * min(1.0, 2 * np.pi * (km / patch_km) ** 2) for share, km in structures]
    shared = np.sqrt(sum(kept))
    middle = np.bincount(zone, (high - low) * _HALF_MEAN, minlength=zones)
    alone = np.sqrt(nugget * np.asarray(independent))
    for i in range(draws):
        z = np.zeros(points.shape[1])
        for variance, (_, km) in zip(kept, structures, strict=True):
            if variance > 0:
                waves, phases = matern_waves(WAVES, km, 0.5, rng)
                z += np.sqrt(variance) / shared * sum_of_cosines(points, waves, phases)
        z = z[patch]
        error = np.bincount(zone, np.where(z > 0, high, low) * z, minlength=zones)
        out[i] = shared * (error - middle) + alone * rng.standard_normal(zones)
    return out
