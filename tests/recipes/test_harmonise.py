"""`profiles.harmonise` in a recipe: what is learned from, noted and told, when it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from edaphos.engine.errors import InputError
from edaphos.engine.place import place
from edaphos.engine.profiles.harmonise import harmonise
from edaphos.engine.progress import QUIET
from edaphos.engine.run import Run
from edaphos.recipes.job import load_job
from edaphos.recipes.pipeline import check_learning, draw, load, open_cube, run_stages

from .small import Country, make_country

DEPTHS = [(0.0, 5.0), (30.0, 60.0)]


@pytest.fixture
def country(tmp_path: Path) -> Country:
    made = make_country(tmp_path / "country", resolution=1.0, tile_size=16)
    made.replace("small.toml", "[profiles]\n", '[profiles]\nharmonise = "spline"\n')
    return made


def test_the_model_learns_from_the_maps_depths(country: Country) -> None:
    job = load_job(country.recipe)
    assert job.recipe.profiles is not None
    cube = open_cube(job, None, QUIET)
    profiles = load(job, job.recipe.profiles, cube)
    samples, _ = draw(job, cube, profiles)
    # The layers are 0-20, 20-40 and 50-70 cm of 120 profiles.
    assert sorted(set(zip(samples.top, samples.bottom, strict=True))) == DEPTHS
    assert len(samples) == 240
    country.replace("small.toml", 'harmonise = "spline"\n', "")
    plain = load_job(country.recipe)
    assert plain.recipe.profiles is not None
    as_sampled = load(plain, plain.recipe.profiles, cube)
    assert as_sampled.harmonised is None
    expected, _ = harmonise(as_sampled.table, DEPTHS)
    np.testing.assert_array_equal(np.sort(samples.y), np.sort(expected["soc_g_kg"]))


def test_counts_are_kept_in_the_run_and_told_in_the_report(
    country: Country, tmp_path: Path
) -> None:
    from edaphos.engine.products.report import _sampling

    job = load_job(country.recipe)
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0") as own:
        run_stages(job, place(tmp_path / "run"), own)
    run = Run.open(place(tmp_path / "run"))
    noted = run.manifest()["provenance"]["harmonised"]
    assert noted.startswith("360 soil layers of 120 profiles at a date become 240 rows by the")
    assert "30-60 cm 120" in noted
    kept = json.loads((tmp_path / "run" / "profiles_harmonised.json").read_text())
    assert [depth["rows"] for depth in kept["depths"]] == [120, 120]
    told = _sampling(run.manifest()["provenance"])
    assert told[0] == f"{noted}."
    assert told[1].startswith("Of 240 rows at depths 240 train the model")
    assert run.identity["recipe"]["profiles"]["harmonise"] == "spline"


def test_a_model_of_stocks_takes_layers_as_they_are(country: Country, tmp_path: Path) -> None:
    country.replace(
        "small.toml",
        '[model]\nkind = "forest"\ncovariates = ["rain", "elevation"]\ntrees = 10\n',
        '[model]\nkind = "poml"\ncoupling = "guarded"\n',
    )
    country.replace(
        "small.toml", "depths = [[0, 5], [30, 60]]", "depths = [[0, 20]]\nyears = [1980, 1990]"
    )
    with pytest.raises(InputError, match=r'"poml" takes stocks .* leave profiles\.harmonise out'):
        check_learning(load_job(country.recipe))


def test_another_way_is_refused_by_name(country: Country) -> None:
    country.replace("small.toml", '"spline"', '"linear"')
    with pytest.raises(InputError, match=r"profiles\.harmonise"):
        load_job(country.recipe)
