r"""Radiocarbon in RothC: the age of each pool, and :math:`\Delta^{14}C` of the soil.

Each pool carries an activity, in units of a modern pool of its size. Carbon that decomposes takes
its share of it along, a month of decay is taken from all that was there before, and new carbon
brings the activity of the year's air. Conventions are those of the official program: decay over
5568 years of half-life, inert organic matter 50,000 years old and not ageing, and
:math:`\Delta^{14}C = 1000 (e^{-age/8035} - 1)`. One site at a time, in plain NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rothc import MANURE, retained
from .rothc_arrays import Forcing, Soil
from .rothc_run import RateModifiers

#: Decay constant, 1/yr: ln 2 over Libby's half-life of 5568 years.
DECAY = float(np.log(2.0) / 5568.0)
#: Age of inert organic matter, years.
IOM_AGE = 50_000.0


@dataclass(frozen=True)
class Radiocarbon:
    """Activities of a run.

    Parameters
    ----------
    activity
        Of DPM, RPM, BIO and HUM at the end of each month, ``(months, 4, pixel)``, t C/ha of modern
        carbon.
    delta
        Of the whole soil, ``(months, pixel)``, per mille.
    """

    activity: NDArray[np.float64]
    delta: NDArray[np.float64]


def delta14c(pools: NDArray[Any], activity: NDArray[Any], iom: ArrayLike) -> NDArray[np.float64]:
    """Return the soil's radiocarbon, per mille, from pools and activities ``(..., 4, pixel)``."""
    inert = np.asarray(iom, np.float64)
    total = pools.sum(axis=-2) + inert
    active = activity.sum(axis=-2) + inert * np.exp(-DECAY * IOM_AGE)
    with np.errstate(divide="ignore", invalid="ignore"):
        age = np.where(total == 0, 0.0, np.log(total / active) / DECAY)
    return np.asarray(1000.0 * (np.exp(-age / 8035.0) - 1.0))


def trace_radiocarbon(
    forcing: Forcing,
    soil: Soil,
    modifiers: RateModifiers,
    modern: ArrayLike,
    pools: NDArray[np.float64],
    activity: NDArray[np.float64],
    iom: ArrayLike,
    rates: NDArray[np.float64],
) -> Radiocarbon:
    """Follow the activity of the pools through a run.

    Parameters
    ----------
    forcing, soil
        Of the run.
    modifiers
        From ``rate_modifiers`` for the months of the run; where a rate factor or microbial mu
        scaled its rates, one of the three is to be multiplied by it.
    modern
        Activity of new carbon in percent of modern, ``(months,)`` or ``(months, pixel)``.
    pools
        Of the run at the **end** of each month, ``(months, 4, pixel)`` t C/ha.
    activity
        At the beginning, ``(4, pixel)``.
    iom
        Inert organic matter, t C/ha.
    rates
        Rate constants of the four pools, 1/yr.
    """
    months, pixels = pools.shape[0], forcing.pixels
    fresh = np.broadcast_to(np.asarray(modern, float).reshape(months, -1) / 100, (months, pixels))
    kept = np.array([retained(float(c)) for c in np.broadcast_to(soil.clay, (pixels,))])
    month_of_decay = np.exp(-DECAY / 12)
    found = np.empty((months, 4, pixels))
    held = np.array(activity, np.float64)
    for t in range(months):
        x = modifiers.temperature[t] * modifiers.moisture[t] * modifiers.cover[t] / 12
        lost = held * -np.expm1(-rates[:, None] * x)
        held = held - lost
        gained = lost.sum(axis=0) * kept
        held[2] += 0.46 * gained
        held[3] += 0.54 * gained
        held *= month_of_decay
        plant = forcing.plant_input[t % len(forcing.plant_input)] * forcing.scales[3]
        ratio = forcing.dpm_rpm[t % len(forcing.dpm_rpm)]
        held[0] += fresh[t] * plant * ratio / (1 + ratio)
        held[1] += fresh[t] * plant / (1 + ratio)
        if forcing.manure is not None:
            manure = fresh[t] * forcing.manure[t % len(forcing.manure)]
            held[0] += MANURE[0] * manure
            held[1] += MANURE[1] * manure
            held[3] += MANURE[2] * manure
        found[t] = held
    return Radiocarbon(found, delta14c(pools, found, iom))
