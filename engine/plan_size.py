"""How large a run is, known without measuring: a worker's memory, bytes, files, room on disk."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from os import sched_getaffinity
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from .cube.cube import Cube
from .errors import InputError
from .grid import Grid
from .map_store import ENCODINGS
from .models.protocol import Emits, Model
from .plan_sampling import existing
from .products.cog_blocks import tiling
from .progress import QUIET, Reporter
from .status import Status

#: A worker with every library and compiled kernel loaded, after a map of next to nothing
#: (the first figure of ``python -m benchmarks memory``); the rest is planned.
WORKER_BASE_BYTES = 560 * 2**20
#: Allowance for allocator slack and decompression buffers, as a share of what a tile needs.
SLACK = 0.25
#: Tiles whose soil is counted before progress is told.
COUNTED_AT_ONCE = 64


@dataclass(frozen=True)
class Size:
    """Bytes and files of a run.

    Parameters
    ----------
    bytes_read
        Covariate bytes handed to the model, over all tiles.
    bytes_written
        Map bytes before compression.
    map_objects
        Objects of the map at most: a shard for each output and year of a tile with soil, the
        status of every tile, and the arrays' metadata.
    ledger_records, cogs
        Files of the ledger, and at most of the products (items and collection of STAC included)
        where they are wanted.
    """

    bytes_read: int
    bytes_written: int
    map_objects: int
    ledger_records: int
    cogs: int


def size_of(
    cube: Cube,
    grid: Grid,
    model: Model,
    years: Sequence[int],
    counts: NDArray[np.int64],
    *,
    cogs: bool = False,
) -> Size:
    """Return bytes and files of a map of the tiles with soil."""
    emits, read = model.emits, model.reads.years_for(tuple(years))
    stored = _stored_cells(grid, counts)
    per_cell = sum(_bytes_per_cell(cube, name, len(read)) for name in model.reads.variables)
    packed = sum(
        np.dtype(ENCODINGS[o.encoding].dtype).itemsize * emits.layers_of(o) for o in emits.outputs
    )
    soil = int((counts > 0).sum())
    layers = emits.layers * len(years)
    return Size(
        bytes_read=per_cell * stored,
        bytes_written=(packed * len(years) + 1) * stored,
        map_objects=soil * len(emits.outputs) * len(years) + counts.size + _metadata(emits),
        ledger_records=counts.size,
        cogs=_product_files(grid, layers + 1) + len(years) + 1 if cogs else 0,
    )


def _metadata(emits: Emits) -> int:
    """Objects of metadata and coordinates: the group, six coordinates of two objects each."""
    return 1 + 6 * 2 + len(emits.outputs) + 1


def _product_files(grid: Grid, layers: int) -> int:
    """Files of the layers at most: one each and the class names, or blocks, VRT and overviews."""
    parts = len(tiling(grid))
    return layers + 1 if parts == 1 else layers * (parts + 2)


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
    outputs = emits.layers * len(years) * size
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


def check_job_memory(peak: int, workers: int, memory: int) -> None:
    """Refuse jobs of Slurm whose workers together need more than a job has, all in bytes."""
    if peak * workers > memory:
        raise InputError(
            f"the {workers} worker(s) of a job may need {human_bytes(peak)} each, "
            f"{human_bytes(peak * workers)} in all, and cluster.slurm.memory is "
            f"{human_bytes(memory)}; ask for more, for fewer cores, or use a smaller tile size in "
            "[grid]"
        )


def check_disk(out: Path, written: float, temporary: float) -> None:
    """Refuse a map, with the products made of it, that is larger than the room where it goes.

    Parameters
    ----------
    out
        The output folder; it need not be there yet.
    written, temporary
        Bytes that stay there, and those of the drafts that exporting needs at its peak.
    """
    folder = existing(out)
    free = shutil.disk_usage(folder).free
    if written + temporary > free:
        drafts = f" and {human_bytes(temporary)} of drafts while exporting" if temporary else ""
        raise InputError(
            f"{out}: the map and its products take about {human_bytes(written)}{drafts}, and "
            f"{folder} has {human_bytes(free)} free; choose a folder with more room (--out), or "
            "map fewer depths, quantiles or years"
        )


def soil_counts(cube: Cube, grid: Grid, reporter: Reporter = QUIET) -> NDArray[np.int64]:
    """Return the soil cells of each tile, ``(tile rows, tile columns)``, counted on all cores."""
    counts = np.zeros(grid.tile_counts, np.int64)
    tiles = grid.tiles()
    with (
        reporter.task("Looking for land", counts.size) as progress,
        ThreadPoolExecutor(len(sched_getaffinity(0))) as threads,
    ):
        while some := list(islice(tiles, COUNTED_AT_ONCE)):
            masks = threads.map(lambda tile: cube.status(tile.window) == Status.SOIL, some)
            for tile, mask in zip(some, masks, strict=True):
                counts[tile.index] = int(mask.sum())
            progress.advance(len(some), note=f"{int((counts > 0).sum())} tiles with soil")
    return counts


def _bytes_per_cell(cube: Cube, name: str, years: int) -> int:
    return 4 * {"static": 1, "monthly": 12, "yearly": years}[cube.variable(name).time]


def _stored_cells(grid: Grid, counts: NDArray[np.int64]) -> int:
    windows = (grid.tile(int(row), int(col)).window for row, col in np.argwhere(counts > 0))
    return sum(window.height * window.width for window in windows)


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
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.1f} d"
