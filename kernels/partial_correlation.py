r"""Partial correlations of one variable with each of several others, all the others held.

From the inverse :math:`P` of the correlation matrix the partial correlation of variables 0 and j,
given all others, is :math:`-P_{0j} / \sqrt{P_{00} P_{jj}}` (Whittaker 1990, *Graphical Models in
Applied Multivariate Statistics*, section 5.8). On ranks it is Spearman's. Everything here is a
function of sums over rows, so that a bootstrap over blocks never returns to the rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

Floats = NDArray[np.float64]

#: Smallest eigenvalue of a correlation matrix whose variables do not follow from each other.
LEAST_EIGENVALUE = 1e-8


def ranks(values: ArrayLike) -> Floats:
    """Return the rank of each value in its column, ties averaged, ``(n, p)``."""
    from scipy.stats import rankdata  # slow to import

    return np.asarray(rankdata(np.asarray(values, np.float64), axis=0), np.float64)


def moment_terms(values: ArrayLike) -> Floats:
    """Return what each row adds to the sums, ``(n, 1 + p + p * p)``: 1, its values, their products.

    Values are first centred and scaled by column, which changes no correlation and spares their
    digits.
    """
    x = np.asarray(values, np.float64)
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    products = (z[:, :, None] * z[:, None, :]).reshape(len(z), -1)
    return np.concatenate([np.ones((len(z), 1)), z, products], axis=1)


def partials_from_sums(sums: Floats, variables: int) -> Floats:
    """Return the partial correlation of the first variable with each other one.

    Parameters
    ----------
    sums
        Of :func:`moment_terms` over rows, ``(..., 1 + p + p * p)``.
    variables
        p, the first and its drivers.

    Returns
    -------
    partials
        ``(..., p - 1)``; NaN throughout where a variable does not vary or follows from others.
    """
    sums = np.asarray(sums, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums[..., 1 : 1 + variables] / sums[..., :1]
        second = sums[..., 1 + variables :] / sums[..., :1]
        second = second.reshape(*sums.shape[:-1], variables, variables)
        covariance = second - mean[..., :, None] * mean[..., None, :]
        spread = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        correlation = covariance / (spread[..., :, None] * spread[..., None, :])
    known = np.isfinite(correlation).all(axis=(-2, -1))
    plain = np.where(known[..., None, None], correlation, np.eye(variables))
    known &= np.linalg.eigvalsh(plain)[..., 0] > LEAST_EIGENVALUE
    inverse = np.linalg.inv(np.where(known[..., None, None], plain, np.eye(variables)))
    diagonal = np.diagonal(inverse, axis1=-2, axis2=-1)
    partial = -inverse[..., 0, 1:] / np.sqrt(diagonal[..., :1] * diagonal[..., 1:])
    return np.where(known[..., None], np.clip(partial, -1.0, 1.0), np.nan)


def partial_p(partial: ArrayLike, n: int, controls: int) -> Floats:
    """Return the two-sided p of partial correlations of n independent rows.

    By Student's t with ``n - 2 - controls`` degrees of freedom (Fisher 1924, *Metron* 3, 329-332).
    NaN where these are not positive or the correlation is NaN.
    """
    r = np.asarray(partial, np.float64)
    freedom = n - 2 - controls
    if freedom < 1:
        return np.full(r.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(r) * np.sqrt(freedom / (1 - r**2))
    return np.asarray(2 * stdtr(freedom, -t))


def holm(p: ArrayLike) -> Floats:
    """Return p values adjusted for how many there are (Holm 1979); NaN is none of them.

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p, np.float64)
    known = np.flatnonzero(np.isfinite(given))
    order = known[np.argsort(given[known], kind="stable")]
    adjusted = given.copy()
    raised = given[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raised)) if len(order) else raised
    return adjusted
