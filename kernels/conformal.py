r"""Conformalised quantile regression: intervals that hold what they promise on rows like these.

Bounds of a quantile regression are moved outwards (or inwards) by one margin, learned on rows that
the regression did not see (Romano, Patterson & Candès 2019, *NeurIPS* 32, algorithm 1). With the
score :math:`E_i = \max(l_i - y_i,\; y_i - u_i)`, how far row :math:`i` lies outside its interval,
the margin is the :math:`\lceil (n+1)(1-\alpha) \rceil`-th smallest score, and

.. math:: P(l - m \le y \le u + m) \ge 1 - \alpha

for a further row that is exchangeable with those :math:`n`; at most :math:`1/(n+1)` more without
ties. With weights the margin is the quantile of the weighted scores with the weight of the new
row put at infinity (Tibshirani, Foygel Barber, Candès & Ramdas 2019, *NeurIPS* 32, eq. 5). Weights
that add up to 1 in each block make blocks, not rows, the units that are exchangeable: a row of a
new block, one block more (Dunn, Wasserman & Ramdas 2022, *JASA* 118, "pooling CDFs").

Positive, skewed values may be moved on the scale :math:`\log(y + c)`, where the margin is a factor
and the lower bound stays above :math:`-c`, or on that of a power, :math:`(y + c)^p`, between it and
their own (:math:`p = 1`): the smaller the power, the more wide intervals of high values move, and
the less narrow ones of low values. Any of them covers; which is sharpest, data tell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: Of all weight, so that the last bits of a sum do not decide on a rank.
_ROUNDING = 1e-12


def conformal_margin(
    y: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    level: float = 0.9,
    weight: ArrayLike | None = None,
    *,
    offset: float | None = None,
    power: float = 0.0,
    own: float = 1.0,
) -> float:
    """Return by how much both bounds are to be moved outwards; negative: inwards.

    Parameters
    ----------
    y, low, high
        Observed values and the bounds predicted for them out of sample, ``(n,)``, in one unit.
        Rows where one of them is not finite are left out.
    level
        Share of further rows to be covered, between 0 and 1.
    weight
        Of rows, ``(n,)``, not negative; default 1.
    offset, power
        Move bounds on the scale ``log(value + offset)``, or ``(value + offset)**power`` for a power
        above 0, for values above ``-offset``; an offset of None moves them on their own scale.
    own
        Weight of the further row: 1 beside rows of weight 1, or beside blocks of total weight 1.

    Returns
    -------
    float
        On the scale that bounds move on; infinite where there are too few rows for the
        level (fewer than 9 of equal weight for 0.9).

    Raises
    ------
    ValueError
        If lengths differ, a weight is negative, `level` is not between 0 and 1, or a value lies
        outside the log scale.
    """
    scores = outside_by(y, low, high, offset, power)
    return _quantile(scores, level, _weights(weight, scores), own)


def margins(
    y: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    groups: NDArray[np.integer],
    size: int,
    level: float = 0.9,
    *,
    blocks: NDArray[np.integer] | None = None,
    weight: ArrayLike | None = None,
    offset: float | None = None,
    power: float = 0.0,
    fewest: int = 30,
) -> tuple[Floats, float]:
    """Return the margin of each group, and that of all rows together.

    Parameters
    ----------
    y, low, high, level, offset, power
        As for :func:`conformal_margin`.
    groups
        Group of each row, from 0, ``(n,)``; a row of -1 counts in the margin of all rows alone.
    size
        Number of groups.
    blocks
        Spatial block of each row, ``(n,)``: blocks then weigh alike, in each group and over all.
        None: rows are units of their own.
    weight
        Of rows within their block, ``(n,)``; default alike.
    fewest
        Blocks (or rows) below which a group takes the margin of all rows, as it does where it has
        too few for the level.

    Returns
    -------
    margins, pooled
        Shape ``(size,)``, and one number; infinite where even all rows are too few.
    """
    scores = outside_by(y, low, high, offset, power)
    units = np.arange(len(scores)) if blocks is None else np.asarray(blocks)
    w = _weights(weight, scores)
    use = np.isfinite(scores) & (w > 0)

    def of(rows: NDArray[np.bool_]) -> float:
        return _quantile(scores[rows], level, block_weights(units[rows], w[rows]), 1.0)

    pooled = of(use)
    found = np.full(size, pooled)
    for group in range(size):
        rows = use & (groups == group)
        if len(np.unique(units[rows])) >= fewest:
            own = of(rows)
            found[group] = own if np.isfinite(own) else pooled
    return found, pooled


def block_weights(blocks: NDArray[np.integer], weight: ArrayLike | None = None) -> Floats:
    """Return row weights that add up to 1 in every block, in proportion to `weight` within it."""
    w = np.ones(len(blocks)) if weight is None else np.asarray(weight, np.float64)
    codes = np.unique(blocks, return_inverse=True)[1]
    return np.asarray(w / np.bincount(codes, weights=w)[codes])


def outside_by(
    y: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    offset: float | None = None,
    power: float = 0.0,
) -> Floats:
    """Return how far each value lies outside its interval, negative inside, ``(n,)``."""
    observed, below, above = (_scaled(v, offset, power) for v in (y, low, high))
    if observed.ndim != 1 or not observed.shape == below.shape == above.shape:
        raise ValueError(
            "y, low and high must be vectors of one length, "
            f"found {observed.shape}, {below.shape}, {above.shape}"
        )
    return np.maximum(below - observed, observed - above)


def widen(
    low: ArrayLike,
    high: ArrayLike,
    margin: ArrayLike,
    offset: float | None = None,
    power: float = 0.0,
) -> tuple[Floats, Floats]:
    """Return bounds moved outwards by `margin`, which may vary by row.

    Bounds that a negative margin would let cross meet in the middle between them. On another scale
    than their own a lower bound of values that are not negative stays at 0 or above. A margin of 0
    leaves bounds as they are to the last bit: many observed values may lie just on them.
    """
    lower, upper = np.asarray(low, np.float64), np.asarray(high, np.float64)
    m = np.asarray(margin, np.float64)
    if offset is None:
        below, above = lower - m, upper + m
        middle = (lower + upper) / 2
    else:
        at_low, at_high = _scaled(lower, offset, power), _scaled(upper, offset, power)
        if power == 0:
            with np.errstate(over="ignore"):
                below = lower + (lower + offset) * np.expm1(-m)
                above = upper + (upper + offset) * np.expm1(m)
            middle = np.sqrt((lower + offset) * (upper + offset)) - offset
        else:
            below, above, middle = (
                np.maximum(v, 0.0) ** (1 / power) - offset
                for v in (at_low - m, at_high + m, (at_low + at_high) / 2)
            )
            below, above = np.where(m == 0, lower, below), np.where(m == 0, upper, above)
        below = np.maximum(below, np.where(lower >= 0, 0.0, -offset))
    crossed = below > above
    return np.where(crossed, middle, below), np.where(crossed, middle, above)


def weighted_quantile(
    values: Floats,
    weight: Floats,
    levels: ArrayLike,
    *,
    total: float | None = None,
    unreached: float | None = None,
) -> Floats:
    """Return the smallest value with at least each share of the weight at or below it.

    Parameters
    ----------
    values, weight
        Shape ``(n,)``; weights are not negative.
    levels
        Shares, of any shape.
    total
        Weight that levels are shares of; more than that of `values` where some more weight lies
        above them all, such as that of rows not seen yet. Default: theirs.
    unreached
        What a level gets that they do not reach; the largest value by default.
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    whole = (reached[-1] if len(reached) else 0.0) if total is None else total
    wanted = (np.asarray(levels, np.float64) - _ROUNDING) * whole
    at = np.searchsorted(reached, wanted, side="left")
    if unreached is None:
        return np.asarray(values[order][np.minimum(at, len(values) - 1)])
    return np.append(values[order], unreached)[at]


def _quantile(scores: Floats, level: float, weight: Floats, own: float) -> float:
    """Return the weighted quantile of the scores and one at infinity of weight `own`."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}")
    if not own >= 0:
        raise ValueError(f"weights must not be negative, found {own}")
    use = np.isfinite(scores) & (weight > 0)
    kept, w = scores[use], weight[use]
    # summed one after the other, as the weight reached is
    total = (float(np.cumsum(w)[-1]) if len(w) else 0.0) + own
    return float(weighted_quantile(kept, w, level, total=total, unreached=float("inf")))


def _weights(weight: ArrayLike | None, scores: Floats) -> Floats:
    w = np.ones(len(scores)) if weight is None else np.asarray(weight, np.float64)
    if w.shape != scores.shape:
        raise ValueError(f"weights must be as long as y, found {w.shape} and {scores.shape}")
    if np.any(w < 0):
        raise ValueError("weights must not be negative")
    return w


def _scaled(values: ArrayLike, offset: float | None, power: float) -> Floats:
    v = np.asarray(values, np.float64)
    if offset is None:
        return v
    if not 0 <= power <= 1:
        raise ValueError(f"power must lie between 0 and 1, found {power:g}")
    if np.any(v <= -offset):
        scale = f"log(value + {offset:g})" if power == 0 else f"(value + {offset:g})**{power:g}"
        raise ValueError(
            f"values must be above {0 - offset:g} for the scale {scale}, found {np.nanmin(v):g}"
        )
    return np.asarray(np.log(v + offset) if power == 0 else (v + offset) ** power)
