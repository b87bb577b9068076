"""RothC begun in equilibrium with an observed stock, and run on from there.

Carbon enters as at equilibrium, times the driver over the driver of the start year.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.equilibrium import hold_stock
from edaphos.kernels.rothc import inert
from edaphos.kernels.rothc_arrays import Microbial, State
from edaphos.kernels.rothc_run import simulate
from edaphos.kernels.rothc_year import year_map

from ..models.rothc_phases import T_HA
from .cohorts import EVAPORATION_FACTOR, Cohort, cohorts
from .site_years import Drivers, Floats


@dataclass(frozen=True)
class Start:
    """Sites at equilibrium with their stock.

    Parameters
    ----------
    cohort
        The sites, and what drives them.
    state, iom
        Pools, and inert organic matter (Falloon et al. 1998), t C/ha; NaN where no input holds the
        stock.
    held
        Carbon that enters in a year of equilibrium, ``(n,)`` t C/ha.
    """

    cohort: Cohort
    state: State
    iom: Floats
    held: Floats

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
        cohort = self.cohort
        if cohort.years == 0:
            return np.empty((0, len(cohort.sites)))
        forcing = cohort.forcing
        if microbial is not None and anchored:
            forcing = replace(forcing, rate_factor=1 / self.activity(microbial))
        found = simulate(
            forcing,
            cohort.soil,
            self.state,
            12 * cohort.years,
            every=12,
            evaporation_factor=EVAPORATION_FACTOR,
            input_factor=cohort.ratio * (self.held * input_factor),
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
            self.cohort.spin_up,
            self.cohort.soil,
            self.state,
            12,
            evaporation_factor=EVAPORATION_FACTOR,
            input_factor=self.held[None],
        )
        return np.concatenate([self.state.pools[2:3], year.pools[:-1, 2]])


def starts(
    drivers: Drivers, start: NDArray[np.int64], stock: Floats, last: int | None = None
) -> Iterator[Start]:
    """Yield the sites of each start year at equilibrium with their `stock`, ``(S,)`` kg/m².

    See :func:`~.cohorts.cohorts` for the rest.
    """
    for cohort in cohorts(drivers, start, last):
        year = year_map(cohort.spin_up, cohort.soil, evaporation_factor=EVAPORATION_FACTOR)
        total = np.asarray(stock[cohort.sites], np.float64) * T_HA
        iom = inert(total)
        found = hold_stock(year, total, iom)
        known = np.where(cohort.drives, 1.0, np.nan)
        state = State(found.state.pools * known, found.state.deficit)
        yield Start(cohort, state, iom, found.factor * known)
