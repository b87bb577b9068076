r"""Scores of predicted intervals, quantiles and distributions; lower is better for all of them.

============  ===========================================================================
pinball       :math:`(\tau - 1\{y < q\})(y - q)`, of a quantile :math:`q` of level
              :math:`\tau` (Koenker & Bassett 1978)
IS            :math:`(u - l) + \frac{2}{\alpha}(l - y)_+ + \frac{2}{\alpha}(y - u)_+`, of an
              interval that is to hold :math:`1-\alpha` (Winkler 1972; Gneiting & Raftery 2007,
              eq. 43): :math:`4/\alpha` times the mean pinball loss of its bounds
CRPS          :math:`\int (F(x) - 1\{y \le x\})^2 dx = 2 \int_0^1 \mathrm{pinball}_\tau\, d\tau`,
              of a distribution (Gneiting & Raftery 2007, eq. 20; Laio & Tamea 2007)
============  ===========================================================================

All are in the units of `y`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: Measures of an interval, in the order that tables show them: share inside, below and above,
#: mean width, interval score.
MEASURES: tuple[str, ...] = ("PICP", "below", "above", "MPIW", "IS")
#: Sums kept for each group of rows: of weights, and one for each measure.
INTERVAL_SUMS = 1 + len(MEASURES)


def pinball_loss(y: ArrayLike, quantile: ArrayLike, level: ArrayLike) -> Floats:
    """Return the loss of each quantile; arrays broadcast, levels lie between 0 and 1."""
    error = np.asarray(y, np.float64) - np.asarray(quantile, np.float64)
    share = np.asarray(level, np.float64)
    return np.maximum(share * error, (share - 1.0) * error)


def interval_score(y: ArrayLike, low: ArrayLike, high: ArrayLike, level: float) -> Floats:
    """Return the score of each interval that is to hold a share `level` of values."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}")
    observed, lower, upper = (np.asarray(v, np.float64) for v in (y, low, high))
    miss = np.maximum(lower - observed, 0.0) + np.maximum(observed - upper, 0.0)
    return np.asarray(upper - lower + 2.0 / (1.0 - level) * miss)


def interval_terms(
    y: ArrayLike, low: ArrayLike, high: ArrayLike, level: float, weight: ArrayLike | None = None
) -> Floats:
    """Return what each row adds to the sums, ``(n, INTERVAL_SUMS)``.

    Parameters
    ----------
    y, low, high
        Observed values and bounds, ``(n,)``; a row where one is not finite adds nothing. Bounds
        belong to the interval.
    level
        Share that it is to hold, between 0 and 1.
    weight
        Of rows, ``(n,)``; default 1.
    """
    observed, lower, upper = (np.asarray(v, np.float64) for v in (y, low, high))
    w = np.ones(observed.shape) if weight is None else np.asarray(weight, np.float64)
    use = np.isfinite(observed) & np.isfinite(lower) & np.isfinite(upper) & (w > 0)
    o, lo, hi = (np.where(use, v, 0.0) for v in (observed, lower, upper))
    below, above = o < lo, o > hi
    measures = (~(below | above), below, above, hi - lo, interval_score(o, lo, hi, level))
    own = np.where(use, w, 0.0)
    return np.stack([own, *(own * measure for measure in measures)], axis=-1)


def intervals_from_sums(sums: Floats) -> dict[str, Floats]:
    """Turn sums ``(..., INTERVAL_SUMS)`` into measures, each ``(...)``; NaN without rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: sums[..., 1 + i] / sums[..., 0] for i, name in enumerate(MEASURES)}


def crps_of_quantiles(y: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """Return the CRPS of distributions told by quantiles, ``(n,)``.

    Quantiles are joined by straight lines; what lies beyond the outermost levels is taken to be
    at them. Of that distribution the score is exact: on each piece the pinball loss is quadratic
    in the level, which Simpson's rule integrates without error.

    Parameters
    ----------
    y
        Observed values, ``(n,)``.
    quantiles
        Of each row, ``(n, levels)``; a row with one that is not finite scores NaN.
    levels
        Ascending, between 0 and 1, at least one.

    Raises
    ------
    ValueError
        If shapes differ or levels do not ascend within 0 and 1.
    """
    observed, found = np.asarray(y, np.float64), np.asarray(quantiles, np.float64)
    tau = np.asarray(levels, np.float64)
    if found.shape != (*observed.shape, len(tau)) or not len(tau):
        raise ValueError(
            f"quantiles must be (n, levels) = ({len(observed)}, {len(tau)}), found {found.shape}"
        )
    if tau[0] < 0 or tau[-1] > 1 or np.any(np.diff(tau) <= 0):
        raise ValueError(f"levels must ascend between 0 and 1, found {tau}")
    # mass at the ends: the pinball loss of a constant quantile, integrated over its levels
    first, last = observed - found[:, 0], observed - found[:, -1]
    total = np.where(first >= 0, first * tau[0] ** 2 / 2, -first * (tau[0] - tau[0] ** 2 / 2))
    rest = 1 - tau[-1]
    total += np.where(last >= 0, last * (rest - rest**2 / 2), -last * rest**2 / 2)
    for k in range(len(tau) - 1):
        begin, end = found[:, k], found[:, k + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.clip((observed - begin) / (end - begin), 0.0, 1.0)
        # where the line meets the observed value, or anywhere where it is flat
        share = np.where(end == begin, 0.5, share)
        step = tau[k + 1] - tau[k]
        for low, high in ((np.zeros_like(share), share), (share, np.ones_like(share))):
            losses = [
                pinball_loss(observed, begin + at * (end - begin), tau[k] + at * step)
                for at in (low, (low + high) / 2, high)
            ]
            total += step * (high - low) * (losses[0] + 4 * losses[1] + losses[2]) / 6
    return np.asarray(2 * total)


def crps_of_weights(y: float, values: ArrayLike, weight: ArrayLike) -> float:
    r"""Return the CRPS of a distribution of point masses, exactly.

    :math:`E|X - y| - \frac{1}{2} E|X - X'|` (Gneiting & Raftery 2007, eq. 21), in
    :math:`n \log n` by sorting.

    Parameters
    ----------
    y
        The observed value.
    values, weight
        Of the masses, ``(n,)``; weights are not negative and need not add up to 1.
    """
    x, w = np.asarray(values, np.float64), np.asarray(weight, np.float64)
    order = np.argsort(x, kind="stable")
    x, w = x[order], w[order] / w.sum()
    below = np.cumsum(w) - w / 2  # of each mass, with half of its own
    return float(np.sum(w * np.abs(x - y)) - np.sum(w * x * (2 * below - 1)))
