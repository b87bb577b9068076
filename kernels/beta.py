r"""The beta model of carbon over depth: one number for each profile.

Of the carbon of a soil column the share above depth d is

.. math:: Y(d) = 1 - \beta^d

(Gale & Grigal 1987, *Can. J. For. Res.* 17, 829-834, for roots; Jobbágy & Jackson 2000, *Ecol.
Appl.* 10, 423-436, for carbon). The larger β, the slower carbon falls with depth and the more of
it lies deep. Y(100 cm) is 0.82 to 0.97, not 1: shares of the carbon of a *finite* column of T cm,
which are what profiles give, follow the normalised form

.. math:: p(d) = \frac{1 - \beta^d}{1 - \beta^T}

Fitting :math:`1 - \beta^d` to shares of 0-100 cm, as the words of some papers have it, makes β too
small (0.9721 for 0.9786) and the carbon of 0-100 cm that is reckoned from 0-20 cm 14 % too low.

Everything is computed with :math:`v = -\ln \beta` and ``expm1``, which stay exact as β nears 1.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .jit import kernel

Floats = NDArray[np.float64]
Form = Literal["normalised", "raw"]

#: Range that β is sought in: Y(100) from 1 to 0.01.
BOUNDS = (0.90, 0.9999)
#: Points of the coarse search before bisection, even in the logarithm of v.
_COARSE = 48
#: Halvings of the last bracket: far beyond float64.
_HALVINGS = 60


class BetaFlag(IntFlag):
    """What a fitted β should be known for; 0 is a plain fit."""

    #: Its top layer holds no more than its thickness's share: carbon does not fall with depth, β
    #: is near 1 and says nothing. Keep it out of training.
    NOT_FALLING = 1
    #: β lies at an end of the range it was sought in.
    AT_BOUND = 2
    #: No share is known above the column's end, or one is not within 0 to 1: β is NaN.
    UNKNOWN = 4


def cumulative_share(
    beta: ArrayLike, depth_cm: ArrayLike, total_cm: ArrayLike | None = None
) -> Floats:
    """Return the share of carbon above a depth.

    Parameters
    ----------
    beta
        Within 0 to 1, exclusive, any shape.
    depth_cm
        0 or more, cm; broadcast against `beta`.
    total_cm
        Depth of the column that the share is of; None for the endless one of :math:`1 - β^d`.

    Raises
    ------
    ValueError
        β is not between 0 and 1.
    """
    v = _rate(beta)
    share = -np.expm1(-v * np.asarray(depth_cm, np.float64))
    if total_cm is None:
        return np.asarray(share)
    return np.asarray(share / -np.expm1(-v * np.asarray(total_cm, np.float64)))


def layer_stock(
    stock_ref: ArrayLike,
    ref_bottom_cm: ArrayLike,
    beta: ArrayLike,
    top_cm: ArrayLike,
    bottom_cm: ArrayLike,
) -> Floats:
    r"""Return the stock of any layer from that of a topsoil.

    .. math:: X_{a-b} = X_{ref} \frac{\beta^a - \beta^b}{1 - \beta^{ref}}

    Parameters
    ----------
    stock_ref
        Stock of 0 to `ref_bottom_cm`, in any unit of mass per area, which the result has too.
    ref_bottom_cm
        Lower end of that topsoil, above 0, cm.
    beta
        Within 0 to 1, exclusive.
    top_cm, bottom_cm
        Of the layer, cm.

    Returns
    -------
    ndarray
        Of the shape that all arguments broadcast to.

    Raises
    ------
    ValueError
        β is not between 0 and 1.
    """
    v = _rate(beta)
    top, bottom = np.asarray(top_cm, np.float64), np.asarray(bottom_cm, np.float64)
    part = np.exp(-v * top) * -np.expm1(-v * (bottom - top))
    whole = -np.expm1(-v * np.asarray(ref_bottom_cm, np.float64))
    return np.asarray(np.asarray(stock_ref, np.float64) * part / whole)


def fit_beta(
    depths_cm: ArrayLike,
    shares: ArrayLike,
    form: Form = "normalised",
    bounds: tuple[float, float] = BOUNDS,
    total_cm: float = 100.0,
) -> tuple[Floats, NDArray[np.uint8]]:
    r"""Fit β to the cumulative shares of many profiles, by least squares within bounds.

    Parameters
    ----------
    depths_cm
        Where shares are given, ``(k,)`` for all profiles or ``(n, k)``, cm.
    shares
        Of the carbon of 0 to `total_cm` that lies above, ``(n, k)``; NaN where unknown.
    form
        ``normalised`` fits :math:`(1 - β^d)/(1 - β^T)`; ``raw`` fits :math:`1 - β^d` to the same
        shares, which is biased low.
    bounds
        Range of β.
    total_cm
        T, the depth of the column.

    Returns
    -------
    beta, flags
        ``(n,)``, flags of :class:`BetaFlag`.

    Raises
    ------
    ValueError
        Shapes do not fit, bounds are not 0 < low < high < 1, or depths or `total_cm` are not
        positive.

    Notes
    -----
    The sum of squares may have more than one minimum where shares are far from any β. A coarse
    search over the range finds the lowest; bisection of the derivative ends it to 1e-15.
    """
    share = np.ascontiguousarray(np.atleast_2d(np.asarray(shares, np.float64)))
    depth = np.asarray(depths_cm, np.float64)
    low, high = bounds
    if not 0 < low < high < 1:
        raise ValueError(f"bounds {bounds}: expected 0 < low < high < 1")
    if share.ndim != 2 or depth.shape not in (share.shape[1:], share.shape):
        raise ValueError(f"depths {depth.shape} do not fit shares {share.shape}")
    if not (np.all(depth > 0) and total_cm > 0):
        raise ValueError("depths and total_cm must be above 0")
    depth = np.ascontiguousarray(np.broadcast_to(depth, share.shape))
    if form not in ("normalised", "raw"):
        raise ValueError(f"form {form!r}: expected normalised or raw")
    rates = np.geomspace(-np.log(high), -np.log(low), _COARSE)
    beta, flags = np.empty(len(share)), np.zeros(len(share), np.uint8)
    _fit_all(depth, share, float(total_cm), form == "normalised", rates, beta, flags)
    return beta, flags


def beta_of_share(share: ArrayLike, depth_cm: float, total_cm: float = 100.0) -> Floats:
    """Return the β under which a share of 0 to `total_cm` lies above `depth_cm`: not a fit.

    NaN where the share is not above ``depth_cm / total_cm`` (carbon would not fall with depth), or
    not below 1.
    """
    p = np.asarray(share, np.float64)
    beta, flags = fit_beta([depth_cm], p.reshape(-1, 1), bounds=(1e-6, 1 - 1e-9), total_cm=total_cm)
    return np.where((flags == 0) & (p.ravel() < 1), beta, np.nan).reshape(p.shape)


def _rate(beta: ArrayLike) -> Floats:
    b = np.asarray(beta, np.float64)
    if np.any((b <= 0) | (b >= 1)):
        raise ValueError(f"beta must lie between 0 and 1, found {b.min():g} to {b.max():g}")
    return np.asarray(-np.log(b))


@kernel(inline=True)
def _share(v: float, depth: float, total: float, normalised: bool) -> tuple[float, float]:
    """Return a share and its derivative by v."""
    up, slope = -np.expm1(-v * depth), depth * np.exp(-v * depth)
    if not normalised:
        return up, slope
    whole = -np.expm1(-v * total)
    return up / whole, (slope - up / whole * total * np.exp(-v * total)) / whole


@kernel()
def _misfit(
    v: float, depth: Floats, share: Floats, total: float, normalised: bool
) -> tuple[float, float]:
    """Return the sum of squares and half its derivative by v."""
    squares, half_slope = 0.0, 0.0
    for j in range(len(depth)):
        if np.isfinite(share[j]):
            p, slope = _share(v, depth[j], total, normalised)
            squares += (p - share[j]) ** 2
            half_slope += (p - share[j]) * slope
    return squares, half_slope


@kernel()
def _flag(depth: Floats, share: Floats, total: float) -> int:
    """Flag what cannot be fitted, and carbon that does not fall with depth."""
    first = np.inf
    flag = 4
    for j in range(len(depth)):
        if np.isfinite(share[j]):
            if share[j] < 0 or share[j] > 1 + 1e-9 or depth[j] > total * (1 + 1e-9):
                return 4
            if depth[j] < first and depth[j] < total * (1 - 1e-9):
                first = depth[j]
                flag = 1 if share[j] <= depth[j] / total else 0
    return flag


@kernel()
def _fit_all(
    depth: Floats,
    share: Floats,
    total: float,
    normalised: bool,
    rates: Floats,
    beta: Floats,
    flags: NDArray[np.uint8],
) -> None:
    last = len(rates) - 1
    for i in range(len(beta)):
        flag = _flag(depth[i], share[i], total)
        flags[i] = flag
        if flag == 4:
            beta[i] = np.nan
            continue
        best, least = 0, np.inf
        for c in range(last + 1):
            squares, _ = _misfit(rates[c], depth[i], share[i], total, normalised)
            if squares < least:
                best, least = c, squares
        low, high = rates[max(best - 1, 0)], rates[min(best + 1, last)]
        _, at_low = _misfit(low, depth[i], share[i], total, normalised)
        _, at_high = _misfit(high, depth[i], share[i], total, normalised)
        if best == 0 and at_low >= 0:
            flags[i] |= 2
            beta[i] = np.exp(-low)
        elif best == last and at_high <= 0:
            flags[i] |= 2
            beta[i] = np.exp(-high)
        else:
            for _ in range(_HALVINGS):
                middle = 0.5 * (low + high)
                _, slope = _misfit(middle, depth[i], share[i], total, normalised)
                if slope < 0:
                    low = middle
                else:
                    high = middle
            beta[i] = np.exp(-0.5 * (low + high))
