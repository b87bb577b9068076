r"""Weights of a mean of predictions, learned from their errors where none of them had learned.

With weights that add up to one, the error of the mean is the mean of the errors, and its square is
:math:`w^T C w`, where :math:`C` holds the products of errors (Bates & Granger 1969, *Oper. Res. Q.*
20, 451-468). Errors of a few hundred rows say little of which of two alike predictions is better
elsewhere, and equal weights are hard to beat then (Clemen 1989, *Int. J. Forecast.* 5, 559-583):
a term :math:`\lambda \sum_k (w_k - 1/K)^2` draws weights to them, :math:`\lambda` as a share of the
least mean square.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mean_weights(
    said: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, *, to_equal: float = 1.0
) -> NDArray[np.float64]:
    """Return weights of the columns, none negative, that add up to 1.

    Parameters
    ----------
    said
        Predictions of rows that taught them nothing, ``(n, k)``; k of a few, as all subsets are
        tried.
    target, weight
        What was observed, and weights of rows, ``(n,)``; default alike.
    to_equal
        How strongly weights are drawn to equal ones: 0 for least squares.

    Raises
    ------
    ValueError
        Shapes do not fit.

    Examples
    --------
    >>> mean_weights([[1, 9], [2, -5], [3, 9]], [1.1, 1.9, 3.2]).round(2).tolist()
    [0.98, 0.02]
    """
    columns, y = np.asarray(said, np.float64), np.asarray(target, np.float64)
    if columns.ndim != 2 or y.shape != columns.shape[:1]:
        raise ValueError(f"said (n, k) and target (n,): found {columns.shape} and {y.shape}")
    size = columns.shape[1]
    rows = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
    error = columns - y[:, None]
    products = (error * rows[:, None]).T @ error / rows.sum()
    # a floor, so that what is exact has a weight
    drawn = to_equal * products.diagonal().min() + 1e-12 * products.diagonal().max()
    products += max(drawn, np.finfo(float).tiny) * np.eye(size)
    best, found = np.inf, np.full(size, 1.0 / size)
    for number in range(1, size + 1):
        for some in combinations(range(size), number):
            inner = products[np.ix_(some, some)]
            raw = np.linalg.lstsq(inner, np.ones(number), rcond=None)[0]
            if raw.sum() <= 0 or (raw < 0).any():
                continue
            weights = np.zeros(size)
            weights[list(some)] = raw / raw.sum()
            value = float(weights @ products @ weights)
            if value < best:
                best, found = value, weights
    return found
