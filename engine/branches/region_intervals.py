"""Intervals of a region: its own, or those of the world where it has few locations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edaphos.kernels.conformal import block_weights, outside_by, weighted_quantile

from ..conv.learning_rows import LearningRows
from ..conv.predictive import (
    FEWEST_FOR_MEANS,
    Interval,
    Pair,
    Predictive,
    Said,
    calibrate,
    raw_bounds,
)
from ..errors import InputError
from ..models.depth_rows import depth_rows
from ..models.protocol import Depth

if TYPE_CHECKING:
    from .branch_fit import BranchFit

#: Locations from which a region calibrates intervals of its own.
OWN_INTERVALS = 100


def own_intervals(
    said: Said,
    rows: LearningRows,
    depths: tuple[Depth, ...],
    pairs: tuple[Pair, ...],
    *,
    log1p: bool,
    interval: Interval,
    high: float,
) -> Predictive:
    """Return intervals calibrated by what is said of each row by nets that it did not teach.

    Each net of a region learned from fewer rows than all of them did together, so that intervals
    are rather too wide than too narrow (Barber et al. 2021, *Ann. Stat.* 49, 486-507).
    """
    told = said, rows.target, rows.depth
    return calibrate(
        told,
        told,
        rows.weight,
        rows.block,
        len(depths),
        log1p=log1p,
        interval=interval,
        pairs=pairs,
        largest=np.full(len(depths), high),
    )


def worlds_intervals(
    said: Said,
    rows: LearningRows,
    start: BranchFit,
    depths: tuple[Depth, ...],
    pairs: tuple[Pair, ...],
    high: float,
) -> Predictive:
    """Return the intervals of the world, widened where the region's rows spread more.

    These are widened, never narrowed, to hold their share of what is said of rows that taught
    nothing, and one block more, with equal weight for each block.

    The mean of residuals on the original scale (smearing) and their median are the region's own in
    any case, by depth where it has rows enough: where residuals spread less than in the world, its
    smearing would put carbon on every cell.

    Raises
    ------
    InputError
        The model of the world has no interval of a pair.
    """
    known = start.predictive
    if set(pairs) - set(known.pairs):
        raise InputError(
            f"the region has too few locations to calibrate intervals of its own (fewer than "
            f"{OWN_INTERVALS}), and the model of the world has none for {sorted(set(pairs))}: map "
            f"the quantiles of {sorted(known.pairs)}"
        )
    bounds = np.array(depths, np.float64)
    place = depth_rows(bounds[:, 0], bounds[:, 1], start.depths)
    which = [known.pairs.index(pair) for pair in pairs]
    most = float(np.expm1(high)) if known.log1p else high

    def at(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[k] for k in place)

    residual = rows.target - said.centre
    smear, middle = [], []
    for d in range(len(depths)):
        mine = rows.depth == d
        mine = mine if mine.sum() >= FEWEST_FOR_MEANS else np.ones(len(rows), bool)
        mean = float(np.average(np.exp(residual[mine]), weights=rows.weight[mine]))
        smear.append(mean if known.log1p else 1.0)
        middle.append(float(np.median(residual[mine])))
    sigma = at(known.sigma)
    weight = block_weights(rows.block, rows.weight)
    margins = []
    for pair, k in zip(pairs, which, strict=True):
        world = np.array(at(known.margins[k]))
        below, above = raw_bounds(said, known.interval, pair, np.array(sigma)[rows.depth])
        away = outside_by(rows.target, below, above) - world[rows.depth]
        level, total = pair[1] - pair[0], float(weight.sum()) + 1.0
        more = max(0.0, float(weighted_quantile(away, weight, level, total=total)))
        margins.append(tuple((world + more).tolist()))
    return replace(
        known,
        smear=tuple(smear),
        middle=tuple(middle),
        sigma=sigma,
        pairs=pairs,
        margins=tuple(margins),
        blocks=tuple(0 for _ in depths),
        most=tuple(most for _ in depths),
    )
