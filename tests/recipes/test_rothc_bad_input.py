"""RothC over a map refuses bad input before anything runs: exit code 2, one clear message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edaphos.recipes.cli import app

from ..engine.models.rothc_land import make_land
from .rothc_country import RothCLand, make_rothc_land

LAND = make_land().values


def edaphos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(land: RothCLand, *words: str) -> None:
    out = land.folder / "run"
    for command in (["run", "--out", out, "--workers", 1], ["plan", "--workers", 1]):
        result = edaphos(command[0], land.recipe, *command[1:], "--quiet")
        assert result.exit_code == 2, result.output
        assert isinstance(result.exception, SystemExit | None)
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.stderr
        for word in words:
            assert word in result.stderr, result.stderr
        assert not out.exists()


CUBES = {
    "kelvin": (
        {"temperature": LAND["temperature"] + 273.15},
        {},
        ("cube.zarr", '"temperature"', "median of", "kelvin", "offset = -273.15"),
    ),
    "kelvin, declared": (
        {"temperature": LAND["temperature"] + 273.15},
        {"temperature": "K"},
        ("cube.zarr", '"temperature"', '"K"', "offset = -273.15"),
    ),
    "tenths of degrees": (
        {"temperature": LAND["temperature"] * 10},
        {},
        ("cube.zarr", '"temperature"', "reaches", "scale = 0.1"),
    ),
    "rain a day": (
        {"rain": LAND["rain"] / 30},
        {"rain": "mm/day"},
        ("cube.zarr", '"rain"', '"mm/day"', "per_day = true"),
    ),
    "clay as a fraction": (
        {"clay": LAND["clay"] / 100},
        {},
        ("cube.zarr", '"clay"', "fraction", "scale = 100"),
    ),
    "clay in g/kg": (
        {"clay": LAND["clay"] * 10},
        {},
        ("cube.zarr", '"clay"', "g/kg", "scale = 0.1"),
    ),
    "stock units disagree": (
        {},
        {"stock": "kg m-2"},
        ("cube.zarr", '"stock"', "kg m-2", "model.stock.units", "t ha-1"),
    ),
    "eleven months": (
        {"rain": LAND["rain"][:11]},
        {},
        ("cube.zarr", '"rain" is yearly', "twelve months", 'time = "monthly"'),
    ),
    "no months": ({"temperature": LAND["temperature"][0]}, {}, ('"temperature" is static',)),
}


@pytest.mark.parametrize("name", CUBES)
def test_a_cube_of_something_else(name: str, tmp_path: Path) -> None:
    values, units, words = CUBES[name]
    refused(make_rothc_land(tmp_path, values, units), *words)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> RothCLand:
    npp = np.stack([LAND["clay"]] * 3)
    return make_rothc_land(tmp_path_factory.mktemp("sound"), {"npp": npp})


RECIPES = {
    "a variable that is not there": (
        'variable = "clay"',
        'variable = "caly"',
        ("cube.zarr", '"caly"', 'did you mean "clay"?'),
    ),
    "years before the start": (
        "years = [2000, 2010, 2040]",
        "years = [1990, 2010, 2040]",
        ("map.years begins with 1990", "2000", "model.stock.start"),
    ),
    "years after the start": (
        "years = [2000, 2010, 2040]",
        "years = [2010, 2040]",
        ("map.years begins with 2010", "2000"),
    ),
    "a warm-up without end": (
        "warm_up = 2010",
        "warm_up = 2050",
        ("model.warm_up 2050", "2040", "scenarios would never begin"),
    ),
    "a warm-up to the end": (
        "warm_up = 2010",
        "warm_up = 2040",
        ("model.warm_up 2040", "before the last of map.years, 2040", "never begin"),
    ),
    "odd members": (
        "[map]",
        "[model.ensemble]\nmembers = 7\n[map]",
        ("land.toml: model.ensemble.members", "multiple of 2", "found 7"),
    ),
    "an unknown legend": (
        "[map]",
        '[model.cover]\nlegend = "igpb"\n[map]',
        ("land.toml: model.cover.legend", "'igbp', 'ibis'", "found 'igpb'"),
    ),
    "no clay": ('[model.clay]\nvariable = "clay"\n', "", ("model.clay", "variable", "covariates")),
    "clay twice": (
        'variable = "clay"',
        'variable = "clay"\ncovariates = ["rain"]',
        ("model.clay", "either variable", "or covariates"),
    ),
    "a forest without profiles": (
        'variable = "clay"',
        'covariates = ["rain"]',
        ("learns from soil profiles", "[[profiles.files]]"),
    ),
    "an unknown key": (
        "warm_up = 2010",
        "warmup = 2010",
        ("land.toml: model.warmup: unknown key", 'did you mean "warm_up"?'),
    ),
    "an unknown key further down": (
        "start = 2000",
        "start = 2000\nunit = 't ha-1'",
        ("land.toml: model.stock.unit: unknown key", 'did you mean "units"?'),
    ),
    "a scenario in capitals": (
        "plus20 = 1.2",
        "Plus20 = 1.2",
        ("land.toml: model.scenarios.Plus20", "^[a-z][a-z0-9]*$"),
    ),
    "a scenario of 20 %": (
        "plus20 = 1.2",
        "plus20 = 20",
        ("land.toml: model.scenarios", "plus20", "0 to 10", "1.05"),
    ),
    "a scenario that is not what it is called": (
        "plus20 = 1.2",
        "plus20 = 1.02",
        ("land.toml: model.scenarios", '"plus20" is shown as an input times 1.2', "1.02"),
    ),
    "a pan where none evaporates": (
        "[map]",
        "[model.evaporation]\npan = true\n[map]",
        ("land.toml: model.evaporation", 'pan is for method = "given"'),
    ),
    "no scenario": (
        "bau = 1.0\nplus20 = 1.2",
        "",
        ("land.toml: model.scenarios", "at least 1 item"),
    ),
    "a driver without a variable": (
        "[map]",
        '[model.driver]\nkind = "variable"\n[map]',
        ("land.toml: model.driver", "give variable"),
    ),
    "a driver that is not yearly": (
        "[map]",
        '[model.driver]\nkind = "variable"\nvariable = "rain"\n[map]',
        ("cube.zarr", '"rain" is monthly', "each year", 'time = "yearly"'),
    ),
    "classes from amounts": (
        "[map]",
        "[model.domain.wetland]\nclay = [1]\n[map]",
        ("cube.zarr", '"clay" is an amount', 'kind = "class"'),
    ),
    "hargreaves without extremes": (
        "[map]",
        '[model.evaporation]\nmethod = "hargreaves"\n[map]',
        ("land.toml: model.evaporation", 'method = "hargreaves" needs minimum'),
    ),
    "two layers": (
        "depths = [[0, 30]]",
        "depths = [[0, 30], [30, 100]]",
        ("land.toml", "one layer", "[[0, 30]]"),
    ),
    "quantiles, of which it has its own": (
        "depths = [[0, 30]]",
        "depths = [[0, 30]]\nquantiles = [0.5]",
        ("land.toml", "leave map.quantiles out", "model.ensemble.members"),
    ),
    "no stock": (
        '[model.stock]\nvariable = "stock"\nstart = 2000\n',
        "",
        ("land.toml: model.stock: this key is required",),
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_cannot_be(name: str, sound: RothCLand, tmp_path: Path) -> None:
    old, new, words = RECIPES[name]
    land = RothCLand(tmp_path)
    land.recipe.write_text(sound.recipe.read_text())
    land.replace(old, new)
    refused(land, *words)
