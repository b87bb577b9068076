"""Choosing a forest's settings by cross-validation within the rows that it learns from.

Folds are of whole locations, so that no layer of a profile helps to predict another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..samples import Samples
from .forest import ForestModel

#: What is tried: rows in a leaf, features at a split.
LEAVES: tuple[int, ...] = (1, 3, 5, 10)
SHARES: tuple[float, ...] = (0.2, 1 / 3, 0.5)
#: Trees of each trial, at most.
TRIAL_TREES = 100
FOLDS = 5


@dataclass(frozen=True)
class Tuned:
    """What was chosen, by which error.

    Parameters
    ----------
    settings
        ``min_samples_leaf`` and ``max_features`` of the least error.
    rmse
        Out of fold, in what the trees learn, by ``"leaf, share"``.
    rows, locations
        That decided.
    """

    settings: Mapping[str, Any]
    rmse: Mapping[str, float]
    rows: int
    locations: int

    def to_text(self) -> str:
        """Return the choice in a sentence."""
        return (
            f"Leaves of {self.settings['min_samples_leaf']} rows and a share of "
            f"{self.settings['max_features']:.2f} of the features at each split had the least "
            f"error of {len(self.rmse)} settings in {FOLDS} folds of {self.locations:,} locations."
        )


def tune_forest(forest: ForestModel, samples: Samples, seed: int = 0) -> Tuned:
    """Return the settings of the least error out of fold.

    Raises
    ------
    InputError
        There are fewer locations than folds.
    """
    from ..assess.splits import location_codes, make_split  # which knows of models

    split = make_split(samples, "profile", folds=FOLDS, seed=seed)
    errors: dict[str, float] = {}
    best: tuple[float, dict[str, Any]] | None = None
    for leaf in LEAVES:
        for share in SHARES:
            trial = replace(
                forest,
                min_samples_leaf=leaf,
                max_features=share,
                trees=min(forest.trees, TRIAL_TREES),
                quantiles=(),
            )
            squares = 0.0
            for fold in range(FOLDS):
                held_out = split.held_out(fold)
                test = samples.take(held_out)
                fitted = replace(trial).fit(samples.take(~held_out))
                said = fitted.predict_rows(test)[f"{samples.target[0]}_mean"]
                squares += float(np.sum((said - test.y) ** 2))
            rmse = float(np.sqrt(squares / len(samples)))
            errors[f"{leaf}, {share:.2f}"] = rmse
            if best is None or rmse < best[0]:
                best = rmse, {"min_samples_leaf": leaf, "max_features": share}
    assert best is not None  # something is tried
    locations = len(np.unique(location_codes(samples)))
    return Tuned(best[1], errors, len(samples), locations)
