"""The cubes of the RothC recipes on the real data: places, units and totals."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.ndimage import uniform_filter

import edaphos.recipes.cube_schema as cube_schema
from edaphos.engine.build.build import build_cube
from edaphos.engine.build.native import Rect
from edaphos.engine.build.packaged import dataset
from edaphos.engine.build.sources import open_source
from edaphos.engine.build.spec import ClimateSpec, CubeSpec, LayerSpec
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid, zone_area
from edaphos.recipes.config import load_toml
from edaphos.recipes.cube_schema import read_cube_spec

RECIPES = Path(cube_schema.__file__).parent
FINE = Grid.preset("global-0.1deg")
CONTINENT = GeoBox((160, 168), Affine(0.25, 0, -74.25, 0, -0.25, 6), "EPSG:4326")
MONTHS = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
STOCKS = ("stock_1960", "stock_2010", "stock_no_landuse")


def built(spec: CubeSpec, names: tuple[str, ...], climate: tuple[str, ...], out: Path) -> Cube:
    """Build some of a cube's layers, without the land mask that takes long to unpack."""
    some = tuple(layer for layer in spec.layers if layer.name in names)
    assert len(some) == len(names)
    summary = (ClimateSpec("temperature", "rain", climate),) if climate else ()
    build_cube(replace(spec, layers=some, terrain=(), climate=summary, soil_mask=None), out)
    return Cube.open(out)


def spec_of(name: str, data: Path) -> CubeSpec:
    return read_cube_spec(RECIPES / f"rothc_{name}_cube.toml", data)


@pytest.fixture(scope="module")
def world(shared_data: Path, tmp_path_factory) -> Cube:
    names = (*STOCKS, "wetland_peat", "water_capacity", "landcover")
    out = tmp_path_factory.mktemp("world") / "c"
    return built(spec_of("world", shared_data), names, (), out)


@pytest.fixture(scope="module")
def america(shared_data: Path, tmp_path_factory) -> Cube:
    names = ("temperature", "rain", "cloud", "clay", "sand", "elevation", "vegtype")
    out = tmp_path_factory.mktemp("america") / "c"
    return built(
        spec_of("south_america", shared_data), names, ("temperature_mean", "rain_annual"), out
    )


def at(cube: Cube, name: str, lon: float, lat: float) -> float:
    return float(cube.at(np.array([lon]), np.array([lat]), FINE, variables=[name])[name][0])


def area(box: GeoBox) -> np.ndarray:
    """Cell areas of a grid in degrees, m², one column."""
    edges = box.affine.f + box.affine.e * np.arange(box.shape[0] + 1)
    share = box.affine.a / 360
    return np.asarray(zone_area(edges[1:], edges[:-1]))[:, None] * share


# -- the world ------------------------------------------------------------------------------------


def test_a_clay_forest_finds_the_covariates_of_the_world_recipe(tmp_path: Path) -> None:
    spec = read_cube_spec(RECIPES / "rothc_world_cube.toml", tmp_path)
    asked = set(load_toml(RECIPES / "world.toml")["model"]["covariates"])
    held = {layer.name for layer in spec.layers}
    for derived in (*spec.terrain, *spec.climate):
        held |= set(derived.outputs)
    assert asked <= held


def test_layers_that_both_world_cubes_hold_are_the_same(tmp_path: Path) -> None:
    ours = read_cube_spec(RECIPES / "rothc_world_cube.toml", tmp_path)
    plain = read_cube_spec(RECIPES / "world_cube.toml", tmp_path)
    assert set(plain.layers) <= set(ours.layers)
    assert (ours.terrain, ours.climate) == (plain.terrain, plain.climate)
    assert plain.soil_mask is not None
    assert ours.soil_mask == replace(plain.soil_mask, bare=(16,))  # no RothC on barren land


def test_stocks_total_what_their_rasters_do(world: Cube) -> None:
    """In t/ha: the paper finds 133 Pg lost to land use in 2 m, of which 0-30 cm is a part."""
    box = world.manifest.stacks[world.variable("stock_1960").stack].geobox
    values = world.read(box, STOCKS)
    total = {name: np.nansum(values[name] * area(box)) * 1e-13 for name in STOCKS}  # t/ha m² -> Pg
    assert total["stock_2010"] == pytest.approx(868, abs=1)
    assert total["stock_1960"] == pytest.approx(870, abs=1)
    assert total["stock_no_landuse"] == pytest.approx(900, abs=1)
    assert 20 < total["stock_no_landuse"] - total["stock_2010"] < 133
    held = np.isfinite(values["stock_1960"])
    covered = np.sum(area(box) * held)
    assert 127e12 < covered < 132e12  # ice-free land
    for name in STOCKS:
        assert np.nanmin(values[name]) >= 1
        assert (np.isfinite(values[name]) == held).mean() > 0.999_999
    south = slice(1800, None)  # 60 S
    assert not held[south].any()


def test_stocks_lie_where_they_should(world: Cube) -> None:
    assert at(world, "stock_2010", 10.05, 24.05) < 25  # Sahara
    assert at(world, "stock_2010", 74.05, 65.05) > 200  # peat of western Siberia
    assert 30 < at(world, "stock_2010", -93.05, 42.05) < 120  # Iowa
    assert np.isnan(at(world, "stock_2010", -150.05, 0.05))
    assert np.isnan(at(world, "stock_2010", -40.05, 75.05))  # ice of Greenland


def test_stocks_fit_the_coasts_best_unmoved(world: Cube) -> None:
    """Land cover, which holds water everywhere else, is the witness."""
    box = world.manifest.stacks[world.variable("stock_1960").stack].geobox
    values = world.read(box, ["stock_1960", "landcover"])
    held, land = np.isfinite(values["stock_1960"]), values["landcover"] > 0

    def agreement(down: int, right: int) -> float:
        return float((np.roll(held, (down, right), (0, 1)) == land)[240:1680].mean())

    moves = [(0, 1), (0, -1), (1, 0), (-1, 0), (0, 2), (0, -2), (2, 0), (-2, 0)]
    assert agreement(0, 0) > max(agreement(*move) for move in moves) + 0.001


def test_marked_soils_keep_their_extent(world: Cube) -> None:
    """Averaging onto finer cells blurs 999.9; the class does not."""
    box = GeoBox((2160, 4320), Affine(1 / 12, 0, -180, 0, -1 / 12, 90), "EPSG:4326")
    values = world.read(box, ["wetland_peat", "water_capacity"])
    marked = np.nansum(area(box) * (values["wetland_peat"] == 1))
    blurred = np.nansum(area(box) * (values["water_capacity"] >= 999))
    assert marked > 1.5 * blurred
    assert set(np.unique(values["wetland_peat"][np.isfinite(values["wetland_peat"])])) == {0, 1}
    assert at(world, "wetland_peat", -84.05, 54.05) == 1  # Hudson Bay lowland
    assert at(world, "wetland_peat", 10.05, 24.05) == 0


# -- South America --------------------------------------------------------------------------------


def test_the_layers_share_one_grid_without_its_bad_rows(america: Cube) -> None:
    for stack in america.manifest.stacks.values():
        assert (tuple(stack.geobox.shape), stack.geobox.affine) == ((160, 168), CONTINENT.affine)
    coldest = america.read(CONTINENT, ["temperature"])["temperature"].min(axis=0)
    north = coldest[0]
    assert np.nanmin(north) > 0  # 5.9 N; the row cut off holds down to -27 degC


def test_climate_of_known_places(america: Cube) -> None:
    """Climate normals of weather services, within what a degree of relief allows."""
    known = {  # lon, lat: mean temperature, annual rain
        (-60.02, -3.12): (26.7, 2300), (-47.9, -15.8): (21, 1550), (-40.5, -9.4): (26.5, 500),
        (-68.2, -23.5): (10, 60), (-54.6, -20.45): (23, 1450),
    }  # fmt: skip
    for (lon, lat), (warmth, wet) in known.items():
        assert at(america, "temperature_mean", lon, lat) == pytest.approx(warmth, abs=3)
        assert at(america, "rain_annual", lon, lat) == pytest.approx(wet, rel=0.25, abs=100)


def test_rain_is_the_files_daily_rate_times_days(america: Cube, shared_data: Path) -> None:
    import xarray as xr

    path = shared_data / "south_america" / "prec.mon.nc"
    with xr.open_dataset(path, decode_times=False) as file:
        rate, weights = file["prec"].values[:, 0, 1:161], file["time_weights"].values
    np.testing.assert_array_equal(weights[[0, *range(2, 12)]], MONTHS[[0, *range(2, 12)]])
    rain = america.read(CONTINENT, ["rain"])["rain"]
    held = np.isfinite(rate)
    np.testing.assert_allclose(rain[held], (rate * MONTHS[:, None, None])[held], rtol=1e-6)


def test_rain_of_two_sources_agrees(america: Cube, shared_data: Path) -> None:
    """The half-degree climate of the world holds monthly totals: so do these then."""
    (layer,) = (one for one in spec_of("world", shared_data).layers if one.name == "rain")
    source = open_source(layer, shared_data)
    half = np.stack([source.read(month, Rect(168, 248, 212, 296)) for month in range(12)])
    coarse = GeoBox((80, 84), Affine(0.5, 0, -74, 0, -0.5, 6), "EPSG:4326")
    rain = america.read(coarse, ["rain"])["rain"]
    both = np.isfinite(half) & np.isfinite(rain)
    ratios = [rain[m][both[m]].mean() / half[m][both[m]].mean() for m in range(12)]
    assert min(ratios) > 0.93
    assert max(ratios) < 1.15
    year, other = rain.sum(axis=0), half.sum(axis=0)
    assert np.corrcoef(year[both[0]], other[both[0]])[0, 1] > 0.9


def test_texture_is_the_mean_of_four_layers(america: Cube, shared_data: Path) -> None:
    import xarray as xr

    found = america.read(CONTINENT, ["clay", "sand"])
    for name in ("clay", "sand"):
        path = shared_data / "south_america" / f"soita.{name}.nc"
        with xr.open_dataset(path, decode_times=False) as file:
            ends, layers = file["layer"].values, file[f"{name}pct"].values[0, :, 1:161]
        thickness = np.diff(ends, prepend=0)[ends <= 30]
        assert thickness.tolist() == [5, 5, 10, 10]
        mean = np.tensordot(thickness / 30, layers[ends <= 30], axes=1)
        held = np.isfinite(mean)
        np.testing.assert_allclose(found[name][held], mean[held], rtol=1e-5)
    total = found["clay"] + found["sand"]
    assert 20 < np.nanmean(found["clay"]) < 45
    assert np.nanmax(total) < 100


def test_cloud_and_vegetation(america: Cube) -> None:
    values = america.read(CONTINENT, ["cloud", "vegtype"])
    assert 20 < np.nanmin(values["cloud"]) < np.nanmax(values["cloud"]) <= 100
    places = {(-62.1, -5.1): 1, (-48.1, -9.6): 9, (-69.4, -23.4): 14, (-60.1, -33.1): 10}
    for (lon, lat), vegetation in places.items():  # forest, savanna, desert, grassland
        assert at(america, "vegtype", lon, lat) == vegetation


def _relief() -> np.ndarray:
    if importlib.util.find_spec("itur") is None:
        pytest.skip('needs the package itur: pip install "edaphos[demo]"')
    heights = np.empty((1, 2160, 4320))
    dataset(LayerSpec("relief", "package:itur/relief", "amount")).write(heights)
    return np.maximum(heights[0], 0).reshape(720, 3, 1440, 3).mean(axis=(1, 3))


def _deviations(values: np.ndarray) -> np.ndarray:
    """Differences from the mean of the valid cells around, 9 by 9."""
    valid = np.isfinite(values)
    share = np.maximum(uniform_filter(valid.astype(float), 9), 1e-9)
    return values - uniform_filter(np.where(valid, values, 0).astype(float), 9) / share


def test_relief_and_warmth_fit_other_relief_best_unmoved(shared_data: Path) -> None:
    """Half a degree off in any direction, their mountains would lie beside those of ETOPO."""
    spec = spec_of("south_america", shared_data)
    relief = _relief()
    for name, step, sign in (("elevation", 0, 1), ("temperature", 6, -1)):
        (layer,) = (one for one in spec.layers if one.name == name)
        values = _deviations(open_source(layer, shared_data).read(step, Rect(0, 160, 0, 168)))

        def fit(down: int, right: int, values=values, sign=sign) -> float:
            part = _deviations(relief[336 - down : 496 - down, 423 - right : 591 - right])
            inner = np.isfinite(values)
            return sign * float(np.corrcoef(values[inner], part[inner])[0, 1])

        assert fit(0, 0) > 0.35
        for move in ((2, 0), (-2, 0), (0, 2), (0, -2)):
            assert fit(0, 0) > fit(*move) + 0.02
