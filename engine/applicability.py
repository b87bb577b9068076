"""Area of applicability: where a map's covariates are like those of the places it learned from.

What a model learned holds for places like its training places. Here each model gets the
dissimilarity index of Meyer & Pebesma 2021 (``kernels/applicability.py``), learned from the rows it
is fitted to and from no others: distances in covariates, weighted by the model's importance of
each, and a threshold from distances between spatial blocks. Depth is no covariate of it: all
depths of a cell are predicted from the same covariates, and what a cell lacks is a place like it,
not a depth. What is told is the index over its threshold, so that above 1 is outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.applicability import (
    CovariateSpace,
    distances,
    distances_to_other_folds,
    mean_distance,
    plant,
    threshold_of,
)
from edaphos.kernels.nearest import NearestTree

from .assess.splits import inner_split
from .errors import InputError
from .models.columns import Feature, column_name, resolve_feature
from .samples import Samples

#: What a map's metadata say of it.
APPLICABILITY = (
    "The area of applicability (Meyer & Pebesma 2021) is where the dissimilarity of covariates to "
    "the training places, over a threshold learned between spatial blocks of them, is at most 1. "
    "Outside, errors and coverage told by cross-validation are not known to hold."
)


@dataclass(frozen=True)
class ApplicabilitySpec:
    """How an area of applicability is learned.

    Parameters
    ----------
    importance
        Weights of the covariates: those that the ``model`` tells by ``importance()``, or ``equal``
        ones; of a monthly variable its months share one. A model that tells none takes equal ones.
    folds, block_deg, seed
        Folds by spatial block, between which training places' own dissimilarity is taken; blocks
        are halved until there are enough.
    """

    importance: Literal["model", "equal"] = "model"
    folds: int = 5
    block_deg: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class Area:
    """The area of applicability of one fitted model.

    Parameters
    ----------
    features
        The covariates it looks at.
    space
        What distances are taken in.
    places
        Covariates of distinct training places, ``(n, features)``.
    mean_distance, threshold
        The index is the distance to the nearest place over the first; inside up to the second.
    weighted
        Whether weights are a model's importance.
    """

    features: tuple[Feature, ...]
    space: CovariateSpace
    places: NDArray[np.float32]
    mean_distance: float
    threshold: float
    weighted: bool

    @cached_property
    def tree(self) -> NearestTree:
        """The training places, for finding the nearest one."""
        return plant(self.space, self.places)

    def dissimilarity(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the index over its threshold, ``(n,)``, above 1 outside.

        Parameters
        ----------
        columns
            The features of cells or rows, missing as NaN, ``(features, n)``.
        """
        found = distances(self.space, self.tree, columns).astype(np.float64)
        return (found / (self.mean_distance * self.threshold)).astype(np.float32)

    def of_rows(self, samples: Samples) -> NDArray[np.float32]:
        """Return the index over its threshold of each row, ``(n,)``."""
        return self.dissimilarity(np.ascontiguousarray(_matrix(samples, self.features).T))

    @property
    def nbytes(self) -> int:
        """Bytes of the places and their tree."""
        return self.places.nbytes + self.tree.nbytes

    def save(self, folder: Path) -> None:
        """Write ``applicability.json`` and the places beside a model's own files."""
        told = {
            "schema": 1,
            "features": self.features,
            "space": self.space.to_json(),
            "mean_distance": self.mean_distance,
            "threshold": self.threshold,
            "weighted": self.weighted,
        }
        np.save(folder / _PLACES, self.places)
        (folder / FILE).write_text(json.dumps(told, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        told: Mapping[str, Any] = json.loads((folder / FILE).read_text())
        return cls(
            tuple((str(name), month) for name, month in told["features"]),
            CovariateSpace.from_json(told["space"]),
            np.load(folder / _PLACES),
            float(told["mean_distance"]),
            float(told["threshold"]),
            bool(told["weighted"]),
        )


#: Where a saved model has its area; without the file it has none.
FILE = "applicability.json"
_PLACES = "applicability_places.npy"


def learn_area(
    samples: Samples,
    variables: Sequence[str],
    importance: Mapping[str, float] | None,
    spec: ApplicabilitySpec,
) -> Area:
    """Learn an area of applicability from the rows that a model was fitted to.

    Parameters
    ----------
    samples
        The training rows, and no others.
    variables
        Cube variables that the model reads.
    importance
        Weight of each feature column; None for equal weights.
    spec
        How.

    Raises
    ------
    InputError
        If the model reads no covariate, training places do not differ, or they are too few.
    """
    features = tuple(f for name in variables for f in resolve_feature(name, samples))
    weights = _weights(features, importance)
    rows, folds = _matrix(samples, features), _folds(samples, spec)
    places, of_fold = _distinct(rows, folds)
    classes = [j for j, one in enumerate(features) if column_name(*one) in samples.classes]
    space = CovariateSpace.of(places, weights, classes)
    if not space.amounts and not space.classes:
        raise InputError(
            "no area of applicability: training places do not differ in any covariate that the "
            "model takes for important; leave out the table [applicability]"
        )
    mean = mean_distance(space, places, spec.seed)
    between = distances_to_other_folds(space, places, of_fold).astype(np.float64) / mean
    threshold = threshold_of(between)
    if not threshold > 0:
        raise InputError(
            "no area of applicability: each training place has one with the same covariates in "
            "another spatial block; take more covariates, or leave out the table [applicability]"
        )
    return Area(features, space, places, mean, threshold, importance is not None)


def _matrix(samples: Samples, features: Sequence[Feature]) -> NDArray[np.float32]:
    return samples.matrix(tuple(column_name(*one) for one in features))


def _weights(features: Sequence[Feature], importance: Mapping[str, float] | None) -> list[float]:
    if importance is None:
        return [1.0 if month is None else 12**-0.5 for _, month in features]
    return [float(importance.get(column_name(*one), 0.0)) for one in features]


def _folds(samples: Samples, spec: ApplicabilitySpec) -> NDArray[np.int64]:
    split = inner_split(
        samples, folds=spec.folds, seed=spec.seed, block_deg=spec.block_deg, least=spec.folds
    )
    return split.folds


def _distinct(
    rows: NDArray[np.float32], folds: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return each set of covariates of a fold once: layers of a profile share theirs."""
    both = np.column_stack([rows.astype(np.float64), folds])
    both[np.isnan(both)] = np.inf  # to NumPy, no two missing values are alike
    kept = np.unique(both, axis=0)
    kept[np.isinf(kept)] = np.nan
    return kept[:, :-1].astype(np.float32), kept[:, -1].astype(np.int64)
