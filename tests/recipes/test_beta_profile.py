"""The recipe beta_profile end to end in a small country, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.errors import InputError
from edaphos.engine.map_view import open_map
from edaphos.engine.place import place
from edaphos.engine.products.layers import map_grid
from edaphos.recipes.beta_left_out import LeftOut
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.pipeline import run_job

from .small import Country, make_country, write_raster

pytestmark = pytest.mark.usefixtures("one_worker_here")

CLASSES = {12: 0.985, 10: 0.975, 4: 0.96}
MODEL = """kind = "beta"
covariates = ["rain", "elevation"]
beta_covariates = ["rain"]
soil = ["soc", "clay"]
trees = 5
min_samples_leaf = 3
ecosystems = { classes = { cropland = [12, 14], grassland = [10], forest = [4] } }
fragments = { mean = 0.2, source = "made up" }"""
LANDCOVER = """
[[layer]]
name = "landcover"
file = "landcover.tif"
kind = "class"
"""


def beta_country(folder: Path) -> Country:
    """Return a country of four stripes of land cover, whose carbon falls as its class says."""
    country = make_country(folder, resolution=0.2, tile_size=32, assess=True)
    stripes = np.repeat(np.array([12, 10, 4, 14], float), 25)
    write_raster(folder / "landcover.tif", np.tile(stripes, (100, 1)))
    (folder / "cube.toml").write_text((folder / "cube.toml").read_text() + LANDCOVER)
    rng = np.random.default_rng(4)
    rows = []
    for i in range(240):
        lon, lat = rng.uniform(10.1, 19.9), rng.uniform(40.1, 49.9)
        beta = CLASSES.get(int(stripes[int((lon - 10) * 10)]), 0.985)
        top = rng.lognormal(1.5, 0.2)
        for a, b in ((0, 10), (10, 30), (30, 60), (60, 110)):
            stock = top * (beta**a - beta**b) / (1 - beta**20) * rng.lognormal(0, 0.05)
            density = 1.2 + a / 500
            rows.append((f"p{i}", lon, lat, 2005, a, b, 100 * stock / (b - a) / density, density))
    names = ["profile_id", "lon", "lat", "year", "top_cm", "bottom_cm", "soc_g_kg"]
    table = pd.DataFrame(rows, columns=[*names, "bulk_density_g_cm3"])
    table["clay_pct"] = 10 + table["top_cm"] / 10
    table.to_csv(folder / "profiles.csv", index=False)
    country.replace("small.toml", "[profiles]", '[profiles]\nharmonise = "spline"\n')
    forest = 'kind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10'
    country.replace("small.toml", forest, MODEL)
    layers = "depths = [[0, 20], [20, 40], [40, 60], [60, 80], [80, 100]]"
    country.replace("small.toml", "depths = [[0, 5], [30, 60]]", layers)
    fewer = 'bootstrap = 50\nblock_deg = 1.0\nsplits = ["block"]'
    country.replace("small.toml", "bootstrap = 50", fewer)
    country.replace("small.toml", "report = false", "report = true")
    return country


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Country, Path]:
    folder = tmp_path_factory.mktemp("beta")
    country = beta_country(folder)
    run_job(load_job(country.recipe, Overrides(workers=1)), place(folder / "run"))
    return country, folder / "run"


def test_the_map_has_the_beta_of_each_class_and_totals_of_its_shares(made):
    _, run = made
    ds = open_map(place(run))
    beta = ds["beta_mean"].to_numpy()[0]
    # the spline smooths what falls steeply: beta comes out a little too large
    for first, truth in zip((0, 13, 26), CLASSES.values(), strict=True):
        assert np.nanmean(beta[:, first : first + 11]) == pytest.approx(truth, abs=0.006)
    found = json.loads((run / "ecosystem_stocks.json").read_text())
    stock = ds["stock_mean"].to_numpy()[:, 0].astype(float).sum(axis=0)
    areas = np.broadcast_to(map_grid(ds).cell_areas(map_grid(ds).whole), stock.shape)
    column = np.arange(50) // 12.5
    half = np.where(column == 3, 0.5, 0.0)  # of class 14
    share = {"cropland": (column == 0) + half, "grassland": (column == 1) + half}
    whole = {
        t["ecosystem"]: t for t in found["totals"] if (t["top_cm"], t["bottom_cm"]) == (0, 100)
    }
    for name, part in share.items():
        # columns in which two classes meet are read as the nearer one
        direct = (stock * areas * part).sum() * 1e-12
        assert whole[name]["total_pg"] == pytest.approx(direct, rel=0.06)
        assert whole[name]["low_pg"] < whole[name]["total_pg"] < whole[name]["high_pg"]
    parts = sum(whole[n]["total_pg"] for n in ("cropland", "grassland", "forest"))
    assert whole["together"]["total_pg"] == pytest.approx(parts, rel=1e-9)
    direct = (stock * areas).sum() * 1e-12
    assert whole["together"]["total_pg"] == pytest.approx(direct, rel=1e-9)
    at = [t["total_pg"] for t in found["totals"]]
    assert [t["total_pg"] for t in found["fragments"]["totals"]] == pytest.approx(
        [0.8 * pg for pg in at]
    )


def test_rows_are_never_split_at_random(made, tmp_path):
    country, _ = made
    (tmp_path / "plain.toml").write_text(
        country.recipe.read_text().replace('splits = ["block"]', "")
    )
    assert load_job(tmp_path / "plain.toml").recipe.splits == ("block", "profile")


def test_the_report_tells_totals_and_what_each_arm_gains(made):
    _, run = made
    text = (run / "report.html").read_text()
    left_words = ("Beta by ecosystem, of profiles left out", "240 profiles left out hold")
    for words in ("Stocks by ecosystem", "upper bounds", "published", "made up", *left_words):
        assert words in text
    assert (run / "pictures" / "depth_curves.png").exists()
    found = Assessment.load(run / "assessment")
    left_out = LeftOut.of(found).residual
    assert len(left_out) == 240
    assert abs(left_out.mean()) < 0.2
    arms = found.arms[(found.arms["split"] == "block") & (found.arms["rows"] == "shared")]
    error = arms.set_index("arm")["RMSE"]
    assert error["own 0-20 cm stock, beta as mapped"] < error["own 0-20 cm stock, beta 0.9786"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('harmonise = "spline"', 'harmonise = "none"', 'harmonise = "spline"'),
        ('splits = ["block"]', 'splits = ["random"]', 'leave "random" out'),
        ("grassland = [10]", "grassland = [10, 12]", "class 12 is both cropland and grassland"),
        ('soil = ["soc", "clay"]', 'soil = ["nitrogen"]', "nitrogen"),
        ("mean = 0.2", "mean = 1.2", "less than 1"),
        ('beta_covariates = ["rain"]\nsoil = ["soc", "clay"]', "beta_covariates = []\nsoil = []",
         "at least one of soil and beta_covariates"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(made, tmp_path, old, new, words):
    country, _ = made
    text = country.recipe.read_text()
    assert old in text
    (tmp_path / "wrong.toml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        load_job(tmp_path / "wrong.toml")
