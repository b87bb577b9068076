"""Nets over depth from a recipe: the same map from any workers, judged beside other models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.errors import InputError
from edaphos.recipes.job import (
    Overrides,
    assessed_model,
    compared_models,
    load_job,
    sketched_model,
)
from edaphos.recipes.pipeline import run_job
from edaphos.recipes.planning import plan_job
from edaphos.recipes.templates import builtin_path

from .small import Country, make_country

pytestmark = pytest.mark.usefixtures("one_worker_here")

MODEL = """kind = "conv"
scheme = "{scheme}"
covariates = ["rain", "elevation"]
shape = {{ patch = 5, channels = [4, 4], kernels = [3, 2], pool_after = [], dense = [6] }}
training = {{ epochs = 3, batch = 64, rate = 0.01 }}
fine_tuning = {{ epochs = 2, freeze_until = 1 }}"""
COMPARE = """bootstrap = 50
block_deg = 1.0
splits = ["block"]

[[assess.compare]]
name = "pooled"
model = { scheme = "pooled", training = { epochs = 1 } }

[[assess.compare]]
name = "forests"
model = { kind = "forest", by_depth = true, trees = 5 }"""


def net_country(folder: Path, scheme: str = "transfer", **made: object) -> Country:
    """Return a small country whose recipe has nets over depth on harmonised profiles."""
    country = make_country(folder, resolution=0.2, **made)  # type: ignore[arg-type]
    country.replace("small.toml", "[profiles]", '[profiles]\nharmonise = "spline"\n')
    old = 'kind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10'
    country.replace("small.toml", old, MODEL.format(scheme=scheme))
    return country


def chunks(run: Path) -> dict[str, bytes]:
    """Return the values of a run's map, as they are stored."""
    files = {str(path.relative_to(run)): path for path in (run / "map.zarr").rglob("*")}
    return {n: p.read_bytes() for n, p in files.items() if "/c/" in n and p.is_file()}


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> tuple[Country, Path]:
    """A run by one worker, judged beside two other models."""
    folder = tmp_path_factory.mktemp("nets")
    country = net_country(folder, tile_size=16, assess=True)
    country.replace("small.toml", "bootstrap = 50", COMPARE)
    country.replace("small.toml", "report = false", "report = true")
    run_job(load_job(country.recipe, Overrides(workers=1)), folder / "run")
    return country, folder / "run"


def test_two_workers_make_the_same_bytes(one: tuple[Country, Path], tmp_path: Path) -> None:
    country, run = one
    text = country.recipe.read_text().replace("enabled = true", "enabled = false")
    plain = country.folder / "plain.toml"
    plain.write_text(text)
    run_job(load_job(plain, Overrides(workers=2)), tmp_path / "two")
    ours, theirs = chunks(run), chunks(tmp_path / "two")
    assert len(ours) > 60
    assert ours == theirs
    for name in ("net_0_0.safetensors", "model.json"):
        there = (tmp_path / "two" / "model" / name).read_bytes()
        assert there == (run / "model" / name).read_bytes()


def test_the_run_tells_how_it_was_trained_and_judged(one: tuple[Country, Path]) -> None:
    _, run = one
    found = Assessment.load(run / "assessment")
    assert "torch" in json.loads((run / "manifest.json").read_text())["identity"]["versions"]
    assert set(found.compared["against"]) == {"pooled", "forests"}
    assert set(found.metrics["model"]) == {"full", "depth_only", "pooled", "forests"}
    assert found.table("block")["PICP"].notna().all()
    curves = json.loads((run / "model" / "curves.json").read_text())["trainings"]
    assert {t["name"] for t in curves} == {"all depths", "0-5 cm", "30-60 cm"}
    assert not (run / "patches-trainings").exists()  # let go with the model
    report = (run / "report.html").read_text()
    for words in ("Models under the same folds", "forests: smaller in", "not the paper"):
        assert words in report


def test_another_seed_is_another_net(one: tuple[Country, Path]) -> None:
    country, _ = one
    recipe = load_job(country.recipe, Overrides()).recipe
    main, others = assessed_model(recipe), compared_models(recipe)
    assert main.settings["quantiles"] == (0.05, 0.5, 0.95)
    assert others["pooled"].settings["settings"]["training"]["epochs"] == 1
    assert others["pooled"].settings["settings"]["shape"] == main.settings["settings"]["shape"]
    assert others["forests"].kind == "forest_by_depth"
    assert main.settings["seed"] == recipe.seed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("patch = 5", "patch = 4", r"model.shape: .*patch: must be odd"),
        ("freeze_until = 1", "freeze_until = 5", r"the net has 4 stages, found 5"),
        ('scheme = "transfer"', 'scheme = "transfer"\ninterval = "ensemble"', "members = 2"),
        ("depths = [[0, 5]", "quantiles = [0.1]\ndepths = [[0, 5]", "0.1 needs 0.9 beside it"),
        ("epochs = 3", "epoch = 3", 'unknown key; did you mean "epochs"'),
    ],
)
def test_what_fits_no_net_is_refused_before_anything_runs(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    country = net_country(tmp_path)
    country.replace("small.toml", old, new)
    with pytest.raises(InputError, match=message):
        run_job(load_job(country.recipe, Overrides(workers=1)), tmp_path / "run")


def test_the_built_in_recipe_has_the_baselines_of_the_paper_and_the_ablation(
    tmp_path: Path,
) -> None:
    """With those that it leaves to be asked for."""
    text = builtin_path("depth_transfer").read_text()
    before, asked = text.split("# [[assess.compare]]", 1)
    plain = tmp_path / "all.toml"
    plain.write_text(before + ("# [[assess.compare]]" + asked).replace("# ", "").replace("#", ""))
    assert len(load_job(builtin_path("depth_transfer"), Overrides()).recipe.assess.compare) == 3
    recipe = load_job(plain, Overrides()).recipe
    assert recipe.profiles is not None
    assert recipe.profiles.harmonise == "spline"
    assert len(recipe.map.depths) == 6
    main, others = assessed_model(recipe), list(compared_models(recipe).values())
    assert main.settings["settings"]["scheme"] == "transfer"
    kinds = [o.kind for o in others]
    assert sorted(kinds) == ["conv", "conv", "conv", "forest", "forest_by_depth"]
    schemes = {o.settings["settings"]["scheme"] for o in others if o.kind == "conv"}
    assert schemes == {"pooled", "per_depth", "multitask"}
    covariates = {tuple(getattr(s.build(), "told", s.build()).covariates) for s in (main, *others)}
    assert len(covariates) == 1  # all learn from the same


def test_planning_times_a_net_that_is_hardly_trained(
    one: tuple[Country, Path], tmp_path: Path
) -> None:
    country, _ = one
    job = load_job(country.recipe, Overrides(workers=1))
    told = sketched_model(job.recipe).settings["settings"]
    assert (told["training"]["epochs"], told["fine_tuning"]["epochs"]) == (1, 1)
    found = plan_job(job, out=tmp_path / "planned")
    assert found.tiles == 16
    assert found.cells == 2500
    assert not list(tmp_path.iterdir())
