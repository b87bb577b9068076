"""Skill of the world recipe on the rows and blocks of the quick trial that set the floor.

The trial scored the profiles as found: organic layers, duplicates and suspect places in. This
keeps them too, unlike ``edaphos run world``, and leaves out blocks of 2 degrees in five folds.
It needs the open data beside the repository, and is left out, saying so, without them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edaphos.engine.assess.splits import make_split
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.profiles.profiles import load_profiles
from edaphos.engine.progress import QUIET
from edaphos.engine.sampling import draw_samples
from edaphos.recipes.job import Overrides, load_job, profile_files, qa_rules
from edaphos.recipes.pipeline import open_cube
from edaphos.recipes.templates import builtin_path

from .open_data import DATA, has_open_data
from .result import Result

#: R² of log1p(SOC) that the trial reached, by source.
FLOOR = {"WISE3": 0.44, "AfSP": 0.43, "ISIS": 0.47, "SoDaH": 0.63}
FOLDS = 5


def measure(*, small: bool) -> Iterator[Result]:
    """Yield R² of log1p(SOC) of each source, over the trial's."""
    if not has_open_data("floor"):
        return
    with tempfile.TemporaryDirectory() as scratch:
        overrides = Overrides(data=DATA, cube=Path(scratch) / "world.zarr")
        job = load_job(builtin_path("world"), overrides)
        cube = open_cube(job, None, QUIET)
        table = job.recipe.profiles
        assert table is not None  # the built-in recipe has one
        rules = replace(
            qa_rules(table), surface_organic="flag", duplicates="flag", suspect_places="flag"
        )
        profiles = load_profiles(profile_files(table, job.data), rules)
        covariates = job.recipe.model.covariates
        samples, _ = draw_samples(profiles.table, cube, job.grid, covariates)
    trees = 5 if small else 30
    split = make_split(samples, "block", folds=FOLDS, seed=1, block_deg=2.0, name="block")
    predicted = np.full(len(samples), np.nan)
    for fold in range(FOLDS):
        held_out = split.held_out(fold)
        model = ForestModel(covariates, trees=trees, max_features=0.33, threads=2, quantiles=())
        model.fit(samples.take(~held_out))
        rows = model.predict_rows(samples.take(held_out))
        predicted[held_out] = np.log1p(rows["soc_logmean"])
    observed, source = np.log1p(samples.y), samples.table["source"].to_numpy()
    for name, floor in FLOOR.items():
        own = source == name
        misfit = float(((predicted[own] - observed[own]) ** 2).sum())
        spread = float(((observed[own] - observed[own].mean()) ** 2).sum())
        score = round(1 - misfit / spread, 4)
        details = {"rows": int(own.sum()), "trees": trees, "block_deg": 2.0}
        yield Result(
            f"floor-{name}", score, "R2 of log1p(SOC)", "the trial", score / floor, details
        )
