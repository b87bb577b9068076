"""Windows whose cells lie apart: squares, maps and rows agree; other cells are refused without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edaphos.engine.branches.group_set import GroupSet
from edaphos.engine.branches.groups import Group
from edaphos.engine.branches.model_file import card_text, read_card
from edaphos.engine.branches.strided import map_strided
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.depth_rows import depth_rows
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.models.gsoilcpm_words import describe
from edaphos.engine.models.protocol import description_of
from edaphos.engine.tiles import read_inputs
from edaphos.kernels.branch_shape import Branch, BranchShape

from ..branch_world import make_model, make_samples, region_profiles
from ..conv_world import DEPTHS, world_grid

STRIDE = 3
#: float32 arithmetic in another order.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def start(cube, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    model = make_model(training={"epochs": 3})
    model.fit(make_samples(cube, folder / "set", model)).save(folder / "model")
    return folder / "model"


def test_cells_of_a_square_lie_apart(cube, start, tmp_path) -> None:
    """Beyond the grid, too, they hold what a map's tile does."""
    model = make_model(start=str(start), stride=STRIDE)
    table = region_profiles().assign(lon=lambda t: t["lon"] - t["lon"].min() + 0.1)
    samples = make_samples(cube, tmp_path / "set", model, table, stride=STRIDE)
    wide = cube.read(world_grid().whole, ("relief",), (2005,), 6, year_policy="nearest")["relief"]
    held = GroupSet.open(tmp_path / "set").of(5).values
    rows, cols, _ = world_grid().locate(samples.table["lon"], samples.table["lat"])
    assert cols.min() < 6
    for row, col, place in zip(rows, cols, samples.table["patch"], strict=True):
        square = np.squeeze(wide)[row : row + 13 : STRIDE, col : col + 13 : STRIDE]
        np.testing.assert_array_equal(held[np.array([place]), np.array([0])][0, 0], square)


def test_a_map_by_windows_apart_says_what_rows_say(cube, start, tmp_path) -> None:
    told = {"ways": ("head",), "epochs": 1}
    model = make_model(start=str(start), stride=STRIDE, fine_tuning=told)
    assert model.reads.halo == 2 * STRIDE
    samples = make_samples(cube, tmp_path / "set", model, region_profiles(), stride=STRIDE)
    model.fit(samples).save(tmp_path / "model")
    again = GsoilcpmModel.load(tmp_path / "model")
    grid = world_grid()
    context = SimpleNamespace(cube=cube, model=again, grid=grid, run=SimpleNamespace(years=(2005,)))
    y, x, _ = grid.locate(samples.table["lon"], samples.table["lat"])
    depth = depth_rows(samples.top, samples.bottom, DEPTHS)
    made = again.predict(read_inputs(context, grid.window(0, 0, 80, 80))[0])
    for name, values in again.predict_rows(samples).items():
        np.testing.assert_allclose(made[name][depth, 0, y, x], values, TOLERANCE, TOLERANCE)
    part = again.predict(read_inputs(context, grid.window(13, 20, 31, 17))[0])
    there = made["soc_mean"][..., 13:44, 20:37]
    np.testing.assert_allclose(part["soc_mean"], there, TOLERANCE, TOLERANCE)
    told = description_of(again)
    assert "relief (5 x 5 cells, 3 apart)" in told["method"]
    other = "another piece of ground: their cells lie 3 cells apart, 83,490 m, and in the world 27,"
    assert other in told["support"]
    finer = replace(again.fitted, cell=again.fitted.cell / STRIDE)
    same = describe(again.told, finer)["support"]
    assert "as much ground as in the world: their cells lie 3 cells apart" in same
    assert "Within 6 cells of the cube's edge" in same
    shown = card_text(read_card(tmp_path / "model"))
    assert "relief, window of 5 cell(s), 3 apart:" in shown
    assert "climate, window of 1 cell(s):" in shown
    world = describe(again.told, replace(again.fitted, ways=()))["support"]
    assert "Cells of windows lie 3 cells apart" in world
    assert "in the world" not in world.partition("Layers")[0]


def test_cells_of_another_size_are_refused_and_told_what_to_do(cube, start) -> None:
    whole = world_grid()
    fine = Grid.from_bounds("EPSG:4326", (11, 11, 16, 16), whole.resolution[0] / 4, 64, "fine")
    with pytest.raises(InputError, match=r"relief of 5 x 5.*model.stride = 4 keeps the ground"):
        make_model(start=str(start)).check_cube(cube, fine)
    for stride in (1, 4):
        make_model(start=str(start), stride=stride).check_cube(cube, fine)
    make_model(start=str(start), lacking=("relief", "cover")).check_cube(cube, fine)
    coarse = Grid.from_bounds("EPSG:4326", (0, 0, 20, 20), whole.resolution[0] * 4, 64, "coarse")
    with pytest.raises(InputError, match=r"a finer grid, of cells of [\d,]+ m or less"):
        make_model(start=str(start)).check_cube(cube, coarse)
    with pytest.raises(InputError, match="stride must be 1 or more, found 0"):
        make_model(stride=0)
    with pytest.raises(InputError, match="set it to 1 where there is a start"):
        make_model(start=str(start), training={"processes": 2})


def test_wide_windows_are_asked_few_at_a_time_and_each_cell_once() -> None:
    """The memory that a tile takes does not grow with the windows of its nets."""
    side, window, bands, stride = 40, 41, 5, 2
    shape = BranchShape((Branch("relief", bands, window),))
    asked: list[int] = []

    def of_squares(squares, layers):
        asked.append(squares[0].nbytes)
        return (
            squares[0][None, None, None, :, 0, 20, 20] + squares[0][None, None, None, :, 1, 0, 40]
        )

    nets = SimpleNamespace(
        nets=[SimpleNamespace(shape=shape)],
        channels=SimpleNamespace(groups=[Group("relief", ("z",), window)]),
        of_squares=of_squares,
    )
    halo = window // 2 * stride
    planes = np.random.default_rng(0).normal(size=(bands, *2 * [side + 2 * halo]))
    planes = planes.astype(np.float32)
    made = map_strided(nets, [planes], [np.zeros(0)], stride)[0, 0, 0]
    inner = slice(halo, halo + side)
    np.testing.assert_array_equal(made, planes[0, inner, inner] + planes[1, :side, 2 * halo :])
    assert len(asked) > 1
    assert max(asked) < 64 << 20
