"""What errors of predicted stocks are like: their spread, their memory, and what they share.

Everything is estimated from residuals (observed minus predicted) at sites that the model had not
seen, every spatial block counting the same however many sites it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar, nnls

from .held_out import Ints, Pairs, block_weights
from .site_years import Floats

#: Powers of the prediction that the residual's standard deviation may go with.
POWERS = (0.0, 0.5, 1.0)
#: Predictions below this quantile of those that were tested get its spread.
LOW_QUANTILE = 0.05
#: Years over which correlations in time are tried to fall to 1/e.
LENGTHS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
#: With revisits in fewer blocks than this nothing is claimed of correlation in time.
FEWEST_BLOCKS = 5


# -- spread ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """Residual variance of a single observation, beyond what members tell.

    ``variance = scale**2 * max(mean, least) ** (2 * power)``

    Parameters
    ----------
    power
        0 for a constant spread, 1 for one proportional to the prediction, 0.5 between them.
    scale
        kg/m² at power 0, a share at power 1.
    least
        Predictions below this, kg/m², are treated as this.
    """

    power: float
    scale: float
    least: float

    def variance(self, mean: Floats) -> Floats:
        """Return the variance at predicted stocks, kg²/m⁴."""
        return np.asarray(self.scale**2 * np.maximum(mean, self.least) ** (2 * self.power))


def fit_spread(residual: Floats, mean: Floats, member_variance: Floats, weight: Floats) -> Spread:
    """Return the spread of greatest Gaussian likelihood among the powers, all arrays ``(n,)``.

    The residual's variance is the member variance plus the spread's.
    """
    least = max(float(np.quantile(mean, LOW_QUANTILE)), 1e-3)
    best: tuple[float, Spread] | None = None
    for power in POWERS:
        shape = np.maximum(mean, least) ** (2 * power)
        most = float(np.sum(weight * residual**2 / shape))
        if most == 0:
            return Spread(0.0, 0.0, least)

        def loss(log_square: float, shape: Floats = shape) -> float:
            total = member_variance + np.exp(log_square) * shape
            return float(np.sum(weight * (np.log(total) + residual**2 / total)))

        found = minimize_scalar(
            loss, bounds=(np.log(most) - 9.0, np.log(most) + 1.0), method="bounded"
        )
        if best is None or found.fun < best[0] - 1e-9:
            best = found.fun, Spread(power, float(np.exp(found.x / 2)), least)
    assert best is not None  # the loop runs
    return best[1]


# -- correlation in time --------------------------------------------------------------------------


@dataclass(frozen=True)
class Correlation:
    """Correlation of residuals of one site, `lag` years apart: ``floor + drop exp(-lag / length)``.

    Between the shortest and the longest lag seen. Shorter lags get that of the shortest, which is
    too little rather than too much; beyond the longest the correlation falls on as a power of it.
    Without revisits it is 0: the variance of a change is then overstated, not understated.

    Parameters
    ----------
    floor, drop, length
        Of the curve.
    shortest, longest
        Lags seen, years; 0 without revisits.
    error
        Standard error of the pooled correlation, which is taken off.
    pairs, blocks
        Pairs of dates of a site, and the spatial blocks they lie in.
    """

    floor: float = 0.0
    drop: float = 0.0
    length: float = 1.0
    shortest: float = 0.0
    longest: float = 0.0
    error: float = 0.0
    pairs: int = 0
    blocks: int = 0

    def at(self, lag: Floats | float) -> Floats:
        """Return the correlation at lags in years."""
        lag = np.abs(np.asarray(lag, np.float64))
        if self.longest == 0:
            return np.zeros(lag.shape)
        within = np.clip(lag, self.shortest, self.longest)
        raw = self.floor + self.drop * np.exp(-within / self.length)
        known = np.clip(raw - self.error, 0.0, 1.0)
        return np.asarray(known ** np.maximum(lag / self.longest, 1.0))


def fit_correlation(pairs: Pairs, spread: Spread) -> Correlation:
    """Return the correlation that makes the changes' variances what they are.

    Of a pair, ``E[change²] = member_variance + a² + b² - 2 r a b``; solved for ``r`` at each lag
    over all blocks alike, then smoothed.
    """
    blocks = len(np.unique(pairs.block))
    if blocks < FEWEST_BLOCKS:
        return Correlation(pairs=len(pairs), blocks=blocks)
    weight = block_weights(pairs.block)
    first, second = spread.variance(pairs.earlier), spread.variance(pairs.later)
    top = weight * (first + second + pairs.member_variance - pairs.change**2)
    bottom = weight * 2 * np.sqrt(first * second)
    lags, codes = np.unique(pairs.lag, return_inverse=True)
    shared = np.bincount(codes, bottom)
    by_lag = np.clip(np.bincount(codes, top) / np.where(shared > 0, shared, np.inf), -1.0, 1.0)
    floor, drop, length = _smooth(lags, by_lag, np.bincount(codes).astype(float))
    return Correlation(
        floor=floor,
        drop=drop,
        length=length,
        shortest=float(lags[0]),
        longest=float(lags[-1]),
        error=_jackknife(top, bottom, pairs.block),
        pairs=len(pairs),
        blocks=blocks,
    )


def _smooth(lags: Floats, by_lag: Floats, count: Floats) -> tuple[float, float, float]:
    """Fit ``floor + drop exp(-lag / length)``, neither negative, together at most 1."""
    if len(lags) == 1:
        return float(np.clip(by_lag[0], 0.0, 1.0)), 0.0, 1.0
    root = np.sqrt(count)
    fits = []
    for length in LENGTHS:
        curve = np.stack([np.ones(len(lags)), np.exp(-lags / length)], axis=1)
        found, misfit = nnls(curve * root[:, None], by_lag * root)
        fits.append((misfit, length, found / max(found.sum(), 1.0)))
    _, length, (floor, drop) = min(fits, key=lambda fit: fit[0])
    return float(floor), float(drop), length


def _jackknife(top: Floats, bottom: Floats, block: Ints) -> float:
    """Return the standard error of ``sum(top) / sum(bottom)`` by leaving out one block each."""
    _, codes = np.unique(block, return_inverse=True)
    tops, bottoms = np.bincount(codes, top), np.bincount(codes, bottom)
    left = bottoms.sum() - bottoms
    if (left <= 0).any():
        return 1.0
    without = (tops.sum() - tops) / left
    n = len(tops)
    return float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)))


def plain(part: Any) -> dict[str, Any]:
    """Return a part's fields, fit for ``json.dumps``."""
    return dict(vars(part))
