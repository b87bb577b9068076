"""Invented sites for the RothC benchmarks, their oracle, their peer, and the memory's own speed."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.jit import kernel
from edaphos.kernels.rothc_arrays import Forcing, Soil, State

CORES = len(os.sched_getaffinity(0))


def climate(pixels: int, months: int, dtype: Any) -> Forcing:
    """Return forcing that differs in every month and pixel, from frost to the tropics."""
    rng = np.random.default_rng(1)
    month = np.arange(months)[:, None] % 12
    mean, swing = rng.uniform(-8, 28, pixels), rng.uniform(1, 18, pixels)
    noise = rng.standard_normal((months, pixels), np.float32)
    temperature = mean + swing * np.cos(2 * np.pi * (month - 6.5) / 12) + noise
    wet = rng.uniform(5, 150, pixels) / 2
    growing = (month > 2) & (month < 9)
    litter = rng.uniform(0.02, 0.8, pixels) * rng.uniform(0.5, 1.5, (months, 1))
    return Forcing(
        temperature=temperature.astype(dtype),
        rain=(wet * rng.standard_gamma(2.0, (months, pixels), np.float32)).astype(dtype),
        evaporation=np.maximum(0, 5 + 4.5 * temperature).astype(dtype),
        cover=(growing | (rng.random(pixels) < 0.5)).astype(np.uint8),
        plant_input=litter.astype(dtype),
        dpm_rpm=rng.choice([1.44, 0.67, 0.25], pixels).astype(dtype)[None],
    )


def soils(pixels: int, dtype: Any) -> tuple[Soil, State]:
    """Return soils of 30 cm and pools to start from."""
    rng = np.random.default_rng(2)
    pools = [
        np.full(pixels, 0.2),
        rng.uniform(2, 12, pixels),
        rng.uniform(0.3, 1.5, pixels),
        rng.uniform(10, 50, pixels),
    ]
    soil = Soil(rng.uniform(2, 60, pixels).astype(dtype), np.full(pixels, 30, dtype))
    return soil, State(np.stack(pools).astype(dtype), np.zeros(pixels, dtype))


def best(run: Callable[[], Any], repeats: int) -> float:
    """Return the shortest of some wall times, s; the first call only warms up."""
    run()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return min(found)


def read_bandwidth(megabytes: int = 512) -> float:
    """Return the bytes a second that all cores together read from memory, each its own part."""
    data = np.ones(megabytes * 2**20 // 8)
    parts = np.array_split(data, CORES)
    with ThreadPoolExecutor(CORES) as pool:
        return data.nbytes / best(lambda: list(pool.map(_total, parts)), 5)


@kernel(fastmath=True)
def _total(values: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(values.shape[0]):
        total += values[i]
    return total


def oracle() -> ModuleType:
    """Return the plain-Python RothC of the tests."""
    path = Path(__file__).parents[1] / "tests" / "kernels" / "rothc_oracle.py"
    spec = importlib.util.spec_from_file_location("rothc_oracle", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def oracle_site(forcing: Forcing, soil: Soil, pixel: int, module: ModuleType) -> tuple[Any, Any]:
    """Return one pixel as the oracle takes it: its site and its months."""
    zero = np.zeros((1, forcing.pixels))
    rows = [
        forcing.temperature,
        forcing.rain,
        forcing.evaporation,
        forcing.cover,
        forcing.plant_input,
        zero,
        forcing.dpm_rpm,
    ]
    months = [
        module.Month(*(float(row[t % len(row), pixel]) for row in rows))
        for t in range(len(forcing.temperature))
    ]
    return module.Site(float(soil.clay[pixel]), float(soil.depth[pixel]), 0.0), months
