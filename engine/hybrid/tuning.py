"""The weight of simulations, w_p, chosen by what is predicted of places held out.

No stock is known in unsampled years, where simulations are to help: held-out observations show
only what simulations cost or gain in the sampled years. So among weights whose error is within one
standard error of the least, the largest is taken. More weight than that is paid for in sampled
years; less would give up, for nothing that data can show, what simulations say of the years
between. Where simulations contradict later observations the error rises with the weight, and a
small one, or 0, is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .inner_folds import inner_folds, place_groups
from .site_years import Floats, SiteYears

#: Weights that are tried.
GRID = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)

#: Predicts sites held out, ``(S, Y)`` kg/m², with a weight.
Attempt = Callable[[float, SiteYears], Floats]


@dataclass(frozen=True)
class Tuning:
    """What was tried and what was taken.

    Parameters
    ----------
    grid
        Weights.
    error
        Weighted mean square error of each at observations of held-out sites, (kg/m²)².
    beyond, margin
        By how much each exceeds the least, and the standard error of that, groups of sites being
        what varies, (kg/m²)².
    chosen
        The weight taken.
    """

    grid: tuple[float, ...]
    error: tuple[float, ...]
    beyond: tuple[float, ...]
    margin: tuple[float, ...]
    chosen: float


def tune(
    data: SiteYears,
    prepare: Callable[[SiteYears], Attempt],
    *,
    grid: Sequence[float] = GRID,
    folds: int = 5,
    seed: int = 0,
) -> Tuning:
    """Choose the weight of simulations.

    Parameters
    ----------
    data
        Sites to learn from.
    prepare
        Is given the sites of all folds but one, makes simulations of them, and returns what learns
        with a weight and predicts the sites held out, which it is given without their stocks.
    grid
        Weights to try, ascending.
    folds, seed
        Of the inner folds, by place.
    """
    sampled = np.flatnonzero(data.sampled.any(axis=1))
    data = data.take(sampled)
    square = np.zeros((len(grid), len(sampled)))
    total = np.zeros(len(sampled))
    for seen, held in inner_folds(data, folds, seed):
        attempt, out = prepare(data.take(seen)), data.take(held)
        found = np.array([attempt(w_p, out.without_stock()) - out.stock for w_p in grid])
        known = np.isfinite(found).all(axis=0)
        total[held] = out.weight * known.sum(axis=1)
        square[:, held] = out.weight * np.where(known, found**2, 0).sum(axis=2)
    return choose(grid, square, total, place_groups(data, folds))


def choose(
    grid: Sequence[float], square: Floats, total: Floats, group: NDArray[np.int64]
) -> Tuning:
    """Take the largest weight within one standard error of the best.

    Parameters
    ----------
    grid
        Weights ``(k,)``, ascending.
    square, total
        Of each site: weighted sum of squared errors ``(k, S)``, and sum of weights ``(S,)``.
    group
        Of sites that vary together, ``(S,)``.
    """
    weight = np.bincount(group, weights=total)
    sums = np.array([np.bincount(group, weights=row) for row in square])
    error = sums.sum(axis=1) / weight.sum()
    best = int(np.argmin(error))
    differ = sums - sums[best]
    beyond = differ.sum(axis=1) / weight.sum()
    # of a ratio of sums over groups
    count = int((weight > 0).sum())
    left = differ - beyond[:, None] * weight
    margin = np.sqrt((left**2).sum(axis=1) * count / max(count - 1, 1)) / weight.sum()
    within = np.flatnonzero(beyond <= margin)
    return Tuning(
        grid=tuple(float(w) for w in grid),
        error=tuple(error.tolist()),
        beyond=tuple(beyond.tolist()),
        margin=tuple(margin.tolist()),
        chosen=float(grid[int(within[-1])]),
    )
