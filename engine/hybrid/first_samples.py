"""Where sites begin: their own first sample, and the first year sampled anywhere."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .process import Process
from .site_years import Floats, SiteYears


def from_first(process: Process, data: SiteYears) -> Floats:
    """Simulate every site from its own first observation, ``(S, Y)`` kg/m²; NaN before it."""
    first = data.first
    stock = data.stock[np.arange(len(first)), first]
    return process.simulate(data.drivers, first, np.where(first >= 0, stock, np.nan))


def first_year(data: SiteYears) -> int:
    """Return the first calendar year in which any site was sampled.

    Raises
    ------
    InputError
        If none was.
    """
    sampled = np.flatnonzero(np.any(data.sampled, axis=0))
    if not len(sampled):
        raise InputError("nothing to learn from: no site was sampled in any of the years")
    return int(data.years[sampled[0]])


def position(data: SiteYears, year: int) -> int:
    """Return where the first year sampled in training stands in `data`.

    Raises
    ------
    InputError
        If it is not among the years.
    """
    at = year - int(data.years[0])
    if not 0 <= at < len(data.years):
        raise InputError(
            f"the process begins in {year}, the first year sampled in training, but drivers to "
            f"predict with run from {data.years[0]} to {data.years[-1]}: give them from {year} on"
        )
    return at
