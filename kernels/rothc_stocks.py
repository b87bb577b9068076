"""RothC's stocks over very many pixels: the months of ``rothc_run`` with nothing else in the way.

:func:`simulate_stocks` gives what :func:`~edaphos.kernels.rothc_run.simulate` gives, to rounding,
but only the sum of the pools. Two loops over a strip of pixels do a month: its rates, then what
decomposes; split so, neither waits long for its own results. Whatever else stood in the loop over
months would cost up to a third of the speed: manure, factors and CO2 are for ``simulate``. Where
each month's forcing comes from memory, :func:`~edaphos.kernels.rothc_arrays.blocked` forcing lets
it come in one stream.
"""

from __future__ import annotations

import numpy as np

from .jit import CONTRACT, kernel
from .rothc import (
    PAN_FACTOR,
    exchange,
    exposure,
    largest_deficit,
    losses,
    moisture_slope,
    retained,
)
from .rothc_arrays import Array, Forcing, Soil, State, over_blocks, row_after
from .rothc_run import prepare

#: Pixels worked on at once where forcing is in rows, or its blocks are larger.
STRIP = 1024


def simulate_stocks(
    forcing: Forcing,
    soil: Soil,
    state: State,
    months: int,
    *,
    every: int = 12,
    evaporation_factor: float = PAN_FACTOR,
    threads: int = 1,
) -> tuple[Array, State]:
    """Return the sum of the four pools at the end of each record, ``(n, pixel)``, and the state.

    Parameters are those of :func:`~edaphos.kernels.rothc_run.simulate`, less what the loop does
    without; IOM is to be added.

    Raises
    ------
    ValueError
        Shapes do not fit, or there is manure or a rate factor, which ``simulate`` knows.
    """
    if forcing.manure is not None or forcing.rate_factor is not None:
        raise ValueError("stocks alone are simulated without manure and rate factor; use simulate")
    arrays, measures, _, end = prepare(
        forcing, soil, state, months, every, evaporation_factor, None
    )
    total = np.empty((months // every, forcing.pixels), end.pools.dtype)
    rows = (*arrays[:6], *arrays[8:])

    def run(first: int, last: int) -> None:
        _stocks(*rows, measures, months, every, first, last, end.pools, end.deficit, total)

    over_blocks(run, forcing.pixels, threads)
    return total, end


@kernel(fastmath=CONTRACT)
def _stocks(
    temperature: Array,
    rain: Array,
    evaporation: Array,
    cover: Array,
    plant: Array,
    share: Array,
    clay: Array,
    depth: Array,
    units: Array,
    months: int,
    every: int,
    first: int,
    last: int,
    pools: Array,
    deficit: Array,
    total: Array,
) -> None:
    t = pools.dtype.type
    width = temperature.shape[2]
    strip = min(STRIP, width)
    size = min(strip, last - first)
    dpm, rpm = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    bio, hum = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    smd, x = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    kept, most = np.empty(size, pools.dtype), np.empty(size, pools.dtype)
    slope = np.empty(size, pools.dtype)
    u_temperature, u_rain, u_evaporation, u_plant = units[0], units[1], units[2], units[3]
    for lo in range(first, last, strip):
        n = min(strip, last - lo)
        block = lo // width
        at = lo - block * width
        whole = n == width
        for w in range(n):
            most[w] = largest_deficit(clay[lo + w], depth[lo + w])
            slope[w] = moisture_slope(most[w])
            kept[w] = retained(clay[lo + w])
        dpm[:n], rpm[:n] = pools[0, lo : lo + n], pools[1, lo : lo + n]
        bio[:n], hum[:n] = pools[2, lo : lo + n], pools[3, lo : lo + n]
        smd[:n] = deficit[lo : lo + n]
        i_tm = i_rn = i_ev = i_cv = i_pl = i_sh = record = in_record = 0
        for _ in range(months):
            if whole:
                tm, rn = temperature[block, i_tm], rain[block, i_rn]
                ev, cv = evaporation[block, i_ev], cover[block, i_cv]
                pl, sh = plant[block, i_pl], share[block, i_sh]
            else:
                tm, rn = temperature[block, i_tm, at : at + n], rain[block, i_rn, at : at + n]
                ev, cv = evaporation[block, i_ev, at : at + n], cover[block, i_cv, at : at + n]
                pl, sh = plant[block, i_pl, at : at + n], share[block, i_sh, at : at + n]
            for w in range(n):
                net = (t(rn[w]) - t(ev[w]) * u_evaporation) * u_rain
                x[w], smd[w] = exposure(
                    t(tm[w]) * u_temperature, net, cv[w] > 0, smd[w], most[w], slope[w]
                )
            for w in range(n):
                lost = losses(x[w])
                d, r, b, h, _ = exchange(dpm[w], rpm[w], bio[w], hum[w], lost, kept[w])
                p = t(pl[w]) * u_plant
                into = p * sh[w]
                dpm[w], rpm[w] = d + into, r + (p - into)
                bio[w], hum[w] = b, h
            i_tm, i_rn = row_after(i_tm, temperature.shape[1]), row_after(i_rn, rain.shape[1])
            i_ev, i_cv = row_after(i_ev, evaporation.shape[1]), row_after(i_cv, cover.shape[1])
            i_pl, i_sh = row_after(i_pl, plant.shape[1]), row_after(i_sh, share.shape[1])
            in_record += 1
            if in_record == every:
                found = total[record, lo : lo + n]
                for w in range(n):
                    found[w] = (dpm[w] + rpm[w]) + (bio[w] + hum[w])
                record, in_record = record + 1, 0
        pools[0, lo : lo + n], pools[1, lo : lo + n] = dpm[:n], rpm[:n]
        pools[2, lo : lo + n], pools[3, lo : lo + n] = bio[:n], hum[:n]
        deficit[lo : lo + n] = smd[:n]
