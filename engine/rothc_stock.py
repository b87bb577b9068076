"""A start from a measured stock: the first year's carbon scaled until its equilibrium is that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from edaphos.kernels.equilibrium import inverse_input
from edaphos.kernels.rothc import inert as falloon
from edaphos.kernels.rothc_arrays import Soil, State

from .errors import InputError
from .rothc_checks import SPIN_UP_MONTHS, bounds
from .rothc_forcing import EVAPORATION, Evaporation, forcing_of, site_months
from .rothc_input import SiteInput

#: Where inert organic matter is from: the site's own, or 0.049 stock^1.139 (Falloon et al. 1998).
Inert = Literal["file", "falloon"]


@dataclass(frozen=True, eq=False)
class HeldStock:
    """A stock, and the input that holds it.

    Parameters
    ----------
    stock
        At equilibrium, IOM included, t C/ha.
    iom, inert
        Inert organic matter in it, t C/ha, and where that is from.
    factor
        What the carbon of the first year is multiplied by.
    plant_input, manure
        That enters in the first year once it is scaled, t C/ha/yr.
    state
        The equilibrium, one place.
    """

    stock: float
    iom: float
    inert: Inert
    factor: float
    plant_input: float
    manure: float
    state: State

    def summary(self) -> dict[str, Any]:
        """Return it without the state, for JSON."""
        return {
            "stock_t_C_ha": self.stock,
            "factor": self.factor,
            "plant_input_t_C_ha_yr": self.plant_input,
            "manure_t_C_ha_yr": self.manure,
            "IOM_t_C_ha": self.iom,
            "inert": self.inert,
        }


def check_stock(stock: float, source: str) -> None:
    """Refuse a stock that is not a number above 0, or beyond any soil."""
    most = bounds("iom")[1]
    if not 0 < stock <= most:  # false for NaN, too
        raise InputError(
            f"{source}: found {stock:g}, expected a number above 0, up to {most:g}; give soil "
            "organic carbon in t C/ha, IOM included"
        )


def hold_site_stock(
    site: SiteInput,
    stock: float,
    *,
    evaporation: Evaporation = "pan",
    inert: Inert = "file",
    source: str = "--stock",
) -> HeldStock:
    """Find the input of the first year that holds a stock at equilibrium.

    Plant carbon and manure are multiplied by one factor, so they keep their shares and their
    course over the months. It is exact, because RothC is linear in its input.

    Parameters
    ----------
    site
        Checked; the size of its first year's input does not matter, but that there is some.
    stock
        IOM included, t C/ha.
    evaporation
        As in :class:`~.rothc_site.SiteOptions`.
    inert
        ``file``: IOM is the site's; ``falloon``: it is 0.049 stock^1.139.
    source
        Of the stock, for errors.

    Raises
    ------
    InputError
        The stock is not above 0, or not above IOM; no carbon enters in the first year; nothing
        decomposes.
    """
    check_stock(stock, source)
    iom = site.iom if inert == "file" else float(falloon(stock))
    if stock <= iom:
        raise InputError(
            f"{source}: found {stock:g}, not above the site's inert organic matter of {iom:g} "
            "t C/ha; correct the stock or IOM (0.049 stock^1.139 is usual)"
        )
    found = inverse_input(
        forcing_of(site_months(site), slice(0, SPIN_UP_MONTHS)),
        Soil(np.array([site.clay]), np.array([site.depth])),
        np.array([stock]),
        np.array([iom]),
        evaporation_factor=EVAPORATION[evaporation],
    )
    factor = float(found.factor[0])
    if not np.isfinite(factor):
        raise InputError(
            f"{source}: no carbon enters in the first twelve months of the site, so there is "
            f"nothing to scale to {stock:g} t C/ha; give the input's course over that year, of "
            "any size"
        )
    plant, manure = (
        factor * float(values[:SPIN_UP_MONTHS].sum()) for values in (site.plant_input, site.manure)
    )
    return HeldStock(stock, iom, inert, factor, plant, manure, found.state)


def scaled_site(site: SiteInput, held: HeldStock) -> SiteInput:
    """Return the site with its first year scaled, and the IOM used; later years stay as given."""
    factor = np.ones(site.months)
    factor[:SPIN_UP_MONTHS] = held.factor
    return replace(
        site, iom=held.iom, plant_input=factor * site.plant_input, manure=factor * site.manure
    )
