"""The hidden fields of the virtual soil: what varies from place to place and no covariate shows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.random_field import (
    hash_normal,
    matern_waves,
    sum_of_cosines,
    unit_vectors,
)

Floats = NDArray[np.float64]

#: Distance at which the Matérn correlation with nu = 1.5 has fallen to 0.05, in length scales.
PRACTICAL_RANGE = 2.7386

#: Points closer than this share their nugget: one pedon, 1e-5 degrees or about a metre.
PEDON_DEG = 1e-5


@dataclass(frozen=True)
class Field:
    """A Gaussian field on the sphere with mean 0, variance 1 and Matérn covariance (nu = 1.5).

    Parameters
    ----------
    name
        Part of the seed, so that one field can be added without changing the others.
    range_km
        Distance at which the correlation has fallen to 0.05.
    seed
        Seed of the virtual soil.
    waves
        Number of cosines summed; the relative error of the covariance is about ``waves ** -0.5``.
    """

    name: str
    range_km: float
    seed: int
    waves: int = 320

    def __call__(self, lon: Floats, lat: Floats) -> Floats:
        """Return the field at points in degrees, any shape."""
        key = zlib.crc32(self.name.encode())
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, key]))
        waves, phases = matern_waves(self.waves, self.range_km / PRACTICAL_RANGE, 1.5, rng)
        lon, lat = np.broadcast_arrays(np.asarray(lon, float), np.asarray(lat, float))
        return sum_of_cosines(unit_vectors(lon, lat), waves, phases).reshape(lon.shape)


def nugget(name: str, lon: Floats, lat: Floats, seed: int) -> Floats:
    """Return standard normal noise that is a property of the place: the same whenever asked for.

    Made by hashing the coordinates in steps of :data:`PEDON_DEG`; different places are independent.
    """
    east = np.rint(np.asarray(lon, float) / PEDON_DEG).astype(np.int64)
    north = np.rint(np.asarray(lat, float) / PEDON_DEG).astype(np.int64)
    return hash_normal(east, north, zlib.crc32(name.encode()), seed)


def turn_with_depth(top: Floats, sub: Floats, depth_cm: Floats | float) -> Floats:
    """Blend two independent unit fields so that subsoil goes its own way, variance staying 1.

    The blend is a rotation by an angle that grows from 0 at the surface to 90 degrees far below,
    ``pi / 2 * z / (z + 60 cm)``: two depths are correlated by the cosine of the angle between them.
    """
    angle = 0.5 * np.pi * np.asarray(depth_cm, float) / (np.asarray(depth_cm, float) + 60.0)
    return np.asarray(np.cos(angle) * top + np.sin(angle) * sub)
