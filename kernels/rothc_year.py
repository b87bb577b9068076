r"""One year of RothC under a climate that repeats, as one affine map of the four active pools.

:math:`y' = A y + f u`: DPM and RPM pass on to nothing but BIO and HUM, so A is triangular but for
a 2 x 2 block; u is the response to the year's carbon input, f scales that input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .jit import CONTRACT, kernel
from .rothc import (
    MANURE,
    PAN_FACTOR,
    exposure,
    largest_deficit,
    losses,
    moisture_slope,
    next_deficit,
    retained,
)
from .rothc_arrays import Array, Forcing, Soil, forcing_arrays, one_block, over_blocks, units

#: Pixels worked on at once; the year's columns of each fill the first cache.
STRIP = 256
#: Years after which a soil moisture deficit that has not settled is taken as it is.
SETTLING_YEARS = 1000
#: Years after which what still moves is looked at for drifting; most settle in two.
DRIFTING_FROM = 3
#: Most years that a drift is followed at once.
DRIFT_YEARS = 1_000_000
#: A change in a year that counts as none, mm; more for what rounding adds.
STEADY = 1e-10
#: Rows of the year's map: what a unit of each pool, and a year's input, become of.
DPM, RPM, BIO_DPM, BIO_RPM, BIO_BIO, BIO_HUM, HUM_DPM, HUM_RPM, HUM_BIO, HUM_HUM = range(10)
IN_DPM, IN_RPM, IN_BIO, IN_HUM, DEFICIT = range(10, 15)


@dataclass(frozen=True)
class YearMap:
    """One year of RothC under a repeating climate, from the end of December to the next.

    Parameters
    ----------
    table
        ``(15, pixel)``: the change of DPM and RPM per unit of them, of BIO and of HUM per unit of
        DPM, RPM, BIO and HUM, the response of the four pools to the year's input, and the soil
        moisture deficit (mm) at the end of December.
    inputs
        Carbon entering in the year, ``(pixel,)`` t C/ha.
    """

    table: Array
    inputs: Array


def year_map(
    forcing: Forcing,
    soil: Soil,
    *,
    evaporation_factor: float = PAN_FACTOR,
    dtype: DTypeLike = np.float64,
    threads: int = 1,
) -> YearMap:
    """Return the map of one year, the soil moisture deficit having settled first.

    Parameters
    ----------
    forcing
        One year: arrays of 12 rows, or of 1.
    soil, evaporation_factor, threads
        As in :func:`~edaphos.kernels.rothc_run.simulate`.
    dtype
        float64 or float32.

    Raises
    ------
    ValueError
        Forcing of another length.
    """
    kind: np.dtype[Any] = np.dtype(dtype)
    check_year(forcing)
    arrays = one_block(forcing_arrays(forcing, soil, kind))
    pixels = forcing.pixels
    table, inputs = np.empty((15, pixels), kind), np.empty(pixels, kind)
    measures = units(forcing, evaporation_factor, kind)

    def run(first: int, last: int) -> None:
        _year_map(*arrays, measures, first, last, table, inputs)

    over_blocks(run, pixels, threads)
    return YearMap(table, inputs)


def check_year(forcing: Forcing) -> None:
    """Refuse forcing that is no repeating year, or in blocks."""
    if forcing.temperature.ndim != 2:
        raise ValueError("a repeating year is given in rows of months, not in blocks")
    found = {a.shape[-2] for a in vars(forcing).values() if isinstance(a, np.ndarray)}
    if not found <= {1, 12}:
        raise ValueError(f"a repeating year has 12 rows (or 1), found {sorted(found)}")


@kernel(fastmath=CONTRACT)
def _year_map(
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
    first: int,
    last: int,
    table: Array,
    inputs: Array,
) -> None:
    t = table.dtype.type
    # scratch of whole strips: see _compose
    x, part = np.zeros((12, STRIP), table.dtype), np.empty((15, STRIP), table.dtype)
    most, slope = np.empty(STRIP, table.dtype), np.empty(STRIP, table.dtype)
    kept, smd = np.zeros(STRIP, table.dtype), np.empty(STRIP, table.dtype)
    u_temperature, u_rain, u_evaporation, u_plant = units[0], units[1], units[2], units[3]
    manured, scaled = manure.size > 0, rate_factor.size > 0
    for lo in range(first, last, STRIP):
        n = min(STRIP, last - lo)
        for w in range(n):
            most[w] = largest_deficit(clay[lo + w], depth[lo + w])
            slope[w] = moisture_slope(most[w])
            kept[w] = retained(clay[lo + w])
            smd[w] = t(0.0)
        _settle(rain, evaporation, cover, units, lo, n, most, smd)
        for month in range(12):
            tm = temperature[month % temperature.shape[0], lo : lo + n]
            rn = rain[month % rain.shape[0], lo : lo + n]
            ev = evaporation[month % evaporation.shape[0], lo : lo + n]
            cv = cover[month % cover.shape[0], lo : lo + n]
            row = x[month]
            for w in range(n):
                net = (t(rn[w]) - t(ev[w]) * u_evaporation) * u_rain
                row[w], smd[w] = exposure(
                    t(tm[w]) * u_temperature, net, cv[w] > 0, smd[w], most[w], slope[w]
                )
            if scaled:
                rf = rate_factor[month % rate_factor.shape[0], lo : lo + n]
                for w in range(n):
                    row[w] *= t(rf[w])
        part[:] = t(0.0)
        entered = inputs[lo : lo + n]
        entered[:] = t(0.0)
        for month in range(12):
            pl = plant[month % plant.shape[0], lo : lo + n]
            sh = share[month % share.shape[0], lo : lo + n]
            _compose(x[month], kept, part)
            _enter(pl, sh, u_plant, n, part, entered)
            if manured:
                ma = manure[month % manure.shape[0], lo : lo + n]
                _enter_manure(ma, n, part, entered)
        part[DEFICIT] = smd
        for k in range(15):
            table[k, lo : lo + n] = part[k, :n]


@kernel(fastmath=CONTRACT, inline=True)
def _settle(
    rain: Array,
    evaporation: Array,
    cover: Array,
    units: Array,
    lo: int,
    n: int,
    most: Array,
    smd: Array,
) -> None:
    """Repeat the year from field capacity until the deficit repeats; NaN counts as settled.

    Where it drifts by the same amount every year, it is moved on by many years at once.
    """
    t = smd.dtype.type
    u_rain, u_evaporation = units[1], units[2]
    rounding = t(16) * t(np.finfo(units.dtype).eps)
    before = np.empty_like(smd)
    for w in range(n):
        smd[w] += most[w] - most[w]  # without a bound it is missing, and would never settle
    for year in range(SETTLING_YEARS):
        before[:n] = smd[:n]
        for month in range(12):
            rn = rain[month % rain.shape[0], lo : lo + n]
            ev = evaporation[month % evaporation.shape[0], lo : lo + n]
            cv = cover[month % cover.shape[0], lo : lo + n]
            for w in range(n):
                net = (t(rn[w]) - t(ev[w]) * u_evaporation) * u_rain
                smd[w] = next_deficit(smd[w], net, most[w], cv[w] > 0)
        moved = 0
        for w in range(n):
            moved += abs(smd[w] - before[w]) > t(STEADY) - rounding * most[w]
        if moved == 0:
            return
        if year >= DRIFTING_FROM:
            for w in range(n):
                if abs(smd[w] - before[w]) > t(STEADY) - rounding * most[w]:
                    smd[w] += _drift(rain, evaporation, cover, units, lo + w, most[w], smd[w])


@kernel(fastmath=CONTRACT, inline=True)
def _drift(
    rain: Array,
    evaporation: Array,
    cover: Array,
    units: Array,
    at: int,
    most: float,
    start: float,
) -> float:
    """Return how far a deficit drifts in the years that pass like this one, mm.

    A year passes like the one before, and moves the deficit as far, as long as every month keeps
    to its case: free, or (bare soil, drier than it gets by itself) held. Room up and down is how
    far the deficit may move before one of them does not. 0 where a month is at a bound.
    """
    t = units.dtype.type
    s, bare = start, t(0.556) * most
    down, up = t(np.inf), t(np.inf)
    for month in range(12):
        net = t(rain[month % rain.shape[0], at])
        net = (net - t(evaporation[month % evaporation.shape[0], at]) * units[2]) * units[1]
        covered = cover[month % cover.shape[0], at] > 0
        after = next_deficit(s, net, most, covered)
        held = not covered and s < bare and net < 0
        if after != (s if held else s + net):
            return t(0.0)
        up = min(up, bare - s if held else -after)
        if covered or s >= bare:
            down = min(down, after - (most if covered else bare))
        s = after
    shift = s - start
    room = down if shift < 0 else up
    if shift == 0 or room <= 0:
        return t(0.0)
    return shift * t(min(max(math.floor(room / abs(shift)) - 1, 0), DRIFT_YEARS))


@kernel(fastmath=CONTRACT, inline=True)
def _compose(x: Array, kept: Array, part: Array) -> None:
    """Let a month act on the year's map so far.

    Diagonal entries hold the change (the entry minus 1), so that small losses keep their digits.
    Sums of two products can be fused in two ways, and compilers choose another one for what is left
    over at the end of a vector loop. So whole strips are worked on, whatever their pixels: nothing
    is left over, and a pixel's bits do not depend on its place.
    """
    t = part.dtype.type
    to_bio, to_hum, one = t(0.46), t(0.54), t(1.0)
    d_d, r_r = part[DPM], part[RPM]
    b_d, b_r, b_b, b_h = part[BIO_DPM], part[BIO_RPM], part[BIO_BIO], part[BIO_HUM]
    h_d, h_r, h_b, h_h = part[HUM_DPM], part[HUM_RPM], part[HUM_BIO], part[HUM_HUM]
    i_d, i_r, i_b, i_h = part[IN_DPM], part[IN_RPM], part[IN_BIO], part[IN_HUM]
    for w in range(kept.shape[0]):
        d, r, b, h = losses(x[w])
        bio, hum = to_bio * kept[w], to_hum * kept[w]
        lost = b * b_d[w] + h * h_d[w] + d * (one + d_d[w])
        b_d[w] += bio * lost - b * b_d[w]
        h_d[w] += hum * lost - h * h_d[w]
        lost = b * b_r[w] + h * h_r[w] + r * (one + r_r[w])
        b_r[w] += bio * lost - b * b_r[w]
        h_r[w] += hum * lost - h * h_r[w]
        lost = b * (one + b_b[w]) + h * h_b[w]
        b_b[w] += bio * lost - b * (one + b_b[w])
        h_b[w] += hum * lost - h * h_b[w]
        lost = b * b_h[w] + h * (one + h_h[w])
        b_h[w] += bio * lost - b * b_h[w]
        h_h[w] += hum * lost - h * (one + h_h[w])
        lost = d * i_d[w] + r * i_r[w] + b * i_b[w] + h * i_h[w]
        i_b[w] += bio * lost - b * i_b[w]
        i_h[w] += hum * lost - h * i_h[w]
        i_d[w] -= d * i_d[w]
        i_r[w] -= r * i_r[w]
        d_d[w] -= d * (one + d_d[w])
        r_r[w] -= r * (one + r_r[w])


@kernel()  # nothing fused: see _compose
def _enter(plant: Array, share: Array, unit: float, n: int, part: Array, inputs: Array) -> None:
    """Add a month's plant carbon to the response to the year's input."""
    t = part.dtype.type
    i_d, i_r = part[IN_DPM], part[IN_RPM]
    for w in range(n):
        p = t(plant[w]) * unit
        into = p * share[w]
        i_d[w] += into
        i_r[w] += p - into
        inputs[w] += p


@kernel()  # nothing fused: see _compose
def _enter_manure(manure: Array, n: int, part: Array, inputs: Array) -> None:
    """Add a month's manure to the response to the year's input."""
    t = part.dtype.type
    i_d, i_r, i_h = part[IN_DPM], part[IN_RPM], part[IN_HUM]
    for w in range(n):
        m = t(manure[w])
        i_d[w] += t(MANURE[0]) * m
        i_r[w] += t(MANURE[1]) * m
        i_h[w] += t(MANURE[2]) * m
        inputs[w] += m
