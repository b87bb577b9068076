"""Layers of profiles at dates as flat arrays, and curves over depth through their properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.depth import Floats, Offsets, bounded, fit_spline, steps
from edaphos.kernels.depth_layers import Separate, separate
from edaphos.kernels.depth_means import IntervalMeans, interval_means

from .site_stocks import profiles_at_dates

Method = Literal["spline", "overlap"]
Depths = Sequence[tuple[float, float]]

#: Least and most that a property can be; a spline is kept within. Bulk density: from the lightest
#: peat to quartz without pores.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "soc_g_kg": (0.0, 1000.0),
    "bulk_density_g_cm3": (0.05, 2.65),
    "coarse_fraction": (0.0, 1.0),
    "clay_pct": (0.0, 100.0),
    "sand_pct": (0.0, 100.0),
    "silt_pct": (0.0, 100.0),
    "nitrogen_g_kg": (0.0, 100.0),
}


@dataclass(frozen=True)
class MineralLayers:
    """Mineral layers, ordered by profile, year and depth, and where each profile at a date begins.

    Parameters
    ----------
    table
        Of n layers.
    offsets
        ``(profiles + 1,)``; a *profile* here is all layers of one profile and year.
    """

    table: pd.DataFrame
    offsets: Offsets

    @property
    def profiles(self) -> int:
        """How many profiles at a date there are."""
        return len(self.offsets) - 1

    @property
    def number(self) -> NDArray[np.int64]:
        """The profile of each layer, ``(n,)``."""
        return np.repeat(np.arange(self.profiles), np.diff(self.offsets))

    @property
    def uppermost(self) -> pd.DataFrame:
        """The first layer of each profile, ``profiles`` rows."""
        return self.table.iloc[self.offsets[:-1]]

    def values(self, column: str) -> Floats:
        """Return a numeric column, ``(n,)``."""
        return self.table[column].to_numpy(np.float64)

    def separated(self, column: str) -> Separate:
        """Return the layers with a value of a property, made not to overlap."""
        value = self.values(column)
        known = np.isfinite(value)
        counts = np.bincount(self.number[known], minlength=self.profiles)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        top, bottom = self.values("top_cm")[known], self.values("bottom_cm")[known]
        return separate(top, bottom, value[known], offsets)


def mineral_layers(table: pd.DataFrame) -> tuple[MineralLayers, pd.DataFrame]:
    """Return the mineral layers of a profile table, and those above (litter, negative depth)."""
    surface = table["top_cm"].to_numpy(np.float64) < 0
    if "litter" in table:
        surface |= table["litter"].to_numpy(bool)
    ordered = table[~surface].sort_values(
        ["profile_id", "year", "top_cm", "bottom_cm"], kind="stable"
    )
    offsets = [0]
    if len(ordered):
        profile = ordered["profile_id"].to_numpy(str)
        spans = profiles_at_dates(profile, ordered["year"].to_numpy(np.float64))
        offsets += [end for _, end in spans]
    return MineralLayers(ordered, np.array(offsets, np.int64)), table[surface]


@dataclass(frozen=True)
class Fitted:
    """Means of one property over depths, and how they came about.

    Parameters
    ----------
    means
        Of all profiles and depths.
    layers
        Layers that each profile's curve goes through, ``(profiles,)``.
    overlapping
        Which profiles had layers that overlap, ``(profiles,)``.
    moved
        Difference of the curve's mean over a layer from the layer's value, over that value; one for
        each layer whose value is not 0.
    """

    means: IntervalMeans
    layers: NDArray[np.int64]
    overlapping: NDArray[np.bool_]
    moved: Floats


def fit_property(
    layers: MineralLayers, column: str, depths: Depths, lam: float, method: Method
) -> Fitted:
    """Return the means of a property over depths, by spline or by overlap."""
    top, bottom, value, offsets, overlapping = layers.separated(column)
    upper, lower = zip(*depths, strict=True)
    low, high = BOUNDS.get(column, (-np.inf, np.inf))
    if method == "overlap":
        curve = steps(top, bottom, value, offsets)
    else:
        curve = bounded(fit_spline(top, bottom, value, offsets, lam), low, high)
    means = interval_means(curve, upper, lower, gaps=method == "spline")
    # Rounding can carry the mean of a curve that touches a bound beyond it, by its last digit.
    means = means._replace(value=np.clip(means.value, low, high))
    some = value != 0
    moved = np.abs((curve.mean - value)[some] / value[some])
    return Fitted(means, np.diff(offsets), overlapping, moved)
