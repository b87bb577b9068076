"""Yearly covariates at dated and undated profiles: a stated policy, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .cube.cube import Cube
from .grid import Grid


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
        held = np.array(cube.variable(name).years)
        series = cube.at(lon, lat, grid, [name], tuple(held.tolist()))[name]
        wanted = np.nan_to_num(year, nan=held[0])
        nearest = np.abs(held[None, :] - wanted[:, None]).argmin(axis=1)
        values = series[np.arange(len(lon)), nearest]
        elsewhere = ~undated & (held[nearest] != wanted)
        if policy.outside == "drop":
            values[elsewhere] = np.nan
        values[undated] = np.nan
        if policy.undated == "climatology" and undated.any():
            values[undated] = _typical(series[undated], cube.variable(name).kind)
        outside |= elsewhere
        found[name] = values
    counts = YearCounts(int(outside.sum()), int(undated.sum())) if yearly else YearCounts()
    return {name: found[name] for name in variables}, counts


def _typical(series: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """Return the mean over years, or the most frequent class, of each row; NaN where none is."""
    known = ~np.isnan(series).all(axis=1)
    typical = np.full(len(series), np.nan, np.float32)
    if kind == "class":
        typical[known] = stats.mode(series[known], axis=1, nan_policy="omit").mode
    else:
        typical[known] = np.nanmean(series[known], axis=1)
    return typical
