"""Results of the virtual worlds, asked by variant, arm and score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .virtual_world_plan import Plan
from .virtual_world_run import Record
from .virtual_world_scores import Difference, paired

BASE = "ml"


@dataclass(frozen=True)
class Results:
    """All records of a plan."""

    plan: Plan
    records: Sequence[Record]

    @property
    def fixed_weights(self) -> list[str]:
        """Names of the paper's hybrid with a weight that is not tuned."""
        return [
            a.name
            for a in self.plan.arms
            if a.make == "poml" and isinstance(a.options.get("w_p"), float)
        ]

    @property
    def failures(self) -> list[Record]:
        """Records of arms that raised."""
        return [r for r in self.records if r.error]

    def of(self, variant: str, arm: str) -> dict[int, Record]:
        """Return what came of an arm in each world of a variant, by seed; failures left out."""
        return {
            r.seed: r for r in self.records if r.variant == variant and r.arm == arm and not r.error
        }

    def values(self, variant: str, arm: str, score: str) -> dict[int, float]:
        """Return one score by seed, where it is there."""
        found = {s: r.scores.get(score, np.nan) for s, r in self.of(variant, arm).items()}
        return {s: v for s, v in found.items() if np.isfinite(v)}

    def mean(self, variant: str, arm: str, score: str) -> float:
        """Return the mean score over worlds, NaN without any."""
        found = list(self.values(variant, arm, score).values())
        return float(np.mean(found)) if found else np.nan

    def difference(self, variant: str, arm: str, score: str, base: str = BASE) -> Difference | None:
        """Compare an arm with another in the worlds that both have; None with fewer than two."""
        ours, theirs = self.values(variant, arm, score), self.values(variant, base, score)
        seeds = sorted(ours.keys() & theirs.keys())
        if len(seeds) < 2:
            return None
        return paired([ours[s] for s in seeds], [theirs[s] for s in seeds])

    def regret(
        self, variant: str, arm: str, rivals: Sequence[str], score: str
    ) -> Difference | None:
        """Compare an arm in each world with the best of its rivals there, known after the fact."""
        ours = self.values(variant, arm, score)
        others = [self.values(variant, rival, score) for rival in rivals]
        seeds = sorted(set(ours).intersection(*others)) if others else []
        if len(seeds) < 2:
            return None
        return paired([ours[s] for s in seeds], [min(o[s] for o in others) for s in seeds])

    def seeds(self, variant: str) -> int:
        """Return the number of worlds of a variant."""
        return len(self.plan.worlds[variant])
