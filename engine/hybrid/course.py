"""How wrong the course of predicted stocks in time is, in sampled years and between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .error_parts import Spread
from .held_out import HeldOut, HiddenDate, Ints, Pairs, block_mean
from .site_years import Floats


@dataclass(frozen=True)
class Course:
    """Errors of the course in time, in standard deviations of the spread.

    In sampled years all cells share an error of variance `sampled`. Away from them each cell has
    one of its own, and the shared error grows: by `rate` for each year to the nearest sampled one,
    as much as at dates that were hidden from training, or by `carried` for each year since the last
    sampled one, as where the process alone was carried on to dates that were known, if that is
    more. Beyond all sampled years it is at least what the mean prediction departs from a course
    that goes on as sites that were sampled twice have changed: nothing there tells which of the two
    is right. The cell's own is `away`, from hidden dates, or what predicted courses depart from
    straight ones by in that year, if that is more: stocks move slowly, and a forest that is given
    the weather of years without samples may not.

    Parameters
    ----------
    sampled
        Variance of the mean residual between sampled years.
    away
        Variance of cells' own error at hidden dates.
    rate, carried
        Per year; None where no date could be hidden, or no process is followed.
    years
        Sampled years, ascending.
    first
        Year that `rough` and `astray` begin with.
    rough
        Mean square of what predictions depart from each site's straight line by, each year.
    astray
        What the mean prediction departs from the observed change by, gone on with beyond sampled
        years; 0 between them.
    """

    sampled: float = 0.0
    away: float = 0.0
    rate: float | None = None
    carried: float | None = None
    years: tuple[int, ...] = ()
    first: int = 0
    rough: tuple[float, ...] = ()
    astray: tuple[float, ...] = ()

    def excess(self, year: int) -> float:
        """Return the variance in a year beyond that of sampled years, in those of the spread."""
        apart, since = self.distances(year)
        if apart == 0:
            return 0.0
        known = 0 <= year - self.first < len(self.rough)
        rough = self.rough[year - self.first] if known else max(self.rough, default=0.0)
        astray = self.astray[year - self.first] if known else self._further_astray(year)
        shared = max((self.rate or 0.0) * apart, (self.carried or 0.0) * since, astray)
        return shared**2 + max(self.away, rough)

    def _further_astray(self, year: int) -> float:
        """Return what a year outside those predicted is astray: as much a year as the last one."""
        if not self.astray:
            return 0.0
        last = year > self.first
        edge = self.first + len(self.astray) - 1 if last else self.first
        apart = self.distances(edge)[0]
        return self.astray[-1 if last else 0] * self.distances(year)[0] / max(apart, 1)

    def variance(self, year: int) -> float:
        """Return the variance in a year, in variances of the spread."""
        return self.sampled + self.excess(year)

    def distances(self, year: int) -> tuple[int, int]:
        """Return the years to the nearest sampled year, and since the last one before.

        Before the first both are the years until it.
        """
        if not self.years:
            return 0, 0
        nearest = min(abs(year - known) for known in self.years)
        before = [known for known in self.years if known <= year]
        return nearest, year - before[-1] if before else nearest


def fit_course(
    held: HeldOut,
    pairs: Pairs,
    hidden: Sequence[HiddenDate],
    carried: Sequence[HiddenDate],
    spread: Spread,
) -> Course:
    """Return errors of the course from sites not seen and from dates not seen.

    What the mean residual of a year differs from that of the other years by is error of the mean
    course; what all years have in common is not. What single sites are off by at hidden dates,
    beyond what they are off by at dates that were seen, is the cells' own error.
    """
    known = held.known
    counts = known.sum(axis=0)
    sampled = np.flatnonzero(counts)
    scores = (held.stock - held.mean) / _size(held.mean, spread)
    means = np.array([block_mean(scores[:, y], held.block) for y in sampled])
    share = counts[sampled] / counts.sum()
    between = np.sum(share * (means - np.sum(share * means)) ** 2) / max(1 - np.sum(share**2), 1e-9)
    main = sampled[counts[sampled] >= counts[sampled].mean() / 2]
    off, carried_off = ([_course_error(d, spread) for d in dates] for dates in (hidden, carried))
    usual = (
        block_mean(
            (pairs.change / _size((pairs.earlier + pairs.later) / 2, spread)) ** 2, pairs.block
        )
        if len(pairs)
        else block_mean(scores[known] ** 2, held.block[np.nonzero(known)[0]])
    )
    own = [
        _mean_square(date, spread, paired=len(pairs) > 0) - usual - (rate * date.since) ** 2
        for date, rate in zip(hidden, off, strict=True)
    ]
    return Course(
        sampled=float(between),
        away=max(float(np.mean(own)), 0.0) if own else 0.0,
        rate=_root_mean_square(off),
        carried=_root_mean_square(carried_off),
        years=tuple(int(held.years[y]) for y in main),
        first=int(held.years[0]),
        rough=tuple(_roughness(held, spread)),
        astray=tuple(_astray(held, pairs, main, spread)),
    )


def _astray(held: HeldOut, pairs: Pairs, main: Ints, spread: Spread) -> list[float]:
    """Return what the mean prediction departs from the observed change by beyond sampled years."""
    if len(pairs) == 0:
        return [0.0] * len(held.years)
    gained = pairs.change + pairs.later - pairs.earlier
    size = _size((pairs.earlier + pairs.later) / 2, spread)
    trend = block_mean(gained / size / pairs.lag, pairs.block)
    first, last = int(main[0]), int(main[-1])
    found = []
    for year in range(len(held.years)):
        edge = min(max(year, first), last)
        moved = (held.mean[:, year] - held.mean[:, edge]) / _size(held.mean[:, edge], spread)
        found.append(abs(block_mean(moved, held.block) - trend * (year - edge)))
    return found


def _root_mean_square(values: Sequence[float]) -> float | None:
    return float(np.sqrt(np.mean(np.square(values)))) if values else None


def _roughness(held: HeldOut, spread: Spread) -> list[float]:
    """Return the mean square of predictions about each site's straight line, by year."""
    known = np.isfinite(held.mean)
    some = known.sum(axis=1) > 2
    weight, mean = known[some], np.where(known, held.mean, 0.0)[some]
    t = weight * (held.years - held.years.mean())
    n = weight.sum(axis=1, keepdims=True)
    middle = t.sum(axis=1, keepdims=True) / n
    about = weight * (held.years - held.years.mean() - middle)
    level = mean.sum(axis=1, keepdims=True) / n
    slope = (about * mean).sum(axis=1, keepdims=True) / (about**2).sum(axis=1, keepdims=True)
    off = np.where(weight, (mean - level - slope * about) / _size(held.mean[some], spread), np.nan)
    return [block_mean(off[:, y] ** 2, held.block[some]) for y in range(len(held.years))]


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
