"""Pixel-months a second of RothC, beside plain Python, a package from PyPI, and memory's limit.

Forcing differs in every month and pixel and is read from memory, in blocks of pixels: temperature,
rain, evaporation and litter of one number each, and a byte of cover. The limit is what the
machine's memory could deliver of them, measured in the same run. Beside it: the same in rows of
all pixels, packed into int16, and with one year repeated, which is what computation alone allows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from edaphos.kernels.rothc_arrays import Forcing, Soil, State, blocked, packed
from edaphos.kernels.rothc_run import simulate
from edaphos.kernels.rothc_stocks import simulate_stocks

from .result import Result
from .soils import CORES, best, climate, oracle, oracle_site, read_bandwidth, soils

MONTHS = 240
PEER_YEARS = 20


def measure(*, small: bool) -> Iterator[Result]:
    """Yield the rate in float64 and float32 on all cores, over plain Python; then the package."""
    pixels, repeats = (32_768, 3) if small else (131_072, 9)
    plain, gap = _plain_rate(pixels=8)
    bandwidth = read_bandwidth()
    rates: dict[str, float] = {}
    for dtype in (np.float64, np.float32):
        forcing, (soil, state) = climate(pixels, MONTHS, dtype), soils(pixels, dtype)
        year = Forcing(**{k: None if v is None else v[:12] for k, v in vars(forcing).items()})
        stream = blocked(forcing)
        rate = _rate(stream, soil, state, CORES, repeats)
        name = np.dtype(dtype).name
        rates[name] = rate
        size = 4 * np.dtype(dtype).itemsize + 1
        yield Result(
            name=f"rothc {name}",
            value=round(rate / 1e6, 1),
            unit="M pixel-months/s",
            peer="the official algorithm in plain Python",
            ratio=round(rate / plain),
            details={
                "threads": CORES,
                "one_thread": round(_rate(stream, soil, state, 1, repeats) / 1e6, 1),
                "in_rows": round(_rate(forcing, soil, state, CORES, repeats) / 1e6, 1),
                "packed_in_int16": round(
                    _rate(blocked(packed(forcing)), soil, state, CORES, repeats) / 1e6, 1
                ),
                "same_year_every_year": round(_rate(year, soil, state, CORES, repeats) / 1e6, 1),
                "bytes_read_a_pixel_month": size,
                "read_bandwidth_gb_s": round(bandwidth / 1e9, 1),
                "share_of_bandwidth": round(rate * size / bandwidth, 3),
                "plain_python_pixel_months_s": round(plain),
                "largest_difference_to_plain_t_ha": gap,
                "pixels": pixels,
                "months": MONTHS,
            },
        )
    yield from _package(rates["float64"])


def _rate(forcing: Forcing, soil: Soil, state: State, threads: int, repeats: int) -> float:
    seconds = best(lambda: simulate_stocks(forcing, soil, state, MONTHS, threads=threads), repeats)
    return forcing.pixels * MONTHS / seconds


def _plain_rate(pixels: int) -> tuple[float, float]:
    """Return pixel-months a second of the oracle, and its largest difference to the kernel."""
    module = oracle()
    forcing, (soil, state) = climate(pixels, MONTHS, np.float64), soils(pixels, np.float64)
    sites = [oracle_site(forcing, soil, p, module) for p in range(pixels)]
    starts = [module.OracleState(tuple(state.pools[:, p])) for p in range(pixels)]
    started = time.perf_counter()
    runs = [module.simulate(*site, start) for site, start in zip(sites, starts, strict=True)]
    rate = pixels * MONTHS / (time.perf_counter() - started)
    ours = simulate(forcing, soil, state, MONTHS).pools[-1]
    gap = max(np.abs(np.array(run[-1].pools) - ours[:, p]).max() for p, run in enumerate(runs))
    return rate, float(gap)


def _package(rate: float) -> Iterator[Result]:
    """Yield the rate over that of pyRothC, which integrates the same pools as an ODE."""
    try:
        from pyRothC.RothC import RothC
    except ImportError:
        sys.stderr.write('rothc: no pyRothC to compare with; pip install "edaphos[bench]"\n')
        return
    forcing, (soil, _) = climate(4, 12, np.float64), soils(4, np.float64)
    started = time.perf_counter()
    for p in range(forcing.pixels):
        model: Any = RothC(
            temperature=forcing.temperature[:, p],
            precip=forcing.rain[:, p],
            evaporation=forcing.evaporation[:, p],
            years=PEER_YEARS,
            clay=float(soil.clay[p]),
            soil_thickness=30.0,
            input_carbon=1.7,
        )
        model.compute()
    theirs = forcing.pixels * 12 * PEER_YEARS / (time.perf_counter() - started)
    yield Result(
        name="rothc float64",
        value=round(rate / 1e6, 1),
        unit="M pixel-months/s",
        peer="pyRothC 0.0.4, the same years",
        ratio=round(rate / theirs),
        details={"pyrothc_pixel_months_s": round(theirs)},
    )
