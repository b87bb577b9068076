"""Scores of the arms of the beta benchmark, and paired differences with intervals over blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

#: Columns of predictions that are no arm.
KEYS = ("profile", "seed", "block", "ecosystem", "organic", "observed")
#: Which profiles: all, those that are not organic, and by ecosystem of those.
GROUPS = ("mineral soils", "all soils", "cropland", "grassland", "forest")


def arms_of(table: pd.DataFrame) -> list[str]:
    """Return the arms of a table of predictions."""
    return [name for name in table.columns if name not in KEYS]


def group(table: pd.DataFrame, name: str, ecosystems: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows of a group; ecosystems are of mineral soils."""
    if name == "all soils":
        return table
    mineral = table[~table["organic"]]
    if name == "mineral soils":
        return mineral
    return mineral[mineral["ecosystem"] == ecosystems.index(name)]


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return MAE, RMSE, bias, R² and R² of log(1 + stock) of each arm, over all seeds."""
    observed = table["observed"].to_numpy()
    rows = []
    for arm in arms_of(table):
        said = table[arm].to_numpy()
        error = said - observed
        logs = np.log1p(said) - np.log1p(observed)
        rows.append(
            {
                "arm": arm,
                "n": table["profile"].nunique(),
                "MAE": np.abs(error).mean(),
                "RMSE": np.sqrt((error**2).mean()),
                "ME": error.mean(),
                "R2": 1 - (error**2).sum() / ((observed - observed.mean()) ** 2).sum(),
                "R2log": 1
                - (logs**2).sum() / ((np.log1p(observed) - np.log1p(observed).mean()) ** 2).sum(),
            }
        )
    return pd.DataFrame(rows).sort_values("MAE", ignore_index=True)


def contrast(
    table: pd.DataFrame, ours: str, theirs: str, replicates: int
) -> dict[str, tuple[float, float, float]]:
    """Return by how many per cent MAE and RMSE differ, with 95 % intervals.

    Paired by profile and seed; whole blocks are drawn again.
    """
    observed = table["observed"].to_numpy()
    block = np.unique(table["block"], return_inverse=True)[1]
    found = {}
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(
        block.max() + 1, np.full(block.max() + 1, 1 / (block.max() + 1)), replicates
    )
    for name, power in (("MAE", 1), ("RMSE", 2)):
        sums = [
            np.bincount(block, np.abs(table[arm].to_numpy() - observed) ** power)
            for arm in (ours, theirs)
        ]
        left, right = (drawn @ s for s in sums)
        ratios = (left / right) ** (1 / power)
        value = (sums[0].sum() / sums[1].sum()) ** (1 / power)
        low, high = np.quantile(ratios, (0.025, 0.975))
        found[name] = (100 * (value - 1), 100 * (low - 1), 100 * (high - 1))
    return found


def contrasts(
    table: pd.DataFrame, plan: Mapping[str, Any], ecosystems: tuple[str, ...]
) -> pd.DataFrame:
    """Return all contrasts of the plan in all groups."""
    rows = []
    for name, (ours, theirs) in plan["contrasts"].items():
        for which in GROUPS:
            part = group(table, which, ecosystems)
            for score, told in contrast(part, ours, theirs, plan["bootstrap"]).items():
                rows.append({"contrast": name, "group": which, "score": score, "told": told})
    return pd.DataFrame(rows)
