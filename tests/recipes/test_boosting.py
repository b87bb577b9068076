"""Boosted trees in a recipe: as its table says, mapped and judged with intervals of every level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.assess.scoring import COVERAGES
from edaphos.engine.errors import InputError
from edaphos.engine.map_view import open_map
from edaphos.engine.models.boosting import BoostingModel
from edaphos.recipes.job import Overrides, assessed_model, load_job
from edaphos.recipes.pipeline import run_job

from .small import Country, make_country

pytestmark = pytest.mark.usefixtures("one_worker_here")

BOOSTING = """
kind = "boosting"
covariates = ["rain", "elevation"]
learning_rate = 0.2
max_leaf_nodes = 6
trees = 10"""


def boosted(folder: Path, **changed: object) -> Country:
    country = make_country(folder, trees=10, **changed)
    old = '\nkind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10'
    country.replace("small.toml", old, BOOSTING)
    return country


def test_its_table_says_what_is_learned(tmp_path: Path) -> None:
    country = boosted(tmp_path)
    country.replace("small.toml", "bootstrap = 50", "bootstrap = 50\ntrees = 3")
    job = load_job(country.recipe, Overrides())
    model = job.model.build()
    assert isinstance(model, BoostingModel)
    assert (model.learning_rate, model.max_leaf_nodes, model.trees) == (0.2, 6, 10)
    assert (model.depths, model.seed) == (((0.0, 5.0), (30.0, 60.0)), 3)
    # assess.trees is of forests, whose trees are averaged: of boosted trees each one counts
    assert assessed_model(job.recipe).settings["trees"] == 10
    country.replace("small.toml", "learning_rate = 0.2", "learning_rate = 2.0")
    with pytest.raises(InputError, match=r"learning_rate.*less than or equal to 1"):
        load_job(country.recipe, Overrides())


def test_a_run_maps_and_judges_it(tmp_path: Path) -> None:
    country = boosted(tmp_path, resolution=1.0, tile_size=16, assess=True)
    text = 'bootstrap = 50\nblock_deg = 1.0\nsplits = ["block"]'
    country.replace("small.toml", "bootstrap = 50", text)
    run, _ = run_job(load_job(country.recipe, Overrides(workers=1)), tmp_path / "run")
    found = open_map(run.path)
    low, mean, high = (found[f"soc_{s}"].to_numpy() for s in ("q05", "mean", "q95"))
    known = np.isfinite(mean)
    assert known.any()
    assert (low[known] <= high[known]).all()
    judged = Assessment.load(tmp_path / "run" / "assessment")
    curve = judged.intervals.query("model == 'full' and by == 'all'")
    assert tuple(curve["nominal"]) == COVERAGES
    assert np.isfinite(judged.table("block")["CRPS"]).all()
