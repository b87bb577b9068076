"""RothC as the process model of a hybrid (Zhang et al. 2024, *POML*).

Each site starts in equilibrium with its observed stock; the input that holds it follows the
driver. In the forward run rates may follow the microbial biomass, mu = mu_max BIO / (km + BIO),
whose two parameters are what observations calibrate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.rothc_arrays import Microbial

from ..errors import InputError
from ..models.rothc_phases import T_HA
from .rothc_starts import starts
from .site_years import Drivers, Floats

Anchor = Literal["printed", "start"]


@dataclass(frozen=True)
class RothCProcess:
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
    input_factor
        Multiplies all carbon that enters after the start.

    Raises
    ------
    InputError
        Numbers out of range, or one of `mu_max` and `km` without the other.
    """

    kind: ClassVar[str] = "rothc"

    mu_max: float | None = None
    km: float | None = None
    mu_anchor: Anchor = "printed"
    calibrates: bool = True
    input_factor: float = 1.0

    def __post_init__(self) -> None:
        if (self.mu_max is None) != (self.km is None):
            raise InputError("RothC: mu_max and km belong together; give both, or neither")
        for name in ("mu_max", "km", "input_factor"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InputError(f"RothC: {name} is {value}, expected a number above 0")
        if self.mu_anchor not in ("printed", "start"):
            raise InputError(f'RothC: mu_anchor is "{self.mu_anchor}", expected printed or start')

    @property
    def microbial(self) -> Microbial | None:
        """The microbial rate, if any."""
        if self.mu_max is None or self.km is None:
            return None
        return Microbial(self.mu_max, self.km)

    def simulate(self, drivers: Drivers, start: NDArray[np.int64], stock: Floats) -> Floats:
        """Carry stocks from a year on: see :class:`~.process.Process`.

        NaN also where the driver of the start year is not above 0, as there is nothing then that
        the input could follow, and from the first year on in which forcing is missing.
        """
        found = np.full((drivers.sites, len(drivers.years)), np.nan)
        for begun in starts(drivers, start, stock):
            later = begun.run(
                self.microbial,
                anchored=self.mu_anchor == "start",
                input_factor=self.input_factor,
            )
            known = np.isfinite(begun.held)
            found[begun.sites, begun.first] = np.where(known, stock[begun.sites], np.nan)
            found[begun.sites, begun.first + 1 :] = later.T / T_HA
        return found

    def calibrate(self, drivers: Drivers, stock: Floats) -> Self:  # noqa: ARG002
        """Return the model fitted to stocks ``(S, Y)``."""
        return self

    def draws(self, count: int, seed: int) -> list[Self]:  # noqa: ARG002
        """Return `count` models drawn from what the calibration leaves open."""
        return [self] * count

    def to_json(self) -> dict[str, Any]:
        """Return the settings, fit for ``json.dumps``."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        """Return the model of what :meth:`to_json` gave."""
        return replace(cls(), **settings)
