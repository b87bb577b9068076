"""A tile's status: what a model says of its cells, merged with what the engine sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.map_store import create_map
from edaphos.engine.map_view import open_map
from edaphos.engine.models.protocol import Emits, Output, Reads, TileInputs, register
from edaphos.engine.produce import produce
from edaphos.engine.run import GridSpec, Run
from edaphos.engine.status import FLAGGED, MAPPED, Status
from edaphos.engine.tiles import judge_outputs

from .worlds import make_cube, world_grid


@register
class Choosy:
    """Maps a constant and leaves cells out by the value of the relief there."""

    kind: ClassVar[str] = "choosy-test-model"
    reads = Reads(("relief",))
    emits = Emits((Output("stock_mean", "kg m-2", "mean", "stock"),), ((0, 30),))

    def fit(self, samples: Any) -> Choosy:
        return self

    def predict(self, inputs: TileInputs) -> dict[str, np.ndarray]:
        relief = inputs.values["relief"]
        said = np.zeros(relief.shape, np.uint8)
        said[relief > 1.5] = Status.FROZEN
        said[relief < -1.5] = Status.PADDY
        return {"stock_mean": np.full(inputs.out_shape(1), 8.0, np.float32), "status": said}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text("{}")

    @classmethod
    def load(cls, folder: Path) -> Choosy:
        return cls()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as opened,
    ):
        yield opened


def test_codes_of_a_model_blank_flag_and_are_counted_after_a_resume(tmp_path, client) -> None:
    cube = make_cube(tmp_path / "cube.zarr")
    grid = world_grid(256, 0.25)
    identity = {
        "grid": GridSpec.of(grid).__dict__,
        "years": [1990, 2020],
        "model": {"kind": Choosy.kind},
        "cube": {"digest": Cube.open(cube).manifest.digest},
    }
    run = Run.start(tmp_path / "run", identity, {"cube": str(cube)})
    Choosy().save(run.model_folder)
    create_map(run.path, grid, Choosy.emits, run.years, {})
    produce(run, client)

    ds = open_map(run.path)
    status, relief = ds["status"].values, Cube.open(cube).read(grid.whole, ["relief"])["relief"]
    soil = Cube.open(cube).status(grid.whole) == Status.SOIL
    frozen, paddy = soil & (relief > 1.5), soil & (relief < -1.5)
    assert frozen.sum() > 1000
    assert paddy.sum() > 1000
    np.testing.assert_array_equal(status == Status.FROZEN, frozen)
    np.testing.assert_array_equal(status == Status.PADDY, paddy)
    values = ds["stock_mean"].values
    assert values.shape[1] == 2
    assert np.isnan(values[..., frozen]).all()
    assert (values[..., paddy] == 8.0).all()
    assert (status[np.isnan(relief) & soil] == Status.INVALID_INPUT).all()

    codes, cells = np.unique(status, return_counts=True)
    expected = {Status(c).meaning: int(n) for c, n in zip(codes, cells, strict=True)}
    assert run.manifest()["provenance"]["cells_by_status"] == expected
    (run.path / "map.zarr" / "stock_mean" / "c" / "0" / "0" / "0" / "0").unlink()
    assert produce(run, client).tiles == 1
    assert run.manifest()["provenance"]["cells_by_status"] == expected
    assert json.loads((run.path / "manifest.json").read_text())["hash"] == run.hash


def _inputs() -> tuple[TileInputs, np.ndarray]:
    window = world_grid(16).tile(0, 0).window
    wanted = np.ones(window.shape, bool)
    wanted[0] = False
    return TileInputs(window, {}, wanted, (2020,)), np.where(wanted, 1, 0).astype(np.uint8)


def test_a_flag_needs_a_value_and_an_unwanted_cell_is_left_alone() -> None:
    inputs, status = _inputs()
    stock = np.full(inputs.out_shape(1), 3.0, np.float32)
    stock[..., 2, 2] = np.nan
    said = np.full(inputs.window.shape, Status.PADDY, np.uint8)
    said[3, 3] = Status.INVALID_CLAY
    judged = judge_outputs(status, inputs, {"stock_mean": stock, "status": said}, Choosy())
    assert (judged[0] == Status.SEA).all()
    assert judged[2, 2] == Status.INVALID_INPUT
    assert judged[3, 3] == Status.INVALID_CLAY
    assert np.isnan(stock[..., 3, 3]).all()
    assert judged[4, 4] == Status.PADDY
    assert np.isfinite(stock[..., 4, 4]).all()


def test_what_is_no_code_is_refused() -> None:
    inputs, status = _inputs()
    stock = np.full(inputs.out_shape(1), 3.0, np.float32)
    said = np.full(inputs.window.shape, 77, np.uint8)
    with pytest.raises(InputError, match=r"status codes \[77\]"):
        judge_outputs(status, inputs, {"stock_mean": stock, "status": said}, Choosy())
    with pytest.raises(InputError, match="expected uint8 of shape"):
        judge_outputs(status, inputs, {"stock_mean": stock, "status": said[:3]}, Choosy())


def test_flagged_cells_carry_values_and_every_code_has_words_and_a_colour() -> None:
    from edaphos.engine.products.cog import STATUS_COLOURS

    assert FLAGGED <= MAPPED
    assert set(STATUS_COLOURS) == set(Status)
    assert len({s.words for s in Status}) == len(Status) == len({*STATUS_COLOURS.values()})
