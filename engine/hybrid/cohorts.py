"""Sites that start in the same year, with what drives process models of them from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.rothc_arrays import Forcing, Soil
from edaphos.kernels.rothc_run import RateModifiers, rate_modifiers
from edaphos.kernels.rothc_year import DEFICIT, year_map

from ..models.rothc_phases import EVEN
from .site_years import Climate, Drivers, Floats

Array = NDArray[Any]

#: Evaporation is potential evapotranspiration, taken whole.
EVAPORATION_FACTOR = 1.0
#: Sites run side by side: what a run adds to the memory of its drivers is bounded by it.
BLOCK = 8192
#: Fewest years that make the climate of the spin-up, where no normals are given.
NORMAL_YEARS = 10
#: Growth of the input from which on there is no simulation. A driver that begins near nothing (the
#: first fertiliser, productivity of a desert) says nothing of the input that held a stock: one that
#: grows a hundredfold would put a hundred times as much into the soil.
MOST_GROWTH = 10.0


@dataclass(frozen=True)
class Cohort:
    """Sites of one start year.

    Parameters
    ----------
    sites
        Their positions among those of the drivers, ``(n,)``.
    first
        Position of the start year.
    spin_up
        The repeating year that stocks of the start are in equilibrium with; as in `forcing`, a
        unit of carbon enters in a year, evenly over the months. Where it is the mean of years, its
        rates are the means of theirs (``rate_factor``).
    forcing
        Of the years that follow the start, from January of the first of them on.
    soil
        Clay and depth.
    ratio
        Driver of each of the years that follow over that of the start, ``(years, n)``.
    drives
        Whether the driver of the start is above 0, so that there is a ratio, and this ratio is not
        above :data:`MOST_GROWTH` in any year, ``(n,)``.
    """

    sites: NDArray[np.intp]
    first: int
    spin_up: Forcing
    forcing: Forcing
    soil: Soil
    ratio: Floats
    drives: NDArray[np.bool_]

    @property
    def years(self) -> int:
        """Number of years that follow the start."""
        return len(self.ratio)


def cohorts(
    drivers: Drivers, start: NDArray[np.int64], last: int | None = None
) -> Iterator[Cohort]:
    """Yield the sites of each start year, in blocks.

    Parameters
    ----------
    drivers
        Of S sites and Y years.
    start
        Position of the start year of each, ``(S,)``; sites with -1 are left out.
    last
        Position of the last year to run; that of the drivers by default.
    """
    end = len(drivers.years) if last is None else last + 1
    for first in np.unique(start[start >= 0]):
        places = np.flatnonzero(start == first)
        for lo in range(0, len(places), BLOCK):
            yield _cohort(drivers, places[lo : lo + BLOCK], int(first), end)


def _cohort(drivers: Drivers, sites: NDArray[np.intp], first: int, end: int) -> Cohort:
    every = len(sites) == drivers.sites

    def pick(rows: Array) -> Array:  # a view where nothing is left out
        return rows if every else np.take(rows, sites, axis=-1)

    later = slice(first + 1, max(end, first + 1))
    cover, quality = pick(drivers.cover), pick(drivers.dpm_rpm)
    clay = np.asarray(pick(drivers.clay), np.float64)
    soil = Soil(clay, np.full(clay.shape, drivers.depth_cm))
    spin_up = _spin_up(drivers, first, pick, soil)
    forcing = spin_up
    if later.stop > later.start:  # else there are no rows
        months = slice(12 * later.start, 12 * later.stop)
        months = slice(None) if drivers.climate.months == 12 else months
        rows = Climate(*(pick(array[months]) for array in vars(drivers.climate).values()))
        forcing = forcing_of(rows, cover, quality)
    driver = np.asarray(pick(drivers.input_driver[first : later.stop]), np.float64)
    base = driver[0]
    if drivers.input_base == "mean":
        years = spin_up_years(drivers, first)
        base = sum(pick(drivers.input_driver[:years]), np.zeros(len(sites))) / years
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = driver[1:] / base
    drives = (base > 0) & ~(ratio > MOST_GROWTH).any(axis=0)
    ratio = np.where(drives, ratio, np.nan)
    return Cohort(sites, first, spin_up, forcing, soil, ratio, drives)


def spin_up_years(drivers: Drivers, first: int) -> int:
    """Return how many years, from the first on, make the spin-up of stocks of year `first`.

    Those up to and including it, or the first :data:`NORMAL_YEARS` where that is fewer: no soil is
    in equilibrium with the weather of a year or two.
    """
    return max(first + 1, min(NORMAL_YEARS, len(drivers.years)))


def _spin_up(drivers: Drivers, first: int, pick: Callable[[Array], Array], soil: Soil) -> Forcing:
    """Return the repeating year that stocks of year `first` are taken to be in equilibrium with.

    The drivers' normals, else the mean of each month over :func:`spin_up_years`.
    """
    climate = drivers.climate if drivers.normals is None else drivers.normals
    cover, quality = pick(drivers.cover), pick(drivers.dpm_rpm)
    if climate.months == 12:
        return forcing_of(Climate(*map(pick, vars(climate).values())), cover, quality)
    years = spin_up_years(drivers, first)
    weather = [pick(array[: 12 * years]).reshape(years, 12, -1) for array in vars(climate).values()]
    mean = Climate(*(array.mean(axis=0, dtype=np.float64) for array in weather))
    usual = forcing_of(mean, cover, quality)
    return replace(usual, rate_factor=_mean_rates(usual, weather, soil))


def _mean_rates(usual: Forcing, weather: Sequence[Array], soil: Soil) -> Floats:
    """Return the mean rates of years over those of their mean climate, ``(12, n)``.

    Rates do not go in proportion to weather: soil that is dry in some years decomposes more under
    the mean of wet and dry years, or less, than it does in them. A stock in equilibrium with the
    mean climate would drift under weather that never changes.

    Parameters
    ----------
    usual
        The mean climate.
    weather
        Temperature, rain, evapotranspiration, each ``(years, 12, n)``.
    """
    deficit = year_map(usual, soil, evaporation_factor=EVAPORATION_FACTOR).table[DEFICIT]
    own = rates(modifiers(usual, soil, deficit))
    total = np.zeros(own.shape)
    for temperature, rain, evaporation in zip(*weather, strict=True):
        year = replace(usual, temperature=temperature, rain=rain, evaporation=evaporation)
        found = modifiers(year, soil, deficit)
        total += rates(found)
        deficit = found.deficit[-1]
    return np.where(own > 0, total / len(weather[0]) / np.where(own > 0, own, 1.0), 1.0)


def modifiers(forcing: Forcing, soil: Soil, deficit: Floats, years: int = 1) -> RateModifiers:
    """Return the rate modifiers of some years that begin with a soil moisture deficit, mm."""
    return rate_modifiers(forcing, soil, deficit, 12 * years, evaporation_factor=EVAPORATION_FACTOR)


def rates(found: RateModifiers) -> Floats:
    """Return what multiplies the rate constants in each month, ``(months, n)``."""
    return np.asarray(found.temperature * found.moisture * found.cover)


def forcing_of(climate: Climate, cover: Array, dpm_rpm: Array) -> Forcing:
    """Return RothC's forcing; a unit of carbon enters in a year."""
    return Forcing(
        temperature=climate.temperature,
        rain=climate.rain,
        evaporation=climate.evapotranspiration,
        cover=cover,
        plant_input=np.full((1, climate.temperature.shape[1]), EVEN),
        dpm_rpm=np.asarray(dpm_rpm)[None],
    )
