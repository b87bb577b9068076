"""Scores of the benchmark of transfer over depths, from sums by spatial block.

A record holds, for each depth and block, sums over the rows that were held out there. Sums add up
over splits, first weights and depths; an interval comes from drawing whole blocks anew, the same
draws for all arms, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Sums of a record: rows, observed, predicted, their products, errors; and of log(1 + value).
SUMS = ("n", "o", "p", "oo", "pp", "op", "ae", "se", "lo", "loo", "lse")
KEYS = ("arm", "split", "init", "share", "thinned", "depth", "block")
SCORES = ("RMSE", "MAE", "R2", "r", "KGE", "R2_log1p")
DRAWS = 2000
POOLED = "all"


def sums_of(
    observed: Floats, predicted: Floats, depth: NDArray[np.int64], block: NDArray[np.int64]
) -> pd.DataFrame:
    """Return the sums for each depth and block, rows without a prediction left out."""
    fine = np.isfinite(predicted)
    o, p = observed[fine], predicted[fine]
    log_o, log_p = np.log1p(o), np.log1p(np.maximum(p, 0))
    columns = (
        np.ones(len(o)), o, p, o * o, p * p, o * p, np.abs(p - o), (p - o) ** 2,
        log_o, log_o**2, (log_p - log_o) ** 2,
    )  # fmt: skip
    table = pd.DataFrame(dict(zip(SUMS, columns, strict=True)))
    table["depth"], table["block"] = depth[fine], block[fine]
    return table.groupby(["depth", "block"], as_index=False).sum()


def scores(sums: Floats) -> dict[str, Floats]:
    """Return each score of sums ``(..., len(SUMS))``; KGE as Gupta et al. 2009 have it."""
    n, *rest = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        o, p, oo, pp, op, ae, se, lo, loo, lse = (column / n for column in rest)
        var_o, var_p = oo - o**2, pp - p**2
        r = (op - o * p) / np.sqrt(var_o * var_p)
        kge = 1 - np.sqrt((r - 1) ** 2 + (np.sqrt(var_p / var_o) - 1) ** 2 + (p / o - 1) ** 2)
        return {
            "RMSE": np.sqrt(se),
            "MAE": ae,
            "R2": 1 - se / var_o,
            "r": r,
            "KGE": kge,
            "R2_log1p": 1 - lse / (loo - lo**2),
        }


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


class Scored:
    """All records of a plan, scored by arm and depth over shared draws of blocks."""

    def __init__(self, records: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> None:
        self.records = records
        self.blocks = np.unique(records["block"])
        rng = np.random.default_rng(seed)
        size = len(self.blocks)
        self.counts = rng.multinomial(size, np.full(size, 1 / size), size=draws).astype(float)

    def select(self, arm: str, depth: str | int = POOLED, **where: object) -> Floats | None:
        """Return sums by block, ``(blocks, len(SUMS))``, of an arm at a depth; None without any.

        First weights are averaged, so that an arm with three does not count three times.
        """
        own = self.records[self.records["arm"] == arm]
        if depth != POOLED:
            own = own[own["depth"] == depth]
        for name, wanted in where.items():
            own = own[own[name].isin(wanted if isinstance(wanted, Sequence) else [wanted])]
        if not len(own):
            return None
        inits = own.groupby("split")["init"].transform("nunique").to_numpy(float)
        weighted = own[list(SUMS)].to_numpy(float) / inits[:, None]
        at = np.searchsorted(self.blocks, own["block"])
        by_block = np.zeros((len(self.blocks), len(SUMS)))
        np.add.at(by_block, at, weighted)
        return by_block

    def pair(
        self, plan: Mapping[str, Any], arms: Sequence[str], splits: list[int], depth: str | int
    ) -> tuple[Floats, Floats] | None:
        """Return the sums of two arms over the same rows; None unless both have some.

        Of an arm and the mean that it is part of, only first weights that both have.
        """
        parts = {arm["name"]: arm.get("mean_of", ()) for arm in plan["arm"]}
        where: dict[str, object] = {"split": splits}
        if arms[0] in parts[arms[1]] or arms[1] in parts[arms[0]]:
            held = [set(self.records.loc[self.records["arm"] == arm, "init"]) for arm in arms]
            where["init"] = sorted(set.intersection(*held))
        left, right = (self.select(arm, depth, **where) for arm in arms)
        return None if left is None or right is None else (left, right)

    def estimates(self, by_block: Floats) -> Mapping[str, Estimate]:
        """Return each score with its interval."""
        point = scores(by_block.sum(axis=0))
        drawn = scores(self.counts @ by_block)
        return {name: _estimate(float(point[name]), drawn[name]) for name in SCORES}

    def change(self, ours: Floats, theirs: Floats, score: str = "RMSE") -> Estimate:
        """Return by how many per cent a score of ours differs from theirs, paired by block."""
        point, other = scores(ours.sum(axis=0))[score], scores(theirs.sum(axis=0))[score]
        drawn = scores(self.counts @ ours)[score] / scores(self.counts @ theirs)[score]
        return _estimate(float(100 * (point / other - 1)), 100 * (drawn - 1))


def _estimate(value: float, drawn: Floats) -> Estimate:
    fine = drawn[np.isfinite(drawn)]
    low, high = np.percentile(fine, [2.5, 97.5]) if len(fine) else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))
