"""Means of depth curves over intervals, by integration, or by slices as another program takes them.

The reference, R's mpspline2 0.1.9, evaluates the curve at the top of slices of 1 cm and averages
those: of a curve that falls with depth, such means are too high. The integral is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .depth import DepthCurve, Floats, Offsets
from .jit import kernel

#: Range that the reference cuts the values of slices to.
REFERENCE_RANGE = (0.0, 1000.0)


class IntervalMeans(NamedTuple):
    """Means over intervals of depth, and what they rest on.

    Parameters
    ----------
    value
        ``(profiles, intervals)``, NaN where the curve reaches nowhere into the interval.
    covered
        Share of the interval that the curve spans, 0 to 1; `value` is the mean of that share.
    sampled
        Share of the interval that lies in layers, rather than above, below or between them.
    state
        States of the layers that reach into it, joined by or.
    """

    value: Floats
    covered: Floats
    sampled: Floats
    state: NDArray[np.uint8]


def interval_means(
    curve: DepthCurve, upper: ArrayLike, lower: ArrayLike, *, gaps: bool = True
) -> IntervalMeans:
    """Return the integrals of the curves over intervals, divided by the depth that they span.

    Parameters
    ----------
    curve
        Of many profiles.
    upper, lower
        Ends of the intervals, ``(intervals,)`` cm.
    gaps
        Take the straight line between layers that do not touch; otherwise such depths count as not
        covered.

    Raises
    ------
    ValueError
        Shapes do not fit, or an interval has no thickness.
    """
    upper, lower = _intervals(upper, lower)
    shape = (curve.profiles, len(upper))
    value, covered, sampled = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
    state = np.zeros(shape, np.uint8)
    _integrate(
        curve.top, curve.bottom, curve.offsets, curve.b0, curve.gamma, curve.alfa, curve.state,
        upper, lower, gaps, value, covered, sampled, state,
    )  # fmt: skip
    return IntervalMeans(value, covered, sampled, state)


def slice_means(curve: DepthCurve, upper: ArrayLike, lower: ArrayLike) -> Floats:
    """Return means over intervals as mpspline2 takes them.

    The curve is evaluated at every whole centimetre from the top of an interval to before its
    bottom, cut to :data:`REFERENCE_RANGE`, and averaged over those where there is a curve.

    Parameters
    ----------
    curve
        Of many profiles, not bounded.
    upper, lower
        Ends of the intervals, ``(intervals,)``, whole cm.

    Returns
    -------
    numpy.ndarray
        ``(profiles, intervals)``, NaN where there is no curve.

    Raises
    ------
    ValueError
        An end is no whole number, shapes do not fit, or an interval has no thickness.
    """
    upper, lower = _intervals(upper, lower)
    if (upper != np.round(upper)).any() or (lower != np.round(lower)).any():
        raise ValueError("slices of 1 cm need intervals that begin and end at whole centimetres")
    value = np.full((curve.profiles, len(upper)), np.nan)
    _slice(
        curve.top, curve.bottom, curve.offsets, curve.b0, curve.gamma, curve.alfa,
        upper.astype(np.int64), lower.astype(np.int64), *REFERENCE_RANGE, value,
    )  # fmt: skip
    return value


def _intervals(upper: ArrayLike, lower: ArrayLike) -> tuple[Floats, Floats]:
    upper, lower = np.atleast_1d(np.asarray(upper, float)), np.atleast_1d(np.asarray(lower, float))
    if upper.ndim != 1 or upper.shape != lower.shape:
        raise ValueError(f"{upper.shape} upper and {lower.shape} lower ends of intervals")
    if not (np.isfinite(upper) & np.isfinite(lower) & (upper < lower)).all():
        raise ValueError("intervals must be finite and end below where they begin")
    return upper, lower


@kernel()
def _integrate(
    top: Floats,
    bottom: Floats,
    offsets: Offsets,
    b0: Floats,
    gamma: Floats,
    alfa: Floats,
    layer_state: NDArray[np.uint8],
    upper: Floats,
    lower: Floats,
    gaps: bool,
    value: Floats,
    covered: Floats,
    sampled: Floats,
    state: NDArray[np.uint8],
) -> None:
    for p in range(len(offsets) - 1):
        for t in range(len(upper)):
            total, inside, between = 0.0, 0.0, 0.0
            for i in range(offsets[p], offsets[p + 1]):
                above, below = max(upper[t], top[i]), min(lower[t], bottom[i])
                if below > above:
                    a, b = above - top[i], below - top[i]
                    # mean of alfa + b0 d + gamma d² from a to b
                    mean = (
                        alfa[i] + b0[i] * (a + b) / 2.0 + gamma[i] * (a * a + a * b + b * b) / 3.0
                    )
                    total += mean * (below - above)
                    inside += below - above
                    state[p, t] |= layer_state[i]
                if not gaps or i + 1 == offsets[p + 1]:
                    continue
                above, below = max(upper[t], bottom[i]), min(lower[t], top[i + 1])
                if below > above:
                    share = ((above + below) / 2.0 - bottom[i]) / (top[i + 1] - bottom[i])
                    thick = bottom[i] - top[i]
                    end = alfa[i] + b0[i] * thick + gamma[i] * thick * thick
                    total += (end + (alfa[i + 1] - end) * share) * (below - above)
                    between += below - above
            if inside + between > 0.0:
                value[p, t] = total / (inside + between)
                covered[p, t] = (inside + between) / (lower[t] - upper[t])
                sampled[p, t] = inside / (lower[t] - upper[t])


@kernel()
def _slice(
    top: Floats,
    bottom: Floats,
    offsets: Offsets,
    b0: Floats,
    gamma: Floats,
    alfa: Floats,
    upper: NDArray[np.int64],
    lower: NDArray[np.int64],
    low: float,
    high: float,
    value: Floats,
) -> None:
    for p in range(len(offsets) - 1):
        first, last = offsets[p], offsets[p + 1] - 1
        if last < first:
            continue
        for t in range(len(upper)):
            total, count, i = 0.0, 0, first
            for depth in range(upper[t], lower[t]):
                if depth < top[first] or depth >= bottom[last]:
                    continue
                while i < last and depth >= top[i + 1]:
                    i += 1
                thick = bottom[i] - top[i]
                d = min(depth - top[i], thick)
                at = alfa[i] + b0[i] * d + gamma[i] * d * d
                if depth > bottom[i]:
                    share = (depth - bottom[i]) / (top[i + 1] - bottom[i])
                    at += (alfa[i + 1] - at) * share
                total += min(max(at, low), high)
                count += 1
            if count > 0:
                value[p, t] = total / count
