"""What errors of predicted stocks are like: their spread, their memory, and what they share.

Everything is estimated from residuals (observed minus predicted) at sites that the model had not
seen, every spatial block counting the same however many sites it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar, nnls

from .held_out import HeldOut, HiddenDate, Ints, Pairs, block_weights
from .site_years import Floats

#: Powers of the prediction that the residual's standard deviation may go with.
POWERS = (0.0, 0.5, 1.0)
#: Predictions below this quantile of those that were tested get its spread.
LOW_QUANTILE = 0.05
#: Years over which correlations in time are tried to fall to 1/e.
LENGTHS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
#: With revisits in fewer blocks than this nothing is claimed of correlation in time.
FEWEST_BLOCKS = 5


def weighted_quantile(values: Floats, weight: Floats, levels: Floats) -> Floats:
    """Return the smallest value with at least each share of the weight at or below it.

    The weights may add up to less than 1; a level that they do not reach gets the largest value.
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = np.searchsorted(reached, np.asarray(levels) - 1e-12)
    return np.asarray(values[order][np.minimum(at, len(values) - 1)])


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


# -- course in time --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """Errors of the course in time, in standard deviations of the spread.

    In sampled years all cells share an error of variance `sampled`. Away from them each cell has
    one of its own, `away`, and the shared error grows by `rate` for each year since the last
    sampled one: as much as at dates that were hidden from training.

    Parameters
    ----------
    sampled
        Variance of the mean residual between sampled years.
    away
        Variance of cells' own error in years that were not sampled.
    rate
        Per year; None where no date could be hidden.
    years
        Sampled years, ascending.
    """

    sampled: float = 0.0
    away: float = 0.0
    rate: float | None = None
    years: tuple[int, ...] = ()

    def excess(self, year: int) -> float:
        """Return the variance in a year beyond that of sampled years, in those of the spread."""
        apart = self.distance(year)
        return ((self.rate or 0.0) * apart) ** 2 + (self.away if apart else 0.0)

    def variance(self, year: int) -> float:
        """Return the variance in a year, in variances of the spread."""
        return self.sampled + self.excess(year)

    def distance(self, year: int) -> int:
        """Return the years since the last sampled year; before the first, the years until it."""
        if not self.years:
            return 0
        before = [known for known in self.years if known <= year]
        return year - before[-1] if before else self.years[0] - year


def fit_course(
    held: HeldOut,
    pairs: Pairs,
    hidden: Sequence[HiddenDate],
    carried: Sequence[HiddenDate],
    spread: Spread,
) -> Course:
    """Return errors of the course from sites not seen and from dates not seen.

    What the mean residual of a year differs from that of the other years by is error of the mean
    course; what all years have in common is not. The rate is the larger of that of `hidden` and of
    `carried` dates. What single sites are off by at hidden dates, beyond what they are off by at
    dates that were seen, is the cells' own error.
    """
    known = held.known
    counts = known.sum(axis=0)
    sampled = np.flatnonzero(counts)
    scores = (held.stock - held.mean) / _size(held.mean, spread)
    means = np.array([block_mean(scores[:, y], held.block) for y in sampled])
    share = counts[sampled] / counts.sum()
    between = np.sum(share * (means - np.sum(share * means)) ** 2) / max(1 - np.sum(share**2), 1e-9)
    main = sampled[counts[sampled] >= counts[sampled].mean() / 2]
    errors = [[_course_error(d, spread) for d in dates] for dates in (hidden, carried)]
    rates = [np.mean(np.square(kind)) for kind in errors if kind]
    usual = (
        block_mean(
            (pairs.change / _size(np.sqrt(pairs.earlier * pairs.later), spread)) ** 2, pairs.block
        )
        if len(pairs)
        else block_mean(scores[known] ** 2, held.block[np.nonzero(known)[0]])
    )
    own = [
        _mean_square(date, spread, paired=len(pairs) > 0) - usual - (rate * date.since) ** 2
        for date, rate in zip(hidden, errors[0], strict=True)
    ]
    return Course(
        sampled=float(between),
        away=max(float(np.mean(own)), 0.0) if own else 0.0,
        rate=float(np.sqrt(max(rates))) if rates else None,
        years=tuple(int(held.years[y]) for y in main),
    )


def _size(mean: Floats, spread: Spread) -> Floats:
    """Return the spread's standard deviation, above 0."""
    return np.sqrt(np.maximum(spread.variance(mean), np.finfo(float).tiny))


def _course_error(date: HiddenDate, spread: Spread) -> float:
    """Return what the mean course was off by for each year, in standard deviations."""
    size = _size(date.mean, spread)
    there = block_mean((date.stock - date.mean) / size, date.block)
    return (there - block_mean(date.rest / size, date.block)) / date.since


def _mean_square(date: HiddenDate, spread: Spread, *, paired: bool) -> float:
    """Return the mean square of what sites were off by, or of its change where `paired`."""
    off = date.stock - date.mean - (date.rest if paired else 0.0)
    return block_mean((off / _size(date.mean, spread)) ** 2, date.block)


def block_mean(values: Floats, block: Ints) -> float:
    """Return the mean over blocks of `values` ``(n,)`` but for NaN; 0 where nothing is known."""
    known = np.isfinite(values)
    if not known.any():
        return 0.0
    return float(np.sum(block_weights(block[known]) * values[known]))


def plain(part: Any) -> dict[str, Any]:
    """Return a part's fields, fit for ``json.dumps``."""
    return dict(vars(part))
