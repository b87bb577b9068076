"""How far terms of a stock's course in time are to be trusted, by what they explain of changes.

A stock is a level of its place, a trend common to all places, and terms that differ from place to
place (what a process model says of weather, of input; what was learned of local change)::

    stock(s, t) = level(s) + trend * clock(t) + sum_k trust_k * term_k(s, t) + error

Trust lies in 0..1 and is drawn towards a prior, so that a term of the wrong sign ends at 0 and one
of which data say little stays near the prior. Only differences between places tell of it: the mean
course is the trend's, which observations alone decide.

Levels are taken out beforehand by predictions at places that the learner did not see, as in partly
linear regression (Robinson 1988, Econometrica 56, 931-954). What they leave of a place's level is
a random effect: sites with several dates speak mostly by their differences in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from .site_years import Floats

#: Mean and standard deviation of the trust in a term before data.
PRIOR = (0.5, 0.5)
#: Least share of the variance of the residuals that is error, not the places' levels.
LEAST_ERROR = 0.01


@dataclass(frozen=True, eq=False)
class Trusted:
    """What a fit found.

    Parameters
    ----------
    trend
        Common to all places, kg/m² for each unit of the clock.
    trust
        Of each term, 0..1, ``(k,)``.
    slope, error
        What least squares alone would have said, and its standard error, ``(k,)``.
    share
        Of each row: how much of its site's mean is taken out, 0..1, ``(n,)``.
    unexplained
        What is left of each row after that, ``(n,)`` kg/m².
    clock
        What is left of each row's clock, ``(n,)``.
    """

    trend: float
    trust: Floats
    slope: Floats
    error: Floats
    share: Floats
    unexplained: Floats
    clock: Floats


def site_means(values: Floats, site: NDArray[np.intp]) -> Floats:
    """Return, for each row, the mean over the rows of its site, ``(n,)``."""
    count = np.bincount(site)
    total = np.bincount(site, weights=values)
    return np.asarray((total / np.maximum(count, 1))[site])


def trusted(
    left: Floats,
    site: NDArray[np.intp],
    weight: Floats,
    clock: Floats,
    terms: Floats,
    prior: tuple[float, float] = PRIOR,
) -> Trusted:
    """Fit trend and trust to what the levels leave of observations.

    Parameters
    ----------
    left
        Observed stock less the level predicted for its place, ``(n,)`` kg/m².
    site
        Of each row, ``(n,)``.
    weight
        Of each row, the same for all rows of a site, ``(n,)``.
    clock
        Time of each row, ``(n,)``.
    terms
        The same rows of each term, less what is predicted of it from the place, ``(k, n)`` kg/m².
    prior
        Mean and standard deviation of each trust.
    """
    # a trend is possible up to the spread of stocks in one unit of the clock; without that, one
    # date alone would leave it open
    spread = max(float(np.std(left)), 1e-9)
    columns = np.stack([np.ones(len(left)), clock, *terms], axis=1)
    share, error = _levels(left, columns, site, spread)
    scale = np.sqrt(weight / weight.mean()) / error

    def less(values: Floats) -> Floats:
        return values - share * site_means(values, site)

    wanted = scale * less(left)
    design = np.stack([scale * less(column) for column in columns.T], axis=1)
    k = len(terms)
    mean, deviation = prior
    priors = np.zeros((k + 1, k + 2))
    priors[0, 1] = 1 / spread
    priors[1:, 2:] = np.eye(k) / deviation
    low, high = np.full(k + 2, -np.inf), np.full(k + 2, np.inf)
    low[2:], high[2:] = 0, 1
    found = lsq_linear(
        np.concatenate([design, priors]),
        np.concatenate([wanted, [0.0], np.full(k, mean / deviation)]),
        bounds=(low, high),
    ).x
    alone = np.linalg.pinv(design.T @ design + priors[:1].T @ priors[:1])
    return Trusted(
        trend=float(found[1]),
        trust=np.clip(found[2:], 0, 1),
        slope=(alone @ design.T @ wanted)[2:],
        error=np.sqrt(np.maximum(np.diag(alone), 0))[2:],
        share=share,
        unexplained=(wanted - design @ found) / scale,
        clock=less(clock),
    )


def _levels(
    left: Floats, columns: Floats, site: NDArray[np.intp], spread: float
) -> tuple[Floats, float]:
    """Return each row's share of its site's mean that is level, and the error's deviation.

    By moments: what varies within sites is error; what residuals vary beyond that is level. Where
    no site has two dates the two are not told apart, and nothing is taken out.
    """
    count = np.bincount(site)
    rows = count[site]
    residual = left - columns @ np.linalg.lstsq(columns, left, rcond=None)[0]
    total = max(float(residual.var()), (1e-6 * spread) ** 2)
    degrees = int((count[count > 1] - 1).sum())
    if degrees == 0:
        return np.zeros(len(left)), float(np.sqrt(total))
    within = residual - site_means(residual, site)
    error = float((within**2).sum()) / degrees
    error = min(max(error, LEAST_ERROR * total), total)
    level = max(total - error, 0.0)
    return 1 - np.sqrt(error / (error + rows * level)), float(np.sqrt(error))
