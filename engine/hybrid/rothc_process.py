"""RothC as the process model of a hybrid (Zhang et al. 2024, *POML*).

Each site starts in equilibrium with its observed stock; the input that holds it follows the
driver. In the forward run rates may follow the microbial biomass, mu = mu_max BIO / (km + BIO),
whose two parameters are what observations calibrate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.rothc_arrays import Microbial

from ..calibration import Parameter
from ..errors import InputError
from ..models.rothc_phases import T_HA
from .drawable import Drawable, check_bounds, check_choice, check_numbers
from .process_fit import StartErrors, fit, revisits
from .rothc_starts import Start, starts
from .site_years import Drivers, Floats

Anchor = Literal["printed", "start"]


@dataclass(frozen=True)
class RothCProcess(Drawable):
    """RothC-26.3 from equilibrium, month by month.

    Parameters
    ----------
    mu_max, km
        Of the microbial rate; `km` in t C/ha. Rates are RothC's own where both are None.
    mu_anchor
        ``printed``: mu as it is, so that the state leaves equilibrium at the start where mu is not
        1. ``start``: mu over what it is in the same month of the year of equilibrium, so that
        nothing changes where climate and driver do not; `mu_max` then has no effect.
    calibrates
        Whether :meth:`calibrate` fits what can be fitted.
    start_errors
        In the calibration: ``regressed`` takes errors of the starts out of it, which would else
        pass for rates that depend on the stock (see :meth:`~.process_fit.Revisits.regressed`);
        ``ignored`` takes starts as free of error.
    mu_max_bounds, km_bounds
        Within which they are fitted.
    input_factor
        Multiplies all carbon that enters after the start.
    input_sd
        Standard deviation of the logarithm of `input_factor`, that :meth:`draws` draws from.
    spread
        Pairs of `mu_max` and `km` that the calibration left equally likely.
    report
        What it came to, fit for ``json.dumps``: see :meth:`~edaphos.engine.calibration.Calibration
        .to_json`; or a ``note`` why there was none.

    Raises
    ------
    InputError
        Numbers out of range, or one of `mu_max` and `km` without the other.
    """

    kind: ClassVar[str] = "rothc"
    fitted: ClassVar[tuple[str, str]] = ("mu_max", "km")

    mu_max: float | None = None
    km: float | None = None
    mu_anchor: Anchor = "printed"
    calibrates: bool = True
    start_errors: StartErrors = "regressed"
    mu_max_bounds: tuple[float, float] = (0.1, 10.0)
    km_bounds: tuple[float, float] = (0.01, 10.0)
    input_factor: float = 1.0
    input_sd: float = 0.0
    spread: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    report: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.mu_max is None) != (self.km is None):
            raise InputError("RothC: mu_max and km belong together; give both, or neither")
        check_numbers(self, "RothC", "mu_max", "km", "input_factor")
        check_choice(self, "RothC", "start_errors", ("ignored", "regressed"))
        check_bounds(self, "RothC", "mu_max_bounds", "km_bounds")
        check_choice(self, "RothC", "mu_anchor", ("printed", "start"))

    @property
    def microbial(self) -> Microbial | None:
        """The microbial rate, if any."""
        if self.mu_max is None or self.km is None:
            return None
        return Microbial(self.mu_max, self.km)

    def simulate(self, drivers: Drivers, start: NDArray[np.int64], stock: Floats) -> Floats:
        """Carry stocks from a year on: see :class:`~.process.Process`.

        NaN also where the driver of the start year is not above 0, as there is nothing then that
        the input could follow, or grows more than :data:`~.cohorts.MOST_GROWTH` times; and from
        the first year on in which forcing is missing.
        """
        return self._carry(starts(drivers, start, stock), stock, len(drivers.years))

    def _carry(self, begun: Iterable[Start], stock: Floats, years: int) -> Floats:
        found = np.full((len(stock), years), np.nan)
        for part in begun:
            later = part.run(
                self.microbial,
                anchored=self.mu_anchor == "start",
                input_factor=self.input_factor,
            )
            sites, first, held = part.cohort.sites, part.cohort.first, np.isfinite(part.held)
            found[sites, first] = np.where(held, stock[sites], np.nan)
            found[sites, first + 1 : first + 1 + len(later)] = later.T / T_HA
        return found

    def calibrate(self, drivers: Drivers, stock: Floats) -> Self:
        """Return the model fitted to stocks ``(S, Y)``: `mu_max` and `km`, or `km` if anchored.

        Searches begin from the model's own values, if it has them. Stocks are compared at all
        dates of a site but its first, which it starts from. :attr:`report` says how well the
        parameters are known; `mu_max` and `km` often act as one number.

        Raises
        ------
        InputError
            The model's own values lie outside their bounds.
        """
        if not self.calibrates:
            return self
        own = replace(self, mu_max=None, km=None)
        found = revisits(stock)
        found = found.where(own.simulate(drivers.take(found.sites), found.first, found.start))
        if found.too_few:
            return replace(self, report=found.too_few)
        begun = list(starts(drivers.take(found.sites), found.first, found.start, found.last))
        bounds = {"mu_max": self.mu_max_bounds, "km": self.km_bounds}
        names = ("km",) if self.mu_anchor == "start" else ("mu_max", "km")

        def simulate(values: Mapping[str, float]) -> Floats:
            model = replace(self, mu_max=values.get("mu_max", 1.0), km=values["km"])
            return model._carry(begun, found.start, len(drivers.years))[found.later]

        wanted = [Parameter(name, *bounds[name], getattr(self, name)) for name in names]
        made = fit(simulate, found, wanted, self.start_errors)
        return replace(
            self,
            mu_max=made.values.get("mu_max", 1.0),
            km=made.values["km"],
            spread=tuple((row[0] if len(row) > 1 else 1.0, row[-1]) for row in made.spread),
            report=made.report,
        )
