"""Sites begun together: those of one start year, as pixels of one RothC run from equilibrium.

RothC stands in equilibrium with its observed stock at the end of the start year, under the climate
of the spin-up; from then on carbon enters as in that year, times the driver over the driver of the
start year. What enters is spread evenly over the months.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.equilibrium import hold_stock
from edaphos.kernels.rothc import inert
from edaphos.kernels.rothc_arrays import Forcing, Microbial, Soil, State
from edaphos.kernels.rothc_run import simulate
from edaphos.kernels.rothc_year import year_map

from ..models.rothc_phases import EVEN, T_HA
from .site_years import Climate, Drivers, Floats

Array = NDArray[Any]

#: Evaporation is potential evapotranspiration, taken whole.
EVAPORATION_FACTOR = 1.0
#: Sites run side by side: what a run adds to the memory of its drivers is bounded by it.
BLOCK = 8192


@dataclass(frozen=True)
class Start:
    """Sites at equilibrium with their stock.

    Parameters
    ----------
    sites
        Their positions among those of the drivers, ``(n,)``.
    first
        Position of the start year.
    spin_up, forcing
        Of the repeating year that holds the stock, and of the years that follow the start (its
        rows begin with January of the first of them); a unit of carbon enters in a year.
    soil, state, iom
        Of the sites; state and IOM in t C/ha, NaN where no input holds the stock.
    held
        Carbon that enters in a year of equilibrium, ``(n,)`` t C/ha.
    factor
        Carbon that enters in each of the years that follow, ``(years, n)`` t C/ha.
    """

    sites: NDArray[np.intp]
    first: int
    spin_up: Forcing
    forcing: Forcing
    soil: Soil
    state: State
    iom: Floats
    held: Floats
    factor: Floats

    @property
    def years(self) -> int:
        """Number of years that follow the start."""
        return len(self.factor)

    def run(
        self,
        microbial: Microbial | None = None,
        *,
        anchored: bool = False,
        input_factor: float = 1.0,
    ) -> Floats:
        """Return the stock at the end of each year that follows, ``(years, n)`` t C/ha.

        Parameters
        ----------
        microbial
            Rates follow the microbial biomass.
        anchored
            With `microbial`: relative to what they would be in the same month at equilibrium.
        input_factor
            Multiplies all carbon that enters after the start.
        """
        if self.years == 0:
            return np.empty((0, len(self.sites)))
        forcing = self.forcing
        if microbial is not None and anchored:
            forcing = Forcing(**{**vars(forcing), "rate_factor": 1 / self.activity(microbial)})
        found = simulate(
            forcing,
            self.soil,
            self.state,
            12 * self.years,
            every=12,
            evaporation_factor=EVAPORATION_FACTOR,
            input_factor=self.factor * input_factor,
            microbial=microbial,
        )
        return np.asarray(found.pools.sum(axis=1) + self.iom)

    def activity(self, microbial: Microbial) -> Floats:
        """Return mu in each month of the year of equilibrium, ``(12, n)``."""
        return microbial.mu_max * self._biomass / (microbial.km + self._biomass)

    @cached_property
    def _biomass(self) -> Floats:
        """BIO that each month of the year of equilibrium begins with, as kernels take it."""
        year = simulate(
            self.spin_up,
            self.soil,
            self.state,
            12,
            evaporation_factor=EVAPORATION_FACTOR,
            input_factor=self.held[None],
        )
        return np.concatenate([self.state.pools[2:3], year.pools[:-1, 2]])


def starts(
    drivers: Drivers, start: NDArray[np.int64], stock: Floats, last: int | None = None
) -> Iterator[Start]:
    """Yield the sites of each start year, in blocks.

    Parameters
    ----------
    drivers
        Of S sites and Y years.
    start
        Position of the year at whose end `stock` stands, ``(S,)``; sites with -1 are left out.
    stock
        ``(S,)`` kg/m².
    last
        Position of the last year to run; that of the drivers by default.
    """
    for first in np.unique(start[start >= 0]):
        places = np.flatnonzero(start == first)
        for lo in range(0, len(places), BLOCK):
            yield _begin(drivers, places[lo : lo + BLOCK], int(first), stock, last)


def _begin(
    drivers: Drivers, sites: NDArray[np.intp], first: int, stock: Floats, last: int | None
) -> Start:
    end = len(drivers.years) if last is None else last + 1
    later = slice(first + 1, max(end, first + 1))
    every = len(sites) == drivers.sites
    pick: Any = slice(None) if every else sites  # a view where nothing is left out
    clay = np.asarray(drivers.clay[pick], np.float64)
    soil = Soil(clay, np.full(clay.shape, drivers.depth_cm))
    cover, ratio = drivers.cover[:, pick], drivers.dpm_rpm[pick]

    spin_up = forcing_of(spin_up_climate(drivers, first, pick), cover, ratio)
    year = year_map(spin_up, soil, evaporation_factor=EVAPORATION_FACTOR)
    total = np.asarray(stock[sites], np.float64) * T_HA
    iom = inert(total)
    found = hold_stock(year, total, iom)

    driver = np.asarray(drivers.input_driver[:, pick], np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_to_start = np.where(driver[first] > 0, driver[later] / driver[first], np.nan)
    known = np.where(driver[first] > 0, 1.0, np.nan)
    climate = drivers.climate
    months = slice(12 * later.start, 12 * later.stop) if climate.months > 12 else slice(None)
    rows = Climate(*(array[months, pick] for array in vars(climate).values()))
    following = later.stop > later.start  # else there are no rows
    return Start(
        sites=sites,
        first=first,
        spin_up=spin_up,
        forcing=forcing_of(rows, cover, ratio) if following else spin_up,
        soil=soil,
        state=State(found.state.pools * known, found.state.deficit),
        iom=iom,
        held=found.factor * known,
        factor=ratio_to_start * found.factor,
    )


def spin_up_climate(drivers: Drivers, first: int, sites: Any = slice(None)) -> Climate:
    """Return the repeating year that stocks of year `first` are taken to be in equilibrium with.

    The drivers' normals, else the mean of each month over the years up to and including `first`.
    """
    climate = drivers.climate if drivers.normals is None else drivers.normals
    arrays = [array[:, sites] for array in vars(climate).values()]
    if climate.months > 12:
        arrays = [
            array[: 12 * (first + 1)]
            .reshape(first + 1, 12, array.shape[1])
            .mean(axis=0, dtype=np.float64)
            for array in arrays
        ]
    return Climate(*arrays)


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
