"""Radiocarbon through a spin-up and the run after it.

A year under a repeating climate maps the activities of the four pools affinely onto themselves,
so that thousands of years of spin-up are powers of one 4 x 4 matrix, and equilibrium one solve.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.radiocarbon import Radiocarbon, delta14c, trace_radiocarbon
from edaphos.kernels.rothc import RATES
from edaphos.kernels.rothc_arrays import Forcing, Microbial, Soil, State
from edaphos.kernels.rothc_run import RateModifiers, rate_modifiers

Floats = NDArray[np.float64]
_RATES = np.array(RATES)
YEAR = 12


def spun_up_activity(
    forcing: Forcing,
    soil: Soil,
    modern: Floats,
    months: NDArray[np.int64],
    *,
    evaporation_factor: float,
) -> Floats:
    """Return the activities after a spin-up from an empty soil, ``(4, P)`` t C/ha of modern carbon.

    Parameters
    ----------
    forcing, soil
        Of the year that is repeated, 12 rows.
    modern
        Of new carbon, ``(12, P)`` % modern.
    months
        Length of the spin-up, ``(P,)``; 0 for the equilibrium itself.
    evaporation_factor
        As in ``simulate``.
    """
    pixels = forcing.pixels
    held = np.zeros((4, pixels))
    deficit, done = np.zeros(pixels), 0
    longest = int(months.max(initial=0)) or YEAR * 10_000
    while True:  # moisture settles within a year or two, but for bare soils that dry slowly
        modifiers = rate_modifiers(
            forcing, soil, deficit, YEAR, evaporation_factor=evaporation_factor
        )
        settled = np.array_equal(modifiers.deficit[-1], deficit)
        if settled or done >= longest:
            break
        after = _year(forcing, soil, modifiers, modern, held)
        held = np.where((months > done) | (months == 0), after, held)
        deficit, done = modifiers.deficit[-1], done + YEAR
    return _many_years(forcing, soil, modifiers, modern, held, months - done, months == 0)


def _many_years(
    forcing: Forcing,
    soil: Soil,
    modifiers: RateModifiers,
    modern: Floats,
    held: Floats,
    months: NDArray[np.int64],
    solve: NDArray[np.bool_],
) -> Floats:
    """Return activities after the months that are left, or at equilibrium where `solve` is set."""
    pixels = forcing.pixels
    fresh = _year(forcing, soil, modifiers, modern, np.zeros((4, pixels)))
    year = np.zeros((pixels, 5, 5))  # (y, 1) to (A y + u, 1)
    year[:, :4, 4], year[:, 4, 4] = fresh.T, 1.0
    for pool in range(4):
        one = np.zeros((4, pixels))
        one[pool] = 1.0
        year[:, :4, pool] = (_year(forcing, soil, modifiers, modern, one) - fresh).T
    found = held.copy()
    for count in np.unique(months[~solve]):
        if count <= 0:
            continue
        own = ~solve & (months == count)
        power = np.linalg.matrix_power(year[own], int(count) // YEAR)
        found[:, own] = (power[:, :4, :4] @ held.T[own][:, :, None])[:, :, 0].T
        found[:, own] += power[:, :4, 4].T
    loss = np.eye(4) - year[solve, :4, :4]
    found[:, solve] = np.linalg.solve(loss, year[solve, :4, 4][:, :, None])[:, :, 0].T
    return found


def run_radiocarbon(
    forcing: Forcing,
    soil: Soil,
    modifiers: RateModifiers,
    modern: Floats,
    start: State,
    pools: Floats,
    activity: Floats,
    iom: Floats,
    microbial: Microbial | None = None,
) -> Floats:
    """Return the soil's radiocarbon through a run, ``(n + 1, P)`` per mille, its start first.

    Parameters
    ----------
    forcing, soil, modifiers, modern
        Of the n months of the run.
    start, pools
        Before it, and at the end of each month, ``(n, 4, P)``.
    activity
        Before it, ``(4, P)``.
    iom
        ``(P,)``, t C/ha.
    microbial
        That of the run.
    """
    first = delta14c(start.pools, activity, iom)[None]
    if not len(pools):
        return first
    modifiers = _scaled(modifiers, forcing)
    if microbial is not None:
        biomass = np.concatenate([start.pools[None, 2], pools[:-1, 2]])
        mu = microbial.mu_max * biomass / (microbial.km + biomass)
        modifiers = replace(modifiers, cover=modifiers.cover * mu)
    found = trace_radiocarbon(forcing, soil, modifiers, modern, pools, activity, iom, _RATES)
    return np.concatenate([first, found.delta])


def _year(
    forcing: Forcing, soil: Soil, modifiers: RateModifiers, modern: Floats, held: Floats
) -> Floats:
    ends = np.ones((YEAR, 4, forcing.pixels))  # stocks play no part in how activity moves
    rates = _scaled(modifiers, forcing)
    found: Radiocarbon = trace_radiocarbon(
        forcing, soil, rates, modern, ends, held, np.zeros(forcing.pixels), _RATES
    )
    return found.activity[-1]


def _scaled(modifiers: RateModifiers, forcing: Forcing) -> RateModifiers:
    """Return modifiers whose product holds the forcing's factor on all rates, too."""
    if forcing.rate_factor is None:
        return modifiers
    return replace(modifiers, cover=modifiers.cover * forcing.rate_factor)
