"""The land index: how many cells of each tile can carry soil, so that the sea is never scheduled.

It is computed once for a run, a batch of tiles a task. A tile without soil is finished there and
then: its status layer is written, so that sea, ice and water can be told from "not yet computed".
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .grid import Tile
from .ledger import Ledger, Record
from .map_store import MAP, write_tile
from .place import Place
from .status import Status
from .store import RecordingStore, write_atomically, zarr_store
from .tiles import RunContext, count_status, run_context

LAND_INDEX = "land_index.npy"
#: Tiles looked at by one task: enough to make scheduling cheap, few enough to spread.
BATCH = 16


def index_tiles(
    run: str, run_hash: str, tiles: list[tuple[int, int]]
) -> list[tuple[int, int, int]]:
    """Return row, column and soil cells of tiles; finish those without soil."""
    context = run_context(run, run_hash)
    return [(row, col, _index(context, context.grid.tile(row, col))) for row, col in tiles]


def _index(context: RunContext, tile: Tile) -> int:
    status = context.cube.status(tile.window)
    cells = int((status == Status.SOIL).sum())
    if cells == 0:
        store = RecordingStore(zarr_store(context.run.path / MAP))
        write_tile(store, tile.window, (), {}, status)
        objects = tuple(store.written())
        Ledger(context.run.path).write(
            Record(tile.name, "empty", objects=objects, status=count_status(status))
        )
    return cells


def batches(tiles: Iterable[Tile]) -> list[list[tuple[int, int]]]:
    """Cut tiles into the batches that one task looks at."""
    indices = [tile.index for tile in tiles]
    return [indices[i : i + BATCH] for i in range(0, len(indices), BATCH)]


def save_index(run: Place, counts: NDArray[np.int64]) -> None:
    """Store the cells of each tile, ``(tile rows, tile columns)``."""
    buffer = io.BytesIO()
    np.save(buffer, counts, allow_pickle=False)
    write_atomically(run / LAND_INDEX, buffer.getvalue())


def load_index(run: Place) -> NDArray[np.int64] | None:
    """Return the stored index, or None where there is none yet."""
    path = run / LAND_INDEX
    if not path.is_file():
        return None
    counts: NDArray[np.int64] = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    return counts
