"""What a run will take, before anything runs: tiles, bytes, memory, time."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from .cluster import ClusterSpec
from .cube.cube import Cube
from .errors import InputError
from .grid import Grid, Tile
from .map_store import ENCODINGS
from .models.protocol import Model, TileInputs
from .status import Status

#: A worker with every library and compiled kernel loaded, after a map of next to nothing
#: (the first figure of ``python -m benchmarks memory``); the rest is planned.
WORKER_BASE_BYTES = 560 * 2**20
#: Allowance for allocator slack and decompression buffers, as a share of what a tile needs.
SLACK = 0.25


@dataclass(frozen=True)
class Plan:
    """The cost of a run.

    Parameters
    ----------
    tiles, tiles_with_soil, cells
        Tiles of the grid, those to be mapped, and cells to be mapped.
    bytes_read
        Covariate bytes handed to the model, over all tiles.
    bytes_written
        Map bytes before compression.
    peak_memory
        Of one worker, bytes.
    seconds
        Wall time of mapping, from a measured sample tile (None where there is no soil).
    workers, tiles_at_once
        What this holds for.
    sampled_cells_per_second
        What the sample tile gave on one worker (None where there is no soil).
    """

    tiles: int
    tiles_with_soil: int
    cells: int
    bytes_read: int
    bytes_written: int
    peak_memory: int
    workers: int
    tiles_at_once: int
    seconds: float | None = None
    sampled_cells_per_second: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain numbers."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the plan as a person reads it."""
        lines = [
            f"tiles          {self.tiles_with_soil:,} of {self.tiles:,} hold soil",
            f"cells          {self.cells:,} to map",
            f"reads          {human_bytes(self.bytes_read)} of covariates",
            f"writes         {human_bytes(self.bytes_written)} before compression",
            f"memory         up to {human_bytes(self.peak_memory)} a worker; {self.workers} "
            f"worker(s), {self.tiles_at_once} tile(s) at once in each",
        ]
        if self.seconds is not None:
            lines.append(
                f"time           about {human_seconds(self.seconds)} for mapping "
                f"({self.sampled_cells_per_second:,.0f} cells/s a worker on a sample tile)"
            )
        return "\n".join(lines)


def plan(
    cube: Cube,
    grid: Grid,
    model: Model,
    years: tuple[int, ...],
    cluster: ClusterSpec,
    training_rows: int = 0,
) -> Plan:
    """Work out what mapping will take; the fitted model is timed on the fullest tile.

    Parameters
    ----------
    cube, grid, model, years, cluster
        What is mapped, and where; the model is fitted.
    training_rows
        Rows that workers fit models to in cross-validation, 0 where there is none.

    Raises
    ------
    InputError
        What a worker needs does not fit this machine's memory (local clusters), with the numbers.
    """
    counts = soil_counts(cube, grid)
    emits, read = model.emits, model.reads.years_for(years)
    peak = peak_memory(cube, grid, model, years, cluster.tiles_at_once, training_rows)
    if cluster.kind == "local":
        check_memory(peak, cluster.processes)
    cells, stored = int(counts.sum()), _stored_cells(grid, counts)
    per_cell = sum(_bytes_per_cell(cube, name, len(read)) for name in model.reads.variables)
    packed = sum(np.dtype(ENCODINGS[o.encoding].dtype).itemsize for o in emits.outputs)
    rate = _sample_rate(cube, model, _fullest(grid, counts), years) if cells else None
    return Plan(
        tiles=counts.size,
        tiles_with_soil=int((counts > 0).sum()),
        cells=cells,
        bytes_read=per_cell * stored,
        bytes_written=(packed * len(emits.depths) * len(years) + 1) * stored,
        peak_memory=peak,
        workers=cluster.processes,
        tiles_at_once=cluster.tiles_at_once,
        seconds=cells / rate / cluster.processes if rate else None,
        sampled_cells_per_second=rate,
    )


def peak_memory(
    cube: Cube,
    grid: Grid,
    model: Model,
    years: tuple[int, ...],
    tiles_at_once: int,
    training_rows: int = 0,
) -> int:
    """Return the most memory a worker may need, bytes.

    The libraries, and the larger of cross-validation (as many fits at once as tiles) and mapping:
    the model, and for each tile at once source windows and inputs while reading, the outputs in
    float32 and as packed shards while writing. Years that are mapped count in the outputs, years
    that are read in the inputs.
    """
    window = grid.window(
        0, 0, min(grid.tile_size, grid.shape[0]), min(grid.tile_size, grid.shape[1])
    )
    reads, emits = model.reads, model.emits
    size = grid.tile_size**2
    read = model.reads.years_for(years)
    reading = cube.nbytes_for(window, reads.variables, read, reads.halo) + 24 * size
    outputs = len(emits.outputs) * len(emits.depths) * len(years) * size
    own = getattr(model, "memory_bytes", None)
    predicting = own(size, len(years)) if own else 4 * outputs + 16 * size
    # one variable at a time is packed, each of its years cut into chunks, assembled into a shard
    writing = 4 * (len(years) + 2) * len(emits.depths) * size
    resident = getattr(model, "resident_bytes", lambda: 0)()
    mapping = resident + tiles_at_once * (reading + predicting + writing)
    fit = getattr(model, "fit_bytes", None)
    validating = tiles_at_once * fit(training_rows) if fit and training_rows else 0
    return int(WORKER_BASE_BYTES + max(mapping, validating) * (1 + SLACK))


def check_memory(peak: int, workers: int) -> None:
    """Refuse a run whose workers together need more than this machine has."""
    total = psutil.virtual_memory().total
    if peak * workers > 0.9 * total:
        fits = max(1, math.floor(0.9 * total / peak))
        advice = (
            f"use --workers {fits}" if peak <= 0.9 * total else "use a smaller tile size in [grid]"
        )
        raise InputError(
            f"{workers} worker(s) of up to {human_bytes(peak)} each need "
            f"{human_bytes(peak * workers)}, this machine has {human_bytes(total)}; {advice}"
        )


def soil_counts(cube: Cube, grid: Grid) -> NDArray[np.int64]:
    """Return the soil cells of each tile, ``(tile rows, tile columns)``."""
    counts = np.zeros(grid.tile_counts, np.int64)
    for tile in grid.tiles():
        counts[tile.index] = int((cube.status(tile.window) == Status.SOIL).sum())
    return counts


def _fullest(grid: Grid, counts: NDArray[np.int64]) -> Tile:
    row, col = divmod(int(np.argmax(counts)), counts.shape[1])
    return grid.tile(row, col)


def _sample_rate(cube: Cube, model: Model, tile: Tile, years: tuple[int, ...]) -> float:
    """Cells a second of reading and predicting one tile here, on one thread."""
    halo = model.reads.halo
    started = time.perf_counter()
    read = model.reads.years_for(years)
    values = cube.read(tile.window, model.reads.variables, read, halo, year_policy="nearest")
    wanted = cube.status(tile.window) == Status.SOIL
    model.predict(TileInputs(tile.window, values, wanted, years, halo))
    return float(wanted.sum()) / (time.perf_counter() - started)


def _bytes_per_cell(cube: Cube, name: str, years: int) -> int:
    return 4 * {"static": 1, "monthly": 12, "yearly": years}[cube.variable(name).time]


def _stored_cells(grid: Grid, counts: NDArray[np.int64]) -> int:
    return sum(
        grid.tile(int(row), int(col)).window.height * grid.tile(int(row), int(col)).window.width
        for row, col in np.argwhere(counts > 0)
    )


def human_bytes(count: float) -> str:
    """Return bytes with a binary unit.

    >>> human_bytes(3 * 2**20)
    '3.0 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def human_seconds(seconds: float) -> str:
    """Return a duration with a sensible unit.

    >>> human_seconds(5400)
    '1.5 h'
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
