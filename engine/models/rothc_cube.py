"""What a RothC map checks of its cube before anything runs: kinds, time axes, units, ranges."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid
from .rothc_cells import TEMPERATURES
from .rothc_settings import RothCSettings
from .soil_domain import check_classes

#: Points at which values are looked at.
PROBES = 2000

DEGREES = ("degC", "celsius", "°C")
MILLIMETRES = ("mm", "mm month-1", "mm/month")
PER_AREA = ("kg m-2", "kg/m2")
STOCKS = ("t ha-1", "Mg ha-1", "t/ha", *PER_AREA)
PERCENT = ("%", "percent")
#: What to write into the cube's TOML for variables in these units.
_REMEDIES: Mapping[str, str] = {
    **dict.fromkeys(("K", "kelvin", "Kelvin", "degK"), "offset = -273.15"),
    **dict.fromkeys(("0.1 degC", "degC*10", "°C x 10"), "scale = 0.1"),
    **dict.fromkeys(("mm/day", "mm day-1", "mm d-1", "mm/d"), "per_day = true"),
    **dict.fromkeys(("g kg-1", "g/kg"), "scale = 0.1"),
    **dict.fromkeys(("kg kg-1", "kg/kg", "g g-1", "fraction"), "scale = 100"),
}


def check_cube(told: RothCSettings, cube: Cube, grid: Grid) -> None:
    """Refuse variables that are not what the model takes: as declared, and by their range.

    Raises
    ------
    InputError
        Names the variable, its source, what it seems to be, and what to do.
    """
    _check_shapes(told, cube)
    check_units(cube, told.temperature, DEGREES)
    check_units(cube, told.rain, MILLIMETRES)
    check_units(cube, told.stock.variable, STOCKS)
    if told.clay.variable:
        check_units(cube, told.clay.variable, PERCENT)
    for name in told.evaporation.variables:
        check_units(cube, name, MILLIMETRES if told.evaporation.method == "given" else DEGREES)
    declared = cube.variable(told.stock.variable).units
    if (declared in PER_AREA) != (told.stock.units == "kg m-2"):
        raise InputError(
            f'{cube.path}: "{told.stock.variable}" is in {declared}, and model.stock.units says '
            f"{told.stock.units}; make them agree"
        )
    _check_ranges(told, cube, grid)


def _check_shapes(told: RothCSettings, cube: Cube) -> None:
    """Refuse wrong time axes, and amounts where classes are meant."""
    for name in (told.temperature, told.rain, *told.evaporation.variables):
        check_time(cube, name, "monthly")
    if told.driver.kind == "variable":
        check_time(cube, told.driver.variable, "yearly")
    for name in (told.stock.variable, *((told.clay.variable,) if told.clay.variable else ())):
        check_time(cube, name, "static")
    for name in (told.cover.variable, *told.domain.variables):
        check_time(cube, name, "static")
    check_classes(cube, (told.cover.variable, *told.domain.variables))


def check_time(cube: Cube, name: str, time: str) -> None:
    """Refuse a variable with another time axis."""
    found = cube.variable(name).time
    if found != time:
        needed = {"monthly": "twelve months", "yearly": "each year", "static": "one value"}[time]
        raise InputError(
            f'{cube.path}: "{name}" is {found}, and RothC needs {needed} of it; name another '
            f'variable, or build it with time = "{time}"'
        )


def check_units(cube: Cube, name: str, known: tuple[str, ...]) -> None:
    """Refuse a variable in other units than `known`, or in none."""
    variable = cube.variable(name)
    if variable.units in known:
        return
    place = f'{cube.path}: "{name}" ({variable.source or "no source stated"})'
    if variable.units in ("", "1"):
        raise InputError(
            f"{place} has no units declared; RothC takes {known[0]}: declare units, and scale and "
            "offset where the file has others, in the cube's TOML"
        )
    remedy = _REMEDIES.get(variable.units, "scale and offset")
    raise InputError(
        f'{place} is declared in "{variable.units}", RothC takes {known[0]}; convert it by '
        f"{remedy} in the cube's TOML, and declare the new units there"
    )


def _check_ranges(told: RothCSettings, cube: Cube, grid: Grid) -> None:
    """Look at the values of some cells: kelvin, tenths of degrees and fractions give away."""
    x, y = probes(grid)
    names = [told.temperature, told.rain, *([told.clay.variable] if told.clay.variable else [])]
    values = cube.at(x, y, grid, names)
    check_temperature(values[told.temperature], y, f'{cube.path}: "{told.temperature}"')
    check_rain(values[told.rain], f'{cube.path}: "{told.rain}"')
    if told.clay.variable:
        check_clay(values[told.clay.variable], f'{cube.path}: "{told.clay.variable}"')


def probes(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude of some cells of a grid, ``(PROBES,)`` each."""
    rng = np.random.default_rng(0)
    x = grid.x_of(rng.integers(0, grid.shape[1], PROBES))
    y = grid.y_of(rng.integers(0, grid.shape[0], PROBES))
    if not grid.is_geographic:
        to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        x, y = to_degrees.transform(x, y)
    return x, y


def check_temperature(t: NDArray[np.float32], latitude: NDArray[np.float64], where: str) -> None:
    """Tell kelvin from tenths of degrees, 100-330 both, by which is nearer to its latitude's."""
    held = np.isfinite(t).all(axis=1)
    if not held.any() or np.abs(t[held]).max() <= TEMPERATURES[1] * 1.5:
        return
    found = t[held].mean(axis=1)
    usual = 27 - 45 * np.sin(np.radians(latitude[held])) ** 2
    kelvin = np.median(np.abs(found - 273.15 - usual)) < np.median(np.abs(found / 10 - usual))
    if kelvin:
        raise InputError(
            f"{where} has a median of {np.median(t[held]):.0f}, so it is in kelvin; give it "
            "offset = -273.15 in the cube's TOML"
        )
    raise InputError(
        f"{where} reaches {np.abs(t[held]).max():.0f}, so it is in tenths of a degree; "
        "give it scale = 0.1 in the cube's TOML"
    )


def check_rain(rain: NDArray[np.float32], where: str) -> None:
    """Refuse rain that is negative in many cells."""
    rain = rain[np.isfinite(rain)]
    if rain.size and (rain < 0).mean() > 0.01:
        raise InputError(
            f"{where} is negative in {100 * (rain < 0).mean():.0f} % of the cells looked at; "
            "declare its nodata value, or valid_min = 0"
        )


def check_clay(clay: NDArray[np.float32], where: str) -> None:
    """Refuse clay as a fraction, or in g/kg."""
    clay = clay[np.isfinite(clay)]
    if clay.size and clay.max() <= 1:
        raise InputError(
            f"{where} never exceeds {clay.max():.2f}, so it is a fraction; give it scale = 100 in "
            "the cube's TOML"
        )
    if clay.size and (clay > 100).mean() > 0.01:
        raise InputError(
            f"{where} exceeds 100 % in {100 * (clay > 100).mean():.0f} % of the cells looked at, "
            "so it is in g/kg; give it scale = 0.1 in the cube's TOML"
        )
