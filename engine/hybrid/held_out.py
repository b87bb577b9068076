"""Predictions at sites and in years that a model had not seen, beside what was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.ensemble import between_variance

from .site_years import Floats

Ints = NDArray[np.int64]


def block_weights(block: Ints) -> Floats:
    """Return weights ``(n,)`` that add up to 1, and to the same in each block."""
    _, codes, counts = np.unique(block, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[codes] * len(counts)))


def block_mean(values: Floats, block: Ints) -> float:
    """Return the mean over blocks of `values` ``(n,)`` but for NaN; 0 where nothing is known."""
    known = np.isfinite(values)
    if not known.any():
        return 0.0
    return float(np.sum(block_weights(block[known]) * values[known]))


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions at S sites that the model had not seen, in Y years, beside observations.

    Parameters
    ----------
    years
        ``(Y,)``.
    stock, mean
        Observed (NaN where not) and predicted, ``(S, Y)`` kg/m².
    block
        Spatial block of each site, ``(S,)``.
    parts
        Predictions of the members' parts, ``(M, P, S, Y)``; None where there are no members: the
        residuals then have to tell all.
    """

    years: Ints
    stock: Floats
    mean: Floats
    block: Ints
    parts: Floats | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a residual, ``(S, Y)``."""
        return np.isfinite(self.stock) & np.isfinite(self.mean)

    def variance(self) -> Floats:
        """Return the variance between members, ``(S, Y)``."""
        return _between(self.parts, self.mean.shape)

    def change_variance(self, earlier: int, later: int) -> Floats:
        """Return the variance of the difference between two years, by position, ``(S,)``."""
        parts = self.parts
        difference = None if parts is None else parts[..., later] - parts[..., earlier]
        return _between(difference, self.block.shape)


def _between(parts: Floats | None, shape: tuple[int, ...]) -> Floats:
    return np.zeros(shape) if parts is None else np.nan_to_num(between_variance(parts))


@dataclass(frozen=True, eq=False)
class HiddenDate:
    """A date that was hidden from training, as predicted at sites that were hidden, too.

    Parameters
    ----------
    year
        The hidden year.
    since
        Years to the nearest year that was seen, or since the one a process was carried on from, on
        average over sites.
    stock, mean
        Observed (NaN where not) and predicted at the hidden date, ``(S,)`` kg/m².
    rest
        Residual of the same sites at dates that were not hidden, on average; NaN where there is
        none. What a model is off by at all dates is no error of its course.
    block
        Spatial block of each site, ``(S,)``.
    """

    year: int
    since: float
    stock: Floats
    mean: Floats
    rest: Floats
    block: Ints


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of dates of single sites, each array ``(n,)``.

    Parameters
    ----------
    years
        Earlier and later year, ``(2, n)``.
    earlier, later
        Predicted stock at either date, kg/m².
    change
        Residual at the later date minus that at the earlier, kg/m².
    member_variance
        Variance between members of the predicted difference.
    block
        Spatial block of the site.
    """

    years: Ints
    earlier: Floats
    later: Floats
    change: Floats
    member_variance: Floats
    block: Ints

    def __len__(self) -> int:
        return len(self.change)

    @property
    def lag(self) -> Floats:
        """Years between the dates."""
        return np.asarray(self.years[1] - self.years[0], np.float64)


def pairs_of(held: HeldOut) -> Pairs:
    """Return all pairs of dates of all sites, ordered by the years."""
    residual, known = held.stock - held.mean, held.known
    sampled = np.flatnonzero(known.any(axis=0))
    spans = [(a, b) for place, a in enumerate(sampled) for b in sampled[place + 1 :]]
    none = np.empty(0)
    found = [Pairs(np.empty((2, 0), np.int64), none, none, none, none, np.empty(0, np.int64))]
    for a, b in spans:
        both = np.flatnonzero(known[:, a] & known[:, b])
        if len(both):
            found.append(
                Pairs(
                    years=np.repeat(held.years[[a, b]][:, None], len(both), axis=1),
                    earlier=held.mean[both, a],
                    later=held.mean[both, b],
                    change=residual[both, b] - residual[both, a],
                    member_variance=held.change_variance(int(a), int(b))[both],
                    block=held.block[both],
                )
            )
    return Pairs(
        **{
            name: np.concatenate([getattr(part, name) for part in found], axis=-1)
            for name in ("years", "earlier", "later", "change", "member_variance", "block")
        }
    )
