"""RothC on Datasets: the same as site by site, with units and values checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from edaphos.engine.errors import InputError
from edaphos.engine.rothc_dataset import run_dataset, site_dataset
from edaphos.engine.rothc_site import SiteOptions, run_site

from ..rothc_cases import golden

EXACT = SiteOptions(spin_up="exact")
NAMES = ("g03_tropical_forest", "g05_boreal_cold", "g09_clay0_depth100", "g11_bomb_c14")


@pytest.fixture
def sites() -> xr.Dataset:
    """Four golden sites along one dimension."""
    return xr.concat([site_dataset(golden(name).site()) for name in NAMES], "site")


def test_equal_to_each_site(sites: xr.Dataset) -> None:
    for options in (SiteOptions(), EXACT):
        found = run_dataset(sites, options)
        assert found["soc"].dims == ("time", "site")
        for i, name in enumerate(NAMES):
            alone = run_site(golden(name).site(), options)
            one = found.isel(site=i)
            np.testing.assert_allclose(one["soc"], alone.soc, atol=1e-10)
            np.testing.assert_allclose(one["hum"], alone.run.pools[:, 3, 0], atol=1e-10)
            np.testing.assert_allclose(one["co2"], alone.run.co2[:, 0], atol=1e-10)
            np.testing.assert_allclose(one["delta14c"], alone.run.delta14c[:, 0], atol=1e-8)
            assert float(one["spin_up_months"]) == alone.spin_up_months
    assert found["time"].dt.year.values[0] == 2001
    assert found["soc"].attrs["units"] == "t ha-1"
    assert found.attrs["Conventions"].startswith("CF-")


def test_a_grid_of_what_varies_in_space_or_time_alone() -> None:
    site = golden("g11_bomb_c14").site()
    grid = site_dataset(site).drop_vars(["manure", "modern", "dpm_rpm"])
    grid["dpm_rpm"] = 1.44
    clay = [[5.0, 23.4, 60.0], [0.0, 100.0, 12.0]]
    grid["clay"] = (("y", "x"), clay, {"units": "%"})
    grid = grid.assign_coords(y=[50.5, 49.5], x=[1.0, 2.0, 3.0])
    found = run_dataset(grid, EXACT)
    assert found["soc"].dims == ("time", "y", "x")
    assert found["soc_start"].dims == ("y", "x")
    assert found["y"].values.tolist() == [50.5, 49.5]
    for y in range(2):
        for x in range(3):
            alone = run_site(replace(site, clay=clay[y][x]), EXACT)
            np.testing.assert_allclose(found["soc"][:, y, x], alone.soc, atol=1e-10)


def test_places_without_values_or_equilibrium_stay_missing(sites: xr.Dataset) -> None:
    whole = run_dataset(sites, EXACT)
    holed = sites.transpose("time", "site").copy(deep=True)
    holed["rain"][100, 1] = np.nan
    holed["clay"][2] = np.nan
    holed["temperature"][:12, 3] = -10.0
    found = run_dataset(holed, EXACT)
    np.testing.assert_array_equal(found["soc"][:, 0], whole["soc"][:, 0])
    for name, values in found.data_vars.items():
        assert np.isnan(values.isel(site=[1, 2, 3])).all(), name
    empty = run_dataset(sites.assign(iom=sites["iom"] * np.nan), EXACT)
    assert np.isnan(empty["soc"]).all()


def test_a_factor_on_the_rates() -> None:
    # In wet soil, cover does nothing but to multiply the rates by 0.6.
    site = golden("g11_bomb_c14").site()
    wet = replace(site, evaporation=np.zeros(site.months), cover=np.ones(site.months))
    bare = site_dataset(replace(wet, cover=np.zeros(site.months)))
    later = np.where(np.arange(site.months) < 12, 1.0, 0.6)
    for options in (SiteOptions(), EXACT):
        covered = run_site(wet, options)
        found = run_dataset(bare.assign(rate_factor=0.6), options)
        np.testing.assert_allclose(found["soc"], covered.soc, atol=1e-10)
        np.testing.assert_allclose(found["delta14c"], covered.run.delta14c[:, 0], atol=1e-8)
        half = run_dataset(bare.assign(rate_factor=("time", later)), options)
        covered = run_site(replace(wet, cover=(later < 1).astype(float)), options)
        np.testing.assert_allclose(half["soc"], covered.soc, atol=1e-10)
        np.testing.assert_allclose(half["delta14c"], covered.run.delta14c[:, 0], atol=1e-8)
    with pytest.raises(InputError, match=r"variable rate_factor, at .*found 0, expected 0\.01"):
        run_dataset(bare.assign(rate_factor=("time", np.floor(later))))
    with pytest.raises(InputError, match='variable rate_factor: units "%"'):
        run_dataset(bare.assign(rate_factor=((), 110.0, {"units": "%"})))


def test_a_stock_is_for_one_site(sites: xr.Dataset) -> None:
    with pytest.raises(InputError, match="call run_site for each"):
        run_dataset(sites, SiteOptions(stock=50.0))


def test_without_dates(sites: xr.Dataset) -> None:
    found = run_dataset(sites.drop_vars("time"), EXACT)
    np.testing.assert_array_equal(found["soc"], run_dataset(sites, EXACT)["soc"])
    with pytest.raises(InputError, match="251 months; give whole years"):
        run_dataset(sites.drop_vars("time").isel(time=slice(0, 251)))
    with pytest.raises(InputError, match="no dimension time"):
        run_dataset(sites.isel(time=0, drop=True))
    with pytest.raises(InputError, match="holds no dates"):
        run_dataset(sites.assign_coords(time=np.arange(252.0)))


@pytest.mark.parametrize(
    ("name", "units", "says"),
    [
        ("temperature", "K", 'temperature: units "K", expected degC; subtract 273.15'),
        ("rain", "m", "multiply by 1000"),
        ("rain", "kg m-2 s-1", "expected mm"),
        ("clay", "g/kg", "expected %"),
        ("iom", "kg m-2", "convert it to t C/ha"),
        ("plant_input", "g m-2", "convert it to t C/ha"),
    ],
)
def test_other_units_are_refused(sites: xr.Dataset, name: str, units: str, says: str) -> None:
    sites[name].attrs["units"] = units
    with pytest.raises(InputError, match=f"variable {name}") as caught:
        run_dataset(sites)
    assert says in str(caught.value)


def test_units_spelt_otherwise_or_left_out(sites: xr.Dataset) -> None:
    sites["temperature"].attrs["units"] = "Celsius"
    sites["plant_input"].attrs["units"] = "Mg ha-1"
    del sites["rain"].attrs["units"]
    assert np.isfinite(run_dataset(sites, EXACT)["soc"]).all()


def test_impossible_values_are_refused_with_their_place(sites: xr.Dataset) -> None:
    kelvin = sites.assign(temperature=sites["temperature"] + 273.15)
    with pytest.raises(InputError, match="temperature: looks like kelvin"):
        run_dataset(kelvin)
    wet = sites.transpose("time", "site").copy(deep=True)
    wet["rain"][30, 2] = -1.0
    with pytest.raises(InputError, match=r"rain, at \{'site': 2, 'time': 30\}: found -1"):
        run_dataset(wet)
    with pytest.raises(InputError, match=r"clay, at .*found 152.*in %"):
        run_dataset(sites.assign(clay=sites["clay"] + 100))
    with pytest.raises(InputError, match="cover, at"):
        run_dataset(sites.assign(cover=sites["cover"] * 0.5))


def test_variables_that_are_missing_or_vary_in_time(sites: xr.Dataset) -> None:
    with pytest.raises(InputError, match="no variable rain; did you mean"):
        run_dataset(sites.rename(rain="rainfall"))
    with pytest.raises(InputError, match="no variable iom; add it"):
        run_dataset(sites.drop_vars("iom"))
    with pytest.raises(InputError, match="clay: varies in time"):
        run_dataset(sites.assign(clay=sites["clay"] + 0 * sites["rain"]))


def test_years_out_of_order(sites: xr.Dataset) -> None:
    late = sites.isel(time=[*range(12), *range(24, 36), *range(12, 24)])
    with pytest.raises(InputError, match="year 2001 follows 2002; sort"):
        run_dataset(late)
    with pytest.raises(InputError, match="has 11 months"):
        run_dataset(sites.isel(time=[*range(20), *range(21, 252)]))
