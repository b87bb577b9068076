r"""RothC's equilibrium under a climate that repeats every year, exactly and at once.

A year of RothC maps the four active pools affinely onto themselves, :math:`y' = A y + f u`, where
u is the response to a year's carbon input and f scales that input. DPM and RPM pass on to nothing
but BIO and HUM, so A is triangular but for a 2 x 2 block: DPM and RPM at equilibrium are
geometric series, BIO and HUM the solution of two equations. The stock is linear in the input, so
the input that holds a measured stock follows by one division. And any number of years under the
same climate, each with its own f, is that many small products instead of months.

None of this holds once rates depend on the pools (the microbial variant).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .rothc import PAN_FACTOR
from .rothc_arrays import Array, Forcing, Microbial, Soil, State
from .rothc_run import simulate
from .rothc_year import (
    BIO_BIO,
    BIO_DPM,
    BIO_HUM,
    BIO_RPM,
    DEFICIT,
    DPM,
    HUM_BIO,
    HUM_DPM,
    HUM_HUM,
    HUM_RPM,
    IN_BIO,
    IN_DPM,
    IN_HUM,
    IN_RPM,
    RPM,
    YearMap,
    check_year,
    year_map,
)


@dataclass(frozen=True)
class Inverse:
    """The input that holds a stock.

    Parameters
    ----------
    factor
        What to multiply the forcing's input by, ``(pixel,)``; NaN where no input can hold the
        stock (nothing decomposes, nothing enters, or the stock is not above IOM).
    state
        The equilibrium with it, which has exactly the stock.
    """

    factor: Array
    state: State


@dataclass(frozen=True)
class SpinUp:
    """The official program's spin-up: where it ended, and after how many months."""

    state: State
    months: NDArray[np.int64]


def equilibrium_of(year: YearMap) -> State:
    """Return the state that a year maps onto itself; NaN where nothing decomposes."""
    state = State(np.empty((4, year.table.shape[1]), year.table.dtype), year.table[DEFICIT].copy())
    _fixed_point(year.table, state.pools)
    return state


def equilibrium(
    forcing: Forcing, soil: Soil, *, evaporation_factor: float = PAN_FACTOR, threads: int = 1
) -> State:
    """Return the exact equilibrium at the end of December, in float64; IOM is not part of it.

    Parameters are those of :func:`year_map`.
    """
    return equilibrium_of(
        year_map(forcing, soil, evaporation_factor=evaporation_factor, threads=threads)
    )


def hold_stock(year: YearMap, stock: Array, iom: Array) -> Inverse:
    r"""Return the input that holds a stock at equilibrium.

    :math:`f = (C_{obs} - IOM) / C_{sim}`, with :math:`C_{sim}` the active carbon at equilibrium
    under the year's own input; exact because RothC is linear in its input.

    Parameters
    ----------
    year
        From :func:`~edaphos.kernels.rothc_year.year_map`; of the input only its course over the
        months matters, not its size.
    stock, iom
        Total and inert organic carbon, ``(pixel,)`` t C/ha.
    """
    unit = equilibrium_of(year)
    active = np.asarray(stock, year.table.dtype) - np.asarray(iom, year.table.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = active / unit.pools.sum(axis=0)
    factor = np.where(np.isfinite(factor) & (factor > 0), factor, np.nan).astype(active.dtype)
    return Inverse(factor, State(unit.pools * factor, unit.deficit))


def inverse_input(
    forcing: Forcing,
    soil: Soil,
    stock: Array,
    iom: Array,
    *,
    evaporation_factor: float = PAN_FACTOR,
    microbial: Microbial | None = None,
) -> Inverse:
    """Return the input that holds a stock under a repeating climate (see :func:`hold_stock`).

    Raises
    ------
    ValueError
        With `microbial`, where the stock is not linear in the input: search for it by
        :func:`spin_up` instead.
    """
    if microbial is not None:
        raise ValueError(
            "with microbial rates the stock is not linear in the input, so it cannot be inverted "
            "by a division; search for the input with spin_up(..., microbial=...) instead"
        )
    year = year_map(forcing, soil, evaporation_factor=evaporation_factor)
    return hold_stock(year, stock, iom)


def project(
    year: YearMap, state: State, factors: Array, keep: Sequence[int] | None = None
) -> tuple[Array, Array, State]:
    """Advance a number of years; return pools and CO2 of those to keep, and the last state.

    Equal to months of :func:`~edaphos.kernels.rothc_run.simulate` to rounding, where the state's
    deficit is the year's own.

    Parameters
    ----------
    year
        From :func:`~edaphos.kernels.rothc_year.year_map`.
    state
        At the end of a December.
    factors
        Multiplies each year's input, ``(years, pixel)`` or ``(years, 1)``.
    keep
        Positions of the years to return, ascending; all by default.

    Returns
    -------
    pools, co2
        At the end of, and during, each year kept: ``(kept, 4, pixel)`` and ``(kept, pixel)``,
        t C/ha. CO2 is what is missing from the carbon balance, so it closes by construction here.
    state
        At the end of the last year.

    Raises
    ------
    ValueError
        Shapes do not fit, or positions to keep do not ascend.
    """
    dtype, pixels, years = year.table.dtype, year.table.shape[1], len(factors)
    if np.ndim(factors) != 2 or np.shape(factors)[1] not in (1, pixels):
        raise ValueError(
            f"factors must be (years, {pixels}) or (years, 1), found {np.shape(factors)}"
        )
    if np.shape(state.pools) != (4, pixels):
        raise ValueError(f"pools must be (4, {pixels}), found {np.shape(state.pools)}")
    kept = np.full(years, -1, np.int64)
    positions = range(years) if keep is None else keep
    places = np.array([-1, *positions, years])
    if np.any(np.diff(places) <= 0):
        raise ValueError(f"keep must be ascending positions below {years}, found {positions}")
    for place, position in enumerate(positions):
        kept[position] = place
    pools = np.empty((len(positions), 4, pixels), dtype)
    co2 = np.empty((len(positions), pixels), dtype)
    held = np.array(state.pools, dtype)
    scale = np.asarray(factors, dtype)
    _project(year.table, year.inputs, scale, kept, held, pools, co2)
    return pools, co2, State(held, state.deficit)


def spin_up(
    forcing: Forcing,
    soil: Soil,
    *,
    iom: Array | float = 0.0,
    tolerance: float = 1e-6,
    evaporation_factor: float = PAN_FACTOR,
    microbial: Microbial | None = None,
    most_years: int = 20_000,
) -> SpinUp:
    """Cycle the year from empty pools until the total changes by less than `tolerance` in a year.

    This is how the official program reaches its start, kept for comparison with it, and for the
    microbial variant, which has no exact solution; elsewhere use :func:`equilibrium`.

    Parameters
    ----------
    forcing, soil
        As in :func:`year_map`.
    iom
        Inert organic matter, t C/ha; only the last digits of the difference depend on it.
    tolerance
        t C/ha.
    microbial
        Needs some microbial carbon to begin with, 0.01 t C/ha in each pool.
    most_years
        Years after which a pixel that has not settled is given back as it is.

    Raises
    ------
    ValueError
        Forcing of another length.
    """
    check_year(forcing)
    pixels = forcing.pixels
    pools = np.full((4, pixels), 0.01 if microbial else 0.0)
    deficit, months = np.zeros(pixels), np.zeros(pixels, np.int64)
    total = pools.sum(axis=0) + iom
    active = np.arange(pixels)
    for _ in range(most_years):
        year = simulate(
            _take(forcing, active),
            Soil(*(np.broadcast_to(a, (pixels,))[active] for a in (soil.clay, soil.depth))),
            State(pools[:, active], deficit[active]),
            12,
            every=12,
            evaporation_factor=evaporation_factor,
            microbial=microbial,
        ).state
        pools[:, active], deficit[active] = year.pools, year.deficit
        months[active] += 12
        dpm, rpm, bio, hum = year.pools
        after = dpm + rpm + bio + hum + np.broadcast_to(iom, (pixels,))[active]
        moving = np.abs(after - total[active]) >= tolerance
        total[active] = after
        active = active[moving]
        if active.size == 0:
            break
    pools[:, np.isnan(total)] = np.nan  # a missing IOM ended its spin-up at once
    return SpinUp(State(pools, deficit), months)


def _take(forcing: Forcing, pixels: NDArray[np.intp]) -> Forcing:
    if len(pixels) == forcing.pixels:
        return forcing
    arrays = {k: a[:, pixels] for k, a in vars(forcing).items() if isinstance(a, np.ndarray)}
    return replace(forcing, **arrays)


@kernel()  # nothing fused: see _compose in rothc_year.py
def _fixed_point(table: Array, pools: Array) -> None:
    t = pools.dtype.type
    for w in range(pools.shape[1]):
        dpm = -table[IN_DPM, w] / table[DPM, w]
        rpm = -table[IN_RPM, w] / table[RPM, w]
        bio_in = table[IN_BIO, w] + table[BIO_DPM, w] * dpm + table[BIO_RPM, w] * rpm
        hum_in = table[IN_HUM, w] + table[HUM_DPM, w] * dpm + table[HUM_RPM, w] * rpm
        a, b = table[BIO_BIO, w], table[BIO_HUM, w]
        c, d = table[HUM_BIO, w], table[HUM_HUM, w]
        det = a * d - b * c
        bio, hum = (b * hum_in - d * bio_in) / det, (c * bio_in - a * hum_in) / det
        total = dpm + rpm + bio + hum
        lost = not (abs(total) < t(np.inf))
        pools[0, w] = t(np.nan) if lost else dpm
        pools[1, w] = t(np.nan) if lost else rpm
        pools[2, w] = t(np.nan) if lost else bio
        pools[3, w] = t(np.nan) if lost else hum


@kernel()  # nothing fused: see _compose in rothc_year.py
def _project(
    table: Array, inputs: Array, scale: Array, kept: Array, held: Array, pools: Array, co2: Array
) -> None:
    """Advance `held` in place, and copy the years whose place in `kept` is not negative."""
    every = scale.shape[1] > 1
    for year in range(scale.shape[0]):
        place = kept[year]
        for w in range(held.shape[1]):
            f = scale[year, w] if every else scale[year, 0]
            d, r, b, h = held[0, w], held[1, w], held[2, w], held[3, w]
            up_d = table[DPM, w] * d + f * table[IN_DPM, w]
            up_r = table[RPM, w] * r + f * table[IN_RPM, w]
            up_b = table[BIO_DPM, w] * d + table[BIO_RPM, w] * r + table[BIO_BIO, w] * b
            up_b += table[BIO_HUM, w] * h + f * table[IN_BIO, w]
            up_h = table[HUM_DPM, w] * d + table[HUM_RPM, w] * r + table[HUM_BIO, w] * b
            up_h += table[HUM_HUM, w] * h + f * table[IN_HUM, w]
            held[0, w], held[1, w] = d + up_d, r + up_r
            held[2, w], held[3, w] = b + up_b, h + up_h
            if place >= 0:
                pools[place, 0, w], pools[place, 1, w] = held[0, w], held[1, w]
                pools[place, 2, w], pools[place, 3, w] = held[2, w], held[3, w]
                co2[place, w] = f * inputs[w] - (up_d + up_r + up_b + up_h)
