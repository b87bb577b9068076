r"""Choosing covariates by correlation, before a model is trained.

The filter of Han et al. (2025) in three steps, each a function here: covariates whose correlation
with the target is weak go; of each pair that is strongly correlated one goes; what is left, ranked
by its correlation with the target, is tried in batches of growing size, whose errors decide.

"One of each pair" depends on the order in which pairs are met. Here covariates are gone through
from the strongest :math:`|r(x, y)|` to the weakest, equal ones by name, and one stays unless it is
a twin of one that stays already. So of each pair the one more strongly correlated with the target
stays, nothing goes for the sake of a covariate that itself went, and the order of columns does not
matter. Correlations are rounded to 12 decimals for comparison, so that the last bits of a sum do
not decide.

Correlations are Pearson's, weighted, over the rows where both sides have a value. Class codes have
none: a covariate of classes is as strong as its correlation ratio with the target, the share of
variance between classes less what chance would put there (:math:`\varepsilon`, Kelley 1935, *PNAS*
21), and is nobody's twin.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .jit import kernel

Floats = NDArray[np.float64]
Why = Literal["kept", "constant", "weak", "twin"]

#: Batches of the paper.
BATCHES = (10, 20, 30, 37, 40, 50)
#: Decimals of a correlation that are compared.
DECIMALS = 12
#: Rows with both values below which a correlation is not known.
FEWEST_ROWS = 3
# Below this share of the raw second moment a variance is rounding noise.
_VARIANCE_FLOOR = 1e-12


@dataclass(frozen=True)
class Filtered:
    """What became of each covariate, arrays ``(p,)`` in the order of the columns.

    Parameters
    ----------
    kept
        Columns that stay, those most strongly correlated with the target first.
    why
        ``kept``, ``constant`` (or known in too few rows), ``weak`` or ``twin``.
    strength
        Correlation with the target, signed; the correlation ratio of classes; NaN where not known.
    twin
        Column for whose sake a twin went, else -1.
    twin_r
        Correlation with that column, else NaN.
    """

    kept: tuple[int, ...]
    why: tuple[Why, ...]
    strength: Floats
    twin: NDArray[np.int64]
    twin_r: Floats


def keep_covariates(
    x: ArrayLike,
    y: ArrayLike,
    names: Sequence[str],
    weak: float = 0.05,
    twin: float = 0.8,
    weight: ArrayLike | None = None,
    classes: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the columns of `x` that stay, strongest first; see :func:`filter_covariates`.

    >>> x = np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [3.0, 6.0, 5.0], [4.0, 8.1, 5.0]])
    >>> keep_covariates(x, [1.0, 2.0, 3.0, 4.0], ["a", "b", "c"])
    (0,)
    """
    return filter_covariates(x, y, names, weak, twin, weight, classes).kept


def filter_covariates(
    x: ArrayLike,
    y: ArrayLike,
    names: Sequence[str],
    weak: float = 0.05,
    twin: float = 0.8,
    weight: ArrayLike | None = None,
    classes: Collection[int] = (),
) -> Filtered:
    """Leave out covariates that are weak, and one of each pair of twins.

    Parameters
    ----------
    x
        Covariates, ``(n, p)``; NaN is missing.
    y
        Target on the scale that is learned, ``(n,)``; NaN is missing.
    names
        Of the columns, each once; they decide between equals.
    weak
        A covariate with ``|r(x, y)|`` below this goes.
    twin
        Of two covariates with ``|r|`` above this one goes.
    weight
        Of rows, ``(n,)``, not negative; default 1.
    classes
        Columns that hold class codes.

    Raises
    ------
    ValueError
        If shapes do not fit, a name occurs twice, a weight is negative or a threshold is not
        between 0 and 1.
    """
    columns, target, w = _checked(x, y, weight)
    if len(names) != len(columns) or len(set(names)) != len(names):
        raise ValueError(f"{len(columns)} covariates need as many different names")
    for name, value in (("weak", weak), ("twin", twin)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, found {value}")
    strength = np.array(
        [
            class_strength(column, target, w) if j in classes else _correlation(column, target, w)
            for j, column in enumerate(columns)
        ]
    )
    size = np.round(np.abs(strength), DECIMALS)
    why: list[Why] = ["weak"] * len(columns)
    other = np.full(len(columns), -1, np.int64)
    other_r = np.full(len(columns), np.nan)
    kept: list[int] = []
    for j in sorted(range(len(columns)), key=lambda j: (-np.nan_to_num(size[j]), names[j])):
        if np.isnan(size[j]):
            why[j] = "constant"
        elif size[j] >= weak:
            why[j] = "kept"
            for i in [] if j in classes else [i for i in kept if i not in classes]:
                r = _correlation(columns[i], columns[j], w)
                if np.round(abs(r), DECIMALS) > twin:
                    why[j], other[j], other_r[j] = "twin", i, r
                    break
            else:
                kept.append(j)
    return Filtered(tuple(kept), tuple(why), strength, other, other_r)


def batch_sizes(left: int, batches: Sequence[int] = BATCHES) -> tuple[int, ...]:
    """Return the numbers of covariates to try where `left` are left, ascending.

    >>> batch_sizes(33)
    (10, 20, 30, 33)
    """
    return tuple(sorted({min(size, left) for size in batches if size > 0 and left > 0}))


def class_strength(codes: Floats, y: Floats, weight: Floats) -> float:
    """Return the correlation ratio of classes with a target, adjusted for their number.

    That is ``sqrt(1 - (within / (n - k)) / (total / (n - 1)))`` of the sums of squares of `n` rows
    in `k` classes, 0 where chance alone would give more; NaN without two classes or a target that
    varies. Rows without a code or a target are left out.
    """
    use = np.isfinite(codes) & np.isfinite(y) & (weight > 0)
    names, of = np.unique(codes[use], return_inverse=True)
    n, k, w, values = int(use.sum()), len(names), weight[use], y[use]
    if n < FEWEST_ROWS or k < 2 or n <= k:
        return float("nan")
    centred = values - np.average(values, weights=w)
    means = np.bincount(of, w * centred) / np.bincount(of, w)
    total = float((w * centred**2).sum())
    within = float((w * (centred - means[of]) ** 2).sum())
    if total <= _VARIANCE_FLOOR * float((w * values**2).sum()):
        return float("nan")
    return float(np.sqrt(max(0.0, 1.0 - within / (n - k) / (total / (n - 1)))))


def _checked(x: ArrayLike, y: ArrayLike, weight: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Return covariates as rows of an array ``(p, n)``, the target and weights."""
    columns = np.ascontiguousarray(np.asarray(x, np.float64).T)
    target = np.asarray(y, np.float64)
    w = np.ones(target.shape) if weight is None else np.asarray(weight, np.float64)
    if columns.ndim != 2 or target.shape != (columns.shape[1],) or w.shape != target.shape:
        raise ValueError(
            "expected covariates (n, p), a target and weights (n,), "
            f"found {np.shape(x)}, {target.shape}, {w.shape}"
        )
    if np.any(w < 0):
        raise ValueError("weights must not be negative")
    return columns, target, w


@kernel()
def _correlation(a: Floats, b: Floats, w: Floats) -> float:
    """Return the weighted Pearson correlation over rows where both are finite, else NaN.

    In one thread and in the order of rows, so that neither its place among others nor the order
    of the two sides changes it.
    """
    rows = 0
    total = mean_a = mean_b = 0.0
    for i in range(a.shape[0]):
        if np.isfinite(a[i]) and np.isfinite(b[i]) and w[i] > 0:
            rows += 1
            total += w[i]
            mean_a += w[i] * a[i]
            mean_b += w[i] * b[i]
    if rows < FEWEST_ROWS:
        return np.nan
    mean_a /= total
    mean_b /= total
    aa = bb = ab = 0.0
    for i in range(a.shape[0]):
        if np.isfinite(a[i]) and np.isfinite(b[i]) and w[i] > 0:
            da, db = a[i] - mean_a, b[i] - mean_b
            aa += w[i] * da * da
            bb += w[i] * db * db
            ab += w[i] * (da * db)
    floor_a = _VARIANCE_FLOOR * total * mean_a * mean_a
    floor_b = _VARIANCE_FLOOR * total * mean_b * mean_b
    if aa <= floor_a or bb <= floor_b:
        return np.nan
    return min(1.0, max(-1.0, ab / (np.sqrt(aa) * np.sqrt(bb))))
