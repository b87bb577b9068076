"""Further models in a recipe: told by differences, checked at once, judged under the same folds."""

from __future__ import annotations

from pathlib import Path

import pytest

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.errors import InputError
from edaphos.recipes.job import Overrides, assessed_model, compared_models, load_job
from edaphos.recipes.pipeline import run_job

from .small import make_country

pytestmark = pytest.mark.usefixtures("one_worker_here")

COMPARE = """
[[assess.compare]]
name = "a forest for each depth"
model = { by_depth = true, trees = 5 }

[[assess.compare]]
name = "rain alone"
model = { kind = "forest", covariates = ["rain"], trees = 5 }
"""


def test_models_are_told_by_what_differs(tmp_path: Path) -> None:
    country = make_country(tmp_path, trees=7)
    country.replace("small.toml", "bootstrap = 50", f"bootstrap = 50\n{COMPARE}")
    recipe = load_job(country.recipe, Overrides()).recipe
    main, others = assessed_model(recipe), compared_models(recipe)
    apart, rain = others["a forest for each depth"], others["rain alone"]
    assert (apart.kind, rain.kind) == ("forest_by_depth", "forest")
    assert {k for k, v in apart.settings.items() if v != main.settings[k]} == {"trees"}
    assert rain.settings == {**main.settings, "covariates": ("rain",), "trees": 5}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trees = 5 }\n\n", "treees = 5 }\n\n", r"for each depth.: model.treees: Extra inputs"),
        ('["rain"]', '["rainfall"]', r"rainfall not among those of \[model\]"),
        ('"rain alone"', '"full"', '"full" is taken'),
        ('"rain alone"', '"a forest for each depth"', "is taken"),
        ("by_depth = true, trees = 5", "trees = 10", "that model is there already"),
        ("bootstrap = 50", 'bootstrap = 50\nsplits = ["profile"]', 'add "block" to assess.splits'),
    ],
)
def test_what_cannot_be_compared_is_refused_when_the_recipe_is_read(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    country = make_country(tmp_path)
    country.replace("small.toml", "bootstrap = 50", f"bootstrap = 50\n{COMPARE}")
    country.replace("small.toml", old, new)
    with pytest.raises(InputError, match=message):
        load_job(country.recipe, Overrides())


def test_a_run_judges_them_beside_its_own_model(tmp_path: Path) -> None:
    country = make_country(tmp_path, trees=3, resolution=1.0, tile_size=16, assess=True)
    text = f'bootstrap = 50\nblock_deg = 2.0\nsplits = ["block"]\n{COMPARE}'
    country.replace("small.toml", "bootstrap = 50", text)
    run, _ = run_job(load_job(country.recipe, Overrides(workers=1)), tmp_path / "run")
    found = Assessment.load(tmp_path / "run" / "assessment")
    assert list(dict.fromkeys(found.compared["against"])) == [
        "a forest for each depth",
        "rain alone",
    ]
    assert found.settings["compare"]["rain alone"]["settings"]["covariates"] == ["rain"]
    assert run.identity["recipe"]["assess"]["compare"][0]["model"] == {"by_depth": True, "trees": 5}
