"""Yearly covariates at dated and undated profiles: a stated policy, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .cube.cube import Cube
from .grid import Grid

#: What a point takes that no year held is for: the mean of all of them, or nothing.
CLIMATOLOGY, DROPPED = -1, -2


@dataclass(frozen=True)
class YearPolicy:
    """What a yearly covariate is at a profile whose year it does not hold.

    Parameters
    ----------
    outside
        Dated, but in a year the covariate lacks: ``nearest`` takes the nearest year held, ``drop``
        leaves the row out.
    undated
        ``climatology`` takes the mean over all years held (the most frequent class), ``drop``
        leaves the row out.
    """

    outside: Literal["nearest", "drop"] = "nearest"
    undated: Literal["climatology", "drop"] = "climatology"


@dataclass(frozen=True)
class YearCounts:
    """Rows to which a policy was applied, for any yearly covariate."""

    outside: int = 0
    undated: int = 0


def values_at(
    cube: Cube,
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    grid: Grid,
    variables: Sequence[str],
    year: NDArray[np.float64],
    policy: YearPolicy,
) -> tuple[dict[str, NDArray[np.float32]], YearCounts]:
    """Return cube values at points, yearly variables at each point's own year.

    Parameters
    ----------
    cube, lon, lat, grid, variables
        As :meth:`edaphos.engine.cube.cube.Cube.at` takes them.
    year
        Year of each point, NaN where undated, shape ``(n,)``.
    policy
        For points whose year a variable does not hold.

    Returns
    -------
    values, counts
        ``(n,)``, or ``(n, 12)`` for monthly variables; NaN where missing or dropped.
    """
    yearly = [name for name in variables if cube.variable(name).time == "yearly"]
    others = [name for name in variables if name not in yearly]
    found = cube.at(lon, lat, grid, others)
    outside, undated = np.zeros(len(lon), bool), np.isnan(year)
    for name in yearly:
        held = cube.variable(name).years
        series = cube.at(lon, lat, grid, [name], held)[name]
        taken = years_taken(held, year, policy)
        values = series[np.arange(len(lon)), np.maximum(taken, 0)]
        values[taken == DROPPED] = np.nan
        mean = taken == CLIMATOLOGY
        if mean.any():
            values[mean] = climatology(series[mean], cube.variable(name).kind)
        outside |= ~undated & ~np.isin(year, held)
        found[name] = values
    counts = YearCounts(int(outside.sum()), int(undated.sum())) if yearly else YearCounts()
    return {name: found[name] for name in variables}, counts


def years_taken(
    held: Sequence[int], year: NDArray[np.float64], policy: YearPolicy
) -> NDArray[np.int64]:
    """Return which of the years held each point takes.

    Parameters
    ----------
    held
        Years that a variable holds, ascending.
    year
        Year of each point, NaN where undated, shape ``(n,)``.
    policy
        For points whose year is not among them.

    Returns
    -------
    ndarray
        Position in `held` (of two equally near years the earlier), :data:`CLIMATOLOGY` or
        :data:`DROPPED`, shape ``(n,)``.
    """
    years = np.array(held)
    undated = np.isnan(year)
    wanted = np.where(undated, years[0], year)
    taken = np.abs(years[None, :] - wanted[:, None]).argmin(axis=1).astype(np.int64)
    if policy.outside == "drop":
        taken[years[taken] != wanted] = DROPPED
    taken[undated] = CLIMATOLOGY if policy.undated == "climatology" else DROPPED
    return taken


def climatology(series: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """Return the mean over years, or the most frequent class, the smallest code among ties.

    Parameters
    ----------
    series
        One row for each cell, one column for each year, NaN for missing.
    kind
        ``amount`` or ``class``.

    Returns
    -------
    ndarray
        float32, ``(rows,)``; NaN where no year has a value.
    """
    known = ~np.isnan(series).all(axis=1)
    typical = np.full(len(series), np.nan, np.float32)
    if kind == "class":
        most = np.zeros(len(series), np.int64)
        for code in np.unique(series[known]):
            years = (series == code).sum(axis=1)
            typical[years > most] = code
            most = np.maximum(most, years)
    else:
        typical[known] = np.nanmean(series[known], axis=1)
    return typical
