"""Intervals of any row model, moved so that they hold their share in places not learned from.

A model's own intervals come from rows it learned from, and cover too little where errors are
correlated in space. Here the rows of the training set are predicted once more, each by a model
that saw no row of its spatial block, and the bounds' misses set a margin by depth
(``kernels/conformal.py``): blocks weigh alike, depths with few blocks take the margin of all. On
which scale bounds move, the interval score of those same rows decides, by depth: margins on any
scale cover, but a factor that narrow intervals need makes wide ones far too wide, and the reverse.

Only training rows are used, so that folds of an assessment stay unseen; the model that maps is
fitted to all of them, which makes the guarantee of split conformal prediction an approximate one
here (cross-conformal prediction, Vovk 2015, *Ann. Math. Artif. Intell.* 74), as does a map's
departure from the profiles: coverage there is for an assessment to measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edaphos.kernels.conformal import block_weights, margins, widen
from edaphos.kernels.interval_scores import interval_score

from .assess.crossval import fit_and_predict
from .assess.splits import Split, inner_split
from .assess.strata import DEPTH_LABELS, depth_groups
from .errors import InputError, did_you_mean
from .models.protocol import ModelSpec
from .samples import Samples

Floats = NDArray[np.float64]

#: Blocks with rows of a depth, below which it takes the margin of all depths.
FEWEST_BLOCKS = 30
#: Powers of the scales that bounds may move on: their own, the square root, the logarithm.
POWERS = (1.0, 0.5, 0.0)
#: What the metadata of a map with such intervals say.
CONFORMAL = (
    "Intervals are conformal (Romano, Patterson & Candès 2019): moved at each depth until they "
    "hold their share of values in spatial blocks left out of training, each block weighing alike. "
    "Where soils differ from all that were sampled they may hold less."
)


@dataclass(frozen=True)
class Bounds:
    """The outputs of a model that bound an interval, and the share it is to hold."""

    low: str
    high: str
    level: float


@dataclass(frozen=True)
class Conformal:
    """Margins by depth for one interval.

    Parameters
    ----------
    level
        Share of values that the interval is to hold.
    margins
        By which both bounds move outwards, for each of
        :data:`~edaphos.engine.assess.strata.DEPTH_LABELS`.
    blocks
        Spatial blocks that each was learned from; below :data:`FEWEST_BLOCKS` it is that of all.
    offset
        Bounds move on a scale of ``value + offset`` and stay at 0 or above; None: on their own.
    block_deg
        Side of the blocks, degrees.
    powers
        Of those scales, one for each margin: 0 is the logarithm.
    """

    level: float
    margins: tuple[float, ...]
    blocks: tuple[int, ...]
    offset: float | None
    block_deg: float
    powers: tuple[float, ...] = (0.0,) * len(DEPTH_LABELS)

    def apply(
        self, low: ArrayLike, high: ArrayLike, top: ArrayLike, bottom: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return moved bounds of layers from `top` to `bottom` cm, one for all or one for each."""
        depth = depth_groups(*np.broadcast_arrays(np.asarray(top, float), np.asarray(bottom)))
        lower, upper = np.asarray(low, np.float64), np.asarray(high, np.float64)
        if self.offset is not None:  # where values cannot be negative, neither can bounds
            lower, upper = np.maximum(lower, 0.0), np.maximum(upper, 0.0)
            powers, by_row = np.array(self.powers)[depth], np.array(self.margins)[depth]
            for power in np.unique(powers):
                moved = widen(lower, upper, by_row, self.offset, power)
                lower, upper = np.where(powers == power, moved, (lower, upper))
            return lower, upper
        return widen(lower, upper, np.array(self.margins)[depth])

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        margins_, blocks = tuple(told["margins"]), tuple(told["blocks"])
        powers = tuple(told.get("powers", (0.0,) * len(margins_)))
        return cls(told["level"], margins_, blocks, told["offset"], told["block_deg"], powers)


def calibrate(
    spec: ModelSpec,
    samples: Samples,
    bounds: Sequence[Bounds],
    *,
    offset: float | None = None,
    folds: int = 5,
    block_deg: float = 5.0,
    seed: int = 0,
) -> tuple[Conformal, ...]:
    """Learn margins from out-of-fold predictions of training rows.

    Parameters
    ----------
    spec
        The model, as it gives the intervals to be moved; a fresh one is fitted for each fold.
    samples
        The training rows, and no others.
    bounds
        Intervals among the model's outputs.
    offset
        Of the scales of :data:`POWERS`, of which each depth takes the one with the least interval
        score; None moves bounds on their own. 1 suits contents in g/kg.
    folds, block_deg, seed
        Of the inner folds, by spatial block; blocks are halved until there are enough.

    Raises
    ------
    InputError
        If there are too few locations for the level, or the model has no such outputs.
    """
    split = calibration_split(
        samples, max(b.level for b in bounds), folds=folds, block_deg=block_deg, seed=seed
    )
    found = _out_of_fold(spec, samples, [name for b in bounds for name in (b.low, b.high)], split)
    return learn_margins(
        samples, found, bounds, split.blocks, offset=offset, block_deg=split.block_deg
    )


def learn_margins(
    samples: Samples,
    found: Mapping[str, Floats],
    bounds: Sequence[Bounds],
    block: NDArray[np.int64],
    *,
    offset: float | None,
    block_deg: float,
) -> tuple[Conformal, ...]:
    """Learn margins from what was predicted of rows that taught nothing.

    Parameters
    ----------
    samples, found
        The rows, and outputs for each by name, ``(n,)``.
    bounds, offset
        As for :func:`calibrate`.
    block, block_deg
        Spatial block of each row, and the side of blocks, degrees.
    """
    depth = depth_groups(samples.top, samples.bottom)
    blocks = tuple(len(np.unique(block[depth == group])) for group in range(len(DEPTH_LABELS)))
    learned = []
    for b in bounds:
        low, high = found[b.low], found[b.high]
        if offset is not None:
            low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
        rows = _Rows(samples.y, low, high, depth, block, samples.weight)
        by_depth, powers = _sharpest(rows, b.level, offset)
        learned.append(Conformal(b.level, by_depth, blocks, offset, block_deg, powers))
    return tuple(learned)


def blocks_needed(level: float) -> int:
    """Return how many blocks an interval of a level needs.

    >>> blocks_needed(0.9)
    9
    """
    return math.ceil(level / (1 - level) - 1e-9)


class _Rows(NamedTuple):
    """Rows left out: observed, bounds, depth, block, weight, each ``(n,)``."""

    y: Floats
    low: Floats
    high: Floats
    depth: NDArray[np.int64]
    block: NDArray[np.int64]
    weight: Floats


def _sharpest(
    rows: _Rows, level: float, offset: float | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return margins by depth, and the power of the scale that each is on."""
    size = len(DEPTH_LABELS)
    best, best_power = np.full(size, np.inf), np.zeros(size)
    known = np.isfinite(rows.low) & np.isfinite(rows.high) & (rows.weight > 0)
    least = np.full(size, np.inf)
    for power in POWERS if offset is not None else (0.0,):
        by_depth, _ = margins(
            rows.y,
            rows.low,
            rows.high,
            rows.depth,
            size,
            level,
            blocks=rows.block,
            weight=rows.weight,
            offset=offset,
            power=power,
            fewest=FEWEST_BLOCKS,
        )
        for group in range(size):
            here = known & (rows.depth == group)
            if len(np.unique(rows.block[here])) < FEWEST_BLOCKS:
                here = known
            low, high = widen(rows.low[here], rows.high[here], by_depth[group], offset, power)
            scores = interval_score(rows.y[here], low, high, level)
            own = block_weights(rows.block[here], rows.weight[here])
            found = float(np.average(scores, weights=own))
            if found < least[group] or not np.isfinite(least[group]):
                least[group], best[group], best_power[group] = found, by_depth[group], power
    return tuple(best.tolist()), tuple(best_power.tolist())


def calibration_split(
    samples: Samples, level: float, *, folds: int = 5, block_deg: float = 5.0, seed: int = 0
) -> Split:
    """Return the inner folds, by spatial block, that intervals of a level are learned from.

    Raises
    ------
    InputError
        If there are too few locations for the level.
    """
    needed = blocks_needed(level)
    split = inner_split(
        samples, folds=folds, seed=seed, block_deg=block_deg, least=max(FEWEST_BLOCKS, needed)
    )
    places = len(np.unique(split.blocks))
    if places < needed:
        raise InputError(
            f"intervals cannot be calibrated on {places} places {split.block_deg:.2g}° apart: at "
            f"least {needed} are needed; take the model's own intervals"
        )
    return split


def _out_of_fold(
    spec: ModelSpec, samples: Samples, names: Sequence[str], split: Split
) -> dict[str, NDArray[np.float64]]:
    """Return outputs for each row by a model that saw no row of its fold, ``(n,)``."""
    found = {name: np.full(len(samples), np.nan) for name in names}
    for fold in range(len(split)):
        held_out = split.held_out(fold)
        predicted = fit_and_predict(spec, samples, held_out)
        for name, values in found.items():
            if name not in predicted:
                raise InputError(
                    f'model "{spec.kind}" gives no "{name}", which conformal intervals need: '
                    f"{did_you_mean(name, predicted)}"
                )
            values[held_out] = predicted[name]
    return found
