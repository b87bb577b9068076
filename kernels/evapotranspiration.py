"""Potential evapotranspiration of each month from temperature, and what a pan evaporates.

Two quantities go by the name of evaporation, and RothC tells them apart: **open-pan evaporation**
is what a pan of water loses, **potential evapotranspiration** (PET) is what a well-watered canopy
loses. RothC takes 0.75 of the former as the latter. They have types of their own here,
:data:`OpenPan` and :data:`Pet`, so that a type checker sees one passed for the other.

Every function returns PET but :func:`pan_from_pet`. :mod:`.penman` has the Penman-Monteith
equation for those who also know humidity, wind and radiation.
"""

from __future__ import annotations

from typing import Any, NewType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rothc import PAN_FACTOR as PAN_FACTOR
from .sun import MONTH_DAYS, Floats, Over, day_length_by_month, radiation_by_month

#: Potential (or reference) evapotranspiration, mm.
Pet = NewType("Pet", np.ndarray[Any, np.dtype[np.floating[Any]]])
#: Open-pan evaporation, mm.
OpenPan = NewType("OpenPan", np.ndarray[Any, np.dtype[np.floating[Any]]])

#: Millimetres of water that one MJ m⁻² evaporates, 1 / 2.45 (FAO-56 eq. 20).
MM_PER_MJ = 0.408
#: Above this monthly mean, °C, Thornthwaite's exponential gives way to a table.
HOT = 26.5
#: A heat index below which Thornthwaite's curve is not to be trusted: the least to reckon with.
#: With it, PET of tundra is in the median 0.3-1.6 times Hargreaves' (a daily range of 8-12 °C
#: assumed); without, up to 7 times, and in single months 600 mm.
LEAST_HEAT = 5.0
# Where the parabola through that table is highest; beyond it, it would fall.
_HOTTEST = 32.24 / (2 * 0.43)


def pet_from_pan(pan: OpenPan) -> Pet:
    """Return evapotranspiration from open-pan evaporation: 0.75 of it, as RothC takes it."""
    return Pet(np.asarray(pan * PAN_FACTOR))


def pan_from_pet(pet: Pet) -> OpenPan:
    """Return the open-pan evaporation for which RothC would take this evapotranspiration."""
    return OpenPan(np.asarray(pet / PAN_FACTOR))


def thornthwaite(
    temperature: ArrayLike,
    latitude: ArrayLike,
    *,
    over: Over = "mean",
    days: ArrayLike = MONTH_DAYS,
) -> Pet:
    r"""Return PET from monthly mean temperature alone (Thornthwaite 1948).

    With the heat index :math:`I = \sum_{12} (T_m / 5)^{1.514}` over months above 0 °C and
    :math:`a = 6.75 \cdot 10^{-7} I^3 - 7.71 \cdot 10^{-5} I^2 + 1.792 \cdot 10^{-2} I + 0.49239`,
    a month of 30 days of 12 hours evaporates

    .. math::
        E = 0                               & \quad T \le 0 \\
        E = 16 (10 T / I)^a                 & \quad 0 < T < 26.5 \\
        E = -415.85 + 32.24 T - 0.43 T^2    & \quad T \ge 26.5

    and PET is :math:`E \cdot \frac{N}{12} \cdot \frac{days}{30}` with day length :math:`N`.

    Parameters
    ----------
    temperature
        Mean temperature of each month, January first, °C, shape ``(12, ...)``; meant for normals
        or one year. Made for -5 to 38 °C.
    latitude
        Degrees north, broadcast against ``(...)``: ``(ny, 1)`` for a map in rows.
    over
        Day length as the mean of the days of the month, as in Thornthwaite's tables, or of its
        ``"middle"``.
    days
        Days in each month.

    Returns
    -------
    Pet
        Potential evapotranspiration, mm month⁻¹, shape and float type of `temperature`. Where a
        month is missing the heat index is unknown, and all twelve months of the cell are NaN.

    Raises
    ------
    ValueError
        If the first axis is not twelve months, or a latitude lies beyond a pole.

    Notes
    -----
    Sources: Thornthwaite 1948, *An approach toward a rational classification of climate*, Geogr.
    Rev. 38, 55-94; the hot branch is the parabola that Willmott, Rowe & Mintz 1985, *Climatology
    of the terrestrial seasonal water cycle*, J. Climatol. 5, 589-606, fitted to its table (within
    2 %). Beyond its top, 37.5 °C, PET is held there. The curve was made for I from 25 to 140; where
    all months lie near freezing (I below about 5) it gives far too much, hundreds of mm for a
    single month just above 0 °C; :data:`LEAST_HEAT` is there to bound it.
    """
    t = monthly("temperature", temperature)
    hours = day_length_by_month(np.asarray(latitude, t.dtype), over)
    return thornthwaite_of_days(t, hours, days=days)


def thornthwaite_of_days(
    temperature: Floats,
    hours: Floats,
    *,
    days: ArrayLike = MONTH_DAYS,
    least_heat: float = 0.0,
) -> Pet:
    """Return :func:`thornthwaite` where the length of days, ``(12, ...)`` hours, is known.

    A heat index below `least_heat` (:data:`LEAST_HEAT`, say; 0 leaves the formula as it is) is
    taken as that, so that PET also falls to nothing as all months come down to freezing.
    """
    t, length = temperature, _days(days)
    heat = np.maximum(_heat_index(t), t.dtype.type(least_heat))  # a NaN is handed on
    slope = ((6.75e-7 * heat - 7.71e-5) * heat + 1.792e-2) * heat + 0.49239
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scale = np.log(10 / heat)  # inf where no month is warm, and never used there
    out = np.empty((12, *np.broadcast_shapes(t.shape[1:], hours.shape[1:])), t.dtype)
    for month in range(12):
        unadjusted = _thornthwaite_month(t[month], slope, log_scale)
        out[month] = unadjusted * hours[month] * (length[month] / (12 * 30))
    out[:, np.broadcast_to(np.isnan(heat), out.shape[1:])] = np.nan
    return Pet(out)


def _heat_index(t: Floats) -> Floats:
    heat = np.zeros(t.shape[1:], t.dtype)
    for month in t:
        heat += np.maximum(month / 5, 0) ** 1.514  # np.maximum hands a NaN on
    return heat


def _thornthwaite_month(t: Floats, slope: Floats, log_scale: Floats) -> Floats:
    """Return PET of a month of 30 days of 12 hours; T, a and log(10 / I) have one shape."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mild = 16 * np.exp(slope * (np.log(t) + log_scale))
    warm = np.minimum(t, _HOTTEST)
    hot = (32.24 - 0.43 * warm) * warm - 415.85
    return np.where(t >= HOT, hot, np.where(t > 0, mild, 0))


def hargreaves(
    t_min: ArrayLike,
    t_max: ArrayLike,
    latitude: ArrayLike,
    t_mean: ArrayLike | None = None,
    *,
    over: Over = "middle",
    days: ArrayLike = MONTH_DAYS,
) -> Pet:
    r"""Return reference evapotranspiration from daily extremes of temperature.

    .. math:: ET_0 = 0.0023 \cdot 0.408 R_a (T_{mean} + 17.8) \sqrt{T_{max} - T_{min}}

    Parameters
    ----------
    t_min, t_max
        Monthly means of daily minimum and maximum temperature, °C, shape ``(12, ...)``.
    latitude
        Degrees north, broadcast against ``(...)``.
    t_mean
        Mean temperature, °C; by default half-way between the extremes, as FAO-56 has it.
    over
        Radiation of the ``"middle"`` of the month, as in FAO-56, or the ``"mean"`` of its days.
    days
        Days in each month.

    Returns
    -------
    Pet
        Reference evapotranspiration (a kind of PET), mm month⁻¹; 0 below -17.8 °C, NaN where the
        minimum lies above the maximum. Float type of `t_min`.

    Raises
    ------
    ValueError
        If shapes disagree, the first axis is not twelve months, or a latitude is beyond a pole.

    Notes
    -----
    Sources: Hargreaves & Samani 1985, *Reference crop evapotranspiration from temperature*, Appl.
    Eng. Agric. 1, 96-99; FAO-56 eq. 52. Too low in wind above 3 m/s, too high in humid air.
    """
    low = monthly("t_min", t_min)
    high = monthly("t_max", t_max, low)
    mean = None if t_mean is None else monthly("t_mean", t_mean, low)
    radiation = radiation_by_month(np.asarray(latitude, low.dtype), over)
    length = _days(days)
    out = np.empty((12, *np.broadcast_shapes(low.shape[1:], radiation.shape[1:])), low.dtype)
    for month in range(12):
        centre = (low[month] + high[month]) / 2 if mean is None else mean[month]
        with np.errstate(invalid="ignore"):
            swing = np.sqrt(high[month] - low[month])
        factor = 0.0023 * MM_PER_MJ * length[month]
        out[month] = factor * radiation[month] * np.maximum(centre + 17.8, 0) * swing
    return Pet(out)


def monthly(name: str, values: ArrayLike, like: Floats | None = None) -> Floats:
    """Return an array of floats with twelve months first, in shape and type of `like`, if given.

    Raises
    ------
    ValueError
        If there are not twelve months, or the shape is not that of `like`.
    """
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    if array.ndim == 0 or array.shape[0] != 12:
        raise ValueError(f"{name} must have shape (12, ...), months first; found {array.shape}")
    if like is None:
        return array
    if array.shape != like.shape:
        raise ValueError(f"{name} must have the shape {like.shape}; found {array.shape}")
    return array.astype(like.dtype, copy=False)


def _days(days: ArrayLike) -> list[float]:
    length: NDArray[np.float64] = np.asarray(days, np.float64)
    if length.shape != (12,):
        raise ValueError(f"days must hold the length of twelve months; found {length.shape}")
    return [float(value) for value in length]
