"""Tables of an assessment: predictions, scores, and what differs between splits and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..models.protocol import DISSIMILARITY
from .crossval import DEPTH_ONLY, FULL
from .scoring import DIFFERENCE_COLUMNS, Predictions, Scored, difference_table, metric_table
from .splits import Split

#: Scores whose differences (gain over depth, flattery of a split) are reported.
COMPARED: tuple[str, ...] = (
    "R2",
    "R2_log1p",
    "R2_log1p_mean",
    "CCC",
    "RMSE",
    "MAE",
    "PICP",
    "IS",
    "CRPS",
)

Scores = Mapping[tuple[str, str], Scored]


def prediction_table(
    predicted: Mapping[tuple[str, str], Predictions], splits: Sequence[Split]
) -> pd.DataFrame:
    """Return out-of-fold predictions, as ``Assessment.predictions`` holds them."""
    by_name = {split.name: split for split in splits}
    tables = [
        pd.DataFrame(
            {
                "split": name,
                "model": arm,
                "row": np.arange(len(p.mean)),
                "fold": by_name[name].folds,
                "block": by_name[name].blocks,
                "mean": p.mean,
                "lower": p.lower,
                "centre": p.centre,
                "upper": p.upper,
                DISSIMILARITY: p.beside[DISSIMILARITY],
            }
        )
        for (arm, name), p in predicted.items()
    ]
    return pd.concat(tables, ignore_index=True)


def metrics_table(scored: Scores) -> pd.DataFrame:
    """Return the scores of every model and split."""
    tables = []
    for (arm, split), scores in scored.items():
        table = metric_table(scores)
        table.insert(0, "split", split)
        table.insert(1, "model", arm)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def gain_table(scored: Scores) -> pd.DataFrame:
    """Compare the full model with the depth model in each split that has one."""
    tables = [
        _difference(scored[FULL, split], scores, split=split)
        for (arm, split), scores in scored.items()
        if arm == DEPTH_ONLY
    ]
    return _concat(tables, ["split"])


def flattery_table(scored: Scores, splits: Sequence[Split]) -> pd.DataFrame:
    """Compare every other split with the block split: what closeness to training rows flatters."""
    names = [split.name for split in splits]
    if "block" not in names:
        return _concat([], ["split", "against"])
    tables = [
        _difference(scored[FULL, name], scored[FULL, "block"], split=name, against="block")
        for name in names
        if name != "block"
    ]
    return _concat(tables, ["split", "against"])


def _difference(scored: Scored, other: Scored, **names: str) -> pd.DataFrame:
    # Terciles are cut from each model's own predictions: not the same rows on both sides.
    table = difference_table(scored, other, COMPARED, leave_out=("prediction_tercile",))
    for position, (column, name) in enumerate(names.items()):
        table.insert(position, column, name)
    return table


def _concat(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    if tables:
        return pd.concat(tables, ignore_index=True)
    return pd.DataFrame(columns=[*names, *DIFFERENCE_COLUMNS])
