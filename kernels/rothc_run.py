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
    largest_deficit,
    losses,
    moisture_factor,
    moisture_slope,
    next_deficit,
    retained,
    temperature_factor,
)
from .rothc_arrays import (
    Array,
    Forcing,
    Microbial,
    Soil,
    State,
    forcing_arrays,
    missing,
    over_blocks,
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
        Shapes do not fit.
    """
    pixels, dtype, records = forcing.pixels, state.pools.dtype, months // every
    found = np.empty((records, 4, pixels), dtype)
    co2, deficit = np.empty((records, pixels), dtype), np.empty((records, pixels), dtype)
    rules = _Rules(evaporation_factor, input_factor, microbial, rates)
    end = _run(forcing, soil, state, months, every, rules, (found, co2, deficit), threads)
    return Trajectory(found, co2, deficit, end)


def simulate_stocks(
    forcing: Forcing,
    soil: Soil,
    state: State,
    months: int,
    *,
    every: int = 12,
    evaporation_factor: float = PAN_FACTOR,
    input_factor: Array | None = None,
    threads: int = 1,
) -> tuple[Array, State]:
    """Return the sum of the four pools at the end of each record, ``(n, pixel)``, and the state.

    As :func:`simulate`, for those who want the stock alone (IOM is to be added) of many pixels:
    less is written.
    """
    pixels, dtype = forcing.pixels, state.pools.dtype
    total, none = np.empty((months // every, 1, pixels), dtype), np.empty((0, pixels), dtype)
    rules = _Rules(evaporation_factor, input_factor, None, RATES)
    end = _run(forcing, soil, state, months, every, rules, (total, none, none), threads)
    return total[:, 0], end


@dataclass(frozen=True)
class _Rules:
    """How months are run, apart from forcing."""

    evaporation_factor: float
    input_factor: Array | None
    microbial: Microbial | None
    rates: tuple[float, float, float, float]


def _run(
    forcing: Forcing,
    soil: Soil,
    state: State,
    months: int,
    every: int,
    rules: _Rules,
    out: tuple[Array, Array, Array],
    threads: int,
) -> State:
    """Check, run the kernel over blocks of pixels, and return the state at the end."""
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
    mu = rules.microbial or Microbial(1.0, -1.0)  # a negative km: none
    options = np.array([mu.mu_max, mu.km, *rules.rates], dtype)
    measures = units(forcing, rules.evaporation_factor, dtype)
    general = rules.microbial is not None or rules.rates != RATES
    arrays = forcing_arrays(forcing, soil, dtype)
    factor = np.ones((1, 1)) if rules.input_factor is None else np.atleast_2d(rules.input_factor)
    factor = np.ascontiguousarray(np.broadcast_to(factor, (len(factor), pixels)), dtype)
    pools, deficit = state.pools.copy(), state.deficit.astype(dtype) + missing(arrays)

    def run(first: int, last: int) -> None:
        _simulate(
            *arrays,
            measures,
            factor,
            options,
            general,
            months,
            every,
            first,
            last,
            pools,
            deficit,
            *out,
        )

    over_blocks(run, pixels, threads)
    return State(pools, deficit)


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
    arrays = forcing_arrays(forcing, soil, dtype)
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
    general: bool,
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
    size = min(STRIP, last - first)
    dpm, rpm = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    bio, hum = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    smd, gas = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    kept, most = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    slope, x = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    to_bio, to_hum = t(0.46), t(0.54)
    covered, bare = t(COVERED / 12), t(1 / 12)  # cover modifier times a month in years
    m_dpm, m_rpm, m_hum = t(MANURE[0]), t(MANURE[1]), t(MANURE[2])
    mu_max, km, rates = options[0], options[1], options[2:]
    u_temperature, u_rain, u_evaporation, u_plant = units[0], units[1], units[2], units[3]
    detailed, manured = out_co2.shape[0] > 0, manure.shape[1] > 0
    scaled = rate_factor.shape[1] > 0
    for lo in range(first, last, STRIP):
        n = min(STRIP, last - lo)
        for w in range(n):
            most[w] = largest_deficit(clay[lo + w], depth[lo + w])
            slope[w] = moisture_slope(most[w])
            kept[w] = retained(clay[lo + w])
            dpm[w], rpm[w] = pools[0, lo + w], pools[1, lo + w]
            bio[w], hum[w] = pools[2, lo + w], pools[3, lo + w]
            smd[w], gas[w] = deficit[lo + w], t(0.0)
        for month in range(months):
            tm = temperature[month % temperature.shape[0], lo : lo + n]
            rn = rain[month % rain.shape[0], lo : lo + n]
            ev = evaporation[month % evaporation.shape[0], lo : lo + n]
            cv = cover[month % cover.shape[0], lo : lo + n]
            pl = plant[month % plant.shape[0], lo : lo + n]
            sh = share[month % share.shape[0], lo : lo + n]
            fa = factor[month // 12 % factor.shape[0], lo : lo + n]
            for w in range(n):
                green = cv[w] > 0
                s = next_deficit(
                    smd[w], (t(rn[w]) - t(ev[w]) * u_evaporation) * u_rain, most[w], green
                )
                b = moisture_factor(s, most[w], slope[w])
                smd[w] = s
                x[w] = temperature_factor(t(tm[w]) * u_temperature) * (
                    b * (covered if green else bare)
                )
            if scaled:
                rf = rate_factor[month % rate_factor.shape[0], lo : lo + n]
                for w in range(n):
                    x[w] *= t(rf[w])
            if general:
                for w in range(n):
                    y = x[w]
                    if km >= 0:
                        y *= mu_max * bio[w] / (km + bio[w]) if bio[w] + km != 0 else t(0.0)
                    d = dpm[w] * -math.expm1(-rates[0] * y)
                    r = rpm[w] * -math.expm1(-rates[1] * y)
                    q = bio[w] * -math.expm1(-rates[2] * y)
                    h = hum[w] * -math.expm1(-rates[3] * y)
                    lost = d + r + q + h
                    stays = lost * kept[w]
                    p = t(pl[w]) * u_plant * fa[w]
                    into = p * sh[w]
                    dpm[w] = dpm[w] - d + into
                    rpm[w] = rpm[w] - r + (p - into)
                    bio[w] = bio[w] - q + to_bio * stays
                    hum[w] = hum[w] - h + to_hum * stays
                    gas[w] += lost - stays
            else:
                for w in range(n):
                    share_d, share_r, share_b, share_h = losses(x[w])
                    d, r = dpm[w] * share_d, rpm[w] * share_r
                    q, h = bio[w] * share_b, hum[w] * share_h
                    lost = d + r + q + h
                    stays = lost * kept[w]
                    p = t(pl[w]) * u_plant * fa[w]
                    into = p * sh[w]
                    dpm[w] = dpm[w] - d + into
                    rpm[w] = rpm[w] - r + (p - into)
                    bio[w] = bio[w] - q + to_bio * stays
                    hum[w] = hum[w] - h + to_hum * stays
                    gas[w] += lost - stays
            if manured:
                ma = manure[month % manure.shape[0], lo : lo + n]
                for w in range(n):
                    f = t(ma[w]) * fa[w]
                    dpm[w] += m_dpm * f
                    rpm[w] += m_rpm * f
                    hum[w] += m_hum * f
            if (month + 1) % every == 0:
                found = out_pools[(month + 1) // every - 1]
                if detailed:
                    record = (month + 1) // every - 1
                    for w in range(n):
                        found[0, lo + w], found[1, lo + w] = dpm[w], rpm[w]
                        found[2, lo + w], found[3, lo + w] = bio[w], hum[w]
                        out_co2[record, lo + w], out_deficit[record, lo + w] = gas[w], smd[w]
                        gas[w] = t(0.0)
                else:
                    for w in range(n):
                        found[0, lo + w] = (dpm[w] + rpm[w]) + (bio[w] + hum[w])
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
