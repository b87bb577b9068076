"""Day length and the sun's radiation above the atmosphere, from latitude and day of the year.

Equations are those of FAO-56: Allen, Pereira, Raes & Smith 1998, *Crop evapotranspiration*, FAO
Irrigation and Drainage Paper 56, chapter 3. They hold for the whole Earth; in polar night and
midnight sun the sunset hour angle stays at 0 or π.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.floating]
#: How a month is represented: the mean of its days, or its fifteenth day as FAO-56 does.
Over: TypeAlias = Literal["mean", "middle"]

#: Solar constant, MJ m⁻² min⁻¹ (FAO-56 eq. 21).
SOLAR_CONSTANT = 0.0820
#: Days in each month of a common year.
MONTH_DAYS: tuple[int, ...] = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_STARTS = np.concatenate([[0], np.cumsum(MONTH_DAYS)[:-1]])


def day_length(latitude: ArrayLike, day_of_year: ArrayLike) -> Floats:
    r"""Return hours from sunrise to sunset, :math:`N = \frac{24}{\pi} \omega_s` (FAO-56 eq. 34).

    Parameters
    ----------
    latitude
        Degrees north, -90 to 90; NaN stays NaN.
    day_of_year
        1 to 366, broadcast against `latitude`.

    Returns
    -------
    array
        Hours, 0 to 24, in the float type of `latitude`.

    Raises
    ------
    ValueError
        If a latitude lies beyond a pole.
    """
    phi = _radians(latitude)
    return np.asarray(24 / np.pi * _sunset_angle(phi, _declination(_days(day_of_year, phi))))


def extraterrestrial_radiation(latitude: ArrayLike, day_of_year: ArrayLike) -> Floats:
    r"""Return daily radiation on a horizontal plane above the atmosphere (FAO-56 eq. 21 to 25).

    .. math:: R_a = \frac{24 \cdot 60}{\pi} G_{sc} d_r
              (\omega_s \sin\varphi \sin\delta + \cos\varphi \cos\delta \sin\omega_s)

    with :math:`d_r = 1 + 0.033 \cos(2 \pi J / 365)`,
    :math:`\delta = 0.409 \sin(2 \pi J / 365 - 1.39)` and
    :math:`\omega_s = \arccos(-\tan\varphi \tan\delta)`.

    Parameters
    ----------
    latitude
        Degrees north, -90 to 90; NaN stays NaN.
    day_of_year
        1 to 366, broadcast against `latitude`.

    Returns
    -------
    array
        MJ m⁻² day⁻¹, never negative, in the float type of `latitude`.

    Raises
    ------
    ValueError
        If a latitude lies beyond a pole.
    """
    phi = _radians(latitude)
    day = _days(day_of_year, phi)
    delta = _declination(day)
    omega = _sunset_angle(phi, delta)
    nearness = 1 + 0.033 * np.cos(2 * np.pi / 365 * day)
    height = omega * np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.sin(omega)
    # At the edge of polar night the two terms cancel, to a rounding error of either sign.
    return np.asarray(24 * 60 / np.pi * SOLAR_CONSTANT * nearness * np.maximum(height, 0))


def day_length_by_month(latitude: ArrayLike, over: Over = "mean") -> Floats:
    """Return hours of daylight in each month, ``(...) -> (12, ...)``; see :func:`day_length`."""
    return _by_month(day_length, latitude, over)


def radiation_by_month(latitude: ArrayLike, over: Over = "middle") -> Floats:
    """Return :func:`extraterrestrial_radiation` of each month, ``(...) -> (12, ...)``."""
    return _by_month(extraterrestrial_radiation, latitude, over)


def _by_month(
    function: Callable[[ArrayLike, ArrayLike], Floats], latitude: ArrayLike, over: Over
) -> Floats:
    """Apply a function of latitude and day to twelve months, once for each distinct latitude."""
    if over not in ("mean", "middle"):
        raise ValueError(f'over must be "mean" or "middle", found {over!r}')
    phi = np.asarray(latitude)
    # A map repeats each latitude along its row; a year of days is worth computing only once.
    distinct, where = np.unique(phi, return_inverse=True)
    months = [
        function(distinct, start + 15)
        if over == "middle"
        else sum(function(distinct, start + 1 + day) for day in range(length)) / length
        for start, length in zip(_STARTS, MONTH_DAYS, strict=True)
    ]
    return np.stack(months)[:, where.reshape(phi.shape)]


def _radians(latitude: ArrayLike) -> Floats:
    degrees = np.asarray(latitude)
    if not np.issubdtype(degrees.dtype, np.floating):
        degrees = degrees.astype(np.float64)
    if np.any(np.abs(degrees) > 90):
        raise ValueError(
            f"latitude must lie within -90 to 90 degrees, found {np.nanmin(degrees)} to "
            f"{np.nanmax(degrees)}; are longitude and latitude swapped?"
        )
    return np.deg2rad(degrees)


def _days(day_of_year: ArrayLike, like: Floats) -> Floats:
    return np.asarray(day_of_year).astype(like.dtype)


def _declination(day: Floats) -> Floats:
    """Return solar declination, radians (FAO-56 eq. 24)."""
    return np.asarray(0.409 * np.sin(2 * np.pi / 365 * day - 1.39))


def _sunset_angle(phi: Floats, delta: Floats) -> Floats:
    """Return the sunset hour angle, radians: 0 in polar night, π in midnight sun (eq. 25)."""
    return np.asarray(np.arccos(np.clip(-np.tan(phi) * np.tan(delta), -1, 1)))
