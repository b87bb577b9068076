"""RothC month by month, over many pixels: :func:`simulate` and :func:`rate_modifiers`.

Arrays run ``(month, pixel)``, pixels side by side in memory, so that each month is a few vector
instructions for a strip of pixels whose state stays in the processor's first cache. Forcing is
read once, at whatever precision it is stored; what is the same every year is given as twelve rows,
what never changes as one, and costs no memory traffic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .jit import CONTRACT, kernel
from .rothc import (
    COVERED,
    MANURE,
    PAN_FACTOR,
    RATES,
    exchange,
    exposure,
    largest_deficit,
    losses,
    moisture_factor,
    moisture_slope,
    next_deficit,
    retained,
    strong_losses,
    temperature_factor,
)
from .rothc_arrays import (
    Array,
    Forcing,
    KernelArrays,
    Microbial,
    Soil,
    State,
    forcing_arrays,
    missing,
    one_block,
    over_blocks,
    read_only,
    row_after,
    units,
)

#: Pixels whose state is worked on at once: small enough for the first cache.
STRIP = 1024


@dataclass(frozen=True)
class Trajectory:
    """A run, ``n`` records of ``every`` months each.

    Parameters
    ----------
    pools
        At the end of each record, ``(n, 4, pixel)`` t C/ha.
    co2
        Given off during it, ``(n, pixel)`` t C/ha.
    deficit
        Soil moisture deficit at its end, ``(n, pixel)`` mm.
    state
        At the end of the run.
    """

    pools: Array
    co2: Array
    deficit: Array
    state: State


@dataclass(frozen=True)
class RateModifiers:
    """What multiplies the rate constants in each month, each ``(month, pixel)``.

    By temperature (a), moisture (b) and cover (c); and the soil moisture deficit at the end of the
    month, mm.
    """

    temperature: Array
    moisture: Array
    cover: Array
    deficit: Array


def simulate(
    forcing: Forcing,
    soil: Soil,
    state: State,
    months: int,
    *,
    every: int = 1,
    evaporation_factor: float = PAN_FACTOR,
    input_factor: Array | None = None,
    microbial: Microbial | None = None,
    rates: tuple[float, float, float, float] = RATES,
    threads: int = 1,
) -> Trajectory:
    r"""Run RothC-26.3 for a number of months.

    Each month, with rate modifiers a, b, c, a pool Y loses :math:`Y (1 - e^{-k a b c / 12})`; the
    loss is shared out to CO2, BIO and HUM; then the month's carbon enters.

    Parameters
    ----------
    forcing, soil
        See there; missing values (NaN) give a missing pixel.
    state
        At the beginning. Its dtype, float32 or float64, is that of the computation.
    months
        Number of months, from the first row of `forcing` on.
    every
        Months for each record: 1 or 12, say; `months` is a multiple of it.
    evaporation_factor
        0.75 for open-pan evaporation, 1 for potential evapotranspiration.
    input_factor
        Multiplies all carbon entering, ``(n, pixel)`` or ``(n, 1)``, row ``t // 12 % n`` in month
        t: one factor a year.
    microbial
        Slows or speeds every rate by the microbial biomass itself.
    rates
        Rate constants, 1/yr, where they are not the standard ones.
    threads
        Result does not depend on it.

    Raises
    ------
    ValueError
        Shapes do not fit, or km is negative.
    """
    arrays, measures, factor, end = prepare(
        forcing, soil, state, months, every, evaporation_factor, input_factor
    )
    pixels, dtype, records = forcing.pixels, end.pools.dtype, months // every
    found = np.empty((records, 4, pixels), dtype)
    co2, deficit = np.empty((records, pixels), dtype), np.empty((records, pixels), dtype)
    mu = (1.0, -1.0)  # a negative km: none
    if microbial is not None:
        if not microbial.km >= 0:
            raise ValueError(f"km must be 0 or more, found {microbial.km}")
        mu = (microbial.mu_max, microbial.km)
    options = np.array([*mu, *rates], dtype)
    living, other = microbial is not None, rates != RATES
    out = (end.pools, end.deficit, found, co2, deficit)

    def run(first: int, last: int) -> None:
        span = (months, every, first, last)
        _simulate(*arrays, measures, factor, options, living, other, *span, *out)

    over_blocks(run, pixels, threads)
    return Trajectory(found, co2, deficit, end)


def prepare(
    forcing: Forcing,
    soil: Soil,
    state: State,
    months: int,
    every: int,
    evaporation_factor: float,
    input_factor: Array | None,
) -> tuple[KernelArrays, Array, Array, State]:
    """Check what a run is given; return the kernels' arrays, units, factor, and a state to change.

    Raises
    ------
    ValueError
        Shapes or types do not fit.
    """
    if months % every:
        raise ValueError(f"months must be a multiple of every, found {months} and {every}")
    pixels, dtype = forcing.pixels, state.pools.dtype
    if dtype not in (np.float32, np.float64):
        raise ValueError(
            f"pools must be float32 or float64, which sets the result's, found {dtype}"
        )
    if state.pools.shape != (4, pixels) or state.deficit.shape != (pixels,):
        raise ValueError(
            f"state must be (4, {pixels}) pools and ({pixels},) deficit, found "
            f"{state.pools.shape} and {state.deficit.shape}"
        )
    arrays = forcing_arrays(forcing, soil, dtype)
    factor = np.ones((1, 1)) if input_factor is None else np.asarray(input_factor)
    if factor.ndim != 2 or factor.shape[1] not in (1, pixels):
        raise ValueError(
            f"input_factor must be (years, {pixels}) or (years, 1), found {factor.shape}"
        )
    factor = read_only(np.ascontiguousarray(np.broadcast_to(factor, (len(factor), pixels)), dtype))
    begun = State(state.pools.copy(), state.deficit.astype(dtype) + missing(arrays))
    return arrays, units(forcing, evaporation_factor, dtype), factor, begun


def rate_modifiers(
    forcing: Forcing,
    soil: Soil,
    deficit: Array,
    months: int,
    *,
    evaporation_factor: float = PAN_FACTOR,
) -> RateModifiers:
    """Return the rate modifiers of each month, as :func:`simulate` uses them.

    `deficit` ``(pixel,)`` is the soil moisture deficit at the beginning; its dtype is that of the
    result.

    Raises
    ------
    ValueError
        Shapes do not fit.
    """
    dtype, pixels = deficit.dtype, forcing.pixels
    if deficit.shape != (pixels,) or dtype not in (np.float32, np.float64):
        raise ValueError(
            f"deficit must be ({pixels},) of float32 or float64, found {deficit.shape} of {dtype}"
        )
    found = [np.empty((months, pixels), dtype) for _ in range(4)]
    arrays = one_block(forcing_arrays(forcing, soil, dtype))
    measures = units(forcing, evaporation_factor, dtype)
    _modifiers(*arrays[:4], *arrays[8:], measures, deficit + missing(arrays), *found)
    return RateModifiers(*found)


@kernel(fastmath=CONTRACT)
def _simulate(
    temperature: Array,
    rain: Array,
    evaporation: Array,
    cover: Array,
    plant: Array,
    share: Array,
    manure: Array,
    rate_factor: Array,
    clay: Array,
    depth: Array,
    units: Array,
    factor: Array,
    options: Array,
    living: bool,
    other: bool,
    months: int,
    every: int,
    first: int,
    last: int,
    pools: Array,
    deficit: Array,
    out_pools: Array,
    out_co2: Array,
    out_deficit: Array,
) -> None:
    t = pools.dtype.type
    width = temperature.shape[2]
    strip = min(STRIP, width)
    size = min(strip, last - first)
    dpm, rpm = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    bio, hum = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    smd, gas = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    kept, most = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    slope, x = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    to_dpm, to_rpm = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    mu_max, km, rates = options[0], options[1], options[2:]
    u_temperature, u_rain, u_evaporation, u_plant = units[0], units[1], units[2], units[3]
    manured, scaled, quality_varies = manure.size > 0, rate_factor.size > 0, share.shape[1] > 1
    for lo in range(first, last, strip):
        n = min(strip, last - lo)
        block = lo // width
        at = lo - block * width
        for w in range(n):
            most[w] = largest_deficit(clay[lo + w], depth[lo + w])
            slope[w] = moisture_slope(most[w])
            kept[w] = retained(clay[lo + w])
            dpm[w], rpm[w] = pools[0, lo + w], pools[1, lo + w]
            bio[w], hum[w] = pools[2, lo + w], pools[3, lo + w]
            smd[w], gas[w] = deficit[lo + w], t(0.0)
        i_tm = i_rn = i_ev = i_cv = i_pl = i_sh = i_rf = i_ma = record = in_record = 0
        i_fa, month_of_year = -1, 11
        for _ in range(months):
            tm = temperature[block, i_tm, at : at + n]
            rn = rain[block, i_rn, at : at + n]
            ev = evaporation[block, i_ev, at : at + n]
            cv = cover[block, i_cv, at : at + n]
            pl = plant[block, i_pl, at : at + n]
            i_tm, i_rn = row_after(i_tm, temperature.shape[1]), row_after(i_rn, rain.shape[1])
            i_ev, i_cv = row_after(i_ev, evaporation.shape[1]), row_after(i_cv, cover.shape[1])
            i_pl = row_after(i_pl, plant.shape[1])
            month_of_year = row_after(month_of_year, 12)
            if month_of_year == 0:
                i_fa = row_after(i_fa, factor.shape[0])
            if month_of_year == 0 or quality_varies:
                # what becomes of a unit of stored plant input this year
                sh = share[block, i_sh, at : at + n]
                fa = factor[i_fa, lo : lo + n]
                i_sh = row_after(i_sh, share.shape[1])
                for w in range(n):
                    to_dpm[w] = u_plant * fa[w] * sh[w]
                    to_rpm[w] = u_plant * fa[w] * (t(1.0) - sh[w])
            for w in range(n):
                net = (t(rn[w]) - t(ev[w]) * u_evaporation) * u_rain
                x[w], smd[w] = exposure(
                    t(tm[w]) * u_temperature, net, cv[w] > 0, smd[w], most[w], slope[w]
                )
            if scaled:
                rf = rate_factor[block, i_rf, at : at + n]
                i_rf = row_after(i_rf, rate_factor.shape[1])
                for w in range(n):
                    x[w] *= t(rf[w])
            if living:
                for w in range(n):
                    x[w] *= mu_max * bio[w] / (km + bio[w]) if bio[w] + km != 0 else t(0.0)
            if other:
                for w in range(n):
                    lost = (
                        -math.expm1(-rates[0] * x[w]),
                        -math.expm1(-rates[1] * x[w]),
                        -math.expm1(-rates[2] * x[w]),
                        -math.expm1(-rates[3] * x[w]),
                    )
                    d, r, b, h, co2 = exchange(dpm[w], rpm[w], bio[w], hum[w], lost, kept[w])
                    dpm[w], rpm[w] = d + t(pl[w]) * to_dpm[w], r + t(pl[w]) * to_rpm[w]
                    bio[w], hum[w] = b, h
                    gas[w] += co2
            elif living:
                for w in range(n):
                    lost = strong_losses(x[w])
                    d, r, b, h, co2 = exchange(dpm[w], rpm[w], bio[w], hum[w], lost, kept[w])
                    dpm[w], rpm[w] = d + t(pl[w]) * to_dpm[w], r + t(pl[w]) * to_rpm[w]
                    bio[w], hum[w] = b, h
                    gas[w] += co2
            else:
                for w in range(n):
                    lost = losses(x[w])
                    d, r, b, h, co2 = exchange(dpm[w], rpm[w], bio[w], hum[w], lost, kept[w])
                    dpm[w], rpm[w] = d + t(pl[w]) * to_dpm[w], r + t(pl[w]) * to_rpm[w]
                    bio[w], hum[w] = b, h
                    gas[w] += co2
            if manured:
                ma = manure[block, i_ma, at : at + n]
                fa = factor[i_fa, lo : lo + n]
                i_ma = row_after(i_ma, manure.shape[1])
                for w in range(n):
                    f = t(ma[w]) * fa[w]
                    dpm[w] += t(MANURE[0]) * f
                    rpm[w] += t(MANURE[1]) * f
                    hum[w] += t(MANURE[2]) * f
            in_record += 1
            if in_record == every:
                found = out_pools[record]
                for w in range(n):
                    found[0, lo + w], found[1, lo + w] = dpm[w], rpm[w]
                    found[2, lo + w], found[3, lo + w] = bio[w], hum[w]
                    out_co2[record, lo + w], out_deficit[record, lo + w] = gas[w], smd[w]
                    gas[w] = t(0.0)
                record, in_record = record + 1, 0
        for w in range(n):
            pools[0, lo + w], pools[1, lo + w] = dpm[w], rpm[w]
            pools[2, lo + w], pools[3, lo + w] = bio[w], hum[w]
            deficit[lo + w] = smd[w]


@kernel(fastmath=CONTRACT)
def _modifiers(
    temperature: Array,
    rain: Array,
    evaporation: Array,
    cover: Array,
    clay: Array,
    depth: Array,
    units: Array,
    deficit: Array,
    out_a: Array,
    out_b: Array,
    out_c: Array,
    out_deficit: Array,
) -> None:
    t = deficit.dtype.type
    u_temperature, u_rain, u_evaporation = units[0], units[1], units[2]
    for month in range(out_a.shape[0]):
        tm = temperature[month % temperature.shape[0]]
        rn, ev = rain[month % rain.shape[0]], evaporation[month % evaporation.shape[0]]
        cv = cover[month % cover.shape[0]]
        for w in range(deficit.shape[0]):
            most, green = largest_deficit(clay[w], depth[w]), cv[w] > 0
            deficit[w] = next_deficit(
                deficit[w], (t(rn[w]) - t(ev[w]) * u_evaporation) * u_rain, most, green
            )
            out_a[month, w] = temperature_factor(t(tm[w]) * u_temperature)
            out_b[month, w] = moisture_factor(deficit[w], most, moisture_slope(most))
            out_c[month, w] = t(COVERED) if green else t(1.0)
            out_deficit[month, w] = deficit[w]
