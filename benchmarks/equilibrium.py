"""Pixels a second brought to RothC's exact equilibrium, beside the official program's cycling."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from edaphos.kernels.equilibrium import equilibrium_of, spin_up
from edaphos.kernels.rothc_year import year_map

from .result import Result
from .soils import CORES, best, climate, oracle, oracle_site, read_bandwidth, soils

#: Sites that plain Python brings to equilibrium; one takes a second.
PLAIN_SITES = 3


def measure(*, small: bool) -> Iterator[Result]:
    """Yield the rate in float64 and float32, over cycling in plain Python and compiled."""
    pixels, repeats = (65_536, 3) if small else (524_288, 7)
    bandwidth = read_bandwidth()
    few, (few_soil, _) = climate(256, 12, np.float64), soils(256, np.float64)
    started = time.perf_counter()
    cycled = spin_up(few, few_soil)
    compiled = few.pixels / (time.perf_counter() - started)
    exact = equilibrium_of(year_map(few, few_soil))
    # where a year changes next to nothing, cycling stops long before the equilibrium
    settled = exact.pools.sum(axis=0) < 200
    gap = float(np.abs(cycled.state.pools - exact.pools)[:, settled].max())
    plain = _plain_rate()
    for dtype in (np.float64, np.float32):
        forcing, (soil, _) = climate(pixels, 12, dtype), soils(pixels, dtype)
        seconds = best(
            lambda f=forcing, s=soil, d=dtype: equilibrium_of(  # type: ignore[misc]
                year_map(f, s, dtype=d, threads=CORES)
            ),
            repeats,
        )
        rate, size = pixels / seconds, 12 * (4 * np.dtype(dtype).itemsize + 1)
        yield Result(
            name=f"equilibrium {np.dtype(dtype).name}",
            value=round(rate / 1e6, 2),
            unit="M pixels/s",
            peer="cycling the year in plain Python until it settles",
            ratio=round(rate / plain),
            details={
                "threads": CORES,
                "cycling_compiled_pixels_s": round(compiled),
                "cycling_plain_pixels_s": round(plain, 3),
                "largest_difference_to_cycling_t_ha_of_stocks_below_200": gap,
                "share_of_bandwidth": round(rate * size / bandwidth, 3),
                "read_bandwidth_gb_s": round(bandwidth / 1e9, 1),
                "pixels": pixels,
            },
        )


def _plain_rate() -> float:
    module = oracle()
    forcing, (soil, _) = climate(PLAIN_SITES, 12, np.float64), soils(PLAIN_SITES, np.float64)
    sites = [oracle_site(forcing, soil, p, module) for p in range(PLAIN_SITES)]
    started = time.perf_counter()
    for site in sites:
        module.spin_up(*site)
    return PLAIN_SITES / (time.perf_counter() - started)
