"""RothC calibrated at sites, and what came of it as tables, JSON and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from edaphos.kernels.rothc import PAN_FACTOR

from .calibration import Calibration, Floats, Parameter
from .errors import InputError
from .likelihood import Likelihood
from .likelihood_surface import Surface, likelihood_surface
from .progress import QUIET, Reporter
from .rothc_calibration import SiteScore, StockRun, calibrate_rothc, scores_by_site
from .rothc_calibration_site import CalibrationSite, every_year

#: Misfits less likely than this, were the model right and the errors as given, are told.
_SURPRISING = 1e-3
COLUMNS = ("site", "year", "measured_t_C_ha", "simulated_t_C_ha", "difference_t_C_ha", "fitted")


@dataclass(frozen=True, eq=False)
class CalibratedSites:
    """A calibration and the sites it was made at.

    Attributes
    ----------
    sites, calibration, fixed
        What was fitted to, what was found, and what was held.
    series
        For each site, simulated stocks at the end of every year of its run, t C/ha.
    rmse_standard
        Misfit of RothC as it is, nothing fitted or held, t C/ha.
    threshold
        Deviance that bounds the 95 % interval of a parameter.
    surface
        The joint likelihood where two parameters were fitted.
    """

    sites: tuple[CalibrationSite, ...]
    calibration: Calibration
    fixed: dict[str, float]
    series: tuple[Floats, ...]
    rmse_standard: float
    threshold: float
    surface: Surface | None

    def begin(self, site: CalibrationSite) -> float:
        """Return the stock that the run of a site begins with, t C/ha."""
        factor = {**self.fixed, **self.calibration.values}.get("initial_factor", 1.0)
        return site.fitted.iom + factor * (site.start_stock - site.fitted.iom)

    @property
    def notes(self) -> list[str]:
        """What to know of starts, and whether stocks are missed by more than their errors."""
        notes = [note for site in self.sites for note in site.notes]
        if not self.calibration.error_given:
            return notes
        fitted = [site.fitted for site in self.sites]
        measured = np.concatenate([np.ravel(np.asarray(s.stock, np.float64)) for s in fitted])
        error = np.concatenate(
            [np.broadcast_to(np.asarray(s.error, np.float64), np.shape(s.stock)) for s in fitted]
        )
        cost = float(np.sum(((self.calibration.simulated - measured) / error) ** 2))
        freedom = measured.size - len(self.calibration.estimates)
        if freedom > 0 and chi2.sf(cost, freedom) < _SURPRISING:
            notes.append(
                f"stocks are missed by {np.sqrt(cost / freedom):.1f} times the errors given: the "
                "intervals are too narrow, for the model misses more than errors of measurement"
            )
        return notes

    @property
    def scores(self) -> list[SiteScore]:
        """How well each site is met."""
        return scores_by_site([site.fitted for site in self.sites], self.calibration)

    def table(self) -> pd.DataFrame:
        """Return every year of every site: simulated, and measured where it was.

        ``fitted`` is 1 where the fit was judged by the measurement, 0 elsewhere.
        """
        tables = [_site_table(*pair) for pair in zip(self.sites, self.series, strict=True)]
        return pd.concat(tables, ignore_index=True)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and texts, fit for ``json.dumps``."""
        sites = [
            {
                "name": site.name,
                "measured": site.source,
                "start_t_C_ha": self.begin(site),
                "start_factor": site.start_factor,
                "start_from_stock_of": site.start_year,
                "n": score.n,
                "rmse_t_C_ha": score.rmse,
                "bias_t_C_ha": score.bias,
            }
            for site, score in zip(self.sites, self.scores, strict=True)
        ]
        return {
            **self.calibration.to_json(),
            "notes": self.notes,
            "fixed": self.fixed,
            "rmse_standard": self.rmse_standard,
            "deviance_95": self.threshold,
            "sites": sites,
            "surface": None if self.surface is None else self.surface.to_json(),
        }

    def to_text(self) -> str:
        """Return a report for people."""
        width = max(4, *(len(site.name) for site in self.sites))
        lines = [
            f"{'site':<{width}} {'begins at':>10} {'stocks':>7} {'RMSE':>7} {'bias':>7}  start"
        ]
        for site, score in zip(self.sites, self.scores, strict=True):
            lines.append(
                f"{site.name:<{width}} {self.begin(site):>10.2f} {score.n:>7} {score.rmse:>7.2f} "
                f"{score.bias:>+7.2f}  {_start(site)}"
            )
        held = ", ".join(f"{name} = {value:g}" for name, value in self.fixed.items())
        lines += ["", *([f"held: {held}"] if held else [])]
        lines += [f"RothC as it is, nothing fitted: RMSE {self.rmse_standard:.4g} t C/ha"]
        lines += [self.calibration.to_text()]
        return "\n".join(lines)


def calibrate_sites(
    sites: Sequence[CalibrationSite],
    parameters: Sequence[Parameter],
    *,
    fixed: Mapping[str, float] | None = None,
    evaporation_factor: float = PAN_FACTOR,
    starts: int = 12,
    seed: int = 0,
    profile_points: int = 21,
    surface_points: int = 41,
    reporter: Reporter = QUIET,
) -> CalibratedSites:
    """Calibrate RothC at sites, then simulate all their years and draw the joint likelihood.

    Parameters are those of :func:`~.rothc_calibration.calibrate_rothc`; `surface_points` is that
    of :func:`~.likelihood_surface.likelihood_surface`.

    Raises
    ------
    InputError
        As there, and where there are fewer stocks than numbers to find.
    """
    fitted, held = [site.fitted for site in sites], dict(fixed or {})
    if sites:
        _check_enough(sites, len(parameters))
    found = calibrate_rothc(
        fitted,
        parameters,
        fixed=held,
        evaporation_factor=evaporation_factor,
        starts=starts,
        seed=seed,
        profile_points=profile_points,
        reporter=reporter,
    )
    run = StockRun(fitted, evaporation_factor=evaporation_factor)
    whole = StockRun([every_year(s) for s in sites], evaporation_factor=evaporation_factor)
    ends = np.cumsum([s.last_year - s.fitted.first_year + 1 for s in sites])
    surface = None
    if len(parameters) == 2:
        surface = likelihood_surface(
            lambda values: run.stocks({**held, **values}),
            run.measured,
            run.error,
            found,
            points=surface_points,
            reporter=reporter,
        )
    return CalibratedSites(
        sites=tuple(sites),
        calibration=found,
        fixed=held,
        series=tuple(np.split(whole.stocks({**held, **found.values}), ends[:-1])),
        rmse_standard=float(np.sqrt(np.mean((run.stocks({}) - run.measured) ** 2))),
        threshold=Likelihood(run.measured, run.error, len(parameters)).threshold(),
        surface=surface,
    )


def _check_enough(sites: Sequence[CalibrationSite], parameters: int) -> None:
    known = all(site.fitted.error is not None for site in sites)
    stocks = sum(np.size(site.fitted.stock) for site in sites)
    needed = parameters + (not known)
    if stocks >= needed:
        return
    begun = [f"{site.start_year}" for site in sites if site.start_year is not None]
    left = f" (that of {', '.join(begun)} is the start)" if begun else ""
    wanted = _count(parameters, "parameter") + ("" if known else " and the size of the errors")
    raise InputError(
        f"{', '.join(site.source for site in sites)}: {_count(stocks, 'stock')} to fit to{left}, "
        f"but {wanted} need at least {needed}; fit fewer parameters, hold some (--fixed)"
        + ("" if known else ", or give the error of the stocks (--error)")
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _site_table(site: CalibrationSite, series: Floats) -> pd.DataFrame:
    years = np.arange(site.fitted.first_year, site.last_year + 1)
    stocks = dict(
        zip(np.ravel(site.fitted.years).tolist(), np.ravel(site.fitted.stock), strict=True)
    )
    measured = np.array([stocks.get(year, np.nan) for year in years.tolist()], np.float64)
    judged = np.isfinite(measured).astype(int)
    if site.start_year is not None and site.start_year >= years[0]:
        measured[site.start_year - years[0]] = site.start_stock
    values = (site.name, years, measured, series, series - measured, judged)
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _start(site: CalibrationSite) -> str:
    scaled = f"first year's carbon x {site.start_factor:.4g}"
    if site.start_year is not None:
        return f"from the stock of {site.start_year}, {scaled}"
    return "equilibrium of the first year" if site.start_factor == 1 else f"equilibrium, {scaled}"
