"""How long a 0.1° world map's area of applicability takes, beside its forest's prediction.

The world recipe's forest, fitted to all its profiles (200 trees; mean and three quantiles at six
depths), predicts tiles of the world; the dissimilarity of the same cells is timed beside it, both
in seconds of one processor core. Peers find the nearest training place of some of these cells:
every distance in NumPy, and the trees of SciPy and scikit-learn, in which a class has a column for
each of its values. First, kNNDM folds of these profiles: how far the distances between their folds
are from those of the map's land, by Wasserstein, beside folds of other kinds. It needs the open
data beside the repository, and is left out, saying so, without them.
``--fraction 0.1`` takes a tenth of the tiles with soil, drawn by a fixed seed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.applicability import ApplicabilitySpec, Area
from edaphos.engine.assess.knndm import nearest_distances
from edaphos.engine.assess.prediction_places import draw_places
from edaphos.engine.assess.splits import KNNDM, location_codes, location_points, make_split
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.models.applicable import ApplicableModel
from edaphos.engine.models.columns import tile_column
from edaphos.engine.models.protocol import TileInputs
from edaphos.engine.progress import QUIET
from edaphos.engine.samples import Samples
from edaphos.engine.status import Status
from edaphos.kernels.forest_walk import packet_order
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.pipeline import draw, load, open_cube
from edaphos.recipes.templates import builtin_path

from .open_data import DATA, has_open_data
from .result import Result

TREES, LEVELS = 200, (0.05, 0.5, 0.95)
#: Cells whose nearest place peers find, for they are slow, in packet order.
FOR_PEERS = 2_000
#: Fixed, so that peers and fractions see the same.
SEED = 0

Columns = NDArray[np.float32]


def measure(*, small: bool, fraction: float = 1.0) -> Iterator[Result]:
    """Yield cells a second of the dissimilarity, over those of the forest and of each peer."""
    if not has_open_data("applicability"):
        return
    fraction = min(fraction, 0.1) if small else fraction
    with tempfile.TemporaryDirectory() as scratch:
        job = load_job(
            builtin_path("world"), Overrides(data=DATA, cube=Path(scratch) / "world.zarr")
        )
        cube = open_cube(job, None, QUIET)
        assert job.recipe.profiles is not None  # the built-in recipe has some
        samples, _ = draw(job, cube, load(job, job.recipe.profiles, cube))
        settings = {
            **job.model.settings,
            "trees": 20 if small else TREES,
            "quantiles": LEVELS,
            "threads": 2,
        }
        spec = replace(job.model, settings=settings, applicability=ApplicabilitySpec())
        yield from _folds(samples, draw_places(cube, job.grid, job.recipe.seed))
        model: ApplicableModel = spec.build().fit(samples)
        tiles = list(_tiles(cube, job.grid, model, fraction))
    seconds, columns, outside, area = _timed(model, tiles, job.grid)
    cells = columns.shape[1]
    details = {
        "cells": cells,
        "fraction_of_tiles": fraction,
        "seconds_dissimilarity": round(seconds["dissimilarity"], 2),
        "seconds_forest": round(seconds["forest"], 2),
        "trees": settings["trees"],
        "depths": len(model.emits.depths),
        "quantiles": len(LEVELS),
        "training_places": len(model.area.places),
        "features": len(model.area.features),
        "classes": len(model.area.space.classes),
        "land_inside_percent": round(100 * (1 - outside / area), 2),
    }
    rate = cells / seconds["dissimilarity"]
    yield Result(
        "applicability",
        round(rate),
        "cells/s",
        "the forest's prediction of the same cells",
        round(seconds["forest"] / seconds["dissimilarity"], 2),
        details,
    )
    chosen = np.ascontiguousarray(columns[:, cells // 2 :][:, :FOR_PEERS])
    found = model.area.dissimilarity(chosen)
    for peer, query in _peers(model.area).items():
        started = time.thread_time()
        theirs = query(chosen)
        theirs_rate = chosen.shape[1] / (time.thread_time() - started)
        gap = float(np.max(np.abs(theirs - found) / np.maximum(found, 1e-3)))
        yield Result(
            "applicability",
            round(rate),
            "cells/s",
            peer,
            round(rate / theirs_rate, 2),
            {**details, "peer_cells_s": round(theirs_rate), "largest_relative_difference": gap},
        )


def _folds(samples: Samples, places: NDArray[np.float64]) -> Iterator[Result]:
    """Yield how well folds match the map, in km, beside the others'."""
    started = time.thread_time()
    splits = [make_split(samples, KNNDM, places=places)]
    seconds = time.thread_time() - started
    splits += [make_split(samples, kind) for kind in ("block", "profile", "random", "source")]
    rows, codes = location_points(samples), location_codes(samples)
    table = nearest_distances(*rows, codes, splits, places)
    apart = table.groupby("what")["wasserstein_km"].first().round(1).to_dict()
    median = table[table["share"] == 0.5].set_index("what")["km"].round(1).to_dict()
    details = {
        "wasserstein_km": apart,
        "median_km": median,
        "locations": len(np.unique(codes)),
        "places": len(places),
        "seconds": round(seconds, 1),
    }
    for split in splits[1:]:
        yield Result(
            "knndm",
            apart[KNNDM],
            "km from the map's",
            f"folds by {split.kind}",
            round(apart[split.name] / apart[KNNDM], 2),
            details,
        )


def _tiles(cube: Cube, grid: Grid, model: ApplicableModel, fraction: float) -> Iterator[TileInputs]:
    """Yield what the model reads of tiles with soil, as the engine reads it."""
    rng = np.random.default_rng(SEED)
    for tile in grid.tiles():
        status = cube.status(tile.window)
        if not (status == Status.SOIL).any() or rng.random() >= fraction:
            continue
        values = cube.read(tile.window, model.reads.variables)
        wanted = status == Status.SOIL
        for name, array in values.items():
            if not cube.variable(name).seasonal_gap:
                wanted &= ~np.isnan(array).reshape(-1, *status.shape).any(axis=0)
        yield TileInputs(tile.window, values, wanted, (2010,))


def _timed(
    model: ApplicableModel, tiles: list[TileInputs], grid: Grid
) -> tuple[dict[str, float], Columns, float, float]:
    """Return seconds of both, the features of all cells, and the area outside and of all, m²."""
    runs: dict[str, Callable[[TileInputs], Any]] = {
        "dissimilarity": model.unlike,
        "forest": model.model.predict,
    }
    for run in runs.values():  # compile, and open what is opened once
        run(_corner(tiles[0]))
    seconds = dict.fromkeys(runs, 0.0)
    columns, outside, area = [], 0.0, 0.0
    for inputs in tiles:
        for name, run in runs.items():
            started = time.thread_time()
            found = run(inputs)
            seconds[name] += time.thread_time() - started
            if name == "dissimilarity":
                size = np.broadcast_to(grid.cell_areas(inputs.window), inputs.window.shape)
                outside += float(size[found[0, 0] > 1].sum())
                area += float(size[inputs.wanted].sum())
        cells = packet_order(inputs.wanted)
        columns.append(np.stack([tile_column(inputs, f, 0)[cells] for f in model.area.features]))
    return seconds, np.concatenate(columns, axis=1), outside, area


def _corner(inputs: TileInputs) -> TileInputs:
    """Return a tile of which few cells are wanted."""
    wanted = np.zeros_like(inputs.wanted)
    wanted.reshape(-1)[np.flatnonzero(inputs.wanted)[:100]] = True
    return replace(inputs, wanted=wanted)


def _peers(area: Area) -> dict[str, Callable[[Columns], NDArray[np.float64]]]:
    """Return how others find the index of cells, given their features."""
    from scipy.spatial import cKDTree
    from sklearn.neighbors import BallTree

    places = _numbers(area, np.ascontiguousarray(area.places.T))
    unit = area.mean_distance * area.threshold

    def every(columns: Columns) -> NDArray[np.float64]:
        parts = np.array_split(_numbers(area, columns), max(1, columns.shape[1] // 20))
        found = [((part[:, None] - places) ** 2).sum(-1).min(axis=1) for part in parts]
        return np.sqrt(np.concatenate(found)) / unit

    tree, ball = cKDTree(places), BallTree(places)  # built before they are timed
    return {
        "every distance, in NumPy": every,
        "scipy.spatial.cKDTree": lambda c: tree.query(_numbers(area, c))[0] / unit,
        "sklearn.neighbors.BallTree": lambda c: ball.query(_numbers(area, c))[0][:, 0] / unit,
    }


def _numbers(area: Area, columns: Columns) -> NDArray[np.float64]:
    """Return places as rows of numbers alone: a class as a column for each of its values."""
    amounts, codes, _ = area.space.place(columns)
    parts = [amounts.T.astype(np.float64)]
    legends = [len(legend) + 1 for legend in area.space.legends]  # the last for one not there
    numbers = [*legends, *(2 for _ in area.space.gaps)]
    for penalty, kind, number in zip(area.space.penalties, codes, numbers, strict=True):
        parts.append(np.eye(number)[kind] * np.sqrt(penalty / 2))
    return np.concatenate(parts, axis=1)
