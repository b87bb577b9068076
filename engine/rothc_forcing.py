"""What drives RothC at a site or at many: names, and columns side by side as kernels take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.rothc import COLDEST, PAN_FACTOR
from edaphos.kernels.rothc_arrays import Forcing

from .errors import InputError
from .rothc_checks import SPIN_UP_MONTHS
from .rothc_input import SiteInput

Array = NDArray[Any]
#: What evaporation is given as: from an open pan, or potential evapotranspiration.
Evaporation = Literal["pan", "pet"]

#: Rain is balanced against this share of the evaporation given.
EVAPORATION: dict[Evaporation, float] = {"pan": PAN_FACTOR, "pet": 1.0}
#: What drives the soil; each is also a variable of a Dataset and a field of SiteInput.
FORCING = ("temperature", "rain", "evaporation", "cover", "plant_input", "dpm_rpm", "manure")
#: Multiplies the rate constants; a variable of a Dataset only, and 1 where there is none.
RATE_FACTOR = "rate_factor"


def site_months(site: SiteInput) -> dict[str, Array]:
    """Return a site's :data:`FORCING` and ``modern`` as one place, each ``(months, 1)``.

    Raises
    ------
    InputError
        The soil never comes to equilibrium.
    """
    monthly = {name: getattr(site, name)[:, None] for name in (*FORCING, "modern")}
    if never_settles(monthly).any():
        raise InputError(
            "no month of the spin-up year reaches -5 °C, so nothing decomposes and carbon only "
            "grows; RothC has no equilibrium here"
        )
    return monthly


def forcing_of(monthly: Mapping[str, Array], rows: slice) -> Forcing:
    """Return the forcing of some months out of columns ``(months, P)``."""
    names = (*FORCING, RATE_FACTOR) if RATE_FACTOR in monthly else FORCING
    return Forcing(**{name: monthly[name][rows] for name in names})


def never_settles(monthly: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Say where carbon enters a soil that is too cold all year for anything to decompose."""
    year = slice(0, SPIN_UP_MONTHS)
    frozen = (monthly["temperature"][year] < COLDEST).all(axis=0)
    entering = (monthly["plant_input"][year] > 0) | (monthly["manure"][year] > 0)
    return np.asarray(frozen & entering.any(axis=0))
