"""How an arm is judged in a virtual world, and how arms are compared over worlds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edaphos.engine.hybrid.site_years import Array, Floats
from edaphos.kernels.metrics import metrics

from .virtual_world_make import World

#: Years of the period that was sampled; those after it are beyond.
FROM, TO = 1980, 2000
#: Scores by name: what they are, and their unit.
SCORES = {
    "sampled": ("RMSE against a fresh noisy sample, in the years of the dates", "kg/m²"),
    "between": ("RMSE against the truth, in the other years up to 2000", "kg/m²"),
    "trend": ("RMSE of the mean over places by year, about its own mean", "kg/m²"),
    "change": ("RMSE of each place's change from 1980 to 2000", "kg/m²"),
    "beyond": ("RMSE against the truth, 2001-2010", "kg/m²"),
    "roughness": ("how jagged the courses are; 1: as the truth", "1"),
}
#: Scores of which less is better, which arms are compared by.
COMPARED = ("sampled", "between", "trend", "change", "beyond")
RESAMPLES = 10_000


def score(world: World, predicted: Floats) -> dict[str, float]:
    """Return the scores of stocks ``(S, Y)`` kg/m² predicted at the test places.

    Also their concordance (``..._ccc``), the mean error between samplings (``bias``) and the mean
    error of the change (``change_bias``). NaN where an arm says nothing.
    """
    years, truth = world.years, world.test_truth
    sampled = np.isin(years, world.variant.dates)
    inside = years <= TO
    first, last = int(FROM - years[0]), int(TO - years[0])
    change, true_change = predicted[:, last] - predicted[:, first], truth[:, last] - truth[:, first]
    parts = {
        "sampled": _agreement(world.fresh[:, sampled], predicted[:, sampled]),
        "between": _agreement(truth[:, inside & ~sampled], predicted[:, inside & ~sampled]),
        "change": _agreement(true_change, change),
        "beyond": _agreement(truth[:, ~inside], predicted[:, ~inside]),
    }
    found = {name: rmse for name, (rmse, _, _) in parts.items()}
    found |= {f"{name}_ccc": ccc for name, (_, ccc, _) in parts.items()}
    found |= {"bias": parts["between"][2], "change_bias": parts["change"][2]}
    found["trend"] = trend_error(truth[:, inside], predicted[:, inside])
    found["roughness"] = roughness(predicted[:, inside]) / roughness(truth[:, inside])
    return found


def score_visited(world: World, predicted: Floats) -> dict[str, float]:
    """Return scores of what is predicted at the sampled places, from each one's own first stock.

    The years of that first stock are left out. Such scores are no peers of those of unvisited
    places: a site's own noisy stock is known here.
    """
    years, train = world.years, world.train
    later = np.arange(len(years)) > train.first[:, None]
    hidden = later & ~train.sampled & (years <= TO)
    again = later & train.sampled
    beyond = np.broadcast_to(years > TO, later.shape)
    found = {"between": _agreement(world.train_truth[hidden], predicted[hidden])[0]}
    found["beyond"] = _agreement(world.train_truth[beyond], predicted[beyond])[0]
    if again.any():
        found["sampled"] = _agreement(train.stock[again], predicted[again])[0]
    begun = train.first == 0
    if begun.any():
        inside = years <= TO
        truth, told = world.train_truth[begun][:, inside], predicted[begun][:, inside]
        found["trend"] = trend_error(truth, told)
        found["change"] = _agreement(truth[:, -1] - truth[:, 0], told[:, -1] - told[:, 0])[0]
    return found


def trend_error(truth: Floats, predicted: Floats) -> float:
    """Return the RMSE of the yearly means over places, each course about its own mean."""
    curves = [c - c.mean() for c in (truth.mean(axis=0), predicted.mean(axis=0))]
    return float(np.sqrt(np.mean((curves[1] - curves[0]) ** 2)))


def roughness(stock: Floats) -> float:
    """Return the root mean square of second differences in time of stocks ``(S, Y)``."""
    return float(np.sqrt(np.mean(np.diff(stock, n=2, axis=1) ** 2)))


def _agreement(truth: Array, predicted: Array) -> tuple[float, float, float]:
    """Return RMSE, CCC and mean error; NaN where anything predicted is missing."""
    if not np.isfinite(predicted).all():
        return np.nan, np.nan, np.nan
    found = metrics(truth.ravel(), predicted.ravel())
    return found["RMSE"], found["CCC"], found["ME"]


# -- over worlds ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences over worlds, with its 95 % interval by bootstrap.

    Parameters
    ----------
    mean, low, high
        The difference.
    share, share_low, share_high
        As a share of the mean it is compared with, worlds of both drawn together.
    worlds
        How many.
    """

    mean: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float
    worlds: int

    @property
    def better(self) -> bool:
        """Whether the whole interval is below 0: less error."""
        return self.high < 0

    @property
    def worse(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0

    def text(self, digits: int = 3) -> str:
        """Return ``mean [low, high]``, in bold where 0 is outside."""
        body = f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"
        return f"**{body}**" if self.better or self.worse else body


def paired(values: Sequence[float], base: Sequence[float], seed: int = 0) -> Difference:
    """Compare two arms over the same worlds, in order.

    The interval is the percentile bootstrap over worlds; with five worlds it is too narrow, as
    such intervals are.
    """
    ours, theirs = np.asarray(values, float), np.asarray(base, float)
    gaps = ours - theirs
    rng = np.random.default_rng([seed, len(gaps)])
    drawn = rng.integers(0, len(gaps), (RESAMPLES, len(gaps)))
    means = gaps[drawn].mean(axis=1)
    shares = means / theirs[drawn].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    share_low, share_high = np.quantile(shares, [0.025, 0.975])
    return Difference(
        mean=float(gaps.mean()),
        low=float(low),
        high=float(high),
        share=float(gaps.mean() / theirs.mean()),
        share_low=float(share_low),
        share_high=float(share_high),
        worlds=len(gaps),
    )
