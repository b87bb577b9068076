"""The plan: counts are exact, and what does not fit is refused with the numbers."""

from __future__ import annotations

import numpy as np
import psutil
import pytest

from edaphos.engine.cluster import ClusterSpec
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.plan import check_memory, peak_memory, plan
from edaphos.engine.sampling import draw_samples
from edaphos.engine.status import Status

from .worlds import DEPTHS, make_cube, make_table, world_grid


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Cube:
    return Cube.open(make_cube(tmp_path_factory.mktemp("plan") / "world.zarr"))


@pytest.fixture(scope="module")
def model(cube: Cube) -> ForestModel:
    samples, _ = draw_samples(make_table(), cube, world_grid(128), ("temperature", "relief"))
    return ForestModel(("temperature", "relief"), trees=5, depths=DEPTHS).fit(samples)


def test_a_plan_counts_what_will_be_made(cube: Cube, model: ForestModel) -> None:
    grid = world_grid(64)
    found = plan(cube, grid, model, (2020,), ClusterSpec(workers=2))
    status = cube.status(grid.whole)
    assert found.cells == int((status == Status.SOIL).sum())
    assert found.tiles == 100
    blocks = [status[r : r + 64, c : c + 64] for r in range(0, 600, 64) for c in range(0, 600, 64)]
    assert found.tiles_with_soil == sum((b == Status.SOIL).any() for b in blocks)
    stored = sum(b.size for b in blocks if (b == Status.SOIL).any())
    assert found.bytes_read == stored * 4 * 13
    assert found.bytes_written == stored * (2 * 4 * 2 + 1)
    assert found.seconds is not None
    assert found.seconds > 0
    assert f"{found.cells:,} to map" in found.to_text()


def test_memory_grows_with_the_tile_not_the_map(cube: Cube, model: ForestModel) -> None:
    def peak(resolution: float, tile: int, tiles_at_once: int = 2) -> int:
        return peak_memory(cube, world_grid(tile, resolution), model, (2020,), tiles_at_once)

    assert peak(0.1, 256) == pytest.approx(peak(0.025, 256), rel=0.05)
    assert peak(0.1, 512) > peak(0.1, 256)
    assert peak(0.1, 256, 3) > peak(0.1, 256, 1)


def test_years_of_the_map_count_in_what_is_written(cube: Cube, model: ForestModel) -> None:
    grid, years = world_grid(64), (1990, 2000, 2010)
    one = plan(cube, grid, model, (2000,), ClusterSpec(workers=1))
    three = plan(cube, grid, model, years, ClusterSpec(workers=1))
    assert three.bytes_read == one.bytes_read  # no covariate is yearly
    stored = one.bytes_read // (4 * 13)
    outputs = len(model.emits.outputs) * len(DEPTHS)
    assert three.bytes_written - one.bytes_written == stored * 2 * outputs * 2
    # by the year, float32 outputs, and one packed variable, for each of two tiles at once
    more = 2 * 64**2 * 4 * 2 * (outputs + len(DEPTHS))
    peaks = [peak_memory(cube, grid, model, y, 2) for y in ((2000,), years)]
    assert peaks[1] - peaks[0] == pytest.approx(1.25 * more, abs=2)


def test_what_does_not_fit_is_refused_with_the_numbers() -> None:
    total = psutil.virtual_memory().total
    check_memory(total // 10, 4)
    with pytest.raises(InputError, match=r"use --workers 2"):
        check_memory(int(total * 0.4), 4)
    with pytest.raises(InputError, match="smaller tile size"):
        check_memory(2 * total, 1)


def test_inputs_lacking_a_covariate_do_not_count_as_soil_to_the_model(cube: Cube) -> None:
    """A row at a hole of the relief is left out, as the map leaves out its cell."""
    table = make_table(rows=30)
    table["lon"], table["lat"] = 7.0, 34.5
    table.loc[0:14, "lon"] = 20.0
    samples, counts = draw_samples(table, cube, world_grid(128), ("temperature", "relief"))
    assert (counts.rows, counts.kept, counts.lacking) == (30, 15, 15)
    assert np.isfinite(samples.matrix()).all()
    assert samples.features[-1] == "relief"
