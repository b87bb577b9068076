"""Samples of the benchmark of one model of the world: the recipe's, with squares of each group.

And places without samples, for branches to learn covariates from.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.assess.splits import location_codes
from edaphos.engine.branches.group_set import draw_set
from edaphos.engine.branches.groups import Group, windows_of
from edaphos.engine.branches.regions_out import distance_km
from edaphos.engine.branches.unlabelled import draw_unlabelled, unlabelled_folder
from edaphos.engine.progress import Reporter
from edaphos.engine.samples import Samples
from edaphos.recipes.job import Overrides, load_job, year_policy
from edaphos.recipes.pipeline import draw, load, open_cube
from edaphos.recipes.templates import builtin_path

from .kept_samples import depths_of, is_kept, keep_samples, kept_samples
from .open_data import DATA

Told = Mapping[str, Any]
Mask = NDArray[np.bool_]

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "gsoilcpm"


def groups_of(plan: Told) -> tuple[Group, ...]:
    """Return the groups of covariates of a plan."""
    return tuple(
        Group(name, tuple(told["covariates"]), told["window"])
        for name, told in plan["world"]["groups"].items()
    )


def prepare(plan: Told, reporter: Reporter) -> None:
    """Draw the samples and cut their squares, unless that was done."""
    if is_kept(KEPT):
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    job = load_job(builtin_path("gsoilcpm"), Overrides(data=DATA, cube=_cube()))
    cube = open_cube(job, None, reporter)
    table = job.recipe.profiles
    assert table is not None  # the built-in recipe has one
    samples, _ = draw(job, cube, load(job, table, cube, reporter))
    samples = samples.take(samples.bottom <= plan["deepest_cm"])
    samples = draw_set(
        samples,
        cube,
        job.grid,
        windows_of(groups_of(plan)),
        KEPT / "set",
        years=year_policy(table),
        reporter=reporter,
    )
    draw_unlabelled(
        cube,
        job.grid,
        windows_of(groups_of(plan)),
        unlabelled_folder(KEPT / "set"),
        plan["world"]["unlabelled"]["places"],
        years=job.recipe.years,
        policy=year_policy(table),
        reporter=reporter,
    )
    depths = [pair for pair in job.recipe.map.depths if pair[1] <= plan["deepest_cm"]]
    keep_samples(samples, KEPT, depths=depths)


def _cube() -> Path:
    """Return the cube of the benchmark of transfer over depths, the same, if it is there."""
    other = ROOT / "build" / "depth_transfer" / "world.zarr"
    return other if other.exists() else KEPT / "world.zarr"


@lru_cache(maxsize=1)
def load_samples() -> tuple[Samples, tuple[tuple[float, float], ...]]:
    """Return what :func:`prepare` drew, and the depths, cm."""
    samples, about = kept_samples(KEPT, KEPT / "set")
    return samples, depths_of(about)


def in_region(samples: Samples, region: Told) -> Mask:
    """Return which rows lie in a region."""
    return _distance(samples, region) == 0


def of_world(samples: Samples, region: Told, buffer_km: float) -> Mask:
    """Return which rows may teach the model of the world and the forest of the world."""
    return _distance(samples, region) > buffer_km


def _distance(samples: Samples, region: Told) -> NDArray[np.float64]:
    lon, lat = (samples.table[k].to_numpy(np.float64) for k in ("lon", "lat"))
    west, south, east, north = region["bounds"]
    return distance_km(lon, lat, (west, south, east, north))


def some_locations(samples: Samples, rows: Mask, count: int, seed: int) -> Mask:
    """Return the rows of so many locations among `rows`, of all of them for 0.

    Fewer locations of a seed are among more of it.
    """
    codes = location_codes(samples)
    places = np.random.default_rng([seed, 0x5E]).permutation(np.unique(codes[rows]))
    chosen = places if count == 0 else places[:count]
    return np.asarray(rows & np.isin(codes, chosen))
