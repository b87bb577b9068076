"""The world cube on the real data: everything lies where it should, in the units stated."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

import edaphos.recipes.cube_schema as cube_schema
from edaphos.engine.build.block_plan import open_plan
from edaphos.engine.build.build import build_cube
from edaphos.engine.build.native import Rect
from edaphos.engine.build.packaged import dataset
from edaphos.engine.build.sources import Source, open_source
from edaphos.engine.build.spec import ClimateSpec, CubeSpec, LayerSpec
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.kernels.climate import KOEPPEN_NAMES_32
from edaphos.recipes.cube_schema import read_cube_spec

CLIMATE = ("temperature_mean", "temperature_warmest", "temperature_coldest")
BUILT = ("temperature", "temperature_minimum", "elevation", "landcover")
PLACES = {
    "sahara": (10.0, 24.0), "congo": (22.0, -1.0), "amazon": (-65.0, -4.0),
    "tibet": (88.0, 33.0), "siberia": (129.7, 66.0), "australia": (134.0, -25.0),
    "london": (-0.6, 51.6), "pacific": (-150.0, 0.0), "california": (-119.0, 37.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(shared_data: Path) -> CubeSpec:
    return read_cube_spec(Path(cube_schema.__file__).parent / "world_cube.toml", shared_data)


@pytest.fixture(scope="module")
def cube(world: CubeSpec, tmp_path_factory) -> Cube:
    layers = tuple(layer for layer in world.layers if layer.name in BUILT)
    climate = (ClimateSpec("temperature", "", CLIMATE),)
    some = replace(world, layers=layers, terrain=(), climate=climate, soil_mask=None)
    out = tmp_path_factory.mktemp("world") / "c"
    build_cube(some, out)
    return Cube.open(out)


def values(cube: Cube, name: str) -> dict[str, float]:
    lon, lat = np.array(list(PLACES.values())).T
    found = cube.at(lon, lat, Grid.preset("global-0.1deg"), variables=[name])[name]
    return dict(zip(PLACES, found, strict=True))


def source(world: CubeSpec, name: str) -> Source:
    (layer,) = (layer for layer in world.layers if layer.name == name)
    return open_source(layer, world.base)


def whole(source: Source, step: int = 0) -> np.ndarray:
    return source.read(step, Rect(0, source.geobox.shape[0], 0, source.geobox.shape[1]))


def place(source: Source, where: str, step: int = 0, size: int = 1) -> float:
    (lon, lat), a = PLACES[where], source.geobox.affine
    row, column = int((lat - a.f) / a.e), int((lon - a.c) / a.a)
    return float(np.nanmean(source.read(step, Rect(row, row + size, column, column + size))))


def test_it_verifies_and_says_where_it_comes_from(cube: Cube) -> None:
    assert cube.verify() == []
    for name in BUILT:
        assert cube.variable(name).source
        assert cube.variable(name).licence
        assert len(cube.manifest.sources[name]["files"][0]["sha256"]) == 64
    notes = cube.manifest.sources["elevation"]["notes"]
    assert any("repeat the first: left out" in note for note in notes)
    assert cube.variable("temperature").filled_cells > 0


def test_temperature(cube: Cube) -> None:
    warmest, coldest = values(cube, "temperature_warmest"), values(cube, "temperature_coldest")
    lowest, mean = values(cube, "temperature_minimum"), values(cube, "temperature_mean")
    assert warmest["sahara"] > 30
    assert coldest["siberia"] < -30
    assert -70 < lowest["siberia"] < -45
    assert mean["tibet"] < 2
    assert 24 < mean["amazon"] < 30
    assert lowest["amazon"] > 5
    assert 8 < mean["london"] < 12
    assert np.isnan(mean["pacific"])
    for name in set(PLACES) - {"pacific"}:
        assert lowest[name] < coldest[name] < mean[name] < warmest[name]
    month = cube.at(np.array([134.0]), np.array([-25.0]), Grid.preset("global-0.1deg"),
                    variables=["temperature"])["temperature"][0]  # fmt: skip
    assert month[0] > 25 > 16 > month[6]  # January is summer in Australia


def test_relief_and_land_cover(cube: Cube) -> None:
    height, cover = values(cube, "elevation"), values(cube, "landcover")
    assert height["tibet"] > 4500
    assert 0 < height["london"] < 200
    assert height["pacific"] < -3000
    assert height["amazon"] < 150
    assert height["california"] > 1000
    assert (cover["sahara"], cover["amazon"], cover["pacific"]) == (16, 2, 0)


def test_sunshine_is_missing_over_the_sea(world: CubeSpec) -> None:
    """The file holds 0 there from February on, which would darken every coast."""
    named = {layer.name: layer for layer in world.layers}
    stored = whole(source(world, "sunshine"), 6)
    layers = (named["temperature"], replace(named["sunshine"], fill_radius_deg=0.0))
    plan = open_plan(replace(world, layers=layers, terrain=(), climate=(), soil_mask=None))
    sun = plan.fields["sunshine"].read(6, Rect(0, 360, 0, 720))
    sea = np.isnan(whole(source(world, "temperature"), 6))
    assert (stored[sea] == 0).mean() > 0.99
    assert np.isnan(sun[sea]).all()
    assert (sun[~sea] > 0).mean() > 0.999


def test_vegetation(world: CubeSpec) -> None:
    for name in ("ndvi_january", "ndvi_august"):
        greenness = source(world, name)
        assert place(greenness, "congo", size=4) > 0.5
        assert place(greenness, "sahara", size=4) < 0.15


def test_climate_classes(world: CubeSpec) -> None:
    classes = source(world, "koeppen")
    expected = {"sahara": "BWh", "congo": "Af", "london": "Cfb"}
    for where, name in expected.items():
        assert KOEPPEN_NAMES_32[int(place(classes, where))] == name
    assert np.isnan(place(classes, "pacific"))  # 32, Ocean, is declared missing


def test_rain_sunshine_and_soil_water_have_plausible_units(world: CubeSpec) -> None:
    rain, sun = source(world, "rain"), source(world, "sunshine")
    assert sum(place(rain, "sahara", month) for month in range(12)) < 60
    assert 1800 < sum(place(rain, "amazon", month) for month in range(12)) < 4000
    assert 80 < 0.1 * place(sun, "sahara", 6) < 100  # per cent, stored times ten
    assert 5 < 0.1 * place(sun, "london", 11) < 25
    water = whole(source(world, "water_capacity"))
    assert 30 < np.nanmedian(water[(water > 0) & (water < 400)]) < 100  # mm in a metre


LABELS = ("corner-lower-left", "corner-upper-left", "center")


def high_pass(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Deviations from the mean of the valid cells around, 5 by 5."""
    share = np.maximum(uniform_filter(valid.astype(float), 5), 1e-9)
    return values - uniform_filter(np.where(valid, values, 0), 5) / share


def test_labels_of_the_half_degree_climate(world: CubeSpec) -> None:
    """July is colder where land is higher: most so if labels are taken for lower left corners."""
    if importlib.util.find_spec("itur") is None:
        pytest.skip('needs the package itur: pip install "edaphos[demo]"')
    packed = LayerSpec("relief", "package:itur/relief", "amount")
    heights = np.empty((1, 2160, 4320))
    dataset(packed).write(heights)
    (layer,) = (layer for layer in world.layers if layer.name == "temperature")
    fit = {}
    for label in LABELS:
        july = open_source(replace(layer, cells=label), world.base)
        warmth, place = whole(july, 6), july.geobox.affine
        twelfths = (-round(12 * (90 - place.f)), -round(12 * (place.c + 180)))
        moved = np.roll(heights[0], twelfths, axis=(0, 1))
        relief = moved.reshape(360, 6, 720, 6).mean(axis=(1, 3))
        valid = ~np.isnan(warmth)
        inner = valid & (np.abs(np.arange(360) - 160) < 120)[:, None]  # 70 N to 50 S
        pair = (high_pass(field, valid)[inner] for field in (np.nan_to_num(warmth), relief))
        fit[label] = -np.corrcoef(*pair)[0, 1]
    assert fit["corner-lower-left"] > 0.6
    assert fit["corner-lower-left"] > max(fit["corner-upper-left"], fit["center"]) + 0.03


@pytest.mark.parametrize("name", ["temperature", "rain", "temperature_minimum"])
def test_climate_lies_on_the_land_within_a_cell(world: CubeSpec, name: str) -> None:
    """A cell off in any direction it would fit the coastline worse."""
    has_value = ~np.isnan(whole(source(world, name)))[40:280]
    land = whole(source(world, "landcover")) > 0

    def agreement(down: int, right: int) -> float:
        moved = np.roll(land, (down, right), axis=(0, 1))
        share = moved.reshape(360, 5, 720, 5).mean(axis=(1, 3))[40:280]
        return float(((share >= 0.5) == has_value).mean())

    centred = agreement(0, 0)
    assert centred > 0.93
    for move in ((5, 0), (-5, 0), (0, 5), (0, -5)):
        assert agreement(*move) < centred


def test_columns_of_the_climate_file_agree(world: CubeSpec) -> None:
    """In the file, rain and minimum temperature lie a column off from temperature."""
    named = {layer.name: layer for layer in world.layers}
    warmth = whole(source(world, "temperature"), 0)
    lowest, rain = whole(source(world, "temperature_minimum")), whole(source(world, "rain"))
    inner = slice(40, 280)
    assert (np.isnan(rain) == np.isnan(warmth))[inner].mean() > 0.999
    as_stored = whole(open_source(_as_stored(named["rain"]), world.base))
    assert (np.isnan(as_stored) == np.isnan(warmth))[inner].mean() < 0.99
    height = whole(source(world, "elevation")).reshape(180, 3, 360, 3).mean(axis=(1, 3))

    def fit(cold: np.ndarray) -> float:
        """Over two by two cells, for the relief has three cells in a degree."""
        values = cold.reshape(180, 2, 360, 2).mean(axis=(1, 3))
        valid = ~np.isnan(values)
        chosen = valid & (np.abs(np.arange(180) - 80) < 60)[:, None]
        pair = (high_pass(v, valid)[chosen] for v in (np.nan_to_num(values), height))
        return -float(np.corrcoef(*pair)[0, 1])

    unmoved = whole(open_source(_as_stored(named["temperature_minimum"]), world.base))
    assert fit(lowest) > fit(unmoved) + 0.03


def _as_stored(layer: LayerSpec) -> LayerSpec:
    return replace(layer, bounds=None, longitudes="", cells="corner-lower-left")


def test_the_relief_lies_on_the_land(world: CubeSpec) -> None:
    """The same for relief, whose longitudes start at 20."""
    high = whole(source(world, "elevation")) > 0
    land = whole(source(world, "landcover")) > 0
    rows, columns = (((np.arange(n) + 0.5) * 10 / 3).astype(int) for n in (540, 1080))

    def agreement(down: int, right: int) -> float:
        moved = np.roll(land, (down, right), axis=(0, 1))[rows[:, None], columns[None]]
        return float((moved == high)[60:420].mean())

    centred = agreement(0, 0)
    assert centred > 0.97
    for move in ((3, 0), (-3, 0), (0, 3), (0, -3)):
        assert agreement(*move) < centred - 0.001
