"""RothC-26.3: the equations of the Rothamsted carbon model, one formula a function.

Sources: Coleman & Jenkinson 1996, *RothC-26.3, a model for the turnover of carbon in soil* (in
Powlson, Smith & Smith, *Evaluation of Soil Organic Matter Models*, Springer, 237-246) and the
model description that Rothamsted Research distributes with it. Pools are in t C/ha, rates in
1/yr, water in mm, clay in %, depth in cm, temperature in °C.

Names in capitals are constants of the model; the functions of single values are inlined into the
loops of :mod:`edaphos.kernels.rothc_run` and :mod:`edaphos.kernels.equilibrium`, and
serve float32 and float64 alike: constants take the type of their argument. Comparisons are
written so that NaN passes through: a missing value gives a missing result, never a wrong one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .jit import CONTRACT, kernel

POOLS = ("DPM", "RPM", "BIO", "HUM")
#: Decomposition rate constants of DPM, RPM, BIO and HUM, 1/yr; IOM does not decompose.
RATES = (10.0, 0.3, 0.66, 0.02)
#: Below this temperature (°C) nothing decomposes; at it, decomposition is active.
COLDEST = -5.0
#: Evapotranspiration is this share of open-pan evaporation.
PAN_FACTOR = 0.75
#: Rate modifier under a plant cover; 1 on bare soil.
COVERED = 0.6
#: Shares of farmyard manure that enter DPM, RPM and HUM.
MANURE = (0.49, 0.49, 0.02)
#: DPM/RPM ratio of incoming plant material.
DPM_RPM = {"crop": 1.44, "improved grass": 1.44, "grass": 0.67, "scrub": 0.67, "forest": 0.25}


# -- exponentials --------------------------------------------------------------------------------
#
# LLVM turns these polynomials into vector code; a call of libm's exp would not be.


@kernel(fastmath=CONTRACT, inline=True)
def expm1_series(z: float) -> float:
    """Return ``exp(z) - 1`` for ``|z|`` up to 0.2, by its Taylor series.

    Relative error: 1e-14 up to 0.08, 2e-13 up to 0.125, 8e-12 at 0.2 (in float64). Terms
    are paired (Estrin), so that the processor can work on several at once.
    """
    t = type(z)
    z2 = z * z
    high = (t(1 / 720) + z * t(1 / 5040)) + z2 * t(1 / 40320)
    middle = t(1 / 24) + z * t(1 / 120)
    low = t(0.5) + z * t(1 / 6)
    return z + z2 * (low + z2 * (middle + z2 * high))


@kernel(fastmath=CONTRACT, inline=True)
def losses(exposure: float) -> tuple[float, float, float, float]:
    r"""Return the shares of DPM, RPM, BIO and HUM that decompose: :math:`1 - e^{-k x}`.

    Parameters
    ----------
    exposure
        :math:`x = a b c / 12`: rate modifiers times the length of a month in years; below 4
        (a is at most 47.91), and accurate to 1e-11 up to 10.

    Notes
    -----
    One series, of HUM's small exponent, and powers of it: the rate constants are 1, 15, 33 and
    500 times 0.02. With :math:`g(z) = e^z - 1`, :math:`g(2z) = g^2 + 2g` and
    :math:`g(y+z) = g(y) + g(z) + g(y) g(z)` keep every digit of a small loss. Powers of
    :math:`e^z` itself would not: in float32 they miss DPM's loss in a dry month at -5 °C by 0.5 %.
    """
    return _powers(expm1_series(type(exposure)(-0.02) * exposure))


@kernel(fastmath=CONTRACT, inline=True)
def strong_losses(exposure: float) -> tuple[float, float, float, float]:
    """Return what :func:`losses` does, for any exposure: rates may be multiplied by anything.

    The series is of a 128th of HUM's exponent, doubled seven times; nothing is left of any pool
    (a share of 1e-11) where it ends to hold.
    """
    t = type(exposure)
    two, most = t(2.0), t(1280.0)
    short = most if exposure > most else exposure
    g = expm1_series(t(-0.02 / 128) * short)
    g *= g + two
    g *= g + two
    g *= g + two
    g *= g + two
    g *= g + two
    g *= g + two
    g *= g + two
    return _powers(g)


@kernel(fastmath=CONTRACT, inline=True)
def _powers(g1: float) -> tuple[float, float, float, float]:
    """Return the four losses from HUM's, with its sign turned."""
    t = type(g1)
    two = t(2.0)
    g2 = g1 * (g1 + two)
    g3 = g1 + g2 + g1 * g2
    g5 = g2 + g3 + g2 * g3
    g10 = g5 * (g5 + two)
    g15 = g5 + g10 + g5 * g10
    g30 = g15 * (g15 + two)
    g33 = g3 + g30 + g3 * g30
    g60 = g30 * (g30 + two)
    g120 = g60 * (g60 + two)
    g125 = g5 + g120 + g5 * g120
    g250 = g125 * (g125 + two)
    return -(g250 * (g250 + two)), -g15, -g33, -g1


# -- rate modifiers ------------------------------------------------------------------------------


@kernel(fastmath=CONTRACT, inline=True)
def temperature_factor(temperature: float) -> float:
    r"""Return :math:`a = 47.91 / (1 + e^{106.06 / (T + 18.27)})`, 0 below -5 °C."""
    t = type(temperature)
    warm = t(COLDEST) if temperature < t(COLDEST) else temperature
    # exp(-106.06/(T+18.27)) as the 64th power of a short series; its argument is at most 8
    w = t(1.0) + expm1_series(t(-106.06 / 64) / (warm + t(18.27)))
    w *= w
    w *= w
    w *= w
    w *= w
    w *= w
    w *= w
    a = t(47.91) * w / (t(1.0) + w)
    return t(0.0) if temperature < t(COLDEST) else a


@kernel(fastmath=CONTRACT, inline=True)
def largest_deficit(clay: float, depth: float) -> float:
    r"""Return the maximum soil moisture deficit :math:`M = -(20 + 1.3 c - 0.01 c^2)\,d/23`, mm."""
    t = type(clay)
    return -(t(20.0) + t(1.3) * clay - t(0.01) * clay * clay) * (depth / t(23.0))


@kernel(fastmath=CONTRACT, inline=True)
def next_deficit(deficit: float, net: float, largest: float, covered: bool) -> float:
    """Return the soil moisture deficit after a month, mm (0 is field capacity, drier is negative).

    Parameters
    ----------
    deficit
        At the month's beginning.
    net
        Rain minus evapotranspiration of the month, mm.
    largest
        From :func:`largest_deficit`.
    covered
        Whether plants cover the soil. Bare soil does not dry beyond ``0.556 largest``, and does
        not wet up to it either when it is drier already.
    """
    t = type(deficit)
    wet = deficit + net
    wet = t(0.0) if wet > t(0.0) else wet
    bare = t(0.556) * largest
    bare = deficit if deficit < bare else bare
    low = largest if covered else bare
    return low if wet < low else wet


@kernel(fastmath=CONTRACT, inline=True)
def moisture_slope(largest: float) -> float:
    """Return ``0.8 / (largest - 0.444 largest)``, the same for all months of a soil."""
    t = type(largest)
    return t(0.8) / (t(0.556) * largest)


@kernel(fastmath=CONTRACT, inline=True)
def moisture_factor(deficit: float, largest: float, slope: float) -> float:
    """Return b: 1 down to ``0.444 largest``, from there falling linearly to 0.2 at `largest`.

    `slope` is that of :func:`moisture_slope`.
    """
    t = type(deficit)
    b = t(0.2) + (largest - deficit) * slope
    return t(1.0) if deficit > t(0.444) * largest else b


@kernel(fastmath=CONTRACT, inline=True)
def exposure(
    temperature: float, net: float, covered: bool, deficit: float, largest: float, slope: float
) -> tuple[float, float]:
    """Return a month's exposure to decomposition, ``a b c / 12`` in years, and its last deficit.

    `net` is rain minus evapotranspiration, mm; see :func:`next_deficit` and :func:`moisture_factor`
    for the rest.
    """
    t = type(deficit)
    after = next_deficit(deficit, net, largest, covered)
    b = moisture_factor(after, largest, slope) * (t(COVERED / 12) if covered else t(1 / 12))
    return temperature_factor(temperature) * b, after


@kernel(fastmath=CONTRACT, inline=True)
def retained(clay: float) -> float:
    r"""Return the share of decomposed carbon that stays as BIO and HUM.

    :math:`1 / (x + 1)` with :math:`x = 1.67 (1.85 + 1.60 e^{-0.0786 c})`; of it, 0.46 becomes BIO
    and 0.54 HUM. The rest, :math:`x / (x + 1)`, is CO2.
    """
    t = type(clay)
    x = t(1.67) * (t(1.85) + t(1.60) * math.exp(t(-0.0786) * clay))
    return t(1.0) / (x + t(1.0))


@kernel(fastmath=CONTRACT, inline=True)
def exchange(
    dpm: float,
    rpm: float,
    bio: float,
    hum: float,
    lost: tuple[float, float, float, float],
    kept: float,
) -> tuple[float, float, float, float, float]:
    """Return the pools after a month's decomposition, and the CO2 given off.

    `lost` are the shares of the pools that decompose, `kept` the share of that which stays in the
    soil, 0.46 of it as BIO and 0.54 as HUM.
    """
    t = type(dpm)
    d, r, b, h = dpm * lost[0], rpm * lost[1], bio * lost[2], hum * lost[3]
    gone = d + r + b + h
    stays = gone * kept
    return (
        dpm - d,
        rpm - r,
        bio - b + t(0.46) * stays,
        hum - h + t(0.54) * stays,
        gone - stays,
    )


# -- starting points -----------------------------------------------------------------------------


def inert(stock: ArrayLike) -> NDArray[np.float64]:
    """Return inert organic matter, t C/ha: ``0.049 * stock ** 1.139``.

    Falloon, Smith, Coleman & Marshall 1998 (Soil Biol. Biochem. 30, 1207-1211). `stock` is total
    organic carbon, t C/ha; missing where it is negative.
    """
    total = np.asarray(stock)
    with np.errstate(invalid="ignore"):
        return np.asarray(0.049 * np.where(total < 0, np.nan, total) ** 1.139)


def pedotransfer_pools(stock: ArrayLike, clay: ArrayLike) -> NDArray[Any]:
    """Return DPM, RPM, BIO, HUM and IOM of a stock near equilibrium, ``(5, ...)`` t C/ha.

    Weihermüller et al. 2013 (Soil Biol. Biochem. 59, 28-35, eqs 7-9), fitted to pools of RothC
    runs; IOM after Falloon et al. 1998. DPM is what remains, and negative values of it are left
    for the caller to see.

    Parameters
    ----------
    stock
        Total organic carbon, t C/ha.
    clay
        %.
    """
    s, c = np.asarray(stock, np.float64), np.asarray(clay, np.float64)
    rpm = (0.184 * s + 0.1555) * (c + 1.2750) ** -0.1158
    humus = (0.7148 * s + 0.5069) * (c + 0.3421) ** 0.0184
    bio = (0.0140 * s + 0.0075) * (c + 8.8473) ** 0.0567
    iom = inert(s)
    return np.stack([s - rpm - humus - bio - iom, rpm, bio, humus, np.broadcast_to(iom, s.shape)])
