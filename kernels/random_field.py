r"""Random fields on the sphere and random numbers that belong to places, not to a sequence.

A field is a sum of cosines of random wave vectors in three dimensions, read off on the sphere:

.. math:: f(x) = \sqrt{2/K} \sum_k \cos(2\pi (\omega_k \cdot x + \phi_k))

With :math:`\omega` drawn from the spectral density of a covariance function and :math:`\phi`
uniform, `f` has that covariance of the chordal distance, mean 0 and variance 1 (Rahimi & Recht
2007, *Random features for large-scale kernel machines*). It is isotropic on the sphere, has no
seam or pole, and its value at a point needs no other point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

#: Mean radius of the Earth in km (IUGG).
EARTH_RADIUS_KM = 6371.0088

_BLOCK = 256
_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding and subtracting it rounds to the nearest integer


def unit_vectors(lon: NDArray[np.floating], lat: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return unit vectors, shape ``(3, n)``, of longitudes and latitudes in degrees."""
    lam, phi = np.radians(np.ravel(lon)), np.radians(np.ravel(lat))
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])


def matern_waves(
    count: int, length_km: float, nu: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw wave vectors and phases of a Matérn field in three dimensions.

    The spectral density of the Matérn covariance is a multivariate t distribution with
    ``2 nu`` degrees of freedom and scale ``1 / length`` (Rasmussen & Williams 2006, *Gaussian
    Processes for Machine Learning*, eq. 4.15).

    Parameters
    ----------
    count
        Number of waves.
    length_km
        Length scale; for ``nu = 1.5`` the correlation is ``(1 + s) exp(-s)``,
        ``s = sqrt(3) distance / length``.
    nu
        Smoothness.
    rng
        Source of randomness.

    Returns
    -------
    waves
        Cycles for each Earth radius, shape ``(count, 3)``.
    phases
        In cycles, shape ``(count,)``.
    """
    normal = rng.standard_normal((count, 3))
    stretch = np.sqrt(2 * nu / rng.chisquare(2 * nu, count))
    waves = normal * stretch[:, None] * (EARTH_RADIUS_KM / length_km) / (2 * np.pi)
    return waves, rng.random(count)


@kernel()
def sum_of_cosines(
    points: NDArray[np.float64], waves: NDArray[np.float64], phases: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Evaluate ``sqrt(2 / K) sum_k cos(2 pi (waves_k . points + phases_k))``, error below 1e-9.

    Parameters
    ----------
    points
        Shape ``(3, n)``.
    waves
        Cycles for each unit of `points`, shape ``(K, 3)``.
    phases
        In cycles, shape ``(K,)``.

    Returns
    -------
    values
        Shape ``(n,)``.
    """
    n, count = points.shape[1], waves.shape[0]
    out = np.zeros(n)
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        # slices spare the compiler its checks for negative indices, which keep it from SIMD code
        x, y, z = points[0, start:][:size], points[1, start:][:size], points[2, start:][:size]
        total = out[start:][:size]
        for k in range(count):
            wx, wy, wz, phase = waves[k, 0], waves[k, 1], waves[k, 2], phases[k]
            for i in range(size):
                turn = wx * x[i] + wy * y[i] + wz * z[i] + phase
                turn -= (turn + _ROUND) - _ROUND
                # cos(2v) = 1 - 2 sin(v)^2 with v in [-pi/2, pi/2], where the series is short
                v = np.pi * turn
                u = v * v
                s = 1.6059043836821613e-10 - u * 7.647163731819816e-13
                s = -2.505210838544172e-08 + u * s
                s = 2.7557319223985893e-06 + u * s
                s = -0.0001984126984126984 + u * s
                s = 0.008333333333333333 + u * s
                s = -0.16666666666666666 + u * s
                s = v * (1.0 + u * s)
                total[i] += 1.0 - 2.0 * s * s
    return out * np.sqrt(2.0 / count)


def hash_uniform(*keys: NDArray[np.integer] | int) -> NDArray[np.float64]:
    """Return numbers uniform in (0, 1) that depend on nothing but the integer keys.

    The keys (broadcast together) are folded through the finaliser of SplitMix64 (Steele, Lea &
    Flood 2014, *Fast splittable pseudorandom number generators*).
    """
    state = np.uint64(0x9E3779B97F4A7C15)
    mixed = np.zeros(np.broadcast_shapes(*(np.shape(k) for k in keys)), np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            word = np.asarray(key).astype(np.int64).view(np.uint64)
            mixed = _mix(mixed + state + word)
        mixed = _mix(mixed + state)
    return ((mixed >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def hash_normal(*keys: NDArray[np.integer] | int) -> NDArray[np.float64]:
    """Return standard normal numbers made of the integer keys alone (Box & Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log(hash_uniform(*keys, 0)))
    return np.asarray(radius * np.cos(2.0 * np.pi * hash_uniform(*keys, 1)))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
