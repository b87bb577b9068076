"""A site's run against the official tables, and what the official program cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.rothc_input import SiteInput
from edaphos.engine.rothc_plot import pool_picture
from edaphos.engine.rothc_site import (
    RESULT_COLUMNS,
    SiteOptions,
    microbial,
    run_site,
    write_tables,
)

from ..kernels import rothc_oracle as oracle
from ..rothc_cases import CASES, POOLS, Case, golden, load

EXACT = SiteOptions(spin_up="exact")


def check_tables(case: Case) -> None:
    result = run_site(case.site())
    months, years = result.months(), result.years()
    assert tuple(months) == tuple(years) == RESULT_COLUMNS
    assert months[["Year", "Month"]].equals(
        case.monthly[["year", "month"]].set_axis(["Year", "Month"], axis=1)
    )
    for name in (*POOLS, "IOM", "SOC"):
        np.testing.assert_allclose(months[f"{name}_t_C_ha"], case.monthly[name], atol=1e-9)
        assert years[f"{name}_t_C_ha"][0] == pytest.approx(case.start[name], abs=1e-9)
    np.testing.assert_allclose(months["deltaC"], case.monthly["deltaC"], atol=1e-8)
    assert years["deltaC"][0] == pytest.approx(case.start["deltaC"], abs=1e-8)
    assert (years["Year"][0], years["Month"][0]) == (1, case.start["months"])
    later = years.iloc[1:].reset_index(drop=True)
    assert later.equals(months[months["Month"] == 12].reset_index(drop=True))
    drivers = result.drivers()
    np.testing.assert_allclose(drivers["RM_TMP"], case.monthly["RM_TMP"], atol=1e-12)
    np.testing.assert_allclose(drivers["CO2_t_C_ha"], case.monthly["CO2"], atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_tables_equal_the_official_ones(name: str) -> None:
    check_tables(golden(name))


def test_every_case_of_the_data_folder(shared_data: Path) -> None:
    folders = sorted(p.parent for p in shared_data.glob("golden/rothc/cases/*/case.json"))
    assert len(folders) >= 10
    for folder in folders:
        check_tables(load(folder))


def steady(name: str = "g11_bomb_c14") -> SiteInput:
    """The year of the spin-up, five times more."""
    site = golden(name).site()
    columns = {
        field: np.tile(values[:12], 6)
        for field, values in vars(site).items()
        if isinstance(values, np.ndarray)
    }
    columns["year"] = np.repeat([1, *range(2001, 2006)], 12)
    return replace(site, **columns)


@pytest.mark.parametrize("name", CASES)
def test_from_the_exact_equilibrium_nothing_changes(name: str) -> None:
    result = run_site(steady(name), EXACT)
    assert result.spin_up_months == 0
    years = result.years()
    for column in RESULT_COLUMNS[2:]:
        np.testing.assert_allclose(years[column], years[column][0], atol=1e-9, err_msg=column)
    official = run_site(steady(name))  # it stops a little before it
    assert years["SOC_t_C_ha"][0] == pytest.approx(official.years()["SOC_t_C_ha"][0], abs=1e-3)
    assert years["deltaC"][0] == pytest.approx(official.years()["deltaC"][0], abs=1e-2)


def test_carbon_is_balanced() -> None:
    site = golden("g02_hoosfield_fym").site()
    for options in (EXACT, SiteOptions(microbial=microbial(1.5, 0.4))):
        result = run_site(site, options)
        entering = site.plant_input[12:].sum() + site.manure[12:].sum()
        change = result.soc[-1] - result.start.sum() - site.iom
        assert entering == pytest.approx(change + result.run.co2.sum(), abs=1e-9)


def test_microbial_rates_and_their_radiocarbon_equal_the_oracle() -> None:
    site = golden("g11_bomb_c14").site()
    result = run_site(site, SiteOptions(microbial=microbial(1.5, 0.4)))
    months = oracle.months_of(site)
    begun, taken = oracle.spin_up(oracle.Site(site.clay, site.depth, site.iom), months)
    assert result.spin_up_months == taken
    place = oracle.Site(site.clay, site.depth, site.iom, mu_max=1.5, km=0.4)
    states = oracle.simulate(place, months[12:], begun)
    np.testing.assert_allclose(result.run.pools[:, :, 0], [s.pools for s in states], atol=1e-9)
    delta = [s.delta14c(site.iom) for s in states]
    np.testing.assert_allclose(result.run.delta14c[:, 0], delta, atol=1e-8)


def test_a_soil_that_dries_for_decades_before_it_settles() -> None:
    site = steady()
    slow = replace(
        site,
        rain=np.full(72, 30.0),
        evaporation=np.full(72, 30.003 / 0.75),  # 0.036 mm a year down to 0.556 M: 700 years
        cover=np.zeros(72),
    )
    result = run_site(slow)
    months = oracle.months_of(slow)
    begun, taken = oracle.spin_up(oracle.Site(site.clay, site.depth, site.iom), months)
    assert result.spin_up_months == taken
    assert result.run.start.deficit[0] == pytest.approx(begun.deficit, abs=1e-9)
    np.testing.assert_allclose(result.start, begun.pools, atol=1e-9)
    assert result.run.start_delta14c[0] == pytest.approx(begun.delta14c(site.iom), abs=1e-8)


def test_evapotranspiration_is_taken_whole() -> None:
    site = golden("g04_sahel_grass").site()
    pan = run_site(site, EXACT).months()
    pet = run_site(
        replace(site, evaporation=0.75 * site.evaporation),
        SiteOptions(spin_up="exact", evaporation="pet"),
    ).months()
    np.testing.assert_allclose(pet, pan, rtol=1e-12)


@pytest.mark.parametrize("options", [SiteOptions(), EXACT], ids=["official", "exact"])
def test_a_soil_that_nothing_enters(options: SiteOptions) -> None:
    none = np.zeros(72)
    bare = replace(steady(), plant_input=none, manure=none)
    with_iom = run_site(bare, options)
    assert with_iom.soc.tolist() == [2.7] * 60
    oldest = 1000 * (np.exp(-50_000 / 8035) - 1)
    np.testing.assert_allclose(with_iom.years()["deltaC"], oldest, rtol=1e-12)
    nothing = run_site(replace(bare, iom=0.0), options)
    assert not nothing.years().iloc[:, 2:].to_numpy().any()
    cold = run_site(replace(bare, temperature=none - 10), options)
    assert cold.soc.tolist() == [2.7] * 60
    assert run_site(bare).spin_up_months == 12


def test_a_soil_that_never_settles_is_refused() -> None:
    with pytest.raises(InputError, match="no month of the spin-up year reaches -5 °C"):
        run_site(replace(steady(), temperature=np.full(72, -5.001)))
    at_the_edge = run_site(replace(steady(), temperature=np.full(72, -5.0)), EXACT)
    assert np.isfinite(at_the_edge.soc).all()


def test_only_the_spin_up(tmp_path: Path) -> None:
    site = steady()
    first = {k: v[:12] for k, v in vars(site).items() if isinstance(v, np.ndarray)}
    result = run_site(replace(site, **first))
    write_tables(result, tmp_path, drivers=True)
    assert len(pd.read_csv(tmp_path / "year_results.csv")) == 1
    assert len(pd.read_csv(tmp_path / "month_results.csv")) == 0
    assert result.summary()["soc_end_t_C_ha"] == result.summary()["start"]["SOC"]


def test_microbial_numbers_belong_together() -> None:
    assert microbial(None, None) is None
    for given in ((1.0, None), (None, 1.0), (0.0, 1.0), (1.0, -1.0), (np.nan, 1.0)):
        with pytest.raises(InputError, match="--mu-max"):
            microbial(*given)


def test_long_runs_are_drawn_by_years_and_say_where_they_go() -> None:
    case = golden("g02_hoosfield_fym")
    months = run_site(case.site(), EXACT).months()
    picture = pool_picture(months, title="Manured")
    assert picture.png.startswith(b"\x89PNG")
    first, last = case.monthly["SOC"].iloc[11], case.monthly["SOC"].iloc[-1]
    assert "2001 to 2149; soil organic carbon goes" in picture.alt
    assert f"from {first:.1f} to {last:.1f} t C/ha" in picture.alt
