"""From measured tiles to all tiles: totals with the 90 % interval that the sample leaves open.

Tiles are put in strata by the soil cells they hold. A line through all measured tiles (a constant
a tile and a cost a cell) predicts each tile; within each stratum, the mean difference between
measured and predicted corrects the predicted total (the generalised difference estimator: Särndal,
Swensson and Wretman 1992, *Model Assisted Survey Sampling*, ch. 6). Measured tiles carry no error
of sampling, so measuring all leaves none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

#: Strata of tiles by their number of soil cells.
STRATA = 4
#: Share of cases in which the truth should lie within the interval.
CONFIDENCE = 0.90

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A total and the ends of its 90 % interval."""

    value: float
    low: float
    high: float

    @property
    def relative(self) -> float:
        """Half the width of the interval, as a share of the total."""
        return (self.high - self.low) / 2 / self.value if self.value else 0.0

    def scaled(self, factor: float) -> Estimate:
        """Return it in another unit."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Line:
    """What a tile is expected to take: ``constant + slope * cells``, neither negative."""

    constant: float
    slope: float

    def at(self, cells: Ints | Floats) -> Floats:
        """Return it for tiles of so many soil cells."""
        return np.asarray(self.constant + self.slope * np.asarray(cells, np.float64))


def strata_of(cells: Ints) -> Ints:
    """Return the stratum of each tile: quartiles of soil cells, fewer where many are equal.

    Parameters
    ----------
    cells
        Soil cells of each tile that has any, shape ``(n,)``.
    """
    edges = np.quantile(cells, np.arange(1, STRATA) / STRATA, method="inverted_cdf")
    _, labels = np.unique(np.searchsorted(edges, cells, side="left"), return_inverse=True)
    return np.asarray(labels, np.int64)


def fit_line(cells: Ints, measured: Floats) -> Line:
    """Return the least-squares line through measured tiles, constant and slope not negative."""
    mean = float(cells.mean())
    spread = float(((cells - mean) ** 2).sum())
    ratio = Line(0.0, float(measured.mean()) / mean if mean else 0.0)
    if spread == 0:
        return ratio
    slope = float(((cells - mean) * (measured - measured.mean())).sum()) / spread
    constant = float(measured.mean()) - slope * mean
    if constant < 0:
        return ratio
    return Line(constant, slope) if slope >= 0 else Line(float(measured.mean()), 0.0)


def total(
    cells: Ints, strata: Ints, chosen: Ints, measured: Floats, drift: float = 0.0
) -> Estimate:
    """Return the total over all tiles of what was measured on some.

    Parameters
    ----------
    cells, strata
        Soil cells and stratum of every tile, shape ``(n,)``.
    chosen
        Positions of the measured tiles, without repeats; two or more in each stratum that has
        them.
    measured
        What each of them took, in any unit.
    drift
        Relative standard deviation, common to all tiles, of measuring again at another time.
    """
    line = fit_line(cells[chosen], measured)
    expected = line.at(cells)
    off = measured - expected[chosen]
    found, variance, freedom = float(expected.sum()), 0.0, -1
    for stratum in np.unique(strata):
        size = int((strata == stratum).sum())
        mine = off[strata[chosen] == stratum]
        if mine.size == 0:
            raise ValueError(f"no tile of stratum {stratum} was measured")
        found += size * float(mine.mean())
        freedom += mine.size - 1
        variance += variance_of(size, mine)
    spread = float(stdtrit(max(freedom, 1), (1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    spread = math.hypot(spread, float(ndtri((1 + CONFIDENCE) / 2)) * drift * found)
    # what was measured has been spent for certain
    low = max(found - spread, float(measured.sum()) * (1 - 2 * drift), 0.0)
    return Estimate(found, min(low, found), found + spread)


def variance_of(size: int, off: Floats) -> float:
    """Return the variance that a stratum of `size` tiles adds, from its measured differences."""
    if off.size < 2 or off.size >= size:
        return 0.0
    return size**2 * (1 - off.size / size) * float(off.var(ddof=1)) / off.size


def neediest(cells: Ints, strata: Ints, chosen: Ints, measured: Floats) -> int:
    """Return the stratum in which one more tile narrows the interval most, -1 where none can."""
    off = measured - fit_line(cells[chosen], measured).at(cells[chosen])
    best, most = -1, -1.0
    for stratum in np.unique(strata):
        size = int((strata == stratum).sum())
        mine = off[strata[chosen] == stratum]
        if mine.size >= size:
            continue
        gain = variance_of(size, mine) / (mine.size + 1)
        if gain > most:
            best, most = int(stratum), gain
    return best
