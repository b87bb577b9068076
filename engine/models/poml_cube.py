"""What a hybrid map checks of its cube before anything runs: time axes, years, units, ranges."""

from __future__ import annotations

import numpy as np

from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid
from ..samples import feature_names
from .poml_settings import PomlSettings
from .rothc_cube import (
    DEGREES,
    MILLIMETRES,
    PERCENT,
    check_clay,
    check_rain,
    check_temperature,
    check_time,
    check_units,
    probes,
)
from .soil_domain import check_classes


def check_cube(told: PomlSettings, cube: Cube, grid: Grid) -> None:
    """Refuse variables that are not what the model takes: as declared, and by their range.

    Raises
    ------
    InputError
        Names the variable, what it seems to be, what is missing, and what to do.
    """
    _check_months(told, cube)
    cube.missing_bands(told.variables)
    for name in told.climate.monthly:
        check_time(cube, name, "monthly")
    for name in (told.clay, *((told.plants.cover.variable,) if told.plants.cover.variable else ())):
        check_time(cube, name, "static")
    for name in told.static:
        if cube.variable(name).time == "yearly":
            raise InputError(
                f'{cube.path}: covariate "{name}" is yearly and stands under model.static; put it '
                "under model.yearly"
            )
    for name in (*told.climate.yearly, *((told.driver.variable,) if told.driver.variable else ())):
        _check_years(told, cube, name)
    for name in told.yearly:
        if cube.variable(name).time != "yearly":
            raise InputError(
                f'{cube.path}: covariate "{name}" is {cube.variable(name).time} and stands under '
                "model.yearly; put it under model.static"
            )
    for name in told.domain.variables:
        check_time(cube, name, "static")
    cover = told.plants.cover.variable
    check_classes(cube, (*((cover,) if cover else ()), *told.domain.variables))
    _check_units(told, cube)
    _check_ranges(told, cube, grid)


def _check_months(told: PomlSettings, cube: Cube) -> None:
    """Refuse a changing climate of which months are not there."""
    for name in told.climate.names if told.climate.transient else ():
        absent = [m for m in feature_names(name, "monthly") if m not in cube.manifest.variables]
        if absent:
            raise InputError(
                f'{cube.path}: a changing climate needs "{name}" as twelve yearly variables, '
                f"{name}_01 to {name}_12, and the cube lacks {', '.join(absent)}: add them as "
                'layers with time = "yearly", or set model.climate.transient = false'
            )


def _check_years(told: PomlSettings, cube: Cube, name: str) -> None:
    """Refuse what drives the process if it is not there in every year of the span."""
    variable = cube.variable(name)
    if variable.time != "yearly":
        raise InputError(
            f'{cube.path}: "{name}" is {variable.time}, and drives the process from year to year; '
            'build it with time = "yearly", or name another variable'
        )
    held = set(variable.years or cube.manifest.stacks[variable.stack].years)
    absent = [year for year in told.span if year not in held]
    if absent:
        raise InputError(
            f'{cube.path}: "{name}" holds {min(held)} to {max(held)} and lacks '
            f"{', '.join(map(str, absent[:8]))}{' …' if len(absent) > 8 else ''}; the process runs "
            f"through every year from {told.span[0]} to {told.span[-1]}: add those years, or "
            "narrow model.first, model.last and map.years"
        )


def _check_units(told: PomlSettings, cube: Cube) -> None:
    weather = told.climate
    units = {
        weather.temperature: DEGREES,
        weather.rain: MILLIMETRES,
        weather.evapotranspiration: MILLIMETRES,
    }
    for name in weather.names:
        months = feature_names(name, "monthly") if weather.transient else ()
        beside = (name,) if name in weather.monthly else ()
        for variable in (*months, *beside):
            check_units(cube, variable, units[name])
    check_units(cube, told.clay, PERCENT)


def _check_ranges(told: PomlSettings, cube: Cube, grid: Grid) -> None:
    """Look at the values of some cells, those that change in the first year."""
    lon, lat = probes(grid)
    weather, year = told.climate, told.span[:1]
    months = {
        name: feature_names(name, "monthly") if weather.transient else (name,)
        for name in (weather.temperature, weather.rain)
    }
    wanted = [variable for variables in months.values() for variable in variables]
    values = cube.at(lon, lat, grid, [*wanted, told.clay], year)
    found = {
        name: np.concatenate([values[v].reshape(len(lon), -1) for v in variables], axis=1)
        for name, variables in months.items()
    }
    check_temperature(
        found[weather.temperature], lat, f'{cube.path}: "{months[weather.temperature][0]}"'
    )
    check_rain(found[weather.rain], f'{cube.path}: "{months[weather.rain][0]}"')
    check_clay(values[told.clay], f'{cube.path}: "{told.clay}"')
