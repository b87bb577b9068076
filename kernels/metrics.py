r"""Measures of agreement between predictions and observations, all of them functions of sums.

Every measure here can be computed from a handful of sums over rows. The sums of disjoint sets of
rows add up, so a bootstrap over spatial blocks never returns to the rows: a replicate is the
product of a vector of block counts and the table of block sums.

Definitions, with :math:`o` observed, :math:`p` predicted and weights :math:`w` (means and moments
are weighted population moments):

=====  ==================================================================================
ME     :math:`\overline{p - o}`, the bias: positive where the prediction is too high
MAE    :math:`\overline{|p - o|}`
RMSE   :math:`\sqrt{\overline{(p - o)^2}}`
R2     :math:`1 - SSE / SST`, negative where the mean of the observations does better
       (model efficiency; Nash & Sutcliffe 1970)
r      Pearson correlation, blind to bias and to the spread of the predictions
r2     its square
CCC    :math:`2 s_{op} / (s_o^2 + s_p^2 + (\bar o - \bar p)^2)` (Lin 1989)
KGE    :math:`1 - \sqrt{(r-1)^2 + (s_p/s_o-1)^2 + (\bar p/\bar o-1)^2}` (Gupta et al. 2009)
PICP   share of observations inside their prediction interval, bounds included
MPIW   mean width of the prediction interval
IS     mean interval score of Winkler (1972); Gneiting & Raftery 2007, eq. 43: lower is better
=====  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .interval_scores import interval_score

Floats = NDArray[np.float64]

#: Names of the measures, in the order tables show them.
METRICS: tuple[str, ...] = (
    "n", "ME", "MAE", "RMSE", "R2", "r", "r2", "CCC", "KGE", "PICP", "MPIW", "IS",
)  # fmt: skip

# Columns of a table of sums; o and p are taken about a fixed reference c, so that variances do
# not drown in rounding where values are large and vary little.
_N, _W, _C, _O, _P, _OO, _PP, _OP, _AE, _SE, _WI, _IN, _WIDTH, _SCORE = range(14)
#: Number of sums kept for each group of rows.
SUMS = 14

# Below this share of the raw second moment a variance is rounding noise and counts as zero.
_VARIANCE_FLOOR = 1e-12


def metric_terms(
    obs: ArrayLike,
    pred: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    coverage: float = 0.9,
) -> Floats:
    """Return what each row adds to the sums, shape ``(n, SUMS)``.

    Parameters
    ----------
    obs, pred
        Observed and predicted values, ``(n,)``, in one unit. A row where either is not finite
        adds nothing.
    lower, upper
        Bounds of the prediction interval, ``(n,)``; rows where a bound is not finite are left
        out of the interval measures only.
    weight
        Row weights, ``(n,)``, not negative; default 1. A row of weight 0 adds nothing.
    coverage
        Nominal coverage of the interval, between 0 and 1 (0.9: from Q0.05 to Q0.95).

    Raises
    ------
    ValueError
        If lengths differ, a weight is negative or `coverage` is not between 0 and 1.
    """
    o, p, w = _aligned(obs, pred, weight)
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, found {coverage}")
    use = np.isfinite(o) & np.isfinite(p) & (w > 0)
    w = np.where(use, w, 0.0)
    centre = float(np.mean(o[use])) if use.any() else 0.0
    raw_o, raw_p = np.where(use, o, centre), np.where(use, p, centre)
    co, cp, error = raw_o - centre, raw_p - centre, raw_p - raw_o

    terms = np.zeros((len(o), SUMS))
    terms[:, _N], terms[:, _W], terms[:, _C] = use, w, w * centre
    terms[:, _O], terms[:, _P] = w * co, w * cp
    terms[:, _OO], terms[:, _PP], terms[:, _OP] = w * co * co, w * cp * cp, w * co * cp
    terms[:, _AE], terms[:, _SE] = w * np.abs(error), w * error * error
    if lower is not None and upper is not None:
        low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
        bounded = use & np.isfinite(low) & np.isfinite(high)
        low, high = np.where(bounded, low, raw_o), np.where(bounded, high, raw_o)
        wi = np.where(bounded, w, 0.0)
        terms[:, _WI] = wi
        terms[:, _IN] = wi * ((low <= raw_o) & (raw_o <= high))
        terms[:, _WIDTH] = wi * (high - low)
        terms[:, _SCORE] = wi * interval_score(raw_o, low, high, coverage)
    return terms


def sum_by(terms: Floats, codes: NDArray[np.integer], size: int) -> Floats:
    """Add up rows of `terms` ``(n, k)`` by code, shape ``(size, k)``; codes < 0 are left out."""
    keep = codes >= 0
    codes, terms = codes[keep], terms[keep]
    columns = [np.bincount(codes, weights=column, minlength=size) for column in terms.T]
    return np.stack(columns, axis=1)


def metrics_from_sums(sums: Floats) -> dict[str, Floats]:
    """Turn sums ``(..., SUMS)`` into measures, each of shape ``(...)``.

    NaN where a measure is undefined: all of them without rows; R2, r, r2, CCC and KGE with fewer
    than two; R2 where the observations do not vary; r and r2 where either side does not; KGE also
    where the mean of the observations is zero; PICP, MPIW and IS without intervals.
    """
    columns: list[Floats] = list(np.moveaxis(np.asarray(sums, np.float64), -1, 0))
    n, w, wi = columns[_N], columns[_W], columns[_WI]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_o, mean_p = columns[_O] / w, columns[_P] / w
        var_o = _variance(columns[_OO] / w, mean_o)
        var_p = _variance(columns[_PP] / w, mean_p)
        cov = columns[_OP] / w - mean_o * mean_p
        centre, mse, bias = columns[_C] / w, columns[_SE] / w, mean_p - mean_o
        several = n >= 2
        varies = several & (var_o > 0)
        both_vary = varies & (var_p > 0)
        r = np.clip(np.where(both_vary, cov / np.sqrt(var_o * var_p), np.nan), -1.0, 1.0)
        spread = var_o + var_p + bias**2
        true_mean = mean_o + centre
        # A mean that is zero but for rounding: compared with the size of what was summed.
        nonzero = np.abs(true_mean) > _VARIANCE_FLOOR * (np.abs(centre) + np.sqrt(var_o))
        kge = 1.0 - np.sqrt(
            (r - 1.0) ** 2
            + (np.sqrt(var_p / var_o) - 1.0) ** 2
            + ((mean_p + centre) / true_mean - 1.0) ** 2
        )
        return {
            "n": n,
            "ME": bias,
            "MAE": columns[_AE] / w,
            "RMSE": np.sqrt(mse),
            "R2": np.where(varies, 1.0 - mse / var_o, np.nan),
            "r": r,
            "r2": r**2,
            "CCC": np.where(several & (spread > 0), 2.0 * cov / spread, np.nan),
            "KGE": np.where(both_vary & nonzero, kge, np.nan),
            "PICP": columns[_IN] / wi,
            "MPIW": columns[_WIDTH] / wi,
            "IS": columns[_SCORE] / wi,
        }


def means_from_sums(sums: Floats) -> tuple[Floats, Floats]:
    """Return the mean of the observations and of the predictions from sums ``(..., SUMS)``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = sums[..., _C] / sums[..., _W]
        return centre + sums[..., _O] / sums[..., _W], centre + sums[..., _P] / sums[..., _W]


def metrics(
    obs: ArrayLike,
    pred: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    coverage: float = 0.9,
) -> Mapping[str, float]:
    """Return every measure for one set of rows; see :func:`metric_terms` for the parameters.

    >>> m = metrics([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    >>> round(m["ME"], 4), round(m["R2"], 4)
    (0.3333, 0.5)
    """
    terms = metric_terms(obs, pred, lower, upper, weight, coverage)
    return {name: float(value) for name, value in metrics_from_sums(terms.sum(axis=0)).items()}


def _variance(second_moment: Floats, mean: Floats) -> Floats:
    variance = second_moment - mean**2
    return np.where(variance > _VARIANCE_FLOOR * second_moment, variance, 0.0)


def _aligned(
    obs: ArrayLike, pred: ArrayLike, weight: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    o, p = np.asarray(obs, np.float64), np.asarray(pred, np.float64)
    w = np.ones(o.shape) if weight is None else np.asarray(weight, np.float64)
    if o.ndim != 1 or o.shape != p.shape or o.shape != w.shape:
        raise ValueError(
            "obs, pred and weight must be vectors of one length, "
            f"found {o.shape}, {p.shape}, {w.shape}"
        )
    if np.any(w < 0):
        raise ValueError("weights must not be negative")
    return o, p, w
