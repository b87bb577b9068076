"""Recipes for other models: one that needs no profiles and maps years, one that learns clay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.map_view import open_map
from edaphos.engine.status import Status
from edaphos.recipes.cli import app

from .small import Country, make_country, profiles_table

PROCESS = '''
import json
import numpy as np
from edaphos.engine.models.protocol import Emits, Output, Reads
from edaphos.engine.status import Status

class Process:
    """A stock that falls with rain and drifts by the year; frozen above 480 m."""

    kind = "process"
    needs_samples = False
    reads = Reads(("rain", "elevation"))
    emits = Emits(
        tuple(
            Output(f"stock_{s}_{n}", "kg m-2", stat, "stock", f"scenario {s}")
            for s in ("bau", "plus20")
            for n, stat in (("mean", "mean"), ("q05", "Q0.05"), ("q95", "Q0.95"))
        ),
        depths=((0, 30),),
    )

    def describe(self):
        return {
            "summary": "Stock of a made-up process",
            "method": "a made-up process",
            "scenario": "Input held, or raised by 20 %",
        }

    def predict(self, inputs):
        rain, drift = inputs.values["rain"], np.array(inputs.years) - inputs.years[0]
        base = (rain / 100)[None, None] + 0.01 * drift[None, :, None, None]
        values = {}
        for name, factor in (("bau", 0.0), ("plus20", 0.02)):
            mean = base + factor * drift[None, :, None, None]
            for stat, share in (("mean", 1.0), ("q05", 0.8), ("q95", 1.25)):
                values[f"stock_{name}_{stat}"] = (mean * share).astype(np.float32)
        values["status"] = status = np.zeros(rain.shape, np.uint8)
        status[inputs.values["elevation"] > 440] = Status.PADDY
        status[inputs.values["elevation"] > 480] = Status.FROZEN
        return values

    def save(self, folder):
        (folder / "model.json").write_text("{}")

    @classmethod
    def load(cls, folder):
        json.loads((folder / "model.json").read_text())
        return cls()
'''

CLAY = '''
from typing import ClassVar
from edaphos.engine.models.forest import ForestModel

class ClayForest(ForestModel):
    """A forest of clay."""

    target: ClassVar[tuple[str, str, str]] = ("clay", "clay_pct", "%")
'''


def edaphos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def with_model(country: Country, name: str, code: str, model: str) -> None:
    """Put a model's code beside the recipe and name it there."""
    (country.folder / f"{name}.py").write_text(code)
    start, rest = country.recipe.read_text().split("[model]")
    country.recipe.write_text(f"{start}[model]\n{model}\n[map]{rest.split('[map]')[1]}")


def without_profiles(country: Country) -> None:
    start, rest = country.recipe.read_text().split("[profiles]\n")
    country.recipe.write_text(f"{start}[model]{rest.split('[model]')[1]}")


@pytest.fixture
def process(tmp_path: Path, monkeypatch) -> Country:
    country = make_country(tmp_path / "country", resolution=0.25)
    monkeypatch.syspath_prepend(country.folder)
    with_model(country, "process", PROCESS, 'kind = "process:Process"')
    country.replace("small.toml", "depths = [[0, 5], [30, 60]]", "years = [1960, 2010, 2030]")
    without_profiles(country)
    return country


def test_a_process_model_maps_years_without_profiles(process: Country) -> None:
    out = process.folder / "run"
    planned = edaphos("plan", process.recipe, "--workers", 1, "--json")
    assert planned.exit_code == 0, planned.output
    found = json.loads(planned.stdout)
    assert found["cells"] == 1600
    assert found["bytes_written"] == 1600 * (6 * 2 * 3 + 1)
    made = edaphos("run", process.recipe, "--out", out, "--workers", 1, "--quiet")
    assert made.exit_code == 0, made.output
    ds = open_map(out)
    assert ds["year"].values.tolist() == [1960, 2010, 2030]
    assert ds.attrs["year"] == [1960, 2010, 2030]
    assert ds.attrs["summary"] == "Stock of a made-up process"
    assert ds.attrs["method"] == "a made-up process"
    assert "20 %" in ds.attrs["scenario"]
    assert ds["stock_bau_mean"].attrs["cell_methods"].endswith("depth: sum")
    assert all(s["role"] != "soil profiles" for s in json.loads(ds.attrs["sources"]))
    gain = (ds["stock_plus20_mean"] - ds["stock_bau_mean"]).isel(depth=0).mean(["y", "x"])
    np.testing.assert_allclose(gain.values, [0.0, 1.0, 1.4], atol=0.002)
    manifest = json.loads((out / "manifest.json").read_text())["provenance"]
    assert set(manifest["stage_seconds"]) == {"cube", "fit", "map"}
    counts = manifest["cells_by_status"]
    assert counts["frozen"] == int((ds["status"] == Status.FROZEN).sum()) > 0
    assert counts["paddy"] == int((ds["status"] == Status.PADDY).sum()) > 0
    assert sum(counts.values()) == 1600
    assert not (out / "profiles_qa.json").exists()
    assert not (out / "assessment").exists()


def test_profiles_are_neither_missing_nor_idle(process: Country) -> None:
    process.replace("process.py", "needs_samples = False", "needs_samples = True")
    process.replace("small.toml", "process:Process", "eager:Process")
    (process.folder / "process.py").rename(process.folder / "eager.py")
    out = process.folder / "run"
    missing = edaphos("run", process.recipe, "--out", out, "--quiet")
    assert missing.exit_code == 2
    assert "learns from soil profiles, and the recipe has none" in missing.stderr
    process.replace(
        "small.toml", "[model]", '[profiles]\n[[profiles.files]]\npath = "p.csv"\n[model]'
    )
    text = (process.folder / "eager.py").read_text()
    (process.folder / "idle.py").write_text(
        text.replace("needs_samples = True", "needs_samples = 0")
    )
    process.replace("small.toml", "eager:Process", "idle:Process")
    idle = edaphos("run", process.recipe, "--out", out, "--quiet")
    assert idle.exit_code == 2
    assert "leave [profiles] out of the recipe" in idle.stderr
    assert not out.exists()


@pytest.mark.parametrize("years", ["[2010, 1990]", "[1990, 1990]", "[]"])
def test_years_must_ascend(process: Country, years: str) -> None:
    process.replace("small.toml", "[1960, 2010, 2030]", years)
    result = edaphos("run", process.recipe, "--out", process.folder / "run", "--quiet")
    assert result.exit_code == 2
    assert "map.years" in result.stderr


def test_what_a_model_may_describe_is_checked(process: Country) -> None:
    text = (process.folder / "process.py").read_text().replace('"method"', '"methods"')
    (process.folder / "vain.py").write_text(text)
    process.replace("small.toml", "process:Process", "vain:Process")
    result = edaphos("run", process.recipe, "--out", process.folder / "run", "--quiet")
    assert result.exit_code == 2
    assert 'did you mean "method"?' in result.stderr


@pytest.mark.usefixtures("one_worker_here")
def test_a_forest_learns_clay_from_layers_with_and_without_carbon(tmp_path, monkeypatch) -> None:
    country = make_country(tmp_path / "country", resolution=0.25, assess=True)
    monkeypatch.syspath_prepend(country.folder)
    model = 'kind = "clayforest:ClayForest"\nsettings = { covariates = ["rain"], trees = 10 }'
    with_model(country, "clayforest", CLAY, model)
    table = profiles_table()
    table["clay_pct"] = np.clip((table["lat"] - 40) * 8 + 10, 0, 100).round(1)
    table.loc[table.index % 4 == 0, "soc_g_kg"] = np.nan
    table.loc[table.index % 9 == 0, "clay_pct"] = np.nan
    table.to_csv(country.folder / "profiles.csv", index=False)
    country.replace("small.toml", "report = false", "report = true")
    out = country.folder / "run"
    made = edaphos("run", country.recipe, "--out", out, "--workers", 1)
    assert made.exit_code == 0, made.output
    assert '40 have no "clay_pct"' in made.output + made.stderr
    counts = json.loads((out / "manifest.json").read_text())["provenance"]["samples"]
    assert (counts["rows"], counts["lacking_target"], counts["kept"]) == (360, 40, 320)
    qa = json.loads((out / "profiles_qa.json").read_text())
    missing = [line for line in qa["lines"] if line["rule"] == "soc_missing"]
    assert [(line["action"], line["rows"]) for line in missing] == [("flagged", 90)]
    assessed = Assessment.load(out / "assessment")
    assert assessed.settings["target"] == {"name": "clay", "units": "%"}
    assert assessed.table("block")["R2"].iloc[0] > 0.5
    ds = open_map(out)
    assert ds["clay_mean"].attrs["units"] == "%"
    assert ds.attrs["summary"].startswith("Clay content")
    known = pd.read_csv(country.folder / "profiles.csv")["clay_pct"].mean()
    assert abs(float(ds["clay_mean"].mean()) - known) < 3


@pytest.mark.usefixtures("one_worker_here")
def test_no_layer_has_the_target(tmp_path, monkeypatch) -> None:
    country = make_country(tmp_path / "country", resolution=0.25)
    monkeypatch.syspath_prepend(country.folder)
    (country.folder / "clayless.py").write_text(CLAY)
    model = 'kind = "clayless:ClayForest"\nsettings = { covariates = ["rain"], trees = 10 }'
    with_model(country, "clayless", CLAY, model)
    out = country.folder / "run"
    result = edaphos("run", country.recipe, "--out", out, "--workers", 1, "--quiet")
    assert result.exit_code == 2
    assert 'has a value of "clay_pct"' in result.stderr
