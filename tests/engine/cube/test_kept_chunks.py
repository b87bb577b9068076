"""A reader that keeps chunks returns what one that does not returns, whatever room it has."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.kept_chunks import KeptChunks
from edaphos.engine.cube.stack_reader import Planes, StackReader
from edaphos.engine.grid import Grid

from ..cubes import Layer, write_cube

GLOBE = Grid.from_bounds("EPSG:4326", (-180.0, -90.0, 180.0, 90.0), 2.0, 32)
STACKS = {"s0": (None,), "s1": (tuple(range(12)),), "s2": ((0,), (2, 0), (1,), (0, 1, 2))}


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Cube:
    rng = np.random.default_rng(2)
    layers = [
        Layer(
            {f"{time}{k}": rng.normal(size=(*lead, 36, 72)).astype(np.float32) for k in range(3)},
            (-180, 90),
            (5, 5),
            time=time,
            years=(1990, 2000, 2010) if time == "yearly" else (),
        )
        for time, lead in (("static", ()), ("monthly", (12,)), ("yearly", (3,)))
    ]
    return Cube.open(write_cube(tmp_path_factory.mktemp("kept") / "c", layers, chunk=16))


@pytest.mark.parametrize("room", [0, 5000, 2**30])
@pytest.mark.parametrize("name", STACKS)
def test_what_is_kept_changes_no_value(cube: Cube, name: str, room: int) -> None:
    stack = cube.manifest.stacks[name]
    plain, keeping = StackReader(cube.path, stack), KeptChunks(cube.path, stack, room)
    rng = np.random.default_rng(3)
    for _ in range(20):
        bands = (0, 2) if rng.random() < 0.8 else (1,)
        times = STACKS[name][rng.integers(len(STACKS[name]))] or ()
        row, col = int(rng.integers(-3, 70)), int(rng.integers(-20, 170))
        window = GLOBE.window(row, col, int(rng.integers(1, 40)), int(rng.integers(1, 60)))
        planes = Planes(bands, times)
        wanted = plain.window(window, planes)
        np.testing.assert_array_equal(keeping.window(window, planes), wanted)


def test_no_more_is_kept_than_there_is_room_for(cube: Cube) -> None:
    reader = KeptChunks(cube.path, cube.manifest.stacks["s0"], 5000)
    reader.window(GLOBE.whole, Planes((0, 1, 2)))
    kept = sum(values.nbytes for values in reader._kept.values())
    assert 0 < kept <= 5000
    assert kept == reader._held
