"""What is checked of a cube before RothC runs over it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.models.rothc import RothCModel

from .rothc_land import GRID, make_land, make_model, write_land


def refused(model: RothCModel, cube: Cube, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        model.check_cube(cube, GRID)
    message = str(caught.value)
    assert str(cube.path) in message
    for word in words:
        assert word in message, message


def test_a_sound_cube_is_taken(tmp_path: Path) -> None:
    make_model().check_cube(write_land(tmp_path / "c"), GRID)
    kg = write_land(tmp_path / "kg", units={"stock": "kg m-2"})
    make_model({"stock": {"units": "kg m-2"}}).check_cube(kg, GRID)


T, RAIN, CLAY = (make_land().values[name] for name in ("temperature", "rain", "clay"))

#: Values as found, units as declared, and what the error says.
BAD = {
    "kelvin": ({"temperature": T + 273.15}, {}, ("temperature", "kelvin", "offset = -273.15")),
    "kelvin, declared": (
        {"temperature": T + 273.15},
        {"temperature": "K"},
        ('"temperature"', 'declared in "K"', "takes degC", "offset = -273.15"),
    ),
    "tenths of degrees": ({"temperature": T * 10}, {}, ("tenths of a degree", "scale = 0.1")),
    "tenths of degrees in the tropics": (
        {"temperature": 260 + T % 3},
        {},
        ("tenths of a degree", "scale = 0.1"),
    ),
    "rain in mm a day": (
        {"rain": RAIN / 30},
        {"rain": "mm/day"},
        ('"rain"', 'declared in "mm/day"', "per_day = true"),
    ),
    "rain in metres": ({}, {"rain": "m"}, ('"rain"', '"m"', "scale and offset")),
    "rain with its nodata": (
        {"rain": np.where(T > 20, -9999, RAIN)},
        {},
        ('"rain"', "negative", "nodata", "valid_min = 0"),
    ),
    "clay as a fraction": ({"clay": CLAY / 100}, {}, ('"clay"', "fraction", "scale = 100")),
    "clay in g/kg": ({"clay": CLAY * 10}, {}, ('"clay"', "g/kg", "scale = 0.1")),
    "clay in g/kg of a sandy land": (
        {"clay": np.where(CLAY > 55, CLAY * 10, CLAY)},
        {},
        ('"clay"', "g/kg"),
    ),
    "clay in g/kg, declared": ({}, {"clay": "g/kg"}, ('"clay"', "takes %", "scale = 0.1")),
    "clay without units": ({}, {"clay": "1"}, ('"clay"', "no units declared", "takes %")),
    "stock in kg/m2": ({}, {"stock": "kg m-2"}, ('"stock"', "kg m-2", "stock.units", "agree")),
    "a stock of content": ({}, {"stock": "g/kg"}, ('"stock"', "g/kg", "takes t ha-1")),
    "temperature without months": (
        {"temperature": T[0]},
        {},
        ('"temperature" is static', "twelve months", 'time = "monthly"'),
    ),
    "rain by the year": ({"rain": RAIN[:5]}, {}, ('"rain" is yearly', "twelve months")),
    "clay by the month": (
        {"clay": np.stack([CLAY] * 12)},
        {},
        ('"clay" is monthly', 'time = "static"'),
    ),
    "a stock of many years": ({"stock": np.stack([CLAY] * 3)}, {}, ('"stock" is yearly',)),
}


@pytest.mark.parametrize("name", BAD)
def test_variables_that_are_something_else(name: str, tmp_path: Path) -> None:
    values, units, words = BAD[name]
    refused(make_model(), write_land(tmp_path / "c", values, units), *words)


def test_kelvin_is_told_in_every_climate(tmp_path: Path) -> None:
    for name, celsius in (("hot", T * 0 + 26), ("cold", T - 20)):
        cube = write_land(tmp_path / name, {"temperature": celsius + 273.15})
        refused(make_model(), cube, "kelvin")


def test_stock_units_of_the_recipe_and_the_cube_disagree(tmp_path: Path) -> None:
    refused(
        make_model({"stock": {"units": "kg m-2"}}), write_land(tmp_path / "c"), "t ha-1", "kg m-2"
    )


def test_a_driver_is_yearly(tmp_path: Path) -> None:
    model = make_model({"driver": {"kind": "variable", "variable": "npp"}})
    refused(model, write_land(tmp_path / "s", {"npp": CLAY}), '"npp" is static', "each year")
    model.check_cube(write_land(tmp_path / "y", {"npp": np.stack([CLAY] * 3)}), GRID)


def test_classes_are_classes(tmp_path: Path) -> None:
    cover = write_land(tmp_path / "c", kinds={"landcover": "amount"})
    refused(make_model(), cover, '"landcover" is an amount', 'kind = "class"')
    wet = make_model({"domain": {"wetland": {"clay": (1,)}}})
    refused(wet, write_land(tmp_path / "w"), '"clay" is an amount')


def test_evaporation_is_monthly_and_in_its_units(tmp_path: Path) -> None:
    given = make_model({"evaporation": {"method": "given", "variable": "pet"}})
    refused(given, write_land(tmp_path / "s", {"pet": CLAY}), '"pet" is static')
    refused(given, write_land(tmp_path / "d", {"pet": RAIN}, {"pet": "mm/day"}), "per_day = true")
    given.check_cube(write_land(tmp_path / "g", {"pet": RAIN}, {"pet": "mm"}), GRID)
    how = {"method": "hargreaves", "minimum": "low", "maximum": "high"}
    both = {"low": T - 5, "high": T + 5}
    kelvin = write_land(tmp_path / "k", both, {"low": "degC", "high": "K"})
    refused(make_model({"evaporation": how}), kelvin, '"high"', "takes degC")


def test_clay_of_a_forest_is_not_looked_for(tmp_path: Path) -> None:
    values = make_land().values
    del values["clay"]
    model = make_model({"clay": {"covariates": ("rain",)}})
    cube = write_land(tmp_path / "c", {"clay": CLAY / 100})
    model.check_cube(cube, GRID)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"years": (1990, 2020)},
            "map.years begins with 1990; let it begin with .* 2000 .model.stock.start",
        ),
        ({"years": (2010, 2020)}, "map.years begins with 2010"),
        ({"warm_up": 1999}, "model.warm_up 1999 lies before model.stock.start 2000"),
        ({"warm_up": 2041}, "model.warm_up 2041 does not end before the last of map.years, 2040"),
        ({"ensemble": {"members": 7}}, "members must be even .*, found 7"),
        ({"clay": {}}, "model.clay: give either variable .* or covariates"),
        ({"clay": {"variable": "clay", "covariates": ("rain",)}}, "model.clay: give either"),
        (
            {
                "change": {"temperature_per_decade": 0.1},
                "evaporation": {"method": "given", "variable": "pet"},
            },
            "model.change needs evaporation.method = thornthwaite",
        ),
    ],
)
def test_settings_that_contradict_each_other(changes: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        make_model(changes)
    assert re.search(words, str(caught.value))
