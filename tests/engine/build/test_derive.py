"""Derived layers on grids that close around the globe, reach the poles or lie on a plane."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edaphos.engine.build.block_plan import Plan, open_plan
from edaphos.engine.build.build import spec_digest
from edaphos.engine.build.native import Rect
from edaphos.engine.build.spec import ClimateSpec, CubeSpec, LayerSpec, TerrainSpec
from edaphos.engine.errors import InputError
from edaphos.kernels.climate import koeppen
from edaphos.kernels.terrain import EARTH_RADIUS

from ..build_sources import globe, write_tif

OUTPUTS = ("slope", "aspect_sin", "aspect_cos", "tpi_900km")


def relief(folder: Path, z: np.ndarray, outputs=OUTPUTS, below="zero", **place) -> Plan:
    """Plan of terrain over an elevation raster."""
    write_tif(folder / "z.tif", z.astype("f4"), **place)
    layers = (LayerSpec("z", "z.tif", "amount", units="m", fill_radius_deg=0.0),)
    return open_plan(CubeSpec(layers, (TerrainSpec("z", outputs, below),), base=folder))


def whole(plan: Plan, name: str) -> np.ndarray:
    rows, columns = plan.fields[name].geobox.shape
    return plan.fields[name].read(0, Rect(0, rows, 0, columns))


def test_turning_the_globe_turns_the_terrain(tmp_path: Path) -> None:
    """The dateline is a line like any other."""
    z = np.random.default_rng(0).gamma(2, 400, (36, 72))
    plain, turned = relief(tmp_path, z), None
    kept = {name: whole(plain, name) for name in OUTPUTS}
    (tmp_path / "turned").mkdir()
    turned = relief(tmp_path / "turned", np.roll(z, 31, axis=1))
    for name in OUTPUTS:
        np.testing.assert_array_equal(whole(turned, name), np.roll(kept[name], 31, axis=1))


@pytest.mark.parametrize("name", OUTPUTS)
def test_windows_are_parts_of_the_whole(tmp_path: Path, name: str) -> None:
    z = np.random.default_rng(0).gamma(2, 400, (36, 72))
    z[5, 7] = np.nan
    plan = relief(tmp_path, z)
    full = whole(plan, name)

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 35), st.integers(1, 36), st.integers(-20, 71), st.integers(1, 72))
    def check(row: int, height: int, col: int, width: int) -> None:
        rect = Rect(row, min(row + height, 36), col, col + width)
        columns = np.arange(rect.col0, rect.col1) % 72
        part = plan.fields[name].read(0, rect)
        np.testing.assert_array_equal(part, full[rect.row0 : rect.row1][:, columns])

    check()


@pytest.mark.parametrize("north", [0.05, 66.0])
def test_a_ramp_of_one_in_a_hundred_has_it_at_any_latitude(tmp_path: Path, north: float) -> None:
    cell = 0.01
    lat = north - cell * (np.arange(10) + 0.5)
    metres = np.radians(cell) * EARTH_RADIUS * np.cos(np.radians(lat))
    z = 500 + 0.01 * metres[:, None] * np.arange(12)[None]
    plan = relief(tmp_path, z, ("slope",), transform=Affine(cell, 0, 10, 0, -cell, north))
    expected = np.degrees(np.arctan(0.01))
    np.testing.assert_allclose(whole(plan, "slope")[1:-1, 1:-1], expected, rtol=2e-3)


def test_terrain_of_a_projected_grid_is_in_metres(tmp_path: Path) -> None:
    place = {"transform": Affine(30, 0, 5e5, 0, -30, 6e6), "crs": "EPSG:32633"}
    rows, columns = np.indices((9, 9))
    plan = relief(tmp_path, 100 + 3 * columns - 6 * rows, OUTPUTS[:3], **place)
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(
        whole(plan, "slope")[inner], np.degrees(np.arctan(np.hypot(0.1, 0.2))), rtol=1e-5
    )
    np.testing.assert_allclose(whole(plan, "aspect_sin")[inner], -0.1 / np.hypot(0.1, 0.2))
    np.testing.assert_allclose(whole(plan, "aspect_cos")[inner], -0.2 / np.hypot(0.1, 0.2))


def test_what_knows_the_points_of_the_compass_says_so(tmp_path: Path) -> None:
    plan = relief(tmp_path, globe(), OUTPUTS[:3])
    told = {name: variable.directional for name, variable in plan.variables.items()}
    assert told == {"z": False, "slope": False, "aspect_sin": True, "aspect_cos": True}
    layers = (LayerSpec("wind_east", "z.tif", "amount", directional=True),)
    assert open_plan(CubeSpec(layers, base=tmp_path)).variables["wind_east"].directional


def test_cubes_built_before_there_were_directions_are_no_others() -> None:
    spec = CubeSpec((LayerSpec("z", "z.tif", "amount"),), (TerrainSpec("z", ("aspect_sin",)),))
    before = "e9b2bd6496f11b45a08110171ddc0d72c07917dd97fecd466c7e9d0c04d8151b"
    assert spec_digest(spec) == before
    (layer,) = spec.layers
    assert spec_digest(replace(spec, layers=(replace(layer, directional=True),))) != before


def test_the_sea_floor_has_no_say_unless_kept(tmp_path: Path) -> None:
    z = np.random.default_rng(1).normal(-2000, 300, (36, 72))
    assert not whole(relief(tmp_path, z), "slope").any()
    (tmp_path / "kept").mkdir()
    assert whole(relief(tmp_path / "kept", z, below="keep"), "slope").all()


@pytest.mark.parametrize(
    ("terrain", "message"),
    [
        (TerrainSpec("z", ("slop",)), 'no output "slop"; did you mean "slope"'),
        (TerrainSpec("z", ("tpi_5km",)), "tpi_5km has a radius below one cell of z"),
        (TerrainSpec("zz", ("slope",)), 'terrain.elevation names "zz".*did you mean "z"'),
        (TerrainSpec("z", ("slope", "slope")), 'two layers are called "slope"'),
    ],
)
def test_wrong_terrain_is_named(tmp_path: Path, terrain: TerrainSpec, message: str) -> None:
    write_tif(tmp_path / "z.tif", globe())
    layers = (LayerSpec("z", "z.tif", "amount"),)
    with pytest.raises(InputError, match=message):
        open_plan(CubeSpec(layers, (terrain,), base=tmp_path))


def climate(
    folder: Path, outputs, warmth_step=10.0, **known
) -> tuple[Plan, np.ndarray, np.ndarray]:
    warmth, rain = globe(warmth_step, 1, 12), np.abs(globe(10.0, 2, 12))
    write_tif(folder / "w.tif", warmth)
    write_tif(folder / "r.tif", rain)
    layers = (
        LayerSpec("w", "w.tif", "amount", "monthly"),
        LayerSpec("r", "r.tif", "amount", "monthly"),
        LayerSpec("s", "r.tif", "amount", band=3),
    )
    spec = ClimateSpec(known.get("temperature", "w"), known.get("rain", "r"), outputs)
    return open_plan(CubeSpec(layers, climate=(spec,), base=folder)), warmth, rain


def test_summaries_and_classes_of_the_months(tmp_path: Path) -> None:
    plan, warmth, rain = climate(tmp_path, ("temperature_range", "rain_annual", "koeppen"))
    np.testing.assert_allclose(whole(plan, "temperature_range"), np.ptp(warmth, axis=0), rtol=1e-5)
    np.testing.assert_allclose(whole(plan, "rain_annual"), rain.sum(0), rtol=1e-5)
    codes = koeppen(warmth, rain).astype("f4")
    codes[codes == -1] = np.nan
    np.testing.assert_array_equal(whole(plan, "koeppen"), codes)


def test_classes_of_two_grids_lie_on_the_finer(tmp_path: Path) -> None:
    plan, *_ = climate(tmp_path, ("koeppen",), warmth_step=5.0)
    assert plan.fields["koeppen"].geobox.shape == (36, 72)
    codes = whole(plan, "koeppen")
    assert np.nanmin(codes) >= 1
    assert np.nanmax(codes) <= 30


@pytest.mark.parametrize(
    ("outputs", "known", "message"),
    [
        (("rain_anual",), {}, 'no output "rain_anual"; did you mean "rain_annual"'),
        (("rain_annual",), {"rain": ""}, "climate.rain is needed"),
        (("koeppen",), {"temperature": ""}, "climate.temperature is needed"),
        (("rain_annual",), {"rain": "s"}, 'time = "monthly"; "s" is "amount", "static"'),
    ],
)
def test_wrong_summaries_are_named(tmp_path: Path, outputs, known, message) -> None:
    with pytest.raises(InputError, match=message):
        climate(tmp_path, outputs, **known)
