"""Observed and predicted values by level: how far predictions draw towards the middle.

Predictions of a mean vary less than what is observed: high values are predicted too low, low ones
too high, and few are predicted at the ends at all. A table by level of carbon shows both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .scoring import Floats

#: Lower bounds of levels of organic carbon, g/kg; the last has no upper one.
SOC_LEVELS: tuple[float, ...] = (0, 5, 10, 20, 40, 80)
#: What the rows of observations are called in a table of levels.
OBSERVED = "observed"
#: Quantiles of each level, with their columns.
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
COLUMNS = ("model", "level", "share", "n", *QUANTILES)


def level_bounds(observed: Floats, quantity: str) -> tuple[float, ...]:
    """Return lower bounds of levels: :data:`SOC_LEVELS`, or six of another quantity.

    Those hold about as many observations each; their bounds are rounded to two digits.
    """
    if quantity == "soc":
        return SOC_LEVELS
    known = observed[np.isfinite(observed)]
    if not len(known):
        return ()
    cuts = np.quantile(known, np.arange(1, 6) / 6)
    lowest = min(0.0, float(known.min()))
    return tuple(sorted({lowest, *(float(f"{cut:.2g}") for cut in cuts)}))


def level_names(bounds: Sequence[float]) -> tuple[str, ...]:
    """Return what levels are called.

    >>> level_names((0, 5, 10.5))
    ('0-5', '5-10.5', '10.5+')
    """
    upper = [f"-{b:g}" for b in bounds[1:]] + ["+"]
    return tuple(f"{low:g}{high}" for low, high in zip(bounds, upper, strict=True))


def level_table(
    observed: Floats, predicted: Mapping[str, Floats], bounds: Sequence[float]
) -> pd.DataFrame:
    """Return how values lie over levels, of observations and of each model.

    Parameters
    ----------
    observed
        Observed values, ``(n,)``.
    predicted
        Out-of-fold predictions by model, ``(n,)``; rows that one lacks are left out for all.
    bounds
        Lower bounds of levels, ascending; values below the first are in the first.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`, for each model (:data:`OBSERVED` first) and level: the `share` of its
        values that lie in the level, and over the `n` rows that were *observed* in it quantiles of
        its values, NaN without rows.
    """
    use = np.isfinite(observed)
    for values in predicted.values():
        use &= np.isfinite(values)
    names = level_names(bounds)
    of_row = _levels(observed[use], bounds)
    rows = []
    for model, values in {OBSERVED: observed, **predicted}.items():
        own = values[use]
        share = np.bincount(_levels(own, bounds), minlength=len(names)) / max(len(own), 1)
        for level, name in enumerate(names):
            there = own[of_row == level]
            spread = (
                np.quantile(there, list(QUANTILES.values()))
                if len(there)
                else np.full(len(QUANTILES), np.nan)
            )
            rows.append((model, name, share[level], len(there), *spread))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _levels(values: Floats, bounds: Sequence[float]) -> np.ndarray:
    return np.maximum(np.searchsorted(bounds, values, side="right") - 1, 0)
