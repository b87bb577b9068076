"""RothC fitted to measured stocks: microbial rates, inputs, rate constants, at one or many sites.

All sites are run side by side through the same kernel as any other run, and share the parameters.
With one level of stock, or with a stock that hardly moves, mu_max and km act as one number; the
calibration then says so (:attr:`~.calibration.Calibration.identifiable`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edaphos.kernels.rothc import PAN_FACTOR, POOLS, RATES
from edaphos.kernels.rothc_arrays import Array, Forcing, Microbial, Soil, State
from edaphos.kernels.rothc_run import simulate

from .calibrate import Calibration, Parameter, calibrate
from .errors import InputError, did_you_mean
from .progress import QUIET, Reporter
from .rothc_checks import SPIN_UP_MONTHS
from .rothc_forcing import FORCING, RATE_FACTOR
from .rothc_input import SiteInput

#: What can be fitted or held, and what it is.
KNOBS: dict[str, str] = {
    "mu_max": "most that microbial biomass speeds decomposition, with km",
    "km": "BIO at which it reaches half of that, t C/ha",
    "input_factor": "multiplies all carbon that enters, plants and manure",
    "initial_factor": "multiplies all pools at the start but IOM",
    "dpm_rpm": "ratio of decomposable to resistant plant material, in every month",
    **{f"k_{pool.lower()}": f"rate constant of {pool}, 1/yr" for pool in POOLS},
}


@dataclass(frozen=True, eq=False)
class MeasuredSite:
    """A site with stocks measured at the end of some years.

    Parameters
    ----------
    name
        For errors and tables.
    forcing, soil, state
        Of this one pixel: forcing ``(n, 1)`` from January of `first_year` on (12 rows repeat the
        same year), pools at the start of that year.
    iom
        Inert organic matter, t C/ha, part of every stock.
    first_year
        Calendar year of the first month.
    years
        Years at whose end (December) the stock was measured, ``(k,)``.
    stock
        Measured, t C/ha over the depth of `soil`, ``(k,)``.
    error
        Standard deviation of each measurement, t C/ha; None where unknown.
    """

    name: str
    forcing: Forcing
    soil: Soil
    state: State
    iom: float
    first_year: int
    years: ArrayLike
    stock: ArrayLike
    error: ArrayLike | None = None

    @classmethod
    def from_input(
        cls,
        name: str,
        site: SiteInput,
        start: State,
        years: ArrayLike,
        stock: ArrayLike,
        error: ArrayLike | None = None,
    ) -> MeasuredSite:
        """Return the forward part of an official input file, begun from `start`."""
        later = slice(SPIN_UP_MONTHS, None)
        if site.months <= SPIN_UP_MONTHS:
            raise InputError(f"site {name}: no months follow the year of the spin-up")
        return cls(
            name=name,
            forcing=Forcing(**{field: getattr(site, field)[later, None] for field in FORCING}),
            soil=Soil(np.array([site.clay]), np.array([site.depth])),
            state=start,
            iom=site.iom,
            first_year=int(site.year[SPIN_UP_MONTHS]),
            years=years,
            stock=stock,
            error=error,
        )


def calibrate_rothc(
    sites: Sequence[MeasuredSite],
    parameters: Sequence[Parameter],
    *,
    fixed: Mapping[str, float] | None = None,
    evaporation_factor: float = PAN_FACTOR,
    starts: int = 12,
    seed: int = 0,
    profile_points: int = 21,
    reporter: Reporter = QUIET,
) -> Calibration:
    """Fit parameters of RothC, shared by all sites, to their measured stocks.

    Parameters
    ----------
    sites
        Where and when stocks were measured. Observations are in the order of sites, then of years.
    parameters
        Names from :data:`KNOBS`, with bounds. `mu_max` and `km` must both be fitted or fixed.
    fixed
        Values of other knobs, held as they are.
    evaporation_factor
        0.75 where forcing holds open-pan evaporation, 1 where potential evapotranspiration.
    starts, seed, profile_points, reporter
        As in :func:`~.calibrate.calibrate`.

    Raises
    ------
    InputError
        An unknown or half-given parameter, a measurement outside its site's forcing, shapes that
        disagree, errors known at some sites only, or what :func:`~.calibrate.calibrate` refuses.
    """
    held = dict(fixed or {})
    _check_knobs([*(p.name for p in parameters), *held])
    sites_run = StockRun(sites, evaporation_factor=evaporation_factor)
    return calibrate(
        lambda values: sites_run.stocks({**held, **values}),
        sites_run.measured,
        parameters,
        error=sites_run.error,
        starts=starts,
        seed=seed,
        profile_points=profile_points,
        reporter=reporter,
    )


@dataclass(frozen=True)
class SiteScore:
    """Agreement at one site: measurements, root mean square and mean of simulated - measured."""

    name: str
    n: int
    rmse: float
    bias: float


def scores_by_site(sites: Sequence[MeasuredSite], calibration: Calibration) -> list[SiteScore]:
    """Return how well each site is met by a calibration of all of them, t C/ha."""
    ends = np.cumsum([np.size(site.stock) for site in sites])
    parts = np.split(calibration.simulated, ends[:-1])
    scores = []
    for site, simulated in zip(sites, parts, strict=True):
        off = simulated - np.asarray(site.stock, np.float64)
        rmse, bias = float(np.sqrt(np.mean(off**2))), float(np.mean(off))
        scores.append(SiteScore(site.name, off.size, rmse, bias))
    return scores


class StockRun:
    """Sites stacked as pixels of one run, that gives their stocks for any values of knobs.

    Attributes
    ----------
    measured
        All measured stocks, ``(k,)`` t C/ha, in the order of sites, then of years.
    error
        Their standard deviations, or None where no site gives any.
    """

    def __init__(
        self, sites: Sequence[MeasuredSite], *, evaporation_factor: float = PAN_FACTOR
    ) -> None:
        if not sites:
            raise InputError("no sites to calibrate at: give at least one with measured stocks")
        years = [_checked_years(site) for site in sites]
        self.measured = np.concatenate([np.asarray(site.stock, np.float64) for site in sites])
        self.error = _errors(sites)
        self.iom = np.array([site.iom for site in sites])
        self._months = 12 * max(int(part.max()) + 1 for part in years)
        self._year = np.concatenate(years)
        self._site = np.repeat(np.arange(len(sites)), [part.size for part in years])
        self._forcing = _stack_forcing(sites, self._months)
        self._soil = Soil(*(_row(sites, "soil", name) for name in ("clay", "depth")))
        pools = [np.asarray(site.state.pools, np.float64) for site in sites]
        self._state = State(np.concatenate(pools, axis=1), _row(sites, "state", "deficit"))
        self._evaporation_factor = evaporation_factor

    def stocks(self, values: Mapping[str, float]) -> NDArray[np.float64]:
        """Return simulated stocks, ``(k,)`` t C/ha, IOM included; knobs not named stay standard."""
        _check_knobs(values)
        forcing = self._forcing
        if "dpm_rpm" in values:
            ratio = np.full((1, forcing.pixels), values["dpm_rpm"])
            forcing = replace(forcing, dpm_rpm=ratio)
        start = self._state
        if "initial_factor" in values:
            start = replace(start, pools=start.pools * values["initial_factor"])
        k = [values.get(f"k_{p.lower()}", rate) for p, rate in zip(POOLS, RATES, strict=True)]
        run = simulate(
            forcing,
            self._soil,
            start,
            self._months,
            every=12,
            evaporation_factor=self._evaporation_factor,
            input_factor=np.array([[values.get("input_factor", 1.0)]]),
            microbial=Microbial(values["mu_max"], values["km"]) if "km" in values else None,
            rates=(k[0], k[1], k[2], k[3]),
        )
        total = run.pools.sum(axis=1) + self.iom
        return np.asarray(total[self._year, self._site])


def _check_knobs(names: Sequence[str] | Mapping[str, float]) -> None:
    listed = list(names)
    for name in listed:
        if name not in KNOBS:
            raise InputError(f"RothC has no parameter {name!r} to fit; {did_you_mean(name, KNOBS)}")
        if listed.count(name) > 1:
            raise InputError(f"{name} is given twice: either fit it or fix it")
    if ("mu_max" in listed) != ("km" in listed):
        raise InputError("mu_max and km belong together: fit both, or fix the one not fitted")


def _checked_years(site: MeasuredSite) -> NDArray[np.int64]:
    """Return the years of measurements counted from the first, or refuse the site."""
    years, stock = np.asarray(site.years), np.asarray(site.stock, np.float64)
    at = f"site {site.name}"
    if years.ndim != 1 or years.shape != stock.shape or years.size == 0:
        raise InputError(
            f"{at}: years and stock must be lists of one length, with something in them; found "
            f"shapes {years.shape} and {stock.shape}"
        )
    if not (np.isfinite(years) & (years == np.round(years))).all():
        raise InputError(f"{at}: years must be whole; stocks are compared at the end of a year")
    if not (np.isfinite(stock) & (stock >= 0)).all():
        raise InputError(f"{at}: stock must be numbers of t C/ha, not below 0: leave missing out")
    if site.forcing.pixels != 1 or np.shape(site.state.pools) != (4, 1):
        raise InputError(
            f"{at}: forcing and state must be of one pixel; found {site.forcing.pixels} and pools "
            f"{np.shape(site.state.pools)}"
        )
    since = years.astype(np.int64) - site.first_year
    last = _years_of(site.forcing)
    beyond = years[(since < 0) | ((since >= last) if last is not None else False)]
    if beyond.size:
        until = f"{site.first_year} to {site.first_year + last - 1}" if last else "its first year"
        raise InputError(
            f"{at}: stock measured in {beyond[0]:g}, but its forcing covers {until}"
            f"{'' if last else f', {site.first_year}, onwards'}"
        )
    return since


def _years_of(forcing: Forcing) -> int | None:
    """Return how many years the forcing lasts, or None if every year is the same."""
    rows = max(len(rows) for rows in _fields(forcing).values())
    return None if rows <= 12 else rows // 12


def _fields(forcing: Forcing) -> dict[str, Array]:
    return {name: rows for name, rows in vars(forcing).items() if rows is not None}


def _stack_forcing(sites: Sequence[MeasuredSite], months: int) -> Forcing:
    """Return all sites side by side; months after a site's last measurement are only filling."""
    month = np.arange(months)

    def side_by_side(name: str) -> Array:
        columns = []
        for site in sites:
            rows = getattr(site.forcing, name)
            if rows is None:  # what the kernels take where there is none
                rows = np.full((1, 1), 1.0 if name == RATE_FACTOR else 0.0)
            columns.append(np.asarray(rows, np.float64)[month % len(rows)])
        return np.concatenate(columns, axis=1)

    names = {name for site in sites for name in _fields(site.forcing)}
    return Forcing(**{name: side_by_side(name) for name in sorted(names)})


def _row(sites: Sequence[MeasuredSite], part: str, name: str) -> NDArray[np.float64]:
    return np.array([float(np.ravel(getattr(getattr(site, part), name))[0]) for site in sites])


def _errors(sites: Sequence[MeasuredSite]) -> NDArray[np.float64] | None:
    known = [site for site in sites if site.error is not None]
    if not known:
        return None
    without = [site.name for site in sites if site.error is None]
    if without:
        raise InputError(
            f"errors of stocks are given for some sites but not for {', '.join(without)}: give all "
            "or none"
        )
    return np.concatenate(
        [np.broadcast_to(np.asarray(s.error, np.float64), np.shape(s.stock)) for s in sites]
    )
