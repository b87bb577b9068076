"""ICBM as the process model of a hybrid (Andrén & Kätterer 1997): two pools, yearly steps.

Each site starts in steady state at its observed stock; the input that holds it follows the driver.
The paper's factor r of climate and soil is here relative: the mean over the months of a year of
RothC's modifiers by temperature, moisture and cover, over the same mean in the year of the
spin-up. So at the start r is 1, and rates are the model's own k1 and k2 everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.icbm import HUMIFIED, OLD_RATE, YOUNG_RATE, simulate_years, steady_pools
from edaphos.kernels.rothc_year import DEFICIT, year_map

from ..calibration import Parameter
from .cohorts import EVAPORATION_FACTOR, Cohort, cohorts, modifiers, rates
from .drawable import Drawable, check_bounds, check_choice, check_numbers
from .process_fit import StartErrors, fit, revisits
from .site_years import Drivers, Floats

#: A cohort, where its stocks can be held ``(n,)``, and r of the years that follow ``(years, n)``.
Relative = tuple[Cohort, NDArray[np.bool_], Floats]


@dataclass(frozen=True)
class ICBMProcess(Drawable):
    """ICBM from steady state, year by year.

    Parameters
    ----------
    k1, k2
        Decomposition rates of young and of old carbon, 1/yr.
    h
        Share of decomposing young carbon that becomes old.
    calibrates
        Whether :meth:`calibrate` fits `k2` and `h`; `k1` stays, as young carbon follows its input
        within a few years whatever it is.
    start_errors
        In the calibration, as :class:`~.rothc_process.RothCProcess` has it.
    k2_bounds, h_bounds
        Within which they are fitted.
    input_factor
        Multiplies all carbon that enters after the start.
    input_sd
        Standard deviation of the logarithm of `input_factor`, that :meth:`draws` draws from.
    spread
        Pairs of `k2` and `h` that the calibration left equally likely.
    report
        What it came to, as :class:`~.rothc_process.RothCProcess` has it.

    Raises
    ------
    InputError
        Numbers out of range.
    """

    kind: ClassVar[str] = "icbm"
    fitted: ClassVar[tuple[str, str]] = ("k2", "h")

    k1: float = YOUNG_RATE
    k2: float = OLD_RATE
    h: float = HUMIFIED
    calibrates: bool = True
    start_errors: StartErrors = "regressed"
    k2_bounds: tuple[float, float] = (0.001, 0.1)
    h_bounds: tuple[float, float] = (0.02, 0.6)
    input_factor: float = 1.0
    input_sd: float = 0.0
    spread: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    report: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_numbers(self, "ICBM", "k1", "k2", "h", "input_factor")
        check_choice(self, "ICBM", "start_errors", ("ignored", "regressed"))
        check_bounds(self, "ICBM", "k2_bounds", "h_bounds")

    def simulate(self, drivers: Drivers, start: NDArray[np.int64], stock: Floats) -> Floats:
        """Carry stocks from a year on: see :class:`~.process.Process`.

        NaN also where the driver of the start year is not above 0, or grows more than
        :data:`~.cohorts.MOST_GROWTH` times, or nothing decomposes in the year of the spin-up; and
        from the first year on in which forcing is missing.
        """
        return self._carry(_relative(drivers, start), stock, len(drivers.years))

    def _carry(self, told: Iterable[Relative], stock: Floats, years: int) -> Floats:
        found = np.full((len(stock), years), np.nan)
        for cohort, holds, climate in told:
            given = np.asarray(stock[cohort.sites], np.float64)
            total = np.where(holds & (given > 0), given, np.nan)
            young, old, entering = steady_pools(total, self.k1, self.k2, self.h)
            pools = simulate_years(
                young,
                old,
                cohort.ratio * (entering * self.input_factor),
                climate,
                (self.k1, self.k2, self.h),
            )
            found[cohort.sites, cohort.first] = total
            end = cohort.first + 1 + cohort.years
            found[cohort.sites, cohort.first + 1 : end] = pools.sum(axis=1).T
        return found

    def calibrate(self, drivers: Drivers, stock: Floats) -> Self:
        """Return the model fitted to stocks ``(S, Y)``: `k2` and `h`.

        Searches begin from the model's own values. Stocks are compared at all dates of a site but
        its first, which it starts from.

        Raises
        ------
        InputError
            The model's own values lie outside their bounds.
        """
        if not self.calibrates:
            return self
        found = revisits(stock)
        found = found.where(self.simulate(drivers.take(found.sites), found.first, found.start))
        if found.too_few:
            return replace(self, report=found.too_few)
        told = list(_relative(drivers.take(found.sites), found.first, found.last))

        def simulate(values: Mapping[str, float]) -> Floats:
            model = replace(self, k2=values["k2"], h=values["h"])
            return model._carry(told, found.start, len(drivers.years))[found.later]

        made = fit(
            simulate,
            found,
            [Parameter("k2", *self.k2_bounds, self.k2), Parameter("h", *self.h_bounds, self.h)],
            self.start_errors,
        )
        return replace(
            self,
            k2=made.values["k2"],
            h=made.values["h"],
            spread=tuple((row[0], row[1]) for row in made.spread),
            report=made.report,
        )


def _relative(
    drivers: Drivers, start: NDArray[np.int64], last: int | None = None
) -> Iterator[Relative]:
    """Yield each cohort with r of its years."""
    for cohort in cohorts(drivers, start, last):
        settled = year_map(cohort.spin_up, cohort.soil, evaporation_factor=EVAPORATION_FACTOR)
        deficit = settled.table[DEFICIT]
        usual = rates(modifiers(cohort.spin_up, cohort.soil, deficit))
        if cohort.spin_up.rate_factor is not None:
            usual = usual * cohort.spin_up.rate_factor
        normal = _by_year(usual)[0]
        holds = cohort.drives & (normal > 0)
        later = _by_year(rates(modifiers(cohort.forcing, cohort.soil, deficit, cohort.years)))
        yield cohort, holds, later / np.where(holds, normal, np.nan)


def _by_year(monthly: Floats) -> Floats:
    """Return the mean of each year, ``(years, n)``, of ``(months, n)``.

    Month by month: NumPy's own order of a sum depends on how many sites there are.
    """
    months = monthly.reshape(-1, 12, monthly.shape[1])
    total = np.zeros((len(months), monthly.shape[1]))
    for month in range(12):
        total += months[:, month]
    return total / 12
