"""Training rows of the hybrid: what was observed, and what a process model fills in between.

Source: Zhang L. et al. (2024), the hybrid "POML": the forest learns from the sampled years and
from simulations of the years between them, weighted ``1 - w_p`` and ``w_p n_obs / n_sim`` (with
two sampled and nineteen simulated years, ``w_p x 2/19``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .learners import Learner
from .site_years import Floats, SiteYears

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Rows for a learner: one for each chosen site and year, ``n`` in all.

    Parameters
    ----------
    site, year
        Positions in the data, ``(n,)``.
    stock
        Observed or simulated, kg/m², ``(n,)``.
    weight
        ``(n,)``.
    simulated
        Which are simulated, ``(n,)``.
    dropped_observed, dropped_simulated
        How many were left out for want of a covariate or a simulation.
    """

    site: NDArray[np.intp]
    year: NDArray[np.intp]
    stock: Floats
    weight: Floats
    simulated: Mask
    dropped_observed: int = 0
    dropped_simulated: int = 0

    def __len__(self) -> int:
        return len(self.site)

    def teach(self, learner: Learner, data: SiteYears) -> Learner:
        """Return `learner` fitted to these rows of `data`."""
        return learner.fit(data.rows(self.site, self.year), self.stock, self.weight)


def observed_rows(data: SiteYears) -> TrainingRows:
    """Return the observations, each with the weight of its site.

    Raises
    ------
    InputError
        If there are none.
    """
    return hybrid_rows(data, np.full(data.stock.shape, np.nan), 0.0)


def between(data: SiteYears) -> Mask:
    """Return which years the paper simulates, ``(S, Y)``.

    Those after a site's first observation, not sampled there, up to the last year sampled
    anywhere; a site sampled once is simulated from there on.
    """
    first, years = data.first[:, None], np.arange(len(data.years))
    sampled = data.sampled
    last = years[np.any(sampled, axis=0)].max(initial=-1)
    return (first >= 0) & (years > first) & (years <= last) & ~sampled


def hybrid_rows(
    data: SiteYears, simulated: Floats, w_p: float, where: Mask | None = None
) -> TrainingRows:
    """Return observed and simulated rows, in the order of sites and years.

    Parameters
    ----------
    data
        Sites and their observations.
    simulated
        Stocks ``(S, Y)`` kg/m², NaN where there is none.
    w_p
        Share of the weight that simulations get in all, 0..1: 0 leaves observations alone, with
        the weights of their sites, 1 leaves simulations alone.
    where
        Which simulations are to be rows, ``(S, Y)``; default :func:`between`, as in the paper.

    Raises
    ------
    InputError
        If `w_p` is not in 0..1, or no row is left.
    """
    if not 0 <= w_p <= 1:
        raise InputError(f"w_p, the weight of simulations, must be in 0..1, found {w_p}")
    known = _complete(data)
    where = between(data) if where is None else where & ~data.sampled
    observed, filled = data.sampled & (w_p < 1), where & (w_p > 0)
    usable = filled & known & np.isfinite(simulated)
    kept = observed & known
    if not (kept.any() or usable.any()):
        what = "observation" if w_p < 1 else "simulation between samplings"
        raise InputError(f"nothing to learn from: no {what} has a value for every covariate")
    site, year = np.nonzero(kept | usable)
    is_simulated = usable[site, year]
    weight = data.weight[site] * np.where(is_simulated, 1.0, 1 - w_p)
    if usable.any() and kept.any():
        total = data.weight[site]
        share = total[~is_simulated].sum() / total[is_simulated].sum()
        weight = np.where(is_simulated, total * (w_p * share), weight)
    return TrainingRows(
        site=site,
        year=year,
        stock=np.where(is_simulated, simulated[site, year], data.stock[site, year]),
        weight=weight,
        simulated=is_simulated,
        dropped_observed=int((observed & ~known).sum()),
        dropped_simulated=int((filled & ~usable).sum()),
    )


def _complete(data: SiteYears) -> Mask:
    """Return where every covariate has a value, ``(S, Y)``."""
    static = np.atleast_1d(np.isfinite(data.static).all(axis=1))
    return static[:, None] & np.isfinite(data.yearly).all(axis=2)


def predict_grid(
    learner: Learner, data: SiteYears, years: NDArray[np.intp] | None = None
) -> Floats:
    """Return what `learner` predicts, ``(S, Y)``; NaN where a covariate is missing.

    Parameters
    ----------
    learner
        Fitted.
    data
        Sites and years.
    years
        Positions of those wanted, ``(Y,)``; all by default.
    """
    wanted = np.arange(len(data.years)) if years is None else years
    out = np.full((data.drivers.sites, len(wanted)), np.nan)
    site, at = np.nonzero(_complete(data)[:, wanted])
    if len(site):
        out[site, at] = learner.predict(data.rows(site, wanted[at]))
    return out
