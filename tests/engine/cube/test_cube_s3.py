"""A cube in a bucket reads as on a disk, and is refused where it was altered."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine import retry
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError, StoreError
from edaphos.engine.grid import Grid
from edaphos.engine.place import S3Path, place
from edaphos.engine.store import list_objects

from ..cubes import Layer, write_cube

GRID = Grid.from_bounds("EPSG:4326", (0.25, 30.5, 19.75, 49.5), 0.5)
UTM = Grid.from_bounds("EPSG:32631", (100_000, 3_600_000, 900_000, 5_300_000), 50_000)


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Cube:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 20)).astype("f4")
    classes = rng.integers(0, 4, (12, 20, 20)).astype("i2")
    yearly = rng.normal(size=(2, 20, 20)).astype("f4")
    layers = [
        Layer({"v": values}, (0, 50), (1, 1)),
        Layer({"k": classes}, (0, 50), (1, 1), kind="class", time="monthly"),
        Layer({"y": yearly}, (0, 50), (1, 1), time="yearly", years=(1990, 2000)),
    ]
    return Cube.open(write_cube(tmp_path_factory.mktemp("c") / "c.zarr", layers, shards=16))


def copied(cube: Cube, folder: str) -> S3Path:
    """Copy a cube into a bucket, file by file."""
    there = place(folder)
    assert isinstance(there, S3Path)
    assert isinstance(cube.path, Path)
    for key in list_objects(cube.path):
        (there / key).write_bytes((cube.path / key).read_bytes())
    return there


@pytest.mark.parametrize("server", ["s3_folder", "moto_folder"])
@pytest.mark.parametrize("grid", [GRID, UTM], ids=["degrees", "utm"])
def test_values_are_those_of_the_copy_on_disk(local, request, server, grid) -> None:
    there = Cube.open(str(copied(local, request.getfixturevalue(server))))
    names, years = ["v", "k", "y"], (2000, 1990)
    for cube in (there, copy.copy(there)):  # by the same road as to another process
        found, expected = (c.read(grid.whole, names, years, halo=2) for c in (cube, local))
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name])
    assert there.nbytes_for(grid.whole, names, years) == local.nbytes_for(grid.whole, names, years)
    lon, lat = np.array([3.3, 12.0]), np.array([41.0, 44.4])
    for ask in (lambda c: c.at(lon, lat, grid, names, years),
                lambda c: c.patches(lon, lat, grid, names, 3, years)):  # fmt: skip
        for name in names:
            np.testing.assert_array_equal(ask(there)[name], ask(local)[name])


def test_an_object_that_is_cut_or_gone_is_noticed(local, s3_folder) -> None:
    there = copied(local, s3_folder)
    cube = Cube.open(there)
    assert cube.verify() == []
    keys = [o.key for o in cube.manifest.objects if "/c/" in o.key]
    data = bytearray((there / keys[0]).read_bytes())
    data[-1] ^= 1
    (there / keys[0]).write_bytes(bytes(data))
    Cube.open(there)  # same size: only verify reads the bytes
    (there / keys[1]).write_bytes(b"cut")
    (there / keys[2]).unlink()
    (there / "stacks/s0/values/c/9/9").write_bytes(b"y")
    problems = cube.verify()
    assert len(problems) == 4
    for word, key in zip(("CRC-32C", "bytes", "missing"), keys, strict=False):
        assert any(key in p and word in p for p in problems)
    with pytest.raises(InputError, match=r"cube changed since it was built.*missing"):
        Cube.open(there)
    (there / "cube.json").unlink()
    with pytest.raises(InputError, match="building was interrupted"):
        Cube.open(there)
    with pytest.raises(InputError, match=r"s3://maps/.*/none: no such cube"):
        Cube.open(f"{s3_folder}/none")


def test_a_server_that_goes_away_is_not_taken_for_missing_values(
    local, s3_folder, s3_servers, monkeypatch
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.001,))
    cube = Cube.open(copied(local, s3_folder))
    nobody = f"http://127.0.0.1:{s3_servers.free_port()}"
    with (
        s3_servers.environment(nobody),
        pytest.raises(StoreError, match=f"{s3_folder}.*check AWS_ENDPOINT_URL"),
    ):
        cube.read(GRID.whole, ["v"])
