"""Reference evapotranspiration of each month by the Penman-Monteith equation of FAO-56.

Equations are those of Allen, Pereira, Raes & Smith 1998, *Crop evapotranspiration*, FAO Irrigation
and Drainage Paper 56, whose numbers the docstrings give; what is missing is estimated as its
chapter 3 recommends. The result is a :data:`~.evapotranspiration.Pet`, never open-pan evaporation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .evapotranspiration import MM_PER_MJ, Pet, monthly
from .sun import MONTH_DAYS, Floats, Over, day_length_by_month, radiation_by_month

#: Stefan-Boltzmann constant, MJ K⁻⁴ m⁻² day⁻¹ (eq. 39).
STEFAN_BOLTZMANN = 4.903e-9
#: Share of solar radiation that the reference grass reflects (eq. 38).
ALBEDO = 0.23
#: Wind where none is known, m s⁻¹: the mean of over 2000 stations (FAO-56, chapter 3).
USUAL_WIND = 2.0
#: Adjustment of radiation from temperature for the interior of land, °C⁻⁰·⁵; 0.19 at coasts
#: (eq. 50).
INLAND = 0.16


def penman_monteith(
    t_min: ArrayLike,
    t_max: ArrayLike,
    latitude: ArrayLike,
    elevation: ArrayLike,
    *,
    vapour_pressure: ArrayLike | None = None,
    relative_humidity: ArrayLike | None = None,
    dew_point: ArrayLike | None = None,
    net_radiation: ArrayLike | None = None,
    solar_radiation: ArrayLike | None = None,
    sunshine: ArrayLike | None = None,
    wind: ArrayLike = USUAL_WIND,
    soil_heat: ArrayLike | None = None,
    over: Over = "middle",
    days: ArrayLike = MONTH_DAYS,
) -> Pet:
    r"""Return FAO-56 reference evapotranspiration of grass, mm month⁻¹ (eq. 6).

    .. math:: ET_0 = \frac{0.408 \Delta (R_n - G) + \gamma \frac{900}{T + 273} u_2 (e_s - e_a)}
                          {\Delta + \gamma (1 + 0.34 u_2)}

    Parameters
    ----------
    t_min, t_max
        Monthly means of daily minimum and maximum temperature, °C, shape ``(12, ...)``. Where only
        the mean is known, give it twice; saturation pressure then comes out too low.
    latitude, elevation
        Degrees north, and m above the sea; broadcast against ``(...)``.
    vapour_pressure, relative_humidity, dew_point
        At most one: kPa; mean percent 0 to 100 (eq. 19); °C (eq. 14). Without any, the dew point
        is taken to be the minimum temperature (eq. 48), which is too moist for dry climates.
    net_radiation, solar_radiation, sunshine
        At most one: MJ m⁻² day⁻¹; MJ m⁻² day⁻¹; hours of sun as a share of day length, 0 to 1
        (eq. 35; :func:`sunshine_share`). Without any, radiation is estimated from the daily range
        of temperature inland (eq. 50).
    wind
        At 2 m, m s⁻¹ (:func:`wind_at_2m`); 2 m/s by default.
    soil_heat
        Flux into the soil, MJ m⁻² day⁻¹; by default from the months before and after, December
        and January being neighbours (eq. 43).
    over, days
        As for :func:`~.evapotranspiration.hargreaves`.

    Returns
    -------
    Pet
        Reference evapotranspiration (a kind of PET), shape and float type of `t_min`. Negative
        values, dew of cold months, become 0.

    Raises
    ------
    ValueError
        If shapes disagree, the first axis is not twelve months, a latitude lies beyond a pole, or
        two measures of humidity or of radiation are given.
    """
    _at_most_one(
        vapour_pressure=vapour_pressure, relative_humidity=relative_humidity, dew_point=dew_point
    )
    _at_most_one(net_radiation=net_radiation, solar_radiation=solar_radiation, sunshine=sunshine)
    low = monthly("t_min", t_min)
    high = monthly("t_max", t_max, low)
    height = np.asarray(elevation, low.dtype)
    above = radiation_by_month(np.asarray(latitude, low.dtype), over)
    given = {
        "vapour_pressure": vapour_pressure,
        "relative_humidity": relative_humidity,
        "dew_point": dew_point,
        "net_radiation": net_radiation,
        "solar_radiation": solar_radiation,
        "sunshine": sunshine,
    }
    known = {name: _spread(name, v, low) for name, v in given.items() if v is not None}
    speed = _spread("wind", wind, low)
    ground = _soil_heat((low + high) / 2) if soil_heat is None else _spread("G", soil_heat, low)
    length = np.asarray(days, low.dtype)
    gamma = psychrometric_constant(height)
    cells = np.broadcast_shapes(low.shape[1:], above.shape[1:], height.shape)
    out = np.empty((12, *cells), low.dtype)
    for m in range(12):
        month = {name: values[m] for name, values in known.items()}
        ea = _vapour_pressure(low[m], high[m], month)
        rn = month.get("net_radiation")
        if rn is None:
            rn = _net_radiation(low[m], high[m], ea, above[m], height, month)
        out[m] = _et0(low[m], high[m], ea, rn - ground[m], speed[m], gamma) * length[m]
    return Pet(np.maximum(out, 0, out=out))


def saturation_pressure(temperature: Floats) -> Floats:
    r"""Return vapour pressure at saturation, kPa: :math:`0.6108 e^{17.27 T / (T + 237.3)}` (11)."""
    return np.asarray(0.6108 * np.exp(17.27 * temperature / (temperature + 237.3)))


def atmospheric_pressure(elevation: Floats) -> Floats:
    r"""Return air pressure, kPa, at m above the sea: :math:`101.3 (1 - 0.0065 z / 293)^{5.26}` (7).

    >>> float(np.round(atmospheric_pressure(np.array(1800.0)), 1))
    81.8
    """
    return np.asarray(101.3 * ((293 - 0.0065 * elevation) / 293) ** 5.26)


def psychrometric_constant(elevation: Floats) -> Floats:
    r"""Return γ, kPa °C⁻¹: 0.000665 of the air pressure (eq. 8)."""
    return np.asarray(0.665e-3 * atmospheric_pressure(elevation))


def wind_at_2m(speed: ArrayLike, height: float) -> Floats:
    r"""Return wind at 2 m from that at `height` z over grass: times 4.87 / ln(67.8 z - 5.42) (47).

    Raises
    ------
    ValueError
        If `height` is too close to the ground for the profile, below 0.1 m.
    """
    if height < 0.1:
        raise ValueError(f"wind must be measured at 0.1 m or more above ground, found {height} m")
    return np.asarray(speed) * (4.87 / np.log(67.8 * height - 5.42))


def sunshine_share(hours: ArrayLike, latitude: ArrayLike, over: Over = "middle") -> Floats:
    """Return n/N, 0 to 1, from hours of bright sunshine a day, ``(12, ...)``; 0 in polar night."""
    sun = monthly("hours", hours)
    longest = day_length_by_month(np.asarray(latitude, sun.dtype), over)
    return np.clip(sun / np.maximum(longest, np.finfo(sun.dtype).tiny), 0, 1)


def _vapour_pressure(low: Floats, high: Floats, known: dict[str, Floats]) -> Floats:
    """Return the actual vapour pressure, kPa, from the humidity that is known."""
    if "vapour_pressure" in known:
        return known["vapour_pressure"]
    if "relative_humidity" in known:
        return known["relative_humidity"] / 100 * _mean_saturation(low, high)
    return saturation_pressure(known.get("dew_point", low))


def _mean_saturation(low: Floats, high: Floats) -> Floats:
    return (saturation_pressure(low) + saturation_pressure(high)) / 2  # eq. 12


def _net_radiation(
    low: Floats, high: Floats, ea: Floats, above: Floats, height: Floats, known: dict[str, Floats]
) -> Floats:
    """Return net radiation of grass, MJ m⁻² day⁻¹ (eq. 37 to 40)."""
    clear = (0.75 + 2e-5 * height) * above
    solar = known.get("solar_radiation")
    if solar is None and "sunshine" in known:
        solar = (0.25 + 0.50 * known["sunshine"]) * above
    elif solar is None:
        with np.errstate(invalid="ignore"):
            solar = np.minimum(INLAND * np.sqrt(high - low) * above, clear)
    # In polar night there is no sky to compare; 0.5 is half-cloudy.
    with np.errstate(divide="ignore", invalid="ignore"):
        clearness = np.where(clear > 0, np.minimum(solar / clear, 1), 0.5)
    emitted = STEFAN_BOLTZMANN / 2 * ((low + 273.16) ** 4 + (high + 273.16) ** 4)
    longwave = emitted * (0.34 - 0.14 * np.sqrt(ea)) * (1.35 * clearness - 0.35)
    return np.asarray((1 - ALBEDO) * solar - longwave)


def _soil_heat(mean: Floats) -> Floats:
    """Return G = 0.07 (T of the next month - T of the one before), MJ m⁻² day⁻¹ (eq. 43)."""
    return np.asarray(0.07 * (np.roll(mean, -1, axis=0) - np.roll(mean, 1, axis=0)))


def _et0(
    low: Floats, high: Floats, ea: Floats, energy: Floats, wind: Floats, gamma: Floats
) -> Floats:
    """Return eq. 6, mm day⁻¹, with `energy` for Rn - G."""
    mean = (low + high) / 2
    slope = 4098 * saturation_pressure(mean) / (mean + 237.3) ** 2  # eq. 13
    deficit = np.maximum(_mean_saturation(low, high) - ea, 0)
    drying = gamma * (900 / (mean + 273)) * wind * deficit
    return np.asarray((MM_PER_MJ * slope * energy + drying) / (slope + gamma * (1 + 0.34 * wind)))


def _spread(name: str, values: ArrayLike, like: Floats) -> Floats:
    """Return `values` broadcast to the shape and type of `like`, without copying them."""
    array = np.asarray(values, like.dtype)
    try:
        return np.broadcast_to(array, like.shape)
    except ValueError:
        raise ValueError(
            f"{name} of shape {array.shape} cannot be broadcast to {like.shape}"
        ) from None


def _at_most_one(**given: ArrayLike | None) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"give one of {', '.join(given)}; found {' and '.join(names)}")
