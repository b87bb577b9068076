"""RothC for sites: spin-up, forward run and the tables that the official program writes.

:func:`run_months` runs any number of places side by side; :func:`run_site` runs one, described
as in the official input file; :mod:`edaphos.engine.rothc_dataset` runs an xarray Dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.equilibrium import equilibrium, spin_up
from edaphos.kernels.rothc import POOLS
from edaphos.kernels.rothc_arrays import Forcing, Microbial, Soil, State
from edaphos.kernels.rothc_run import rate_modifiers, simulate

from .errors import InputError
from .rothc_checks import SPIN_UP_MONTHS
from .rothc_forcing import EVAPORATION, Evaporation, forcing_of, site_months
from .rothc_input import SiteInput
from .rothc_radiocarbon import run_radiocarbon, spun_up_activity
from .rothc_stock import HeldStock, Inert, check_stock, hold_site_stock, scaled_site
from .store import write_atomically

Array = NDArray[Any]
Floats = NDArray[np.float64]

#: Years after which the official spin-up is given up.
MOST_YEARS = 200_000
MONTH_FILE, YEAR_FILE = "month_results.csv", "year_results.csv"
RESULT_COLUMNS = (
    "Year",
    "Month",
    *(f"{pool}_t_C_ha" for pool in (*POOLS, "IOM", "SOC")),
    "deltaC",
)


@dataclass(frozen=True)
class SiteOptions:
    """How a site is run.

    Parameters
    ----------
    spin_up
        ``official`` repeats the first year until its carbon changes by less than 1e-6 t/ha, as
        the official program does; ``exact`` solves for the state that the year leads back to.
        By default exact with a `stock`, and official without.
    evaporation
        ``pan``: evaporation is from an open pan (times 0.75); ``pet``: it is potential
        evapotranspiration (taken whole).
    microbial
        In the forward run, rates depend on the microbial biomass. Off in the official program.
    stock
        Measured soil organic carbon, IOM included, t C/ha, that a site begins with: the carbon of
        its first year, plant and manure alike, is scaled so that the equilibrium is that.
    inert
        With a `stock`: ``file`` takes the site's IOM, ``falloon`` 0.049 stock^1.139.

    Raises
    ------
    InputError
        A stock that is not above 0, or together with what does not go with it.
    """

    spin_up: Literal["official", "exact"] | None = None
    evaporation: Evaporation = "pan"
    microbial: Microbial | None = None
    stock: float | None = None
    inert: Inert = "file"

    def __post_init__(self) -> None:
        if self.stock is None:
            if self.inert != "file":
                raise InputError(f"--inert {self.inert} is for a start from a stock; give --stock")
            return
        check_stock(self.stock, "--stock")
        if self.microbial is not None:
            raise InputError(
                "--stock does not go with --mu-max and --km: with microbial rates stocks are not "
                "linear in the input, so no factor found at RothC's own rates holds the stock; "
                "leave one or the other out"
            )
        if self.spin_up == "official":
            raise InputError(
                "--stock does not go with --spin-up official, which stops short of equilibrium, "
                "and so of the stock; --stock implies --spin-up exact: leave --spin-up out"
            )


@dataclass(frozen=True, eq=False)
class MonthlyRun:
    """A run of P places; n months follow the year of the spin-up.

    Parameters
    ----------
    start
        At the end of the spin-up: pools ``(4, P)`` t C/ha, deficit ``(P,)`` mm.
    spin_up_months
        ``(P,)``, how long the spin-up took; 0 where it was solved for.
    pools, co2, deficit
        ``(n, 4, P)`` t C/ha and ``(n, P)`` t C/ha, mm at the end of each month.
    modifiers
        Of temperature, moisture and cover, ``(3, n, P)``.
    start_delta14c, delta14c
        Of the whole soil, IOM included, ``(P,)`` and ``(n, P)``, per mille.
    """

    start: State
    spin_up_months: Array
    pools: Array
    co2: Array
    deficit: Array
    modifiers: Array
    start_delta14c: Array
    delta14c: Array


@dataclass(frozen=True, eq=False)
class SiteResult:
    """The run of one site.

    Parameters
    ----------
    site
        Its input as it was run: with its first year scaled if the run began from a stock.
    run
        Of one place.
    held
        The stock that the run began from, and the input that holds it; None without a stock.
    """

    site: SiteInput
    run: MonthlyRun
    held: HeldStock | None = None

    @property
    def spin_up_months(self) -> int:
        """Months that the spin-up took; 0 where equilibrium was solved for."""
        return int(self.run.spin_up_months[0])

    @property
    def start(self) -> Floats:
        """DPM, RPM, BIO and HUM at the end of the spin-up, t C/ha."""
        return np.asarray(self.run.start.pools[:, 0])

    @property
    def soc(self) -> Floats:
        """Soil organic carbon at the end of each month after the spin-up, IOM included, t C/ha."""
        return np.asarray(self.run.pools[:, :, 0].sum(axis=1) + self.site.iom)

    def months(self) -> pd.DataFrame:
        """Return the official month table: the state at the end of each month."""
        later = slice(SPIN_UP_MONTHS, None)
        year, month = self.site.year[later], self.site.month[later]
        return _table(year, month, self.run.pools[:, :, 0], self.site.iom, self.run.delta14c[:, 0])

    def years(self) -> pd.DataFrame:
        """Return the official year table.

        Its first row is the end of the spin-up: year 1, and as month the months it took.
        """
        first = _table(
            np.array([1]),
            np.array([self.spin_up_months]),
            self.start[None],
            self.site.iom,
            self.run.start_delta14c,
        )
        months = self.months()
        return pd.concat([first, months[months["Month"] == 12]], ignore_index=True)

    def drivers(self) -> pd.DataFrame:
        """Return what the official tables leave out: modifiers, moisture deficit, CO2."""
        later = slice(SPIN_UP_MONTHS, None)
        a, b, c = self.run.modifiers[:, :, 0]
        return pd.DataFrame(
            {
                "Year": self.site.year[later],
                "Month": self.site.month[later],
                "RM_TMP": a,
                "RM_Moist": b,
                "RM_PC": c,
                "SMD_mm": self.run.deficit[:, 0],
                "CO2_t_C_ha": self.run.co2[:, 0],
            }
        )

    def summary(self) -> dict[str, Any]:
        """Return what the run came to, for JSON."""
        soc = self.soc
        begun = float(self.start.sum() + self.site.iom)
        return {
            "spin_up_months": self.spin_up_months,
            "start": {
                **{pool: float(v) for pool, v in zip(POOLS, self.start, strict=True)},
                "IOM": self.site.iom,
                "SOC": begun,
                "SMD_mm": float(self.run.start.deficit[0]),
                "deltaC": float(self.run.start_delta14c[0]),
            },
            "held": None if self.held is None else self.held.summary(),
            "months": len(soc),
            "soc_end_t_C_ha": float(soc[-1]) if len(soc) else begun,
            "co2_t_C_ha": float(self.run.co2.sum()),
            "notes": list(self.site.notes),
        }


def run_site(site: SiteInput, options: SiteOptions | None = None) -> SiteResult:
    """Run one site: the spin-up on its first twelve months, then its other months in order.

    Raises
    ------
    InputError
        The site holds impossible values, or its soil never comes to equilibrium; a stock that no
        input can hold, see :func:`~.rothc_stock.hold_site_stock`.
    """
    site, options, held = site.checked(), options or SiteOptions(), None
    if options.stock is not None:
        held = hold_site_stock(
            site, options.stock, evaporation=options.evaporation, inert=options.inert
        )
        site = scaled_site(site, held)
        options = replace(options, spin_up="exact")
    soil = Soil(np.array([site.clay]), np.array([site.depth]))
    run = run_months(site_months(site), soil, np.array([site.iom]), options)
    return SiteResult(site, run, held)


def run_months(
    monthly: Mapping[str, Array], soil: Soil, iom: Array, options: SiteOptions
) -> MonthlyRun:
    """Run places side by side.

    Parameters
    ----------
    monthly
        Those of :data:`~.rothc_forcing.FORCING` and ``modern``, and ``rate_factor`` if wanted,
        each ``(12 + n, P)``: the year of the spin-up, then n months. All finite, and nowhere
        :func:`~.rothc_forcing.never_settles`.
    soil, iom
        ``(P,)``; IOM in t C/ha.
    options
        See there; of a stock, the input is scaled already.
    """
    spin = forcing_of(monthly, slice(0, SPIN_UP_MONTHS))
    factor, microbial = EVAPORATION[options.evaporation], options.microbial
    start, taken = _spin_up(spin, soil, options)
    activity = spun_up_activity(
        spin, soil, monthly["modern"][:SPIN_UP_MONTHS], taken, evaporation_factor=factor
    )
    months = len(monthly["rain"]) - SPIN_UP_MONTHS
    rows = slice(SPIN_UP_MONTHS, None) if months else slice(0, SPIN_UP_MONTHS)
    later = forcing_of(monthly, rows)
    run = simulate(later, soil, start, months, evaporation_factor=factor, microbial=microbial)
    rates = rate_modifiers(later, soil, start.deficit, months, evaporation_factor=factor)
    delta = run_radiocarbon(
        later, soil, rates, monthly["modern"][rows], start, run.pools, activity, iom, microbial
    )
    modifiers = np.stack([rates.temperature, rates.moisture, rates.cover])
    return MonthlyRun(start, taken, run.pools, run.co2, run.deficit, modifiers, delta[0], delta[1:])


def _spin_up(forcing: Forcing, soil: Soil, options: SiteOptions) -> tuple[State, NDArray[np.int64]]:
    """Return the state at the end of the spin-up, and the months it took (0: solved)."""
    factor = EVAPORATION[options.evaporation]
    if options.spin_up != "exact":
        found = spin_up(forcing, soil, evaporation_factor=factor, most_years=MOST_YEARS)
        if (found.months >= 12 * MOST_YEARS).any():
            raise InputError(
                f"no equilibrium after {MOST_YEARS} years: too cold or too dry; solve for it "
                "instead (spin-up exact)"
            )
        return found.state, found.months
    state = equilibrium(forcing, soil, evaporation_factor=factor)
    manure = forcing.manure if forcing.manure is not None else np.zeros((1, 1))
    empty = (forcing.plant_input == 0).all(axis=0) & (manure == 0).all(axis=0)
    pools = np.where(empty, 0.0, state.pools)  # also where nothing decomposes
    return State(pools, state.deficit), np.zeros(forcing.pixels, np.int64)


def microbial(mu_max: float | None, km: float | None) -> Microbial | None:
    """Return the microbial option from its two numbers, both given or neither.

    Raises
    ------
    InputError
        One is missing, or not above 0.
    """
    if mu_max is None and km is None:
        return None
    if mu_max is None or km is None:
        raise InputError("--mu-max and --km belong together; give both, or neither")
    if not (mu_max > 0 and km > 0 and np.isfinite(mu_max) and np.isfinite(km)):
        raise InputError(f"--mu-max {mu_max:g}, --km {km:g}: expected numbers above 0")
    return Microbial(mu_max, km)


def write_tables(result: SiteResult, folder: Path, *, drivers: bool = False) -> list[Path]:
    """Write the official month and year tables; with `drivers` also ``drivers.csv``."""
    tables = {MONTH_FILE: result.months(), YEAR_FILE: result.years()}
    if drivers:
        tables["drivers.csv"] = result.drivers()
    for name, table in tables.items():
        write_atomically(folder / name, table.to_csv(index=False, lineterminator="\n"))
    return [folder / name for name in tables]


def _table(year: Array, month: Array, pools: Array, iom: float, delta: Array) -> pd.DataFrame:
    """Return rows in the official columns from pools ``(n, 4)``."""
    columns = [*pools.T, np.full(len(pools), iom), pools.sum(axis=1) + iom, delta]
    values = [year, month, *columns]
    return pd.DataFrame(dict(zip(RESULT_COLUMNS, values, strict=True)))
