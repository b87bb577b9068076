"""A recipe's [applicability] and kNNDM folds, from its TOML to its map and report."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.errors import InputError
from edaphos.engine.map_view import open_map
from edaphos.engine.place import place
from edaphos.engine.status import Status
from edaphos.recipes.config import parse
from edaphos.recipes.job import compared_models, load_job
from edaphos.recipes.pipeline import run_stages
from edaphos.recipes.schema import Recipe
from edaphos.recipes.templates import commented

from .small import Country, make_country


def country(folder: Path, tile_size: int, assess: bool = False) -> Country:
    made = make_country(folder, trees=4, resolution=0.2, tile_size=tile_size, assess=assess)
    made.replace("small.toml", "[map]", "[applicability]\nblock_deg = 2.0\n\n[map]")
    made.replace("small.toml", "[assess]", '[assess]\nsplits = ["block", "knndm"]\nblock_deg = 2.0')
    return made


def test_maps_and_scores_know_where_they_hold(tmp_path: Path) -> None:
    found = []
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        for size in (64, 32):
            made = country(tmp_path / str(size), size, assess=size == 64)
            job = load_job(made.recipe)
            run = run_stages(job, place(made.folder / "run"), client)
            ds = open_map(run.path)
            found.append((ds["dissimilarity"].values, ds["status"].values))
    unlike, status = found[0]
    np.testing.assert_array_equal(unlike, found[1][0])
    np.testing.assert_array_equal(status, found[1][1])
    outside = unlike[0] > 1
    np.testing.assert_array_equal(status == Status.OUTSIDE_APPLICABILITY, outside)
    mapped = np.isfinite(unlike[0])
    assert 0 < mapped.sum() == np.isfinite(ds["soc_mean"].values[0, 0]).sum()
    assert np.mean(outside[mapped]) < 0.2
    assert "Meyer" in ds.attrs["method"]
    assessed = Assessment.load(tmp_path / "64" / "run" / "assessment")
    assert {"block", "knndm"} == set(assessed.metrics["split"])
    full = assessed.predictions.query("model == 'full'")
    assert (full["dissimilarity"] >= 0).all()
    assert assessed.predictions.query("model == 'depth_only'")["dissimilarity"].isna().all()
    assert {"prediction", "sample", "block", "knndm"} == set(assessed.distances["what"])
    strata = assessed.metrics[assessed.metrics["by"] == "applicability"]
    assert "inside" in set(strata["group"])


def test_only_models_of_rows_have_an_area(tmp_path: Path) -> None:
    made = country(tmp_path, 64)
    made.replace("small.toml", "block_deg = 2.0\n\n[map]", "sides = 2.0\n\n[map]")
    with pytest.raises(InputError, match=r"applicability\.sides"):
        load_job(made.recipe)
    made.replace("small.toml", "sides = 2.0", 'importance = "equal"')
    made.replace(
        "small.toml",
        "enabled = false",
        'enabled = true\ncompare = [{ name = "small", model = { trees = 2 } }]',
    )
    job = load_job(made.recipe)
    assert job.model.applicability is not None
    assert job.model.applicability.importance == "equal"
    assert job.model.applicability.seed == job.recipe.seed
    # what stands beside is judged as it is
    assert compared_models(job.recipe)["small"].applicability is None


def test_templates_tell_of_it() -> None:
    assert "# [applicability], left out here: maps where the model holds" in commented("demo")
    assert "\n[applicability]\n" in commented("world")
    for name in ("poml", "rothc_world"):
        raw = tomllib.loads(commented(name) + "\n[applicability]\n")
        with pytest.raises(InputError, match=r"leave \[applicability\] out"):
            parse(raw, Recipe, Path(f"{name}.toml"))
