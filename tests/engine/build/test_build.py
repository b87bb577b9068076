"""A cube is built once, whole, from what it says, however often building was interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from distributed import Client, LocalCluster

from edaphos.engine.build import arrays as arrays_module
from edaphos.engine.build import build as build_module
from edaphos.engine.build.build import build_cube
from edaphos.engine.build.spec import ClimateSpec, CubeSpec, LayerSpec, SoilMaskSpec, TerrainSpec
from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import MANIFEST
from edaphos.engine.errors import InputError
from edaphos.engine.store import checksum, list_objects
from edaphos.recipes.cube_schema import read_cube_spec

from ..build_sources import dataset, globe, write_tif

BLOCKS = 7
STATED = {"source": "drawn by a test", "licence": "CC0-1.0", "citation": "nobody 2000"}


def world(folder: Path) -> CubeSpec:
    """Write sources of every format and time axis; seven blocks, one layer being three wide."""
    rng = np.random.default_rng(4)
    folder.mkdir(parents=True, exist_ok=True)
    rain = np.abs(globe(2.0, 1, months=12))
    rain[..., 40:50, 60:70] = np.nan
    dataset(rain).to_netcdf(folder / "rain.nc")
    for month, values in enumerate(globe(2.0, 2, months=12), start=1):
        write_tif(folder / f"warmth{month:02d}.tif", values)
    for year in (1990, 2000):
        write_tif(folder / f"crops{year}.tif", globe(5.0, year))
    np.savetxt(folder / "ndvi.csv", np.nan_to_num(globe(2.0, 3), nan=99999), delimiter=",")
    write_tif(folder / "cover.tif", rng.integers(0, 5, (90, 180)).astype("int16"), nodata=4)
    relief = rng.gamma(2.0, 300, (40, 4300)).astype("f4")
    write_tif(folder / "relief.tif", relief, Affine(0.01, 0, 10, 0, -0.01, 60))
    return CubeSpec(
        layers=(
            LayerSpec("rain", "rain.nc", "amount", "monthly", variable="t", valid_min=0,
                      fill_radius_deg=6.0, **STATED),
            LayerSpec("warmth", "warmth{month:02d}.tif", "amount", "monthly", units="degC"),
            LayerSpec("crops", "crops{year}.tif", "amount", "yearly", years=(1990, 2000)),
            LayerSpec("ndvi", "ndvi.csv", "amount", nodata=(99999,), crs="EPSG:4326",
                      bounds=(-180, -90, 180, 90), seasonal_gap=True),
            LayerSpec("cover", "cover.tif", "class"),
            LayerSpec("relief", "relief.tif", "amount", units="m", valid_max=3000),
        ),
        terrain=(TerrainSpec("relief", ("slope", "aspect_sin", "tpi_3km")),),
        climate=(ClimateSpec("warmth", "rain", ("temperature_mean", "rain_annual", "koeppen")),),
        soil_mask=SoilMaskSpec(landcover="cover", water=(0,), ice=(3,)),
        title="a world of a test",
        base=folder,
    )  # fmt: skip


def objects(cube: Path) -> dict[str, str]:
    """Checksum of every file that is in the cube, the manifest among them."""
    return {key: checksum((cube / key).read_bytes()) for key in list_objects(cube)}


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> CubeSpec:
    return world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def built(spec: CubeSpec, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cube") / "c.zarr"
    build_cube(spec, out)
    return out


class Interrupted(Exception):
    """What a test stops a build with."""


def count_blocks(monkeypatch, stop_after: int | None = None) -> list[str]:
    """Record the blocks that are built, and stop after some."""
    real, names = build_module.build_block, []

    def counted(spec, out, identity, block) -> None:
        if stop_after is not None and len(names) == stop_after:
            raise Interrupted
        real(spec, out, identity, block)
        names.append(block.name)

    monkeypatch.setattr(build_module, "build_block", counted)
    return names


def interrupt(monkeypatch, spec: CubeSpec, out: Path, after: int) -> list[str]:
    """Build some blocks, then stop; return which."""
    with monkeypatch.context() as patch:
        built = count_blocks(patch, after)
        with pytest.raises(Interrupted):
            build_cube(spec, out)
    return built


# -- what is built --------------------------------------------------------------------------------


def test_nothing_but_the_cube_remains(built: Path) -> None:
    assert {path.name for path in built.iterdir()} == {"stacks", "zarr.json", MANIFEST}
    assert Cube.open(built).verify() == []


def test_values_are_those_of_the_sources(built: Path) -> None:
    cube = Cube.open(built)

    def read(name: str, years=()) -> np.ndarray:
        return cube.read(cube.manifest.stacks[cube.variable(name).stack].geobox, [name], years)[
            name
        ]

    np.testing.assert_array_equal(read("warmth"), globe(2.0, 2, months=12))
    np.testing.assert_array_equal(
        read("crops", (2000, 1990)), np.stack([globe(5.0, 2000), globe(5.0, 1990)])
    )
    np.testing.assert_allclose(read("ndvi"), globe(2.0, 3), rtol=1e-6)
    assert np.isnan(read("cover")).any()
    np.testing.assert_allclose(read("temperature_mean"), globe(2.0, 2, 12).mean(0), atol=1e-4)
    assert set(np.unique(read("soil_mask"))) == {0, 1, 2, 3}


def test_gaps_are_filled_to_the_radius_and_counted(built: Path) -> None:
    cube = Cube.open(built)
    rain = cube.read(cube.manifest.stacks[cube.variable("rain").stack].geobox, ["rain"])["rain"]
    stored = np.abs(globe(2.0, 1, months=12))
    stored[..., 40:50, 60:70] = np.nan
    kept = ~np.isnan(stored)
    np.testing.assert_array_equal(rain[kept], stored[kept])
    assert np.isnan(rain[0, 43:47, 63:67]).all()  # more than three cells from any value
    assert not np.isnan(rain[0, 40:43, 63:67]).any()
    filled = int((np.isnan(stored) & ~np.isnan(rain)).sum())
    assert cube.variable("rain").filled_cells == filled == 12 * (100 - 16 + 1)


def test_the_manifest_says_where_everything_came_from(built: Path, spec: CubeSpec) -> None:
    import hashlib

    manifest = Cube.open(built).manifest
    rain = manifest.variables["rain"]
    assert (rain.source, rain.licence, rain.citation) == tuple(STATED.values())
    assert (rain.units, rain.long_name, rain.fill_radius_deg) == ("degC", "warmth", 6.0)
    annual = manifest.variables["rain_annual"]
    assert annual.derived_from == ("rain",)
    assert annual.licence == "CC0-1.0"
    assert manifest.variables["ndvi"].seasonal_gap
    assert manifest.variables["crops"].years == (1990, 2000)
    assert manifest.masks.soil_mask == "soil_mask"
    files = manifest.sources["rain"]["files"]
    digest = hashlib.sha256((spec.base / "rain.nc").read_bytes()).hexdigest()
    assert files == [{"name": "rain.nc", "sha256": digest}]
    assert len(manifest.sources["warmth"]["files"]) == 12
    relief = np.random.default_rng(4)
    relief.integers(0, 5, (90, 180))
    high = relief.gamma(2.0, 300, (40, 4300)).astype("f4") > 3000
    assert manifest.sources["relief"]["out_of_range_cells"] == high.sum() > 0
    assert manifest.sources["relief"]["valid_cells"] == (~high).sum()


def test_stacks_hold_layers_of_one_grid_kind_and_time(built: Path) -> None:
    stacks = {frozenset(stack.bands) for stack in Cube.open(built).manifest.stacks.values()}
    assert stacks == {
        frozenset({"rain", "warmth"}),
        frozenset({"crops"}),
        frozenset({"ndvi", "temperature_mean", "rain_annual"}),
        frozenset({"cover", "koeppen", "soil_mask"}),
        frozenset({"relief", "slope", "aspect_sin", "tpi_3km"}),
    }


# -- the same cube, however it is built -----------------------------------------------------------


def test_workers_write_the_same_bytes(built: Path, spec: CubeSpec, tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        build_cube(spec, tmp_path / "c", client=client)
    assert objects(tmp_path / "c") == objects(built)


def test_moved_sources_give_the_same_cube(built: Path, tmp_path: Path) -> None:
    build_cube(world(tmp_path / "elsewhere"), tmp_path / "c")
    assert objects(tmp_path / "c") == objects(built)


@pytest.mark.parametrize("stop_after", [0, 1, 4, BLOCKS - 1])
def test_an_interrupted_build_goes_on(built, spec, tmp_path, monkeypatch, stop_after) -> None:
    out = tmp_path / "c"
    before = interrupt(monkeypatch, spec, out, stop_after)
    assert not (out / MANIFEST).exists()
    with pytest.raises(InputError, match="building was interrupted"):
        Cube.open(out)
    after = count_blocks(monkeypatch)
    build_cube(spec, out)
    assert len(after) == BLOCKS - stop_after
    assert not set(before) & set(after)
    assert objects(out) == objects(built)
    assert Cube.open(out).verify() == []


@pytest.mark.parametrize(
    ("module", "name"),
    [(arrays_module, "_create_stack"), (arrays_module.zarr, "consolidate_metadata"),
     (build_module, "stage"), (build_module, "_manifest")],
)  # fmt: skip
def test_interruptions_outside_of_blocks(built, spec, tmp_path, monkeypatch, module, name) -> None:
    """While sources are staged, while arrays are made, after the last block."""

    def stop(*_: object, **__: object) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stop)
        with pytest.raises(Interrupted):
            build_cube(spec, tmp_path / "c")
    assert not (tmp_path / "c" / MANIFEST).exists()
    build_cube(spec, tmp_path / "c")
    assert objects(tmp_path / "c") == objects(built)


def test_a_block_whose_objects_are_gone_or_cut_is_built_again(
    built, spec, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "c"
    interrupt(monkeypatch, spec, out, 5)
    records = sorted((out / ".build" / "done").glob("*.json"))
    keys = [json.loads(path.read_text())["objects"][0]["key"] for path in records]
    (out / keys[0]).unlink()
    (out / keys[1]).write_bytes(b"cut")
    again = count_blocks(monkeypatch)
    build_cube(spec, out)
    assert {records[0].stem, records[1].stem} <= set(again)
    assert len(again) == BLOCKS - 5 + 2
    assert objects(out) == objects(built)


def test_building_again_does_nothing(spec, built, monkeypatch) -> None:
    before = objects(built)
    blocks = count_blocks(monkeypatch)
    manifest = build_cube(spec, built)
    assert blocks == []
    assert manifest == Cube.open(built).manifest
    assert objects(built) == before


def test_a_killed_command_is_continued(tmp_path: Path) -> None:
    """SIGKILL in the middle, then the same command: the same bytes as without."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        write_tif(
            tmp_path / f"{name}.tif", rng.gamma(2, 200, (600, 2500)).astype("f4"),
            Affine(0.01, 0, 10, 0, -0.01, 60 if name == "a" else 40),
        )  # fmt: skip
    layers = "".join(
        f'[[layer]]\nname = "{n}"\nfile = "{n}.tif"\nkind = "amount"\n' for n in ("a", "b", "c")
    )
    derived = '[[derive]]\nkind = "terrain"\nelevation = "a"\noutputs = ["slope", "tpi_20km"]\n'
    (tmp_path / "cube.toml").write_text(layers + derived)

    def start(out: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "edaphos.recipes.cli", "cube", "build"]
        command += [str(tmp_path / "cube.toml"), "--out", str(tmp_path / out), "--workers", "1"]
        return subprocess.Popen(
            [*command, "--quiet"], start_new_session=True, stderr=subprocess.PIPE
        )

    killed = start("killed")
    done, until = tmp_path / "killed" / ".build" / "done", time.monotonic() + 120
    while not list(done.glob("*.json")):
        assert killed.poll() is None, killed.stderr.read().decode()
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / MANIFEST).exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed/stacks").rglob("c/*/*")}
    again = start("killed")
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors.decode()
    build_cube(read_cube_spec(tmp_path / "cube.toml"), tmp_path / "whole")
    assert objects(tmp_path / "killed") == objects(tmp_path / "whole")
    assert Cube.open(tmp_path / "killed").verify() == []
    assert kept, "killed before anything was written"


# -- folders and sources that are not this cube's -------------------------------------------------


def one_layer(folder: Path, values: np.ndarray | None = None, **known) -> CubeSpec:
    """A cube of one small layer."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tif(folder / "a.tif", globe() if values is None else values)
    return CubeSpec((LayerSpec("a", "a.tif", known.pop("kind", "amount"), **known),), base=folder)


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    spec = one_layer(tmp_path / "data")
    with pytest.raises(InputError, match=r"not empty and holds no cube \(found a\.tif"):
        build_cube(spec, tmp_path / "data")
    assert (tmp_path / "data" / "a.tif").exists()
    with pytest.raises(InputError, match="is a file"):
        build_cube(spec, tmp_path / "data" / "a.tif")


def test_a_folder_of_another_cube_is_refused_and_left_alone(tmp_path: Path) -> None:
    spec = one_layer(tmp_path / "data")
    build_cube(spec, tmp_path / "c")
    before = objects(tmp_path / "c")
    other = replace(spec, layers=(replace(spec.layers[0], scale=2.0),))
    with pytest.raises(InputError, match="holds another cube"):
        build_cube(other, tmp_path / "c")
    write_tif(tmp_path / "data" / "a.tif", globe(seed=9))
    with pytest.raises(InputError, match="holds another cube, or one of other source files"):
        build_cube(spec, tmp_path / "c")
    assert objects(tmp_path / "c") == before


def test_sources_that_change_between_are_never_mixed(tmp_path: Path, monkeypatch) -> None:
    spec = one_layer(tmp_path / "data")
    interrupt(monkeypatch, spec, tmp_path / "c", 0)
    write_tif(tmp_path / "data" / "a.tif", globe(seed=9))
    with pytest.raises(InputError, match="unfinished build of another cube, or of other sources"):
        build_cube(spec, tmp_path / "c")


@pytest.mark.parametrize("name", ["a.tif", "a.nc"])
def test_a_changed_source_is_read_anew_in_the_same_process(tmp_path: Path, name: str) -> None:
    """Another grid and other values under the same name, for the same cube folder."""
    import shutil

    def write(step: float) -> None:
        (tmp_path / name).unlink(missing_ok=True)
        if name == "a.tif":
            write_tif(tmp_path / name, globe(step))
        else:
            dataset(globe(step)).to_netcdf(tmp_path / name)

    variable = "t" if name == "a.nc" else ""
    spec = CubeSpec((LayerSpec("a", name, "amount", variable=variable),), base=tmp_path)
    for step in (10.0, 5.0):
        write(step)
        build_cube(spec, tmp_path / "c")
        cube = Cube.open(tmp_path / "c")
        geobox = cube.manifest.stacks[cube.variable("a").stack].geobox
        np.testing.assert_array_equal(cube.read(geobox, ["a"])["a"], globe(step))
        shutil.rmtree(tmp_path / "c")


def test_csv_layers_of_one_pattern_do_not_share_their_values(tmp_path: Path) -> None:
    for year in (1990, 2000):
        np.savetxt(tmp_path / f"y{year}.csv", np.full((18, 36), year), delimiter=",")
    known = {"bounds": (-180, -90, 180, 90), "crs": "EPSG:4326"}
    layers = tuple(
        LayerSpec(f"y{year}", "y{year}.csv", "amount", "yearly", (year,), **known)
        for year in (1990, 2000)
    )
    build_cube(CubeSpec(layers, base=tmp_path), tmp_path / "c")
    cube = Cube.open(tmp_path / "c")
    for year in (1990, 2000):
        stack = cube.manifest.stacks[cube.variable(f"y{year}").stack]
        assert (cube.read(stack.geobox, [f"y{year}"], (year,))[f"y{year}"] == year).all()


# -- layers that cannot be right ------------------------------------------------------------------


def test_a_layer_without_any_value_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    spec = one_layer(tmp_path / "data", np.full((18, 36), np.nan, "f4"))
    with pytest.raises(InputError, match=r'layer "a" \(a\.tif\) holds no value at all'):
        build_cube(spec, tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("fill", [0.0, 10.0])
@pytest.mark.parametrize(("share", "refused"), [(0.35, True), (0.25, False)])
def test_too_many_values_out_of_range_are_refused(tmp_path, share, refused, fill) -> None:
    values = np.full(648, 10, "f4")
    values[: round(share * 648)] = 999
    values = np.random.default_rng(0).permutation(values).reshape(18, 36)
    spec = one_layer(tmp_path / "data", values, valid_max=100, fill_radius_deg=fill)
    if refused:
        with pytest.raises(
            InputError, match=r'layer "a" \(a\.tif\): 35% of its values lie outside'
        ):
            build_cube(spec, tmp_path / "c")
        return
    manifest = build_cube(spec, tmp_path / "c")
    assert manifest.sources["a"]["out_of_range_cells"] == (values == 999).sum()


@pytest.mark.parametrize(
    ("values", "known", "message"),
    [
        ([2.5], {"kind": "class"}, r"class 2\.5 found, expected whole numbers"),
        ([-3.0], {"kind": "class"}, "class -3 found"),
        ([40_000.0], {"kind": "class"}, "class 40000 found"),
        ([np.inf], {}, "infinite values"),
        ([-np.inf], {"valid_max": 100.0}, "infinite values"),
    ],
)
def test_values_that_a_cube_cannot_hold_are_named(tmp_path, values, known, message) -> None:
    grid = np.ones((18, 36), "f4")
    grid[4, 5] = values[0]
    with pytest.raises(InputError, match=message):
        build_cube(one_layer(tmp_path / "data", grid, **known), tmp_path / "c")
    build_cube(
        one_layer(tmp_path / "data", grid, **{**known, "nodata": tuple(values)}), tmp_path / "c"
    )


def test_two_layers_of_one_name_are_refused(tmp_path: Path) -> None:
    spec = one_layer(tmp_path)
    with pytest.raises(InputError, match='two layers are called "a"'):
        build_cube(replace(spec, layers=spec.layers * 2), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_seasonal_gap_is_never_filled(tmp_path: Path) -> None:
    spec = one_layer(tmp_path, seasonal_gap=True, fill_radius_deg=20.0)
    with pytest.raises(InputError, match="a seasonal gap is never filled"):
        build_cube(spec, tmp_path / "c")
    spec = one_layer(tmp_path, seasonal_gap=True)
    build_cube(spec, tmp_path / "c")
    cube = Cube.open(tmp_path / "c")
    assert np.isnan(cube.read(cube.manifest.stacks["amount_static_10deg"].geobox, ["a"])["a"][2, 3])
