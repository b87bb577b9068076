"""Samples of the benchmark of transfer over depths: the recipe's profiles, covariates, patches."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edaphos.engine.assess.splits import location_codes
from edaphos.engine.conv.patches import extract
from edaphos.engine.progress import Reporter
from edaphos.engine.samples import Samples
from edaphos.recipes.job import Overrides, load_job, year_policy
from edaphos.recipes.pipeline import draw, load, open_cube
from edaphos.recipes.templates import builtin_path

from .kept_samples import depths_of, is_kept, keep_samples, kept_samples
from .open_data import DATA

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "depth_transfer" / "samples"
#: Of the largest patch that an arm sees.
SIZE = 15


@dataclass(frozen=True)
class Drawn:
    """Samples with their patches, and what the recipe makes of them."""

    samples: Samples
    depths: tuple[tuple[float, float], ...]
    covariates: tuple[str, ...]


def prepare(reporter: Reporter) -> None:
    """Draw the samples and cut their patches, unless that was done."""
    if is_kept(KEPT):
        return
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    job = load_job(
        builtin_path("depth_transfer"), Overrides(data=DATA, cube=KEPT.parent / "world.zarr")
    )
    cube = open_cube(job, None, reporter)
    table = job.recipe.profiles
    assert table is not None  # the built-in recipe has one
    samples, _ = draw(job, cube, load(job, table, cube, reporter))
    covariates = tuple(job.recipe.model.covariates)
    samples = extract(
        samples,
        cube,
        job.grid,
        covariates,
        SIZE,
        KEPT / "patches",
        years=year_policy(table),
        reporter=reporter,
    )
    keep_samples(samples, KEPT, depths=job.recipe.map.depths, covariates=covariates)


def load_samples(locations: int | None = None) -> Drawn:
    """Return what :func:`prepare` drew, or the samples of so many locations of it."""
    samples, about = kept_samples(KEPT, KEPT / "patches")
    if locations is not None:
        codes = location_codes(samples)
        rng = np.random.default_rng(0)
        chosen = rng.choice(codes.max() + 1, min(locations, codes.max() + 1), replace=False)
        samples = samples.take(np.isin(codes, chosen))
    return Drawn(samples, depths_of(about), tuple(about["covariates"]))
