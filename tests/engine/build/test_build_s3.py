"""A cube in a bucket is the cube on a disk, however building it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine.build import build as build_module
from edaphos.engine.build.build import build_cube, check_spec
from edaphos.engine.build.spec import CubeSpec, LayerSpec
from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import MANIFEST
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.place import place
from edaphos.engine.store import checksum, list_objects
from edaphos.recipes.cube_schema import read_cube_spec

from ..build_sources import globe, write_tif


def world(folder: Path) -> CubeSpec:
    """Three layers, one of which is staged: as many stacks and blocks."""
    write_tif(folder / "warm.tif", globe(5.0, 1))
    write_tif(folder / "cover.tif", np.abs(globe(10.0, 2)).round() // 10, nodata=9)
    np.savetxt(folder / "ndvi.csv", np.nan_to_num(globe(2.0, 3), nan=99999), delimiter=",")
    known = {"crs": "EPSG:4326", "bounds": (-180, -90, 180, 90)}
    return CubeSpec(
        layers=(
            LayerSpec("warm", "warm.tif", "amount"),
            LayerSpec("cover", "cover.tif", "class", nodata=(9.0,)),
            LayerSpec("ndvi", "ndvi.csv", "amount", nodata=(99999,), **known),
        ),
        base=folder,
    )


BLOCKS = 3


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> CubeSpec:
    return world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def local(spec: CubeSpec, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cube") / "c.zarr"
    build_cube(spec, out)
    return out


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch) -> Path:
    """The folder that this machine's copies go to."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / f"edaphos-{os.getuid()}"


def objects(cube) -> dict[str, str]:
    return {key: checksum((cube / key).read_bytes()) for key in list_objects(cube)}


def test_the_same_objects_and_values_as_on_a_disk(spec, local, s3_folder, scratch) -> None:
    out = place(s3_folder)
    manifest = build_cube(spec, out)
    assert (out / "zarr.json").read_text() == (local / "zarr.json").read_text()
    assert objects(out) == objects(local)
    assert list(scratch.iterdir()) == []
    here, there = Cube.open(local), Cube.open(s3_folder)
    assert there.manifest == manifest == here.manifest
    window = Grid.preset("global-0.5deg").window(40, 60, 30, 50)
    names = ["warm", "cover", "ndvi"]
    expected, found = here.read(window, names, halo=3), there.read(window, names, halo=3)
    for name in names:
        assert not np.isnan(expected[name]).all()
        np.testing.assert_array_equal(found[name], expected[name])
    assert there.nbytes_for(window, names) == here.nbytes_for(window, names)
    assert there.verify() == []
    check_spec(spec, out)
    assert build_cube(spec, out) == manifest  # which is found built


def test_a_store_that_sends_parts_gives_the_same(spec, local, moto_folder) -> None:
    build_cube(spec, place(moto_folder))
    assert objects(place(moto_folder)) == objects(local)
    cube = Cube.open(moto_folder)
    geobox = cube.manifest.stacks[cube.variable("ndvi").stack].geobox
    np.testing.assert_array_equal(
        cube.read(geobox[3:20, 5:90], ["ndvi"])["ndvi"],
        Cube.open(local).read(geobox[3:20, 5:90], ["ndvi"])["ndvi"],
    )


def test_workers_stage_and_write_the_same(spec, local, s3_folder, scratch) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        build_cube(spec, place(s3_folder), client=client)
    assert objects(place(s3_folder)) == objects(local)
    assert list(scratch.iterdir()) == []


def test_a_machine_without_staged_sources_stages_them(spec, local, s3_folder, monkeypatch) -> None:
    """As where one machine has staged, and another gets the block."""
    real = build_module.build_block

    def elsewhere(spec, out, identity, block) -> None:
        staging = build_module._staging(out, identity)
        for path in staging.glob("*.npy"):
            path.unlink()
        real(spec, out, identity, block)

    monkeypatch.setattr(build_module, "build_block", elsewhere)
    build_cube(spec, place(s3_folder))
    assert objects(place(s3_folder)) == objects(local)


class Interrupted(Exception):
    """What a test stops a build with."""


@pytest.mark.parametrize("after", [0, 2])
def test_an_interrupted_build_goes_on(spec, local, s3_folder, monkeypatch, after) -> None:
    real, names = build_module.build_block, []

    def stopped(spec, out, identity, block) -> None:
        if len(names) == after:
            raise Interrupted
        real(spec, out, identity, block)
        names.append(block.name)

    def counted(spec, out, identity, block) -> None:
        real(spec, out, identity, block)
        names.append(block.name)

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "build_block", stopped)
        with pytest.raises(Interrupted):
            build_cube(spec, place(s3_folder))
    with pytest.raises(InputError, match="building was interrupted"):
        Cube.open(s3_folder)
    monkeypatch.setattr(build_module, "build_block", counted)
    build_cube(spec, place(s3_folder))
    assert len(names) == len(set(names)) == BLOCKS
    assert objects(place(s3_folder)) == objects(local)


def test_a_refused_build_leaves_nothing(tmp_path, s3_folder) -> None:
    write_tif(tmp_path / "a.tif", np.full((18, 36), np.nan, "f4"))
    with pytest.raises(InputError, match="holds no value at all"):
        build_cube(CubeSpec((LayerSpec("a", "a.tif", "amount"),), base=tmp_path), place(s3_folder))
    assert list_objects(place(s3_folder)) == {}


def test_what_holds_something_else_is_left_alone(spec, s3_folder) -> None:
    (place(s3_folder) / "notes.txt").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"not empty and holds no cube \(found notes\.txt"):
        build_cube(spec, place(s3_folder))
    with pytest.raises(InputError, match="is a file"):
        build_cube(spec, place(s3_folder) / "notes.txt")
    assert list_objects(place(s3_folder)) == {"notes.txt": 4}


def test_a_killed_command_is_continued(tmp_path: Path, s3_folder) -> None:
    """SIGKILL in the middle, then the same command: the same bytes as on a disk without."""
    rng = np.random.default_rng(0)
    for name, step in (("a", 0.1), ("b", 0.2), ("c", 0.25)):
        write_tif(tmp_path / f"{name}.tif", rng.gamma(2, 9, (round(180 / step), round(360 / step))))
    layers = "".join(
        f'[[layer]]\nname = "{n}"\nfile = "{n}.tif"\nkind = "amount"\n' for n in ("a", "b", "c")
    )
    (tmp_path / "cube.toml").write_text(layers)

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "edaphos.recipes.cli", "cube", "build", "--quiet"]
        command += [str(tmp_path / "cube.toml"), "--out", s3_folder, "--workers", "1"]
        return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)

    killed = start()
    done, until = place(s3_folder) / ".build" / "done", time.monotonic() + 120
    while not list_objects(done):
        assert killed.poll() is None, killed.stderr.read().decode()
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (place(s3_folder) / MANIFEST).exists()
    again = start()
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors.decode()
    build_cube(read_cube_spec(tmp_path / "cube.toml"), tmp_path / "whole")
    assert objects(place(s3_folder)) == objects(tmp_path / "whole")
    assert Cube.open(s3_folder).verify() == []
