"""RothC's kernels and the plain-Python oracle against the official programs' own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.rothc_forcing import FORCING
from edaphos.engine.rothc_input import SiteInput
from edaphos.kernels.equilibrium import equilibrium, spin_up
from edaphos.kernels.rothc_arrays import Forcing, Soil, State
from edaphos.kernels.rothc_run import rate_modifiers, simulate

from ..rothc_cases import CASES, POOLS, Case, golden, load
from . import rothc_oracle as oracle

MODIFIERS = ("RM_TMP", "RM_Moist", "RM_PC")


def parts(site: SiteInput) -> tuple[Forcing, Forcing, Soil]:
    """The year of the spin-up, the later months, and the soil."""
    arrays = {name: getattr(site, name)[:, None] for name in FORCING}
    spin = Forcing(**{name: a[:12] for name, a in arrays.items()})
    later = Forcing(**{name: a[12:] for name, a in arrays.items()})
    return spin, later, Soil(np.array([site.clay]), np.array([site.depth]))


def start(case: Case) -> State:
    pools = np.array([[case.start[pool]] for pool in POOLS])
    return State(pools, np.array([case.start["SMD"]]))


def farthest(found: np.ndarray, golden_values: np.ndarray) -> float:
    return float(np.abs(found - golden_values).max())


def check_run(case: Case) -> None:
    _, later, soil = parts(case.site())
    months = case.about["n_forward"]
    assert months == len(case.monthly)
    run = simulate(later, soil, start(case), months)
    assert farthest(run.pools[:, :, 0], case.monthly[POOLS].to_numpy()) < 1e-9
    assert farthest(run.co2[:, 0], case.monthly["CO2"].to_numpy()) < 1e-9
    assert farthest(run.deficit[:, 0], case.monthly["SMD_mm"].to_numpy()) < 1e-9
    rates = rate_modifiers(later, soil, start(case).deficit, months)
    for found, name in zip(
        (rates.temperature, rates.moisture, rates.cover), MODIFIERS, strict=True
    ):
        assert farthest(found[:, 0], case.monthly[name].to_numpy()) < 1e-12, name
    assert farthest(rates.deficit[:, 0], case.monthly["SMD_mm"].to_numpy()) < 1e-9


def check_start(case: Case) -> None:
    spin, _, soil = parts(case.site())
    official = spin_up(spin, soil)
    assert official.months.tolist() == [case.start["months"]]
    assert farthest(official.state.pools, start(case).pools) < 1e-9
    assert farthest(official.state.deficit, start(case).deficit) < 1e-9
    exact = equilibrium(spin, soil)
    periodic = case.about["equilibrium_exact_periodic"]
    assert farthest(exact.pools[:, 0], np.array([periodic[p] for p in POOLS])) < 1e-9


@pytest.mark.parametrize("name", CASES)
def test_months_equal_the_official_ones(name: str) -> None:
    check_run(golden(name))


@pytest.mark.parametrize("name", CASES)
def test_spin_up_and_equilibrium_equal_the_official_ones(name: str) -> None:
    check_start(golden(name))


def test_every_case_of_the_data_folder(shared_data: Path) -> None:
    folders = sorted(p.parent for p in shared_data.glob("golden/rothc/cases/*/case.json"))
    assert len(folders) >= 10
    for folder in folders:
        case = load(folder)
        check_run(case)
        check_start(case)


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_near(name: str) -> None:
    case = golden(name)
    _, later, soil = parts(case.site())
    state = start(case)
    low = State(state.pools.astype(np.float32), state.deficit.astype(np.float32))
    months = 240
    run = simulate(later, soil, low, months)
    assert run.pools.dtype == np.float32
    found, wanted = run.pools[-1].sum(), case.monthly[POOLS].to_numpy()[months - 1].sum()
    assert abs(found - wanted) < 1e-3
    assert abs(found - wanted) / wanted < 1e-5


# -- the oracle -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_the_oracle_equals_the_official_program(name: str) -> None:
    case = golden(name)
    site, months = case.site(), oracle.months_of(case.site())
    place = oracle.Site(site.clay, site.depth, site.iom)
    begun, taken = oracle.spin_up(place, months)
    assert taken == case.start["months"]
    assert max(abs(a - case.start[p]) for a, p in zip(begun.pools, POOLS, strict=True)) < 1e-9
    assert begun.delta14c(site.iom) == pytest.approx(case.start["deltaC"], abs=1e-8)
    states = oracle.simulate(place, months[12:], begun)
    assert farthest(np.array([s.pools for s in states]), case.monthly[POOLS].to_numpy()) < 1e-9
    for i, column in enumerate(MODIFIERS):
        found = np.array([s.modifiers[i] for s in states])
        assert farthest(found, case.monthly[column].to_numpy()) < 1e-12
    assert farthest(np.array([s.deficit for s in states]), case.monthly["SMD_mm"].to_numpy()) < 1e-9
    assert farthest(np.array([s.co2 for s in states]), case.monthly["CO2"].to_numpy()) < 1e-9
    delta = np.array([s.delta14c(site.iom) for s in states])
    assert farthest(delta, case.monthly["deltaC"].to_numpy()) < 1e-8


def test_the_worked_example_of_the_description() -> None:
    """Hoosfield's unmanured plot: equilibrium of 0.212 t C/ha in eight months, then January."""
    site = golden("g01_hoosfield_unmanured").site()
    site.plant_input[:12][site.plant_input[:12] > 0] = 0.212
    spin, later, soil = parts(site)
    begun = equilibrium(spin, soil)  # 10,000 years there, which is nearer to it than the spin-up
    assert begun.pools[:, 0].round(4).tolist() == [0.1533, 4.4852, 0.6671, 25.8576]
    assert round(float(begun.pools.sum()) + site.iom, 4) == 33.8632
    january = simulate(later, soil, begun, 1).state
    assert january.pools[:, 0].round(4).tolist() == [0.1140, 4.4455, 0.6651, 25.8551]
