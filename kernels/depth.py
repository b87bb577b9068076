r"""The mass-preserving spline: a smooth curve over depth from the means of soil layers.

Bishop, McBratney & Laslett 1999, *Modelling soil attribute depth functions with equal-area
quadratic smoothing splines*, Geoderma 91, 27-45. Of n layers with means :math:`y_i`, the curve f is
the one with the least

.. math::
    \frac{1}{n} \sum_i (y_i - \bar f_i)^2 + \lambda \int f'(x)^2 dx

where :math:`\bar f_i` is its mean over layer i. It is quadratic in a layer, straight between layers
that do not touch, its slope is continuous, and 0 at the upper and the lower end. With slopes
:math:`b = 6 v` at the lower end of layers 1 to n-1 and Q the differences of neighbours,

.. math::
    (R + 6 n \lambda Q Q^T) v = Q y, \qquad s = y - 6 n \lambda Q^T v

with tridiagonal :math:`R_{ii} = 2 (h_i + h_{i+1}) + 6 g_i`, :math:`R_{i,i+1} = h_{i+1}`, h being
thickness and g the gap below a layer. This is the paper's :math:`s = Z^{-1} y` with
:math:`Z = I + 6 n \lambda Q^T R^{-1} Q`, rearranged so that one tridiagonal system, positive
definite and diagonally dominant, is solved in a time proportional to n.

The curve's mean over a layer is s, which is y only where :math:`\lambda = 0`.

All profiles are taken at once, as flat arrays of layers with `offsets`: the layers of profile p are
those from ``offsets[p]`` to before ``offsets[p + 1]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .jit import kernel

Floats = NDArray[np.float64]
Offsets = NDArray[np.int64]

#: Layers may overlap by so many cm, which rounding explains.
TOUCHING_CM = 1e-6
#: What :func:`bounded` did to a layer: drew its curve towards its mean, or moved the mean itself.
LIMITED, CLIPPED = 1, 2


@dataclass(frozen=True, eq=False)
class DepthCurve:
    """Curves over depth of many profiles, in pieces of one layer each.

    Within a layer ``f(d) = alfa + b0 d + gamma d²``, d being cm below its top; between layers f is
    the straight line from one to the next; above the first and below the last there is none.

    Parameters
    ----------
    top, bottom
        Of the layers, ``(n,)`` cm.
    offsets
        Where profiles begin among them, ``(profiles + 1,)``.
    mean
        The curve's mean over each layer, ``(n,)``: s of the paper.
    b0, b1
        Slope at a layer's upper and lower end, ``(n,)`` per cm.
    gamma, alfa
        The other coefficients, ``(n,)``.
    state
        0, :data:`LIMITED` or :data:`CLIPPED`, ``(n,)``.
    """

    top: Floats
    bottom: Floats
    offsets: Offsets
    mean: Floats
    b0: Floats
    b1: Floats
    gamma: Floats
    alfa: Floats
    state: NDArray[np.uint8]

    @property
    def profiles(self) -> int:
        """How many profiles there are."""
        return len(self.offsets) - 1


def fit_spline(
    top: ArrayLike, bottom: ArrayLike, value: ArrayLike, offsets: ArrayLike, lam: float = 0.1
) -> DepthCurve:
    """Fit the mass-preserving spline to each of many profiles.

    A profile of one layer is constant; one without layers has no curve.

    Parameters
    ----------
    top, bottom
        Of the layers, from the surface down within each profile, ``(n,)`` cm. They may leave gaps
        and must not overlap; ``kernels.depth_layers`` separates those that do.
    value
        Means of the layers, ``(n,)``, finite.
    offsets
        Where profiles begin, ``(profiles + 1,)``, from 0 to n.
    lam
        λ, 0 or more: the larger, the smoother. 0 conserves the mass of each layer exactly.

    Returns
    -------
    DepthCurve
        Its ``mean - value`` is what smoothing moved.

    Raises
    ------
    ValueError
        Shapes do not fit, λ is negative, or a layer is not finite, has no thickness, or overlaps
        the one above; the message names it.
    """
    top, bottom, value, offsets = _checked(top, bottom, value, offsets)
    _check_lambda(lam)
    mean, b0, b1, gamma, alfa = (np.zeros_like(value) for _ in range(5))
    _fit_all(top, bottom, value, offsets, float(lam), mean, b0, b1, gamma, alfa)
    state = np.zeros(len(top), np.uint8)
    return DepthCurve(top, bottom, offsets, mean, b0, b1, gamma, alfa, state)


def steps(top: ArrayLike, bottom: ArrayLike, value: ArrayLike, offsets: ArrayLike) -> DepthCurve:
    """Return curves that are constant in each layer, as :func:`fit_spline` returns splines."""
    top, bottom, value, offsets = _checked(top, bottom, value, offsets)
    flat = np.zeros_like(value)
    state = np.zeros(len(top), np.uint8)
    return DepthCurve(top, bottom, offsets, value, flat, flat, flat, value, state)


def bounded(curve: DepthCurve, low: float = 0.0, high: float = np.inf) -> DepthCurve:
    r"""Draw the curve of each layer towards its mean until it stays within bounds.

    :math:`\tilde f = s + t (f - s)` with the largest t up to 1 that keeps it within (the limiter of
    Zhang & Shu 2010, J. Comput. Phys. 229, 3091-3120): the layer's mean, and so its mass, stays,
    and its state becomes :data:`LIMITED`. Where the mean itself lies outside, which smoothing can
    cause, the layer is constant at the bound and :data:`CLIPPED`.

    Raises
    ------
    ValueError
        `low` is above `high`.
    """
    if not low <= high:
        raise ValueError(f"low {low} must not lie above high {high}")
    mean, b0, b1, gamma, alfa = (
        a.copy() for a in (curve.mean, curve.b0, curve.b1, curve.gamma, curve.alfa)
    )
    state = curve.state.copy()
    _limit(curve.top, curve.bottom, low, high, mean, b0, b1, gamma, alfa, state)
    return replace(curve, mean=mean, b0=b0, b1=b1, gamma=gamma, alfa=alfa, state=state)


def left_out_errors(
    top: ArrayLike,
    bottom: ArrayLike,
    value: ArrayLike,
    offsets: ArrayLike,
    lams: Sequence[float],
) -> Floats:
    """Return how far off each inner layer is when its profile's spline is fitted without it.

    The mean of the straight line that bridges the layer, less its value. The misfit of the layers
    that are fitted could not choose λ: it is least at 0 in every profile. The first and the last
    layer cannot be left out, since the curve does not go beyond those that remain.

    Parameters
    ----------
    top, bottom, value, offsets
        As for :func:`fit_spline`.
    lams
        The λ to try.

    Returns
    -------
    numpy.ndarray
        ``(n, len(lams))``, NaN for the first and last layer of each profile.
    """
    top, bottom, value, offsets = _checked(top, bottom, value, offsets)
    for lam in lams:
        _check_lambda(lam)
    errors = np.full((len(top), len(lams)), np.nan)
    most = int(np.diff(offsets).max(initial=0))
    _leave_out(top, bottom, value, offsets, np.array(lams, np.float64), np.empty((8, most)), errors)
    return errors


def _checked(
    top: ArrayLike, bottom: ArrayLike, value: ArrayLike, offsets: ArrayLike
) -> tuple[Floats, Floats, Floats, Offsets]:
    top, bottom, value = (np.ascontiguousarray(a, np.float64) for a in (top, bottom, value))
    offsets = np.ascontiguousarray(offsets, np.int64)
    if not top.ndim == bottom.ndim == value.ndim == offsets.ndim == 1:
        raise ValueError("top, bottom, value and offsets must have one dimension each")
    if not len(top) == len(bottom) == len(value):
        raise ValueError(f"{len(top)} tops, {len(bottom)} bottoms and {len(value)} values")
    whole = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(top)
    if not whole or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets must ascend from 0 to the number of layers, {len(top)}")
    wrong = ~(np.isfinite(top) & np.isfinite(bottom) & np.isfinite(value))
    _refuse(wrong, offsets, "is not finite: {}", top, bottom, value)
    _refuse(~(top < bottom), offsets, "has no thickness: {}", top, bottom, value)
    overlap = np.zeros(len(top), bool)
    overlap[1:] = top[1:] < bottom[:-1] - TOUCHING_CM
    overlap[offsets[:-1][offsets[:-1] < len(top)]] = False
    _refuse(overlap, offsets, "begins above the end of the one before: {}", top, bottom, value)
    return top, bottom, value, offsets


def _refuse(
    wrong: NDArray[np.bool_],
    offsets: Offsets,
    what: str,
    top: Floats,
    bottom: Floats,
    value: Floats,
) -> None:
    if wrong.any():
        i = int(np.argmax(wrong))
        profile = int(np.searchsorted(offsets, i, side="right")) - 1
        found = f"{top[i]:g} to {bottom[i]:g} cm, value {value[i]:g}"
        raise ValueError(f"layer {i} (profile {profile}) {what.format(found)}")


def _check_lambda(lam: float) -> None:
    if not (np.isfinite(lam) and lam >= 0):
        raise ValueError(f"lambda must be 0 or more, found {lam}")


@kernel()
def _fit_one(
    top: Floats,
    bottom: Floats,
    value: Floats,
    lam: float,
    mean: Floats,
    b0: Floats,
    b1: Floats,
    gamma: Floats,
    alfa: Floats,
) -> None:
    """Fit one profile of one layer or more, writing into the last five arrays."""
    n = len(top)
    smooth = 6.0 * n * lam
    # Thomas algorithm; gamma holds the upper diagonal and b1 the right side until v is known.
    for i in range(n - 1):
        thick, below = bottom[i] - top[i], bottom[i + 1] - top[i + 1]
        gap = max(0.0, top[i + 1] - bottom[i])
        pivot = 2.0 * (thick + below) + 6.0 * gap + 2.0 * smooth
        right = value[i + 1] - value[i]
        if i > 0:
            pivot -= (thick - smooth) * gamma[i - 1]
            right -= (thick - smooth) * b1[i - 1]
        gamma[i] = (below - smooth) / pivot
        b1[i] = right / pivot
    b1[n - 1] = 0.0
    for i in range(n - 3, -1, -1):
        b1[i] -= gamma[i] * b1[i + 1]
    above = 0.0
    for i in range(n):
        thick, v = bottom[i] - top[i], b1[i]
        mean[i] = value[i] - smooth * (above - v)
        b0[i], b1[i] = 6.0 * above, 6.0 * v
        gamma[i] = (b1[i] - b0[i]) / (2.0 * thick)
        alfa[i] = mean[i] - b0[i] * thick / 2.0 - gamma[i] * thick * thick / 3.0
        above = v


@kernel()
def _fit_all(
    top: Floats,
    bottom: Floats,
    value: Floats,
    offsets: Offsets,
    lam: float,
    mean: Floats,
    b0: Floats,
    b1: Floats,
    gamma: Floats,
    alfa: Floats,
) -> None:
    for p in range(len(offsets) - 1):
        a, z = offsets[p], offsets[p + 1]
        if z > a:
            _fit_one(
                top[a:z], bottom[a:z], value[a:z], lam,
                mean[a:z], b0[a:z], b1[a:z], gamma[a:z], alfa[a:z],
            )  # fmt: skip


@kernel()
def _limit(
    top: Floats,
    bottom: Floats,
    low: float,
    high: float,
    mean: Floats,
    b0: Floats,
    b1: Floats,
    gamma: Floats,
    alfa: Floats,
    state: NDArray[np.uint8],
) -> None:
    for i in range(len(top)):
        thick = bottom[i] - top[i]
        end = alfa[i] + b0[i] * thick + gamma[i] * thick * thick
        least, most = min(alfa[i], end), max(alfa[i], end)
        # The vertex lies inside where the slope changes its sign.
        if b0[i] * b1[i] < 0.0:
            vertex = alfa[i] - b0[i] * b0[i] / (4.0 * gamma[i])
            least, most = min(least, vertex), max(most, vertex)
        if least >= low and most <= high:
            continue
        shrink = 0.0
        if mean[i] < low or mean[i] > high:
            mean[i] = min(max(mean[i], low), high)
            state[i] = CLIPPED
        else:
            shrink = 1.0
            if least < low:
                shrink = (mean[i] - low) / (mean[i] - least)
            if most > high:
                shrink = min(shrink, (high - mean[i]) / (most - mean[i]))
            state[i] = LIMITED
        b0[i] *= shrink
        b1[i] *= shrink
        gamma[i] *= shrink
        alfa[i] = mean[i] - b0[i] * thick / 2.0 - gamma[i] * thick * thick / 3.0


@kernel()
def _leave_out(
    top: Floats,
    bottom: Floats,
    value: Floats,
    offsets: Offsets,
    lams: Floats,
    scratch: Floats,
    errors: Floats,
) -> None:
    for p in range(len(offsets) - 1):
        a, z = offsets[p], offsets[p + 1]
        n = z - a - 1
        for out in range(1, n):
            for i in range(n):
                taken = a + i + (1 if i >= out else 0)
                scratch[0, i] = top[taken]
                scratch[1, i] = bottom[taken]
                scratch[2, i] = value[taken]
            for k in range(len(lams)):
                _fit_one(
                    scratch[0, :n], scratch[1, :n], scratch[2, :n], lams[k],
                    scratch[3, :n], scratch[4, :n], scratch[5, :n], scratch[6, :n], scratch[7, :n],
                )  # fmt: skip
                above = out - 1
                thick = scratch[1, above] - scratch[0, above]
                start = (
                    scratch[7, above]
                    + scratch[4, above] * thick
                    + scratch[6, above] * thick * thick
                )
                slope = scratch[5, above]
                middle = 0.5 * (top[a + out] + bottom[a + out])
                line = start + slope * (middle - scratch[1, above])
                errors[a + out, k] = line - value[a + out]
