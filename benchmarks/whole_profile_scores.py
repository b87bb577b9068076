"""Scores of the study of whole profiles: means over seeds, intervals over spatial blocks.

All seeds of an arm predict the same rows, so that R² of the mean squared error over seeds is the
mean of the seeds' R². Replicates draw the same blocks for every arm of a population: differences
are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.assess.parts import ALL, PART_LABELS, part_strata, scales_of
from edaphos.engine.assess.scoring import INTERVAL, BlockBootstrap, group_sums
from edaphos.engine.assess.splits import location_blocks
from edaphos.engine.samples import Samples
from edaphos.kernels.metrics import means_from_sums, metric_terms, metrics_from_sums

from .whole_profile_run import Done, Task, tasks_of

Found = tuple[float, float, float]
GROUPS: tuple[str, ...] = (ALL, *PART_LABELS)


@dataclass(frozen=True)
class Arm:
    """Scores of an arm by scale: estimates ``(groups,)`` and replicates ``(draws, groups)``."""

    estimate: Mapping[str, Mapping[str, NDArray[np.float64]]]
    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]]
    n: NDArray[np.int64]
    seeds: int
    by_seed: Mapping[str, NDArray[np.float64]]

    def value(self, scale: str, group: str, metric: str = "R2") -> Found:
        """Return a score and its 95 % interval."""
        g = GROUPS.index(group)
        return _found(self.estimate[scale][metric][g], self.drawn[scale][metric][:, g])

    def gap(self, scale: str, group: str, other_scale: str, other_group: str) -> Found:
        """Return R² of one group less that of another, within the arm."""
        a, b = GROUPS.index(group), GROUPS.index(other_group)
        one, other = self.drawn[scale]["R2"], self.drawn[other_scale]["R2"]
        value = self.estimate[scale]["R2"][a] - self.estimate[other_scale]["R2"][b]
        return _found(value, one[:, a] - other[:, b])

    def less(self, other: Arm, scale: str, group: str, other_scale: str = "") -> Found:
        """Return this arm's R² less another arm's, the same blocks drawn for both."""
        g, theirs = GROUPS.index(group), other_scale or scale
        value = self.estimate[scale]["R2"][g] - other.estimate[theirs]["R2"][g]
        return _found(value, self.drawn[scale]["R2"][:, g] - other.drawn[theirs]["R2"][:, g])

    def count(self, group: str) -> int:
        """Return the layers of a group."""
        return int(self.n[GROUPS.index(group)])


@dataclass(frozen=True, eq=False)
class Judged:
    """What the tasks that are done give."""

    plan: Mapping[str, Any]
    done: Done

    @cache  # noqa: B019  (one object for one table)
    def scored(self, population: str, predictors: str, learns: str, split: str) -> Arm | None:
        """Return the scores of an arm over the seeds that are done, None before the first."""
        wanted = Task(population, predictors, learns, split, 0)
        said = [
            values
            for task, values in self.done.said.items()
            if task in tasks_of(self.plan) and _same(task, wanted)
        ]
        if not said:
            return None
        samples, draws = self.done.samples[population], self._draws(population)
        strata = part_strata(samples.top, samples.bottom)
        estimate, drawn, by_seed = {}, {}, {}
        n = np.zeros(len(GROUPS), np.int64)
        for scale, factor in scales_of("stock", samples.top, samples.bottom).items():
            of_seed = [metric_terms(samples.y * factor, one * factor) for one in said]
            sums = group_sums(np.mean(of_seed, axis=0), strata, draws)
            estimate[scale] = _scores(sums.total)
            drawn[scale] = _scores(sums.drawn)
            none = BlockBootstrap(draws.codes, draws.counts[:1])
            by_seed[scale] = np.array(
                [metrics_from_sums(group_sums(t, strata, none).total)["R2"] for t in of_seed]
            )
            n = sums.total[:, 0].astype(np.int64)
        return Arm(estimate, drawn, n, len(said), by_seed)

    @cache  # noqa: B019
    def _draws(self, population: str) -> BlockBootstrap:
        blocks = location_blocks(self.samples(population), self.plan["block_deg"])
        return BlockBootstrap.draw(blocks, self.plan["bootstrap"], 0)

    def samples(self, population: str) -> Samples:
        """Return the layers of a population."""
        return self.done.samples[population]

    def blocks(self, population: str) -> int:
        """Return how many spatial blocks hold layers of a population."""
        return int(self._draws(population).counts.shape[1])


def _same(task: Task, wanted: Task) -> bool:
    names = ("population", "predictors", "learns", "split")
    return all(getattr(task, name) == getattr(wanted, name) for name in names)


def _scores(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    observed, predicted = means_from_sums(sums)
    found = metrics_from_sums(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        found["bias"] = 100 * found["ME"] / observed
    return {**found, "mean_obs": observed, "mean_pred": predicted}


def _found(value: float, drawn: NDArray[np.float64]) -> Found:
    low, high = np.nanpercentile(drawn, INTERVAL)
    return float(value), float(low), float(high)
