"""Places of a virtual world: where they lie, their soils, and the weather and farming of years.

Everything at a place follows from the world's seed and the place's coordinates or number alone, so
that a place is the same whichever others are drawn, and a larger sample contains a smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edaphos.engine.hybrid.site_years import Climate, Floats
from edaphos.kernels.evapotranspiration import thornthwaite_of_days
from edaphos.kernels.productivity import miami_npp
from edaphos.kernels.random_field import matern_waves, sum_of_cosines, unit_vectors
from edaphos.kernels.sun import day_length_by_month

#: Degrees: west, south, east, north.
REGION = (100.0, 28.0, 108.0, 36.0)
#: First and last year of weather and farming; the years before FIRST are history.
EARLIEST, FIRST, LAST = 1960, 1980, 2010
YEARS = np.arange(EARLIEST, LAST + 1)
#: Waves in a random field.
WAVES = 150
#: Share of dry matter that is carbon, and of it that enters the layer; g/m² in t/ha.
TO_SOIL = 0.47 * 0.50 / 100
#: Share of places that are converted in one of CONVERSIONS.
CONVERTED = 0.2
CONVERSIONS = (1981, 1999)


@dataclass(frozen=True, eq=False)
class Places:
    """S places in :data:`YEARS`, Y of them.

    Parameters
    ----------
    lon, lat
        Degrees, ``(S,)``.
    elevation, slope, clay
        m, degrees, %; ``(S,)``.
    climate
        12 Y rows.
    fertility
        Hidden: a field of the carbon input, mean 0 and variance 1, ``(S,)``; sampling prefers it.
    wetness
        Hidden: what a driver that nobody has does to all rates, ``(S,)``.
    driver
        What farming does to the input: 1 on average in 1980, ``(Y, S)``.
    hidden
        Factor of the input that nobody knows, with a trend of its own, ``(Y, S)``.
    converted
        Year in which land use changes; far in the future where it does not, ``(S,)``.
    """

    lon: Floats
    lat: Floats
    elevation: Floats
    slope: Floats
    clay: Floats
    climate: Climate
    fertility: Floats
    wetness: Floats
    driver: Floats
    hidden: Floats
    converted: Floats

    @property
    def carbon(self) -> Floats:
        """What would enter in each year if farming stayed as it is in 1980, ``(S,)`` t C/ha."""
        normals = self.normals
        mat, rain = normals.temperature.mean(axis=0), normals.rain.sum(axis=0)
        return np.asarray(miami_npp(mat, rain) * TO_SOIL * np.exp(0.16 * self.fertility))

    @property
    def normals(self) -> Climate:
        """Mean of each month before :data:`FIRST`."""
        months = 12 * (FIRST - EARLIEST)
        return Climate(
            *(
                a[:months].reshape(-1, 12, a.shape[1]).mean(axis=0)
                for a in vars(self.climate).values()
            )
        )


class Fields:
    """Random fields of a world, by name: the same at a place whatever else is asked for."""

    def __init__(self, seed: int, lon: Floats, lat: Floats) -> None:
        self._seed, self._points = seed, unit_vectors(lon, lat)

    def __call__(self, name: str, length_km: float, nu: float = 1.5) -> Floats:
        """Return a Matérn field of mean 0 and variance 1, ``(S,)``."""
        rng = np.random.default_rng([self._seed, *name.encode()])
        return sum_of_cosines(self._points, *matern_waves(WAVES, length_km, nu, rng))


def make_places(
    seed: int, lon: Floats, lat: Floats, number: Floats, *, rising: bool = True
) -> Places:
    """Return the places of world `seed` at some coordinates.

    Parameters
    ----------
    seed
        Of the world.
    lon, lat
        Degrees, ``(S,)``.
    number
        Tells places apart, ``(S,)``: two at one spot differ by what varies within a few metres.
    rising
        Whether weather and farming have a trend.
    """
    field = Fields(seed, lon, lat)
    near = _own(seed, number)
    elevation = 500 + 350 * field("relief", 160) + 60 * field("hills", 12)
    elevation = np.maximum(elevation, 5)
    slope = np.exp(0.8 + 0.5 * field("slope", 15) + 0.4 * (elevation - 500) / 350)
    clay = np.clip(22 + 8 * field("clay", 120) - 2 * field("relief", 160) + 2 * near[0], 4, 55)
    fertility = (field("fertility", 90) + 0.5 * near[1]) / np.sqrt(1.25)
    climate = _climate(field, lat, elevation, float(rising))
    return Places(
        lon=lon,
        lat=lat,
        elevation=elevation,
        slope=slope,
        clay=clay,
        climate=climate,
        fertility=fertility,
        wetness=np.exp(0.10 * field("wetness", 60) + 0.05 * near[2]),
        driver=_driver(field, near, float(rising)),
        hidden=_hidden(field, near),
        converted=_converted(field, seed, number),
    )


def _own(seed: int, number: Floats, count: int = 4) -> Floats:
    """Return standard normal numbers of each place, ``(count, S)``."""
    rows = [np.random.default_rng([seed, 7, int(n)]).standard_normal(count) for n in number]
    return np.array(rows).T.reshape(count, len(number))


def _climate(field: Fields, lat: Floats, elevation: Floats, trend: float) -> Climate:
    """Return weather with a season, a trend, and good and bad years that a region shares."""
    mean = 30 - 0.45 * (lat - 20) - 0.0055 * elevation - 1.5 + 0.5 * field("heat", 200)
    wet = np.exp(0.28 * field("rain", 180))
    season = np.cos(2 * np.pi * (np.arange(12) - 6.5) / 12)[:, None]
    hours = day_length_by_month(lat, "mean")
    temperature, rain, demand = [], [], []
    for year in YEARS:
        anomaly = 0.45 * field(f"heat {year}", 900) + 0.025 * trend * (year - FIRST)
        t = mean + anomaly + 10 * season
        drying = 0.0025 * trend * (year - FIRST)
        moist = wet * np.exp(0.16 * field(f"rain {year}", 400) - drying)
        months = [np.exp(0.35 * field(f"rain {year} {m}", 300)) for m in range(12)]
        temperature.append(t)
        rain.append(np.maximum(75 + 45 * season, 8) * moist * np.array(months))
        demand.append(thornthwaite_of_days(t, hours))
    return Climate(*(np.concatenate(a) for a in (temperature, rain, demand)))


def _driver(field: Fields, near: Floats, trend: float) -> Floats:
    """Return fertiliser or productivity: a regional rise that slows, and good and bad years."""
    t = (YEARS - FIRST)[:, None]
    rise = trend * (0.60 + 0.25 * field("rise", 250) + 0.03 * near[3])
    late = 1 / (1 + np.exp(-(t - 6) / 5.0)) - 1 / (1 + np.exp(6 / 5.0))
    noise = np.array([0.04 * field(f"harvest {year}", 150) for year in YEARS])
    return np.asarray(np.exp(rise * late + noise))


def _hidden(field: Fields, near: Floats) -> Floats:
    """Return what multiplies the input unseen: trends that differ by district, and noise."""
    t = (YEARS - FIRST)[:, None] / 20
    noise = np.array([0.05 * field(f"residue {year}", 60) for year in YEARS])
    return np.asarray(np.exp((0.05 + 0.14 * field("residues", 130) + 0.04 * near[2]) * t + noise))


def _converted(field: Fields, seed: int, number: Floats) -> Floats:
    draws = np.array([np.random.default_rng([seed, 8, int(n)]).random(2) for n in number])
    share, when = draws.T.reshape(2, len(number))
    first, last = CONVERSIONS
    chance = CONVERTED * np.exp(0.7 * field("frontier", 100) - 0.245)
    year = first + np.floor(when * (last - first + 1))
    return np.where(share < chance, year, np.inf)


def scatter(seed: int, count: int) -> tuple[Floats, Floats]:
    """Return places spread evenly over the region, the first ones the same for any `count`."""
    rng = np.random.default_rng([seed, 9])
    west, south, east, north = REGION
    u = rng.random((count, 2))
    low, high = np.sin(np.radians([south, north]))
    return west + (east - west) * u[:, 0], np.degrees(np.arcsin(low + (high - low) * u[:, 1]))


def sample(seed: int, count: int, preference: float = 0.5) -> tuple[Floats, Floats, Floats]:
    """Return the first `count` places that surveyors choose, and their numbers.

    Fertile and low land draws them: each candidate's chance grows by ``exp(preference)`` for each
    standard deviation of that. A larger sample contains a smaller one.
    """
    candidates = 6000
    if count > candidates // 3:
        raise ValueError(f"a world has {candidates // 3} places to sample, asked for {count}")
    lon, lat = scatter(seed * 2 + 1, candidates)
    field = Fields(seed, lon, lat)
    liking = preference * (0.8 * field("fertility", 90) - 0.6 * field("relief", 160))
    rng = np.random.default_rng([seed, 10])
    order = np.argsort(-(liking + rng.gumbel(size=candidates)))[:count]
    return lon[order], lat[order], order.astype(float)
