"""From a tile's covariates to cells that RothC can run, and a reason for each that it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from edaphos.kernels.evapotranspiration import hargreaves
from edaphos.kernels.sun import day_length_by_month

from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid, Window
from ..status import Status
from .protocol import TileInputs
from .rothc_cover import vegetation
from .rothc_phases import Cells
from .rothc_settings import RothCSettings

#: Plausible monthly means, °C, and monthly totals, mm.
TEMPERATURES = (-75.0, 50.0)
MOST_RAIN = 4000.0
#: Points at which a cube's values are looked at before a run.
PROBES = 2000


@dataclass(frozen=True)
class Gathered:
    """Cells of a chunk that can run, where they lie in the tile, and every cell's status code."""

    cells: Cells
    at: NDArray[np.intp]
    status: NDArray[np.uint8]


def gather(
    told: RothCSettings,
    inputs: TileInputs,
    chunk: NDArray[np.intp],
    clay: NDArray[np.float32],
    clay_sd: NDArray[np.float32],
) -> Gathered:
    """Take the cells `chunk` (flat positions) out of a tile; leave out those RothC cannot run.

    The first reason that holds is the one told: missing or impossible climate, stock, clay; then
    soils outside RothC's domain: organic, mangrove, wetland, frozen; classes that carry no soil, or
    no usable driver. Whether an input holds the stock is seen when it runs.
    """

    def take(values: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(values.reshape(*values.shape[:-2], -1)[..., chunk])

    values = inputs.values
    temperature, rain = take(values[told.temperature]), take(values[told.rain])
    stock = take(values[told.stock.variable]).astype(float) * told.stock.factor
    soil_clay = take(clay).astype(float)
    covered, ratio = vegetation(told.cover, take(values[told.cover.variable]), temperature)
    status = np.zeros(len(chunk), np.uint8)

    def mark(where: NDArray[np.bool_], code: Status) -> None:
        status[where & (status == 0)] = code

    given = _evapotranspiration(told, inputs, chunk)
    mark(_bad_climate(temperature, rain, given), Status.INVALID_CLIMATE)
    mark(np.asarray(~(stock > 0)), Status.INVALID_STOCK)
    mark(np.asarray(~((soil_clay >= 0) & (soil_clay <= 100))), Status.INVALID_CLAY)
    mark(stock > told.domain.organic_above, Status.ORGANIC_OUTSIDE)
    mark(_in_classes(told.domain.mangrove, values, chunk), Status.MANGROVE)
    drained = _in_classes(told.domain.drained, values, chunk)
    mark(_in_classes(told.domain.wetland, values, chunk) & ~drained, Status.WETLAND)
    mark(np.asarray(temperature.mean(axis=0) < told.domain.frozen_below), Status.FROZEN)
    mark(np.isnan(ratio), Status.INVALID_INPUT)
    driver = _driver(told, inputs, chunk)
    if driver is not None:
        mark(np.asarray(np.isnan(driver).any(axis=0)), Status.INVALID_INPUT)
    runs = np.flatnonzero(status == 0)
    cells = Cells(
        temperature=temperature[:, runs],
        rain=rain[:, runs],
        evapotranspiration=None if given is None else given[:, runs],
        day_length=_day_lengths(inputs.window, chunk[runs]),
        cover=covered[:, runs],
        dpm_rpm=ratio[runs].astype(float),
        clay=soil_clay[runs],
        clay_sd=take(clay_sd)[runs].astype(float),
        stock=stock[runs],
        driver=None if driver is None else driver[:, runs],
    )
    mark(_in_classes(told.domain.paddy, values, chunk), Status.PADDY)
    return Gathered(cells, chunk[runs], status)


def _bad_climate(
    temperature: NDArray[Any], rain: NDArray[Any], given: NDArray[Any] | None
) -> NDArray[np.bool_]:
    low, high = TEMPERATURES
    fine = ((temperature >= low) & (temperature <= high)).all(axis=0)
    fine &= ((rain >= 0) & (rain <= MOST_RAIN)).all(axis=0)
    if given is not None:
        fine &= (given >= 0).all(axis=0)
    return np.asarray(~fine)


def _evapotranspiration(
    told: RothCSettings, inputs: TileInputs, chunk: NDArray[np.intp]
) -> NDArray[Any] | None:
    """Return evaporation from the cube, ``(12, n)`` mm, None where Thornthwaite reckons it."""
    how = told.evaporation
    if how.method == "thornthwaite":
        return None
    read = [inputs.values[name].reshape(12, -1)[:, chunk] for name in how.variables]
    if how.method == "given":
        return np.ascontiguousarray(read[0])
    latitude = latitudes(inputs.window).reshape(-1)[chunk]
    return np.asarray(hargreaves(read[0], read[1], latitude))


def _in_classes(
    wanted: Mapping[str, tuple[int, ...]],
    values: Mapping[str, NDArray[np.float32]],
    chunk: NDArray[np.intp],
) -> NDArray[np.bool_]:
    found = np.zeros(len(chunk), bool)
    for name, classes in wanted.items():
        found |= np.isin(values[name].reshape(-1)[chunk], classes)
    return found


def _driver(
    told: RothCSettings, inputs: TileInputs, chunk: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    """Return a yearly driver over its value in the start year, ``(run years, n)``.

    NaN where it is missing or not positive in the start year.
    """
    if told.driver.kind != "variable":
        return None
    values = inputs.values[told.driver.variable]
    values = values.reshape(len(values), -1)[:, chunk].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values[0] > 0, values[1:] / values[0], np.nan)


def latitudes(window: Window) -> NDArray[np.float64]:
    """Return the latitude of each cell's centre, degrees, ``(y, x)``."""
    if window.grid.is_geographic:
        return np.broadcast_to(window.y[:, None], window.shape).copy()
    x, y = np.meshgrid(window.x, window.y)
    to_degrees = Transformer.from_crs(window.grid.crs, "EPSG:4326", always_xy=True)
    return np.asarray(to_degrees.transform(x, y)[1])


def _day_lengths(window: Window, cells: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return hours of daylight in each month, ``(12, n)``, at flat positions of a window."""
    if window.grid.is_geographic:
        by_row = day_length_by_month(window.y.astype(np.float32))
        return np.ascontiguousarray(by_row[:, cells // window.width])
    latitude = latitudes(window).reshape(-1)[cells]
    return np.asarray(day_length_by_month(latitude.astype(np.float32)))


# -- before a run ----------------------------------------------------------------------------------


def check_cube(told: RothCSettings, cube: Cube, grid: Grid) -> None:
    """Refuse variables in other units than the model takes: as declared, and by their range.

    Raises
    ------
    InputError
        Names the variable, its file, what it seems to be, and what to do.
    """
    _check_units(cube, told.temperature, ("degC", "celsius", "°C"))
    _check_units(cube, told.rain, ("mm", "mm month-1", "mm/month"))
    _check_units(cube, told.stock.variable, ("t ha-1", "Mg ha-1", "t/ha", "kg m-2", "kg/m2"))
    declared = cube.variable(told.stock.variable).units
    if (declared in ("kg m-2", "kg/m2")) != (told.stock.units == "kg m-2"):
        raise InputError(
            f'{cube.path}: "{told.stock.variable}" is in {declared}, and model.stock.units says '
            f"{told.stock.units}; make them agree"
        )
    for name in (told.temperature, told.rain, *told.evaporation.variables):
        if cube.variable(name).time != "monthly":
            raise InputError(
                f'{cube.path}: "{name}" is {cube.variable(name).time}, and RothC needs twelve '
                'months of it; build it with time = "monthly"'
            )
    if told.driver.kind == "variable" and cube.variable(told.driver.variable).time != "yearly":
        raise InputError(
            f'{cube.path}: the driver "{told.driver.variable}" must be yearly, and is '
            f"{cube.variable(told.driver.variable).time}"
        )
    _check_ranges(told, cube, grid)


def _check_units(cube: Cube, name: str, known: tuple[str, ...]) -> None:
    variable = cube.variable(name)
    if variable.units not in known:
        raise InputError(
            f'{cube.path}: "{name}" ({variable.source or "no source stated"}) is declared in '
            f'"{variable.units}", RothC takes {known[0]}; convert it by scale and offset in the '
            "cube's TOML"
        )


def _check_ranges(told: RothCSettings, cube: Cube, grid: Grid) -> None:
    """Look at the values of some cells: kelvin, tenths of degrees and fractions have given away."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, grid.shape[0], PROBES)
    cols = rng.integers(0, grid.shape[1], PROBES)
    x, y = grid.x_of(cols), grid.y_of(rows)
    if not grid.is_geographic:
        to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        x, y = to_degrees.transform(x, y)
    names = [told.temperature, told.rain, *([told.clay.variable] if told.clay.variable else [])]
    values = cube.at(x, y, grid, names)
    found = {name: v[np.isfinite(v)] for name, v in values.items()}
    temperature, rain = found[told.temperature], found[told.rain]
    where = f'{cube.path}: "{told.temperature}"'
    if temperature.size and np.median(temperature) > 150:
        raise InputError(
            f"{where} has a median of {np.median(temperature):.0f}, so it is in kelvin; give it "
            "offset = -273.15 in the cube's TOML"
        )
    if temperature.size and np.abs(temperature).max() > TEMPERATURES[1] * 1.5:
        raise InputError(
            f"{where} reaches {np.abs(temperature).max():.0f}, so it is in tenths of a degree; "
            "give it scale = 0.1 in the cube's TOML"
        )
    if rain.size and (rain < 0).mean() > 0.01:
        raise InputError(
            f'{cube.path}: "{told.rain}" is negative in {100 * (rain < 0).mean():.0f} % of the '
            "cells looked at; declare its nodata value, or valid_min = 0"
        )
    if told.clay.variable and (clay := found[told.clay.variable]).size:
        if clay.max() <= 1:
            raise InputError(
                f'{cube.path}: "{told.clay.variable}" never exceeds 1, so it is a fraction; give '
                "it scale = 100 in the cube's TOML"
            )
        if np.median(clay) > 100:
            raise InputError(
                f'{cube.path}: "{told.clay.variable}" has a median of {np.median(clay):.0f}, so it '
                "is in g/kg; give it scale = 0.1 in the cube's TOML"
            )
