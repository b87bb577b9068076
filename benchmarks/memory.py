"""Peak memory of a worker: the same for a map 16 times larger, below the plan, and without drift.

The drift is told by a run of thousands of tiles: the worker's resident memory at the end of each
tile, against tiles done, and the slope of a line through the second half of them. ``--write`` draws
it in ``figures/memory.png``.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import TileInputs
from edaphos.engine.plan_size import peak_memory
from edaphos.engine.produce import produce

from .result import Result
from .scaling import fresh_run
from .worlds import make_cube, make_model, make_run, world_grid

FIGURE = Path(__file__).parent / "figures" / "memory.png"
#: Where a worker notes its memory, beside the model that it opens.
NOTES = "memory.txt"
#: Neighbouring samples are alike; means over so many are taken for independent.
BLOCK = 50


class Noted(ForestModel):
    """A forest that notes the resident memory of its process at the end of each tile."""

    notes: Path | None = None

    def predict(self, inputs: TileInputs) -> dict[str, NDArray[np.float32]]:
        """Predict, and append resident memory in bytes to the notes."""
        values = super().predict(inputs)
        if self.notes is not None:
            with self.notes.open("a") as file:
                file.write(f"{psutil.Process().memory_info().rss}\n")
        return values

    @classmethod
    def load(cls, folder: Path) -> Noted:
        """Open a saved forest; its notes lie beside it."""
        model = super().load(folder)
        model.notes = folder / NOTES
        return model


@dataclass(frozen=True)
class Slope:
    """A slope, KiB a tile, with its 95 % interval."""

    value: float
    low: float
    high: float


def measure(*, small: bool, write: bool = False) -> Iterator[Result]:
    """Yield the peak for the larger map over that for the smaller one, then the drift."""
    yield _peaks(small)
    yield _drift(small, write)


def _peaks(small: bool) -> Result:
    side, tile = (512, 256) if small else (1024, 512)
    spec = ClusterSpec(workers=1, tiles_at_once=2)
    peaks: dict[int, int] = {}
    planned: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for cells in (side, 4 * side):
            cube = make_cube(folder / f"cube{cells}.zarr", cells)
            grid = world_grid(cells, tile)
            model: Any = make_model(cube, grid, 5, 2000)
            planned[cells] = peak_memory(cube, grid, model, (2020,), spec.tiles_at_once)
            run = make_run(folder / f"run{cells}", grid, cube, model)
            with connect(spec) as client:
                peaks[cells] = produce(run, client).peak_memory
    large = 4 * side
    return Result(
        name="memory",
        value=round(peaks[large] / 2**20, 1),
        unit="MiB peak of a worker",
        peer="the same worker on a map of 1/16 the cells",
        ratio=round(peaks[large] / peaks[side], 4),
        details={
            "cells": [side**2, large**2],
            "tile_size": tile,
            "peak_mib": [round(peaks[c] / 2**20, 1) for c in (side, large)],
            "planned_mib": [round(planned[c] / 2**20, 1) for c in (side, large)],
            "peak_over_plan": round(peaks[large] / planned[large], 3),
        },
    )


# -- over thousands of tiles -----------------------------------------------------------------------


def _drift(small: bool, write: bool) -> Result:
    """Return the slope of memory over the second half of a run of many tiles."""
    side, tile = (20, 64) if small else (64, 64)
    samples = _samples(side, tile)
    half = samples[len(samples) // 2 :]
    found = slope(half / 1024)
    if write:
        _draw(samples, found, tile)
    growth = found.value * len(half) * 1024 / float(half.mean())
    return Result(
        name="memory drift",
        value=round(found.value, 4),
        unit="KiB a tile",
        peer="the mean of the second half; the share that it grows by over that half",
        ratio=round(growth, 5),
        details={
            "interval_95": [round(found.low, 4), round(found.high, 4)],
            "tiles": len(samples),
            "tile_size": tile,
            "mib_after_first_tenth": round(float(samples[len(samples) // 10]) / 2**20, 1),
            "mib_mean_of_second_half": round(float(half.mean()) / 2**20, 1),
            "mib_at_the_end": round(float(samples[-1]) / 2**20, 1),
        },
    )


def _samples(side: int, tile: int) -> NDArray[np.float64]:
    """Return resident bytes of the one worker after each of side x side tiles."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cells = side * tile
        cube, grid = make_cube(folder / "cube.zarr", cells), world_grid(cells, tile)
        model = make_model(cube, grid, 5, 2000)
        run = fresh_run(folder / "run", grid, cube, model, "benchmarks.memory:Noted")
        with connect(ClusterSpec(workers=1, tiles_at_once=2)) as client:
            produce(run, client)
        return np.loadtxt(run.path / "model" / NOTES)


def slope(values: NDArray[np.float64]) -> Slope:
    """Return the least-squares slope of equally spaced values, with its 95 % interval.

    Values near each other are alike, so the line goes through the means of blocks of them.

    Parameters
    ----------
    values
        At least three blocks of them.
    """
    size = max(1, min(BLOCK, len(values) // 8))
    blocks = values[: len(values) // size * size].reshape(-1, size).mean(axis=1)
    x = np.arange(len(blocks)) * float(size)
    x -= x.mean()
    spread = float((x**2).sum())
    found = float((x * blocks).sum()) / spread
    rest = blocks - blocks.mean() - found * x
    error = math.sqrt(float((rest**2).sum()) / (len(blocks) - 2) / spread)
    from scipy.stats import t

    margin = float(t.ppf(0.975, len(blocks) - 2)) * error
    return Slope(found, found - margin, found + margin)


def _draw(samples: NDArray[np.float64], found: Slope, tile: int) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot(np.arange(1, len(samples) + 1), samples / 2**20, lw=0.8, color="tab:brown")
    half = len(samples) // 2
    x = np.array([half, len(samples)])
    middle = samples[half:].mean() / 2**20
    axes.plot(x, middle + found.value / 1024 * (x - x.mean()), "k--", lw=1)
    axes.set_ylim(0, 1.15 * samples.max() / 2**20)
    axes.set_xlabel(f"tiles done ({tile} x {tile} cells)")
    axes.set_ylabel("resident memory of the worker, MiB")
    axes.set_title(
        f"second half: {found.value:.3f} KiB a tile, "
        f"95 % interval {found.low:.3f} to {found.high:.3f}",
        fontsize=10,
    )
    figure.savefig(FIGURE, dpi=120, metadata={"Software": None})
    plt.close(figure)
