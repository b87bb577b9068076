"""How unlike its training places a prediction is: the dissimilarity index and its threshold.

Meyer & Pebesma 2021 (*Methods Ecol. Evol.* 12, 1620-1633): covariates are standardised by the
training places and multiplied by their importance, those below 0 counting as 0. The dissimilarity
index DI of a place is its distance to the nearest training place over the mean distance of all
pairs of training places. That of a training place is taken to places of other folds of
cross-validation. What lies within min(Q75 + 1.5 IQR, maximum) of the training places' own DI is
inside the area of applicability.

Two things the paper leaves open are settled so that each covariate adds to the mean squared
distance of two training places what its importance says, however it is measured:

* Classes have no order. Two places that differ in class are apart by
  ``2 w² / (1 - sum of squared shares)``, squared, which two training places are on average by
  ``2 w²``, as they are in a standardised amount. A class that no training place has differs from
  all.
* A missing amount is never taken for an average one: missing and known are apart by
  ``w² (1 + z²)``, squared, z being the known one standardised, which is ``2 w²`` on average;
  missing and missing are alike. A missing class is one more class.

A covariate that is the same at all training places has no scale and does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .nearest import Codes, Floats, NearestTree, build_tree, nearest

#: Places whose pairs are all measured; of more, so many are drawn.
MOST_PLACES = 10_000


@dataclass(frozen=True)
class CovariateSpace:
    """How covariates become amounts and classes between which distances are measured.

    Parameters
    ----------
    amounts
        Columns that are amounts, and vary.
    mean, scale
        Of each: ``(value - mean) * scale`` has the covariate's weight as standard deviation.
    gaps
        Those of `amounts`, by position, that some training places lack.
    classes
        Columns that are classes, and vary.
    legends
        The classes that training places have, ascending, for each; NaN at the end for a gap.
    penalties
        Added to the squared distance where a class differs, then where one of `gaps` is a gap at
        one place alone.
    """

    amounts: tuple[int, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    gaps: tuple[int, ...]
    classes: tuple[int, ...]
    legends: tuple[tuple[float, ...], ...]
    penalties: tuple[float, ...]

    @classmethod
    def of(
        cls, places: Floats, weights: Sequence[float], classes: Sequence[int] = ()
    ) -> CovariateSpace:
        """Return the space that training places span.

        Parameters
        ----------
        places
            Covariates of distinct training places, missing as NaN, ``(n, columns)``.
        weights
            Importance of each column; below 0 counts as 0.
        classes
            Columns that hold class codes.
        """
        amounts: list[int] = []
        mean, scale, weight = [], [], []
        gaps: list[int] = []
        kinds, legends, differ = [], [], []
        for j, importance in enumerate(weights):
            w, values = max(float(importance), 0.0), places[:, j].astype(np.float64)
            if j in set(classes):
                legend, counts = np.unique(values, return_counts=True)
                diversity = 1 - float(((counts / counts.sum()) ** 2).sum())
                if w > 0 and len(legend) > 1:
                    kinds.append(j)
                    legends.append(tuple(legend.tolist()))
                    differ.append(2 * w**2 / diversity)
                continue
            known = values[~np.isnan(values)]
            spread = float(known.std()) if len(known) else 0.0
            if w > 0 and spread > 0:
                if len(known) < len(values):
                    gaps.append(len(amounts))
                amounts.append(j)
                mean.append(float(known.mean()))
                scale.append(w / spread)
                weight.append(w)
        penalties = [*differ, *(weight[i] ** 2 for i in gaps)]
        return cls(
            tuple(amounts), tuple(mean), tuple(scale), tuple(weight), tuple(gaps), tuple(kinds),
            tuple(legends), tuple(penalties),
        )  # fmt: skip

    def place(self, columns: Floats) -> tuple[Floats, Codes, Floats]:
        """Return amounts, classes and what is to be added to squared distances.

        Parameters
        ----------
        columns
            Covariates, missing as NaN, ``(columns, n)``.

        Returns
        -------
        amounts, classes, extra
            ``(amounts, n)``, ``(classes and gaps, n)``, ``(n,)``.
        """
        n = columns.shape[1]
        amounts = np.empty((len(self.amounts), n), np.float32)
        codes = np.empty((len(self.penalties), n), np.int32)
        extra = np.zeros(n, np.float32)
        for i, j in enumerate(self.amounts):
            values = (columns[j].astype(np.float64) - self.mean[i]) * self.scale[i]
            gap = np.isnan(values)
            values[gap] = 0.0
            amounts[i] = values
            if i in self.gaps:
                codes[len(self.classes) + self.gaps.index(i)] = gap
            else:
                extra[gap] += np.float32(self.weight[i] ** 2)
        for i, j in enumerate(self.classes):
            codes[i] = _codes(columns[j].astype(np.float64), np.array(self.legends[i]))
        return amounts, codes, extra

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``; a gap in a legend becomes None."""
        told = dict(vars(self))
        told["legends"] = [[None if np.isnan(v) else v for v in one] for one in self.legends]
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        plain = {name: tuple(told[name]) for name in cls.__dataclass_fields__ if name != "legends"}
        legends = tuple(
            tuple(np.nan if v is None else float(v) for v in one) for one in told["legends"]
        )
        return cls(**plain, legends=legends)


def _codes(values: NDArray[np.float64], legend: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the position of each class in the legend, its length for one that is not there."""
    known = legend[~np.isnan(legend)]
    at = np.searchsorted(known, values)
    there = (at < len(known)) & (known[np.minimum(at, len(known) - 1)] == values)
    codes = np.where(there, at, len(legend))
    if len(known) < len(legend):
        codes[np.isnan(values)] = len(known)
    return codes


def plant(space: CovariateSpace, places: Floats) -> NearestTree:
    """Return the tree of training places, ``(n, columns)``."""
    amounts, codes, _ = space.place(np.ascontiguousarray(places.T))
    return build_tree(
        np.ascontiguousarray(amounts.T), np.ascontiguousarray(codes.T), space.penalties
    )


def distances(space: CovariateSpace, tree: NearestTree, columns: Floats) -> Floats:
    """Return the distance to the nearest place of a tree, ``(n,)``, of covariates by column."""
    return nearest(tree, *space.place(columns))


def distances_to_other_folds(
    space: CovariateSpace, places: Floats, folds: NDArray[np.int64]
) -> Floats:
    """Return each training place's distance to the nearest one of another fold, ``(n,)``."""
    found = np.full(len(places), np.nan, np.float32)
    for fold in np.unique(folds):
        own = folds == fold
        tree = plant(space, places[~own])
        found[own] = distances(space, tree, np.ascontiguousarray(places[own].T))
    return found


def mean_distance(space: CovariateSpace, places: Floats, seed: int = 0) -> float:
    """Return the mean distance of all pairs of places.

    Of more than :data:`MOST_PLACES` so many are drawn; the error is then below 1 % or so.
    """
    n = len(places)
    if n > MOST_PLACES:
        drawn = np.random.default_rng(np.random.SeedSequence([seed, n])).permutation(n)
        places = places[np.sort(drawn[:MOST_PLACES])]
    amounts, codes, _ = space.place(np.ascontiguousarray(places.T))
    penalties = np.array(space.penalties, np.float32)
    return float(_mean_distance(amounts, codes, penalties))


def threshold_of(dissimilarity: NDArray[np.float64]) -> float:
    """Return the largest dissimilarity that is inside, by that of training places."""
    low, high = np.quantile(dissimilarity, [0.25, 0.75])
    return float(min(high + 1.5 * (high - low), dissimilarity.max()))


@kernel()
def _mean_distance(amounts: Floats, codes: Codes, penalties: Floats) -> float:
    n, total = amounts.shape[1], 0.0
    sums = np.empty(n, np.float32)
    for i in range(n - 1):
        sums[i + 1 :] = 0.0
        for j in range(len(amounts)):
            at = amounts[j, i]
            for k in range(i + 1, n):
                gap = amounts[j, k] - at
                sums[k] += gap * gap
        for j in range(len(codes)):
            for k in range(i + 1, n):
                sums[k] += penalties[j] if codes[j, k] != codes[j, i] else np.float32(0.0)
        for k in range(i + 1, n):
            total += np.sqrt(sums[k])
    return total / (n * (n - 1) / 2)
