"""A recipe whose forest chooses covariates and calibrates its intervals, to its map and report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.errors import InputError
from edaphos.engine.map_view import open_map
from edaphos.recipes.finish import finish
from edaphos.recipes.job import load_job
from edaphos.recipes.pipeline import run_stages

from .small import make_country


def test_a_forest_that_chooses_and_calibrates(tmp_path: Path) -> None:
    country = make_country(tmp_path / "c", trees=5, resolution=0.5, assess=True)
    country.replace("small.toml", "trees = 5", 'trees = 5\nchoose = "filter"')
    country.replace("small.toml", "trees = 5", 'trees = 5\nintervals = "conformal"')
    country.replace("small.toml", "report = false", "report = true")
    country.replace("small.toml", "bootstrap = 50", 'bootstrap = 50\nsplits = ["block"]\n')
    country.replace("small.toml", "folds = 3", "folds = 3\nblock_deg = 2.5")
    job = load_job(country.recipe)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        run = run_stages(job, tmp_path / "run", client)
        report = finish(run)
    saved = json.loads((run.path / "model" / "model.json").read_text())
    fates = {one["feature"]: one["fate"] for one in saved["choice"]["considered"]}
    assert fates["rain"] == "kept"
    assert saved["conformal"][0]["level"] == pytest.approx(0.9)
    model = run.load_model()
    assert set(model.reads.variables) == {name for name, fate in fates.items() if fate == "kept"}
    ds = open_map(run.path)
    named = ds["soc_q95"].attrs["long_name"]
    assert named.endswith("upper bound of the conformal 90 % interval")
    assert "Intervals are conformal" in ds.attrs["method"]
    low, high = ds["soc_q05"].values, ds["soc_q95"].values
    assert np.isfinite(low).any()
    assert (low[np.isfinite(low)] <= high[np.isfinite(low)]).all()
    found = Assessment.load(run.path / "assessment")
    assert found.settings["model"]["settings"]["intervals"] == "conformal"
    assert 0.75 < found.table("block")["PICP"].item() <= 1
    assert "r" in found.table("block")
    assert report is not None
    html = report.read_text()
    assert 'id="covariates"' in html
    assert "hardly correlated with the target" in html or fates["elevation"] == "kept"
    assert "What is predicted where so much was observed" in html


def test_intervals_want_pairs_of_quantiles(tmp_path: Path) -> None:
    country = make_country(tmp_path)
    country.replace("small.toml", "trees = 10", 'trees = 10\nintervals = "conformal"')
    country.replace("small.toml", "[map]", "[map]\nquantiles = [0.5]")
    with pytest.raises(InputError, match="pairs of quantiles"):
        load_job(country.recipe).model.build()
