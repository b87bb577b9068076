"""A site made ready for calibration: where its run begins, and which stocks it is fitted to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .errors import InputError
from .rothc_calibration import MeasuredSite
from .rothc_checks import SPIN_UP_MONTHS
from .rothc_forcing import Evaporation
from .rothc_input import SiteInput
from .rothc_measured import Measured
from .rothc_site import SiteOptions, run_site
from .rothc_stock import hold_site_stock

Start = Literal["stock", "equilibrium"]


@dataclass(frozen=True, eq=False)
class CalibrationSite:
    """A site, the stocks it is fitted to, and how it begins.

    Attributes
    ----------
    fitted
        With the stocks that the fit is judged by.
    source
        Of the measurements, for errors.
    last_year
        Of the run.
    start_stock
        Stock when the run begins, IOM included, t C/ha.
    start_factor
        What the carbon of the spin-up year was multiplied by so that its equilibrium is that.
    start_year
        The year whose measured stock was taken for the start and not fitted to; None if none was.
    notes
        What to know of the start.
    """

    fitted: MeasuredSite
    source: str
    last_year: int
    start_stock: float
    start_factor: float
    start_year: int | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the site."""
        return self.fitted.name


def calibration_site(
    name: str,
    site: SiteInput,
    measured: Measured,
    *,
    start: Start = "stock",
    fits_start: bool = False,
    evaporation: Evaporation = "pan",
    error: float | None = None,
) -> CalibrationSite:
    """Spin a site up and sort out which of its stocks are fitted to.

    The spin-up is the exact equilibrium of the first twelve months, at RothC's own rates. With
    `start` ``stock`` its carbon is scaled so that the equilibrium is the stock measured first:
    exact, because RothC is linear in its input. That stock then tells nothing about the fit and is
    left out of it, unless the start is fitted, too (`fits_start`).

    Parameters
    ----------
    name
        For errors and tables.
    site, measured
        What drives it, and what was found there at the end of whole years.
    evaporation
        As in :class:`~.rothc_site.SiteOptions`.
    error
        Standard deviation of every stock, t C/ha, where `measured` has none of its own.

    Raises
    ------
    InputError
        Years that are not whole, come twice, or lie outside the run; no stock left to fit to; a
        first stock that is not above IOM; a soil without equilibrium.
    """
    if site.months <= SPIN_UP_MONTHS:
        raise InputError(
            f"site {name}: no months follow the year of the spin-up; a calibration needs the years "
            "in which stocks were measured"
        )
    first, last = int(site.year[SPIN_UP_MONTHS]), int(site.year[-1])
    order = np.argsort(measured.year, kind="stable")
    _check_years(measured, order, first - (start == "stock"), first, last)
    factor, start_year, notes = 1.0, None, []
    if start == "equilibrium":
        begin = run_site(site, SiteOptions("exact", evaporation)).run.start
    else:
        at = int(order[0])
        start_year = int(measured.year[at])
        held = hold_site_stock(
            site.checked(),
            float(measured.soc[at]),
            evaporation=evaporation,
            source=measured.at(at, "soc"),
        )
        begin, factor = held.state, held.factor
        if start_year > first:
            notes.append(
                f"site {name}: the stock of {start_year} is taken for that at the end of "
                f"{first - 1}, when the run begins"
            )
        if not fits_start or start_year < first:
            order = order[1:]
        else:
            start_year = None
    if not order.size:
        raise InputError(
            f"{measured.source}: only the stock that the run begins with, none to fit to; add "
            "later years"
        )
    sd = error if measured.error is None else measured.error[order]
    years, stock = measured.year[order].astype(np.int64), measured.soc[order]
    return CalibrationSite(
        fitted=MeasuredSite.from_input(name, site, begin, years, stock, sd),
        source=measured.source,
        last_year=last,
        start_stock=float(begin.pools.sum()) + site.iom,
        start_factor=factor,
        start_year=start_year,
        notes=(*site.notes, *notes),
    )


def every_year(site: CalibrationSite) -> MeasuredSite:
    """Return the site with every year of its run, to simulate them all; its stocks say nothing."""
    years = np.arange(site.fitted.first_year, site.last_year + 1)
    return replace(site.fitted, years=years, stock=np.zeros(years.size), error=None)


def _check_years(measured: Measured, order: np.ndarray, least: int, first: int, last: int) -> None:
    seen: dict[float, int] = {}
    for i in order.tolist():
        year = float(measured.year[i])
        if year != round(year):
            raise InputError(
                f"{measured.at(i, 'year')}: found {year:g}; stocks are compared at the end of "
                f"December: write {np.floor(year):g} for that of {np.floor(year):g}"
            )
        if year in seen:
            raise InputError(
                f"{measured.at(i, 'year')}: year {year:g} is also that of "
                f"{measured.at(seen[year], 'year').split(', ', 1)[1].split(',')[0]}; give the mean "
                "of replicates, and their standard error as error"
            )
        if not least <= year <= last:
            before = " (--start stock may begin from the year before)" if year == first - 1 else ""
            raise InputError(
                f"{measured.at(i, 'year')}: {year:g} lies outside the run, {first} to {last}"
                f"{before}; leave it out, or extend the months of the site"
            )
        seen[year] = i
