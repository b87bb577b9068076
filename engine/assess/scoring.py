"""Scores of out-of-fold predictions by group of rows, with bootstrap intervals over blocks.

Everything here is a function of sums over (group, block): rows are read once, and a bootstrap
replicate is a product of block counts and block sums (:mod:`edaphos.kernels.metrics`). All tables
of one assessment share their replicates, so that differences between them are paired.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from edaphos.kernels.interval_scores import crps_of_quantiles
from edaphos.kernels.metrics import (
    METRICS,
    SUMS,
    means_from_sums,
    metric_terms,
    metrics_from_sums,
    sum_by,
)

from ..importance import Explained

Floats = NDArray[np.float64]

#: Scores on the scale of log(1 + value), which the field often reports: of the centre (the mean on
#: that scale, or the median), and of the logarithm of the mean, which lies above the centre of a
#: skewed distribution and scores lower for it.
LOG_SCORES: tuple[str, ...] = ("R2_log1p", "RMSE_log1p", "R2_log1p_mean")
MEANS: tuple[str, ...] = ("mean_obs", "mean_pred")
#: Of the whole predictive distribution, for models that give some of its quantiles.
CRPS = "CRPS"
#: Every score, in the order of the columns of a metric table.
SCORES: tuple[str, ...] = (*METRICS[1:], CRPS, *LOG_SCORES, *MEANS)
#: Levels of quantiles that are scored: the bounds of :data:`COVERAGES`, and some between them.
SCORED_LEVELS: tuple[float, ...] = (
    0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.65, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975,
)  # fmt: skip
#: Nominal coverages of a coverage curve.
COVERAGES: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_QUANTILE = "quantile "

#: Columns of a table of differences.
DIFFERENCE_COLUMNS: tuple[str, ...] = (
    "by", "group", "n", "blocks", "metric", "value", "other", "difference", "low", "high",
)  # fmt: skip

#: With fewer blocks than this an interval over blocks would pretend to know what it cannot.
FEWEST_BLOCKS = 5
#: Percentiles of the bootstrap distribution that bound a 95 % interval.
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Predictions:
    """What a model said of rows that it was not trained on, each array of shape ``(n,)``.

    NaN in `mean` where there is no prediction; `lower`, `centre` and `upper` are NaN throughout
    for a model without them. `beside` holds further predictions by name, of a model that gives
    several to be compared, and its quantiles by :func:`quantile_key`.
    `explained` is what the models were asked beside, one for each fold, of all rows.
    """

    mean: Floats
    lower: Floats
    centre: Floats
    upper: Floats
    beside: Mapping[str, Floats] = field(default_factory=dict)
    explained: tuple[Explained, ...] = ()

    @property
    def quantiles(self) -> dict[float, Floats]:
        """Quantiles by level, ascending; those that a model does not give are left out."""
        told = {
            float(name.removeprefix(_QUANTILE)): values
            for name, values in self.beside.items()
            if name.startswith(_QUANTILE) and np.isfinite(values).any()
        }
        return dict(sorted(told.items()))

    def at_levels(self, levels: Collection[float]) -> Predictions:
        """Return the predictions with quantiles of these levels alone."""
        out = {quantile_key(level) for level in self.quantiles if level not in levels}
        return replace(self, beside={k: v for k, v in self.beside.items() if k not in out})

    def take(self, rows: NDArray[np.bool_]) -> Predictions:
        """Return the predictions where a mask is true."""
        beside = {name: values[rows] for name, values in self.beside.items()}
        mean, lower, centre, upper = (
            values[rows] for values in (self.mean, self.lower, self.centre, self.upper)
        )
        return Predictions(mean, lower, centre, upper, beside, self.explained)


def quantile_key(level: float) -> str:
    """Return under which name `Predictions.beside` holds a quantile."""
    return f"{_QUANTILE}{level:g}"


@dataclass(frozen=True)
class Stratum:
    """A way of grouping rows.

    Parameters
    ----------
    by
        What rows are grouped by: ``all``, ``depth``, ``source``, ….
    labels
        Name of each group.
    codes
        Group of each row, -1 for none, shape ``(n,)``.
    """

    by: str
    labels: tuple[str, ...]
    codes: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_]) -> Stratum:
        """Return the groups of the rows where a mask is true."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True)
class BlockBootstrap:
    """Resampling of whole spatial blocks, with replacement (Davison & Hinkley 1997, section 3.8).

    Parameters
    ----------
    codes
        Block of each row, from 0, shape ``(n,)``.
    counts
        How often each replicate drew each block, shape ``(replicates, blocks)``.
    """

    codes: NDArray[np.int64]
    counts: Floats

    @classmethod
    def draw(cls, blocks: NDArray[np.int64], replicates: int, seed: int) -> BlockBootstrap:
        """Draw as many blocks as there are, `replicates` times."""
        names, codes = np.unique(blocks, return_inverse=True)
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0xB007]))
        size = len(names)
        counts = rng.multinomial(size, np.full(size, 1 / size), size=replicates)
        return cls(codes.astype(np.int64), counts.astype(np.float64))

    def take(self, rows: NDArray[np.bool_]) -> BlockBootstrap:
        """Return the same draws for the rows where a mask is true."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True)
class Scored:
    """Scores of one set of predictions: estimates ``(groups,)``, replicates ``(groups, draws)``."""

    groups: tuple[tuple[str, str], ...]
    n: NDArray[np.int64]
    blocks: NDArray[np.int64]
    estimate: Mapping[str, Floats]
    replicates: Mapping[str, Floats]


def score(
    obs: Floats,
    predictions: Predictions,
    strata: Iterable[Stratum],
    bootstrap: BlockBootstrap,
    *,
    coverage: float = 0.9,
    weight: Floats | None = None,
) -> Scored:
    """Score predictions in every group of every stratum.

    Parameters
    ----------
    obs
        Observed values on the original scale, ``(n,)``.
    predictions
        What was predicted for them out of fold.
    strata
        Groupings of the rows.
    bootstrap
        Draws of blocks, shared by all that is to be compared.
    coverage
        Nominal coverage of the interval from `lower` to `upper`.
    weight
        Weights of rows, ``(n,)``; default equal.
    """
    sums = group_sums(_terms(obs, predictions, coverage, weight), strata, bootstrap)
    return Scored(
        groups=sums.groups,
        n=sums.total[:, 0].astype(np.int64),
        blocks=sums.blocks,
        estimate=_scores(sums.total),
        replicates=_scores(np.moveaxis(sums.drawn, 0, 1)),
    )


@dataclass(frozen=True)
class GroupSums:
    """Sums of rows by group: `total` ``(groups, k)``, `drawn` ``(replicates, groups, k)``.

    `blocks` counts those in which the first of the k sums is positive.
    """

    groups: tuple[tuple[str, str], ...]
    blocks: NDArray[np.int64]
    total: Floats
    drawn: Floats


def group_sums(terms: Floats, strata: Iterable[Stratum], bootstrap: BlockBootstrap) -> GroupSums:
    """Add up what each row adds, ``(n, k)``, over each group, and over the blocks of each draw."""
    size = bootstrap.counts.shape[1]
    groups: list[tuple[str, str]] = []
    sums: list[Floats] = []
    for stratum in strata:
        number = len(stratum.labels)
        pair = np.where(stratum.codes < 0, -1, stratum.codes * size + bootstrap.codes)
        sums.append(sum_by(terms, pair, number * size).reshape(number, size, -1))
        groups += [(stratum.by, label) for label in stratum.labels]
    by_block = np.concatenate(sums)
    total = by_block.sum(axis=1)
    # One product for all groups and sums: (replicates, blocks) x (blocks, groups * sums).
    flat = np.moveaxis(by_block, 1, 0).reshape(size, -1)
    # In one thread, whose number would change the last bits.
    with threadpool_limits(1, user_api="blas"):
        drawn = (bootstrap.counts @ flat).reshape(len(bootstrap.counts), *total.shape)
    return GroupSums(tuple(groups), (by_block[:, :, 0] > 0).sum(axis=1), total, drawn)


def metric_table(scored: Scored) -> pd.DataFrame:
    """Return ``by``, ``group``, ``n``, ``blocks``, each score and its ``_low`` and ``_high``."""
    columns: dict[str, object] = {
        "by": [by for by, _ in scored.groups],
        "group": [group for _, group in scored.groups],
        "n": scored.n,
        "blocks": scored.blocks,
    }
    for name in SCORES:
        columns[name] = scored.estimate[name]
        columns[f"{name}_low"], columns[f"{name}_high"] = interval_over_blocks(
            scored.replicates[name], scored.blocks
        )
    return pd.DataFrame(columns)[scored.n > 0].reset_index(drop=True)


def difference_table(
    scored: Scored, other: Scored, names: tuple[str, ...], leave_out: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return ``scored - other`` for some scores, with intervals from paired replicates.

    Columns ``by``, ``group``, ``n``, ``blocks``, ``metric``, ``value``, ``other``,
    ``difference``, ``low``, ``high``; strata named in `leave_out` are skipped, as are groups in
    which either side has no score.
    """
    tables = []
    for name in names:
        low, high = interval_over_blocks(
            scored.replicates[name] - other.replicates[name], scored.blocks
        )
        tables.append(
            pd.DataFrame(
                {
                    "by": [by for by, _ in scored.groups],
                    "group": [group for _, group in scored.groups],
                    "n": scored.n,
                    "blocks": scored.blocks,
                    "metric": name,
                    "value": scored.estimate[name],
                    "other": other.estimate[name],
                    "difference": scored.estimate[name] - other.estimate[name],
                    "low": low,
                    "high": high,
                }
            )
        )
    table = pd.concat(tables, ignore_index=True)
    keep = table["difference"].notna() & ~table["by"].isin(leave_out)
    return table[keep].reset_index(drop=True)


def _terms(obs: Floats, predictions: Predictions, coverage: float, weight: Floats | None) -> Floats:
    """Return what each row adds to the sums: original scale, log of the centre, log of the mean."""
    p = predictions
    log_obs = _log1p(obs)
    return np.concatenate(
        [
            metric_terms(obs, p.mean, p.lower, p.upper, weight, coverage),
            metric_terms(log_obs, _log1p(p.centre), weight=weight),
            metric_terms(log_obs, _log1p(p.mean), weight=weight),
            _crps_terms(obs, p.quantiles, weight),
        ],
        axis=1,
    )


def _crps_terms(obs: Floats, quantiles: Mapping[float, Floats], weight: Floats | None) -> Floats:
    """Return weight and weighted CRPS of each row, ``(n, 2)``; nothing without two quantiles."""
    if len(quantiles) < 2:
        return np.zeros((len(obs), 2))
    found = crps_of_quantiles(obs, np.stack(list(quantiles.values()), axis=1), list(quantiles))
    known = np.isfinite(found)
    own = np.where(known, 1.0 if weight is None else weight, 0.0)
    return np.stack([own, own * np.where(known, found, 0.0)], axis=1)


def _scores(sums: Floats) -> dict[str, Floats]:
    raw, log_centre, log_mean = (sums[..., i * SUMS : (i + 1) * SUMS] for i in range(3))
    logs = metrics_from_sums(log_centre)
    means = means_from_sums(raw)
    with np.errstate(divide="ignore", invalid="ignore"):
        crps = sums[..., 3 * SUMS + 1] / sums[..., 3 * SUMS]
    return {
        **metrics_from_sums(raw),
        CRPS: crps,
        "R2_log1p": logs["R2"],
        "RMSE_log1p": logs["RMSE"],
        "R2_log1p_mean": metrics_from_sums(log_mean)["R2"],
        **dict(zip(MEANS, means, strict=True)),
    }


def _log1p(values: Floats) -> Floats:
    # Contents are never negative; a model that is not bounded may say so all the same.
    return np.log1p(np.maximum(values, 0.0))


def interval_over_blocks(replicates: Floats, blocks: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the 95 % percentile interval of each group; NaN for groups with few blocks."""
    if replicates.shape[1] == 0:
        nothing = np.full(len(replicates), np.nan)
        return nothing, nothing.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # groups where the score is undefined
        low, high = np.nanpercentile(replicates, INTERVAL, axis=1)
    few = blocks < FEWEST_BLOCKS
    return np.where(few, np.nan, low), np.where(few, np.nan, high)
