"""The study of whole profiles from recipe to report: biome, nitrogen, profiles of other surveys."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from edaphos.engine.assess.profile_study import load_study
from edaphos.engine.map_view import open_map
from edaphos.engine.status import Status
from edaphos.recipes.cli import app
from edaphos.recipes.templates import builtin_path, commented

from .small import Country, make_country, write_raster

pytestmark = pytest.mark.usefixtures("one_worker_here")

STUDY = """
[biome]
classes = { cover = [10] }

[whole_profile]
drivers = ["rain", "clay_silt_pct", "nitrogen_g_kg"]
measured = ["clay_silt_pct", "nitrogen_g_kg"]

[independent]
[[independent.files]]
path = "other.csv"
source = "other"

[products]
cog = false
report = true
"""


def layers(profiles: int, seed: int) -> pd.DataFrame:
    """Four layers of each profile, with density, texture, and nitrogen that follows carbon."""
    rng = np.random.default_rng(seed)
    top = np.tile([0, 10, 40, 100], profiles)
    lon, lat = (np.repeat(rng.uniform(a, a + 9.8, profiles).round(4), 4) for a in (10.1, 40.1))
    soc = np.exp(rng.normal(3.0 - top / 60 + (lat - 45) / 8, 0.3)).round(2)
    return pd.DataFrame(
        {
            "profile_id": np.repeat([f"p{seed}_{i}" for i in range(profiles)], 4),
            "lon": lon,
            "lat": lat,
            "year": 2005,
            "top_cm": top,
            "bottom_cm": np.tile([10, 40, 100, 150], profiles),
            "soc_g_kg": soc,
            "bulk_density": 1.3,
            "coarse_fraction": 0.1,
            "sand_pct": rng.uniform(20, 80, 4 * profiles).round(1),
            "TN": (soc / 11 * rng.uniform(0.95, 1.05, 4 * profiles)).round(3),
        }
    )


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Country:
    made = make_country(tmp_path_factory.mktemp("whole_profile") / "c", resolution=0.5)
    cover = np.where(np.arange(100)[None, :] < 60, 10, 12) * np.ones((100, 1))
    write_raster(made.folder / "cover.tif", cover)
    cube = made.folder / "cube.toml"
    cube.write_text(f'{cube.read_text()}\n[[layer]]\nname = "cover"\nfile = "cover.tif"\n'
                    'kind = "class"\n')  # fmt: skip
    profiles = layers(60, 1)
    profiles.to_csv(made.folder / "profiles.csv", index=False)
    other = pd.concat([layers(14, 2), profiles.head(4)]).assign(
        bottom_cm=lambda t: t["bottom_cm"] - 3
    )
    other.to_csv(made.folder / "other.csv", index=False)
    text = made.recipe.read_text().split("[products]")[0] + STUDY
    text = text.replace('kind = "forest"', 'kind = "stock_forest"\nlearns = "density"')
    text = text.replace("depths = [[0, 5], [30, 60]]", "depths = [[0, 10], [10, 30], [30, 100]]")
    text = text.replace("[profiles]", '[profiles]\ndensity_of = "fine_earth_by_soil"')
    text = text.replace("enabled = false", 'enabled = true\nsplits = ["block", "random"]')
    text = text.replace("folds = 3", "folds = 3\nblock_deg = 2.0").replace(
        "trees = 10", "trees = 8"
    )
    made.recipe.write_text(text)
    return made


def edaphos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def run(country: Country) -> Path:
    out = country.folder / "run"
    made = edaphos("run", country.recipe, "--out", out, "--workers", "1")
    assert made.exit_code == 0, made.output
    return out


def test_only_profiles_of_the_biome_train_and_its_cells_are_mapped(run: Path) -> None:
    rows = pd.read_parquet(run / "assessment" / "rows.parquet")
    assert (rows["lon"] < 16).all()
    ds = open_map(run)
    east = ds["x"].values > 16
    status = ds["status"].values.squeeze()
    assert (status[:, east] == Status.OUTSIDE_BIOME).all()
    layered = ds["stock_mean"].squeeze("year")
    assert bool(layered[..., ~east].notnull().all())
    summed = ds["stock0to100_sum"].values.squeeze()[:, ~east]
    np.testing.assert_allclose(summed, layered[..., ~east].sum("depth"), atol=0.005)


def test_the_study_holds_what_was_asked_for(run: Path) -> None:
    study = load_study(run)
    assert study is not None
    assert set(study.scores["scale"]) == {"stock", "density"}
    assert set(study.scores["split"]) == {"block", "random"}
    assert set(study.flattery["split"]) == {"random"}
    arms = list(dict.fromkeys(study.measured["model"]))
    assert arms[-1] == "covariates + clay_silt_pct + nitrogen_g_kg"
    gain = study.measured_gain.query("split == 'block' and metric == 'R2' and group == 'all'")
    gain = gain[gain["scale"] == "density"].set_index("model")["difference"]
    assert gain[arms[-1]] > gain[arms[1]] + 0.05  # nitrogen nearly tells the carbon
    partial = study.partial.query("group == 'all' and method == 'Spearman'").set_index("driver")
    assert partial.loc["nitrogen_g_kg", "low"] > 0.9


def test_other_surveys_are_predicted_at_their_intervals_without_shared_ones(
    run: Path, country: Country
) -> None:
    study = load_study(run)
    assert study is not None
    rows = study.independent_rows
    given = layers(14, 2).query("lon < 16")
    assert set(rows["profile_id"]) == {f"other:{name}" for name in given["profile_id"]}
    intervals = set(zip(rows["top_cm"], rows["bottom_cm"], strict=True))
    assert intervals == {(0, 7), (10, 37), (40, 97), (100, 147)}
    thick = rows["bottom_cm"] - rows["top_cm"]
    first = rows.iloc[0]
    soc = given.query("top_cm == @first.top_cm and profile_id == @first.profile_id[6:]").iloc[0]
    # density is that of the fine earth in a volume of soil, so that stones are out of it already
    assert first["obs"] == pytest.approx(soc["soc_g_kg"] * 1.3 * thick.iloc[0] / 100)
    assert any("1 of" in note and "(4 layers)" in note for note in study.notes)


def test_the_report_shows_it(run: Path) -> None:
    page = (run / "report.html").read_text()
    for head in (">30–100 cm, Pg", ">0–100 cm, Pg"):  # a layer, and the sum of all three
        assert head in page
    for words in ("Whole profiles", "Partial correlation of carbon", "of other surveys"):
        assert words in page
    assert (run / "pictures" / "study_skill_density.png").stat().st_size > 5000
    told = json.loads((run / "manifest.json").read_text())
    assert "study" in told["provenance"]["stage_seconds"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cover = [10]", "rain = [10]", '"rain" holds amounts, not class codes'),
        ("cover = [10]", "cover = []", "classes.cover is empty"),
        ('path = "other.csv"', 'path = "othr.csv"', "correct independent.files.path"),
        ('measured = ["clay_silt_pct"', 'measured = ["clay_slit_pct"', "no measured property"),
        ("enabled = true", "enabled = false", "whole_profile is made of cross-validation"),
        ('drivers = ["rain"', 'drivers = ["rian"', 'did you mean "rain"'),
        ("[whole_profile]\n", "[whole_profile]\ndriver = 1\n", 'did you mean "drivers"'),
    ],
)
def test_what_cannot_be_studied_is_told(country: Country, old: str, new: str, words: str) -> None:
    text = country.recipe.read_text()
    assert old in text
    spoilt = country.folder / "spoilt.toml"
    spoilt.write_text(text.replace(old, new))
    made = edaphos("run", spoilt, "--out", country.folder / "none", "--workers", "1")
    assert made.exit_code == 2
    assert words in " ".join(made.output.split())


def test_the_built_in_recipe_reads_again_with_its_comments() -> None:
    text = commented("whole_profile")
    assert "[biome]" in text
    assert 'kind = "stock_forest"' in text
    assert "# [independent], left out here" in text or "[independent]" in text
    assert builtin_path("whole_profile").exists()
