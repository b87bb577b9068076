r"""ICBM, the Introductory Carbon Balance Model: two pools and five parameters, solved exactly.

Andrén & Kätterer 1997, *ICBM: the introductory carbon balance model for exploration of soil carbon
balances*, Ecological Applications 7, 1226-1236. Young carbon Y takes the input i; a share h of
what decomposes of it becomes old carbon O:

.. math::
    dY/dt = i - k_1 r Y, \qquad dO/dt = h k_1 r Y - k_2 r O

r stands for climate and soil; 1 where the rates were found (Ultuna, central Sweden). Rates are in
1/yr, carbon in any unit of mass over area.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .jit import CONTRACT, kernel

Array = NDArray[Any]

#: Decomposition rate of young and of old carbon, 1/yr (of the paper, as fitted at Ultuna).
YOUNG_RATE, OLD_RATE = 0.8, 0.00605
#: Share of decomposing young carbon that becomes old, of crop residues (of the paper).
HUMIFIED = 0.125


def steady_pools(stock: Array, k1: float, k2: float, h: float) -> tuple[Array, Array, Array]:
    r"""Return young and old carbon of a stock in steady state at r = 1, and the input holding it.

    :math:`Y = i / k_1` and :math:`O = h i / k_2`, so :math:`i = C / (1/k_1 + h/k_2)`.
    """
    entering = np.asarray(stock) / (1 / k1 + h / k2)
    return entering / k1, h * entering / k2, entering


def simulate_years(
    young: Array,
    old: Array,
    entering: Array,
    climate: Array,
    rates: Sequence[float] = (YOUNG_RATE, OLD_RATE, HUMIFIED),
) -> Array:
    """Advance the two pools year by year, input and climate being constant within each.

    Parameters
    ----------
    young, old
        At the beginning, ``(pixel,)``.
    entering
        Carbon entering in each year, ``(years, pixel)``.
    climate
        r of each year, ``(years, pixel)``, 0 or more.
    rates
        k1 and k2, 1/yr, and h.

    Returns
    -------
    Array
        Both at the end of each year, ``(years, 2, pixel)`` float64.

    Raises
    ------
    ValueError
        Shapes do not fit, or the rates are not positive.
    """
    k1, k2, h = (float(value) for value in rates)
    if not (k1 > 0 and k2 > 0 and h >= 0):
        raise ValueError(f"k1 and k2 must be above 0 and h not below, found {k1}, {k2} and {h}")
    shape = np.shape(entering)
    if (
        len(shape) != 2
        or shape != np.shape(climate)
        or not (np.shape(young) == np.shape(old) == shape[1:])
    ):
        raise ValueError(
            f"expected entering and climate (years, pixel) and pools (pixel,), found {shape}, "
            f"{np.shape(climate)}, {np.shape(young)} and {np.shape(old)}"
        )
    pools = np.empty((shape[0], 2, shape[1]))
    y, o, i, r = (np.ascontiguousarray(a, np.float64) for a in (young, old, entering, climate))
    _advance(y, o, i, r, k1, k2, h, pools)
    return pools


@kernel(fastmath=CONTRACT)
def _advance(
    young: Array,
    old: Array,
    entering: Array,
    climate: Array,
    k1: float,
    k2: float,
    h: float,
    pools: Array,
) -> None:
    r"""Solve each year, in terms of the shares that decompose: nothing divides by k1 - k2.

    Of young carbon there at the beginning, or coming in, what is passed on to old carbon and is
    still there: with a = k1 r and b = k2 r, convolutions of their exponentials over the year.
    """
    for year in range(entering.shape[0]):
        for w in range(young.shape[0]):
            before_y = young[w] if year == 0 else pools[year - 1, 0, w]
            before_o = old[w] if year == 0 else pools[year - 1, 1, w]
            i, r = entering[year, w], climate[year, w]
            a, b = k1 * r, k2 * r
            gone_y, gone_o = -np.expm1(-a), -np.expm1(-b)
            # mean of e^{-as} over the year, and of e^{-bs}: 1 where nothing decomposes
            mean_y = gone_y / a if a > 0 else 1.0 + a
            mean_o = gone_o / b if b > 0 else 1.0 + b
            # mean of e^{-as-b(1-s)}
            gap = a - b
            both = np.exp(-b) * (-np.expm1(-gap) / gap if gap != 0 else 1.0)
            pools[year, 0, w] = before_y * (1.0 - gone_y) + i * mean_y
            # young carbon of the beginning, then that of the input, then old carbon
            passed = before_y * a * both + i * (mean_o - both)
            pools[year, 1, w] = before_o * (1.0 - gone_o) + h * passed
