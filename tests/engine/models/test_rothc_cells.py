"""Which cells RothC can run, the reason told for each of the others, and what is taken of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edaphos.engine.grid import Grid
from edaphos.engine.models.rothc_cells import latitudes
from edaphos.engine.status import Status
from edaphos.kernels.productivity import miami_npp
from edaphos.kernels.sun import day_length_by_month

from .rothc_land import SHAPE, Land, make_land, make_model, predicted

CELL = (4, 5)
FROST = -30 + 24 * np.exp(-(((np.arange(12) - 6) / 2.5) ** 2))  # never above -6 °C
DOMAIN = {
    "wetland": {"landcover": (11,), "peat": (1,)},
    "drained": {"landcover": (12, 14)},
    "mangrove": {"coast": (3,)},
    "paddy": {"crop": (27, 28)},
}


def land() -> Land:
    made = make_land()
    for name in ("peat", "coast", "crop"):
        made.values[name] = np.zeros(SHAPE, np.float32)
    made.values["landcover"][made.values["landcover"] == 12] = 10
    return made


def put(*changes: tuple[str, Any]) -> Callable[[Land], None]:
    def change(made: Land) -> None:
        for name, value in changes:
            made.put(name, CELL, value)

    return change


def one_month(name: str, value: float) -> Callable[[Land], None]:
    def change(made: Land) -> None:
        made.values[name][7, CELL[0], CELL[1]] = value

    return change


REASONS: dict[str, tuple[Callable[[Land], None], Status, dict[str, Any]]] = {
    "a month without temperature": (one_month("temperature", np.nan), Status.INVALID_CLIMATE, {}),
    "a month of 51 degC": (one_month("temperature", 51.0), Status.INVALID_CLIMATE, {}),
    "a month of -76 degC": (one_month("temperature", -76.0), Status.INVALID_CLIMATE, {}),
    "a month without rain": (one_month("rain", np.nan), Status.INVALID_CLIMATE, {}),
    "negative rain": (one_month("rain", -0.1), Status.INVALID_CLIMATE, {}),
    "5 m of rain in a month": (one_month("rain", 5000.0), Status.INVALID_CLIMATE, {}),
    "no stock": (put(("stock", np.nan)), Status.INVALID_STOCK, {}),
    "a stock of 0": (put(("stock", 0.0)), Status.INVALID_STOCK, {}),
    "a negative stock": (put(("stock", -3.0)), Status.INVALID_STOCK, {}),
    "no clay": (put(("clay", np.nan)), Status.INVALID_CLAY, {}),
    "clay below 0": (put(("clay", -1.0)), Status.INVALID_CLAY, {}),
    "clay above 100": (put(("clay", 100.5)), Status.INVALID_CLAY, {}),
    "an organic soil": (put(("stock", 201.0)), Status.ORGANIC_OUTSIDE, {}),
    "a stricter organic soil": (
        put(("stock", 155.0)),
        Status.ORGANIC_OUTSIDE,
        {"organic_above": 152.0},
    ),
    "a mangrove": (put(("coast", 3)), Status.MANGROVE, {}),
    "a wetland": (put(("landcover", 11)), Status.WETLAND, {}),
    "a peatland": (put(("peat", 1)), Status.WETLAND, {}),
    "frozen ground": (put(("temperature", -2.1)), Status.FROZEN, {}),
    "all water": (put(("landcover", 0)), Status.INVALID_INPUT, {}),
    "ice": (put(("landcover", 15)), Status.INVALID_INPUT, {}),
    "no land cover": (put(("landcover", np.nan)), Status.INVALID_INPUT, {}),
    "nothing decomposes": (
        lambda made: made.put("temperature", CELL, FROST),
        Status.NO_EQUILIBRIUM,
        {"frozen_below": -60.0},
    ),
    # the first reason that holds is told
    "climate before stock": (
        put(("rain", np.nan), ("stock", np.nan), ("clay", np.nan)),
        Status.INVALID_CLIMATE,
        {},
    ),
    "stock before clay": (put(("stock", np.nan), ("clay", 200)), Status.INVALID_STOCK, {}),
    "clay before organic": (put(("clay", np.nan), ("stock", 300)), Status.INVALID_CLAY, {}),
    "organic before mangrove": (put(("stock", 300), ("coast", 3)), Status.ORGANIC_OUTSIDE, {}),
    "mangrove before wetland": (put(("coast", 3), ("peat", 1)), Status.MANGROVE, {}),
    "wetland before frozen": (put(("peat", 1), ("temperature", -9)), Status.WETLAND, {}),
    "frozen before no soil": (put(("temperature", -9), ("landcover", 0)), Status.FROZEN, {}),
    "no soil before paddy": (put(("landcover", 0), ("crop", 27)), Status.INVALID_INPUT, {}),
}


@pytest.fixture(scope="module")
def untouched() -> dict[str, np.ndarray]:
    return predicted(make_model({"domain": DOMAIN, "emit": ("input",)}), land())


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is_told_and_neighbours_are_not_disturbed(name: str, untouched) -> None:
    change, status, domain = REASONS[name]
    made = land()
    change(made)
    found = predicted(make_model({"domain": {**DOMAIN, **domain}, "emit": ("input",)}), made)
    assert found["status"][CELL] == status
    others = np.ones(SHAPE, bool)
    others[CELL] = False
    assert (untouched["status"] == 0).all()
    assert (found["status"][others] == 0).all()
    for output, values in found.items():
        if output != "status":
            assert np.isnan(values[:, *CELL]).all()
            np.testing.assert_array_equal(values[:, others], untouched[output][:, others])


MAPPED = {
    "a drained peatland": (put(("peat", 1), ("landcover", 12)), 0),
    "a drained mosaic": (put(("peat", 1), ("landcover", 14)), 0),
    "paddy": (put(("crop", 27)), Status.PADDY),
    "paddy on a drained river plain": (
        put(("crop", 28), ("peat", 1), ("landcover", 12)),
        Status.PADDY,
    ),
    "just not frozen": (put(("temperature", -1.9)), 0),
    "just not organic": (put(("stock", 200.0)), 0),
    "no clay at all": (put(("clay", 0.0)), 0),
    "nothing but clay": (put(("clay", 100.0)), 0),
    "no rain": (put(("rain", 0.0)), 0),
    "coldest months of a Siberian year": (one_month("temperature", -60.0), 0),
    "urban": (put(("landcover", 13)), 0),
}


@pytest.mark.parametrize("name", MAPPED)
def test_cells_that_are_mapped_all_the_same(name: str) -> None:
    change, status = MAPPED[name]
    made = land()
    made.put("temperature", CELL, 25.0)
    change(made)
    found = predicted(make_model({"domain": DOMAIN}), made)
    assert found["status"][CELL] == status
    stock = float(made.values["stock"][CELL]) / 10
    np.testing.assert_allclose(found["stock_bau_mean"][:, *CELL], stock, rtol=1e-6)


def test_every_reason_at_once_in_one_tile() -> None:
    made, expected = land(), np.zeros(SHAPE, np.uint8)
    names = [n for n, (_, _, domain) in REASONS.items() if not domain]
    for i, name in enumerate(names):
        change, status, _ = REASONS[name]
        other = land()
        change(other)
        cell = np.unravel_index(4 * i, SHAPE)
        for key, values in other.values.items():
            made.put(key, cell, values[..., *CELL])
        expected[cell] = status
    found = predicted(make_model({"domain": DOMAIN}), made)
    np.testing.assert_array_equal(found["status"], expected)


def test_more_input_than_grows_is_flagged_and_mapped() -> None:
    land = make_land()
    plain = predicted(make_model({"emit": ("input",)}), land)
    temperature, rain = (land.values[n].astype(float) for n in ("temperature", "rain"))
    npp = miami_npp(temperature.mean(axis=0), rain.sum(axis=0)) * 0.48 / 1000  # kg C/m²
    for share in (1.0, 0.5):
        found = predicted(
            make_model({"emit": ("input",), "domain": {"input_over_npp": share}}), land
        )
        flagged = found["status"] == Status.INPUT_ABOVE_NPP
        needed = found["input_bau_mean"][0]
        sure = np.abs(needed / (share * npp) - 1) > 1e-5
        assert 0 < flagged.sum() < flagged.size
        np.testing.assert_array_equal(flagged[sure], (needed > share * npp)[sure])
        np.testing.assert_array_equal(found["stock_bau_mean"], plain["stock_bau_mean"])
    assert (plain["status"] == 0).all()


def test_a_member_without_equilibrium_leaves_the_cell_out() -> None:
    """In the coldest member nothing decomposes: an ensemble without it would tell half a story."""
    made = land()
    made.put("temperature", CELL, np.where(np.arange(12) == 6, -4.8, -30.0))
    domain = {**DOMAIN, "frozen_below": -60.0}
    assert predicted(make_model({"domain": domain}), made)["status"][CELL] == 0
    ensemble = {"members": 4, "temperature": 1.0}
    found = predicted(make_model({"domain": domain, "ensemble": ensemble}), made)
    assert found["status"][CELL] == Status.NO_EQUILIBRIUM
    assert np.isnan(found["stock_bau_q05"][:, *CELL]).all()
    assert (found["status"] > 0).sum() == 1


# -- a yearly driver ------------------------------------------------------------------------------

DRIVER = {"driver": {"kind": "variable", "variable": "npp"}}
RUN_YEARS = 40
BAD_DRIVERS = {
    "0 at the start": (0, 0.0),
    "negative at the start": (0, -5.0),
    "missing at the start": (0, np.nan),
    "missing later": (7, np.nan),
    "negative later": (RUN_YEARS, -1.0),
}


@pytest.mark.parametrize("name", BAD_DRIVERS)
def test_a_driver_that_cannot_scale_is_invalid(name: str) -> None:
    year, value = BAD_DRIVERS[name]
    made = land()
    made.values["npp"] = np.full((1 + RUN_YEARS, *SHAPE), 400.0, np.float32)
    made.values["npp"][year, CELL[0], CELL[1]] = value
    found = predicted(make_model(DRIVER), made)
    assert found["status"][CELL] == Status.INVALID_INPUT
    assert (found["status"] > 0).sum() == 1
    assert np.isfinite(found["stock_bau_mean"]).sum() == 3 * (found["status"].size - 1)


def test_a_driver_may_come_to_nothing() -> None:
    made = land()
    made.values["npp"] = np.full((1 + RUN_YEARS, *SHAPE), 400.0, np.float32)
    made.values["npp"][1:] = 0.0
    found = predicted(make_model({**DRIVER, "emit": ("input",)}), made)
    assert (found["status"] == 0).all()
    assert (found["input_bau_mean"][1:] == 0).all()
    assert (found["stock_bau_mean"][-1] < 0.8 * found["stock_bau_mean"][0]).all()


# -- evaporation ----------------------------------------------------------------------------------


def test_evaporation_of_the_cube_may_be_invalid() -> None:
    made = land()
    made.values["pet"] = np.full((12, *SHAPE), 60.0, np.float32)
    made.values["pet"][3, CELL[0], CELL[1]] = -1
    made.values["pet"][3, 0, 0] = np.nan
    evaporation = {"method": "given", "variable": "pet"}
    found = predicted(make_model({"evaporation": evaporation}), made)
    assert found["status"][CELL] == found["status"][0, 0] == Status.INVALID_CLIMATE
    assert (found["status"] > 0).sum() == 2


def test_hargreaves_takes_extremes_and_refuses_crossed_ones() -> None:
    made = land()
    t = made.values["temperature"]
    made.values |= {"tmin": t - 5, "tmax": t + 5}
    made.values["tmin"][:, 0, 0] += 20
    how = {"method": "hargreaves", "minimum": "tmin", "maximum": "tmax"}
    found = predicted(make_model({"evaporation": how, "emit": ("input",)}), made)
    assert found["status"][0, 0] == Status.INVALID_CLIMATE
    assert (found["status"] > 0).sum() == 1
    other = predicted(make_model({"emit": ("input",)}), land())
    ratio = found["input_bau_mean"][0] / other["input_bau_mean"][0]
    assert 0.6 < np.nanmedian(ratio) < 1.6  # another evaporation, of the same size
    assert np.nanmax(np.abs(ratio - 1)) > 0.01


# -- where a cell lies ----------------------------------------------------------------------------


@pytest.mark.parametrize("crs", ["EPSG:3035", "EPSG:32755", "ESRI:54052"])
def test_latitudes_of_projected_grids(crs: str) -> None:
    from pyproj import Transformer

    lon, lat = {"EPSG:3035": (12, 48), "EPSG:32755": (147, -32)}.get(crs, (20, 10))
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    grid = Grid.from_bounds(crs, (x - 5e4, y - 5e4, x + 5e4, y + 5e4), 5000.0)
    found = latitudes(grid.whole)
    assert found.shape == grid.shape
    assert found[10, 10] == pytest.approx(lat, abs=0.05)
    south = found[0] - found[-1]
    np.testing.assert_allclose(south, 95_000 / 111_000, rtol=0.02)


def test_a_projected_grid_gives_what_one_in_degrees_does() -> None:
    """On the cylinder of plate carrée in metres, rows are rows of latitude."""
    made = land()
    metres = 6378137.0 * np.pi / 180
    bounds = (0, -36 * metres, 80 * metres, 60 * metres)
    plate = Grid.from_bounds("EPSG:32662", bounds, 8 * metres)
    flat = replace(made, grid=plate)
    np.testing.assert_allclose(latitudes(plate.whole), latitudes(made.grid.whole), atol=1e-6)
    ours, theirs = (predicted(make_model({"emit": ("input",)}), one) for one in (flat, made))
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, err_msg=name)


def test_latitude_matters_by_the_length_of_days() -> None:
    made = land()
    north = replace(made, grid=Grid.from_bounds("EPSG:4326", (0, -16, 80, 80), 8.0))
    here, there = (predicted(make_model({"emit": ("input",)}), one) for one in (made, north))
    summer = made.values["temperature"][6:8, :5].min(axis=(0, 2)) > 0
    assert summer.all()
    # longer summer days, drier soils, slower turnover: mostly less carbon is needed
    change = there["input_bau_mean"][0, :5] / here["input_bau_mean"][0, :5]
    assert np.median(change) < 0.97
    hours = day_length_by_month(np.float32([56, 76]))
    assert hours[6, 1] > hours[6, 0]
