"""RothC's pixels do not feel how they are cut into threads, blocks, strips and vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edaphos.kernels import equilibrium as equilibrium_module
from edaphos.kernels import rothc_arrays, rothc_run, rothc_year
from edaphos.kernels.equilibrium import equilibrium_of, project
from edaphos.kernels.rothc_arrays import Microbial, blocked, packed
from edaphos.kernels.rothc_run import rate_modifiers, simulate
from edaphos.kernels.rothc_stocks import simulate_stocks
from edaphos.kernels.rothc_year import year_map

from ..strategies import World, world

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def months(at: World, threads: int = 1) -> list[np.ndarray]:
    run = simulate(at.forcing, at.soil, at.state, 24, threads=threads)
    return [run.pools, run.co2, run.deficit, run.state.pools]


def microbial_months(at: World, threads: int = 1) -> list[np.ndarray]:
    mu = Microbial(2.0, 0.5)
    run = simulate(at.forcing, at.soil, at.state, 24, microbial=mu, threads=threads)
    return [run.pools, run.co2]


def years(at: World, threads: int = 1) -> list[np.ndarray]:
    year = year_map(at.forcing, at.soil, dtype=at.state.pools.dtype, threads=threads)
    pools, co2, _ = project(year, at.state, np.array([[1.0], [2.0]]))
    return [year.table, year.inputs, equilibrium_of(year).pools, pools, co2]


def modifiers(at: World, threads: int = 1) -> list[np.ndarray]:
    found = rate_modifiers(at.forcing, at.soil, at.state.deficit, 24)
    return [found.temperature, found.moisture, found.cover, found.deficit]


EVERY = pytest.mark.parametrize("compute", [months, microbial_months, years, modifiers])
Compute = Callable[..., list[np.ndarray]]


@DTYPES
@EVERY
@pytest.mark.parametrize("size", [1, 7, 16, 63])
def test_alone_and_among_others_a_pixel_is_the_same(compute: Compute, dtype, size: int) -> None:
    """Bit for bit: vectors, and what is left over at their end, round alike."""
    at = world(1, 150, tilled=True).of(dtype)
    whole = compute(at)
    for first in range(0, at.pixels, size):
        pixels = slice(first, first + size)
        for one, other in zip(compute(at.part(pixels)), whole, strict=True):
            np.testing.assert_array_equal(one, other[..., pixels])


@DTYPES
@pytest.mark.parametrize("compute", [months, years])
def test_threads_and_blocks(compute: Compute, dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pixels than a strip; blocks that end inside of one; more blocks than threads."""
    at = world(2, 2100).of(dtype)
    whole = compute(at)
    for block in (64, 1500):
        monkeypatch.setattr(rothc_arrays, "BLOCK", block)
        for threads in (1, 2, 7):
            for one, other in zip(compute(at, threads), whole, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # pixels where nothing decomposes
@DTYPES
@pytest.mark.parametrize("pixels", [100, 512, 1300])
@pytest.mark.parametrize("store", [blocked, lambda f: blocked(f, 64), lambda f: blocked(packed(f))])
def test_blocks_of_forcing(dtype, pixels: int, store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits of rows; packed forcing's are those of packed rows."""
    monkeypatch.setattr(rothc_arrays, "BLOCK", 512)
    at = world(4, pixels, 24, tilled=True).of(dtype)
    stored = store(at.forcing)
    rows = packed(at.forcing) if stored.scales != (1, 1, 1, 1) else at.forcing
    assert stored.pixels == pixels
    found = simulate(stored, at.soil, at.state, 36, threads=3)
    wanted = simulate(rows, at.soil, at.state, 36)
    np.testing.assert_array_equal(found.pools, wanted.pools)
    np.testing.assert_array_equal(found.co2, wanted.co2)
    if len(stored.temperature) > 1:
        with pytest.raises(ValueError, match="in blocks"):
            rate_modifiers(stored, at.soil, at.state.deficit, 12)


@DTYPES
@pytest.mark.parametrize("store", [lambda f: f, lambda f: blocked(f, 64)])
def test_stocks_alone_are_those_of_the_run(dtype, store) -> None:
    at = world(5, 300, 24, manure=False).of(dtype)
    total, end = simulate_stocks(store(at.forcing), at.soil, at.state, 36, threads=2)
    wanted = simulate(at.forcing, at.soil, at.state, 36, every=12)
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-4}
    np.testing.assert_allclose(total, wanted.pools.sum(axis=1), **close)
    np.testing.assert_allclose(end.pools, wanted.state.pools, **close)
    np.testing.assert_array_equal(end.deficit, wanted.state.deficit)
    with pytest.raises(ValueError, match="without manure"):
        simulate_stocks(world(5).forcing, world(5).soil, world(5).state, 12)


@pytest.mark.parametrize("compute", [months, microbial_months, years])
def test_strips_of_plain_python(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels as Python runs them, in strips of three pixels and in one, and as compiled."""
    at = world(3, 8, tilled=True)
    compiled = compute(at)
    monkeypatch.setattr(rothc_run, "_simulate", rothc_run._simulate.py_func)
    year = ("_year_map", "_settle", "_drift", "_compose", "_enter", "_enter_manure")
    for module, names in ((rothc_year, year), (equilibrium_module, ("_fixed_point", "_project"))):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name).py_func)
    found = {}
    for strip in (3, 8):
        monkeypatch.setattr(rothc_run, "STRIP", strip)
        monkeypatch.setattr(rothc_year, "STRIP", strip)
        found[strip] = compute(at)
    for three, eight, fast in zip(found[3], found[8], compiled, strict=True):
        np.testing.assert_array_equal(three, eight)
        np.testing.assert_allclose(three, fast, rtol=1e-11, atol=1e-11)


YEAR = """
import sys
import numpy as np
from edaphos.kernels.rothc_arrays import Forcing, Soil
from edaphos.kernels.rothc_year import year_map
given = np.load(sys.argv[1])
names = ("temperature", "rain", "evaporation", "cover", "plant_input", "dpm_rpm", "manure")
forcing = Forcing(**{name: given[name] for name in names})
np.save(sys.argv[2], year_map(forcing, Soil(given["clay"], given["depth"])).table)
"""


def test_compiled_here_or_found_in_the_cache_the_bits_are_the_same(tmp_path: Path) -> None:
    """The first process compiles, the second one finds its code: as do workers of one run."""
    at = world(4, 600, warm=True)
    source = tmp_path / "in.npz"
    np.savez(source, **vars(at.forcing), **vars(at.soil))
    found = []
    for name in ("compiled", "cached"):
        subprocess.run(
            [sys.executable, "-c", YEAR, str(source), str(tmp_path / f"{name}.npy")],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            check=True,
        )
        found.append(np.load(tmp_path / f"{name}.npy"))
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(found[0], year_map(at.forcing, at.soil).table)


WITHOUT_JIT = """
import sys
import numpy as np
from edaphos.kernels.equilibrium import equilibrium
from edaphos.kernels.rothc_arrays import Forcing, Soil, State
from edaphos.kernels.rothc_run import simulate
given = np.load(sys.argv[1])
names = ("temperature", "rain", "evaporation", "cover", "plant_input", "dpm_rpm", "manure")
forcing = Forcing(**{name: given[name] for name in names})
soil, state = Soil(given["clay"], given["depth"]), State(given["pools"], given["deficit"])
run = simulate(forcing, soil, state, 24)
np.savez(sys.argv[2], pools=run.pools, co2=run.co2, steady=equilibrium(forcing, soil).pools)
"""


def test_with_the_compiler_off(tmp_path: Path) -> None:
    at = world(4, 6, warm=True)
    source, target = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(source, **vars(at.forcing), **vars(at.soil), **vars(at.state))
    subprocess.run(
        [sys.executable, "-c", WITHOUT_JIT, str(source), str(target)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=True,
    )
    run = simulate(at.forcing, at.soil, at.state, 24)
    steady = equilibrium_of(year_map(at.forcing, at.soil)).pools
    with np.load(target) as plain:
        for name, fast in (("pools", run.pools), ("co2", run.co2), ("steady", steady)):
            np.testing.assert_allclose(plain[name], fast, rtol=1e-11, atol=1e-11)
