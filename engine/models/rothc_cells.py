"""From a tile's covariates to cells that RothC can run, and a reason for each that it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from edaphos.kernels.evapotranspiration import hargreaves
from edaphos.kernels.sun import day_length_by_month

from ..grid import Window
from ..status import Status
from .protocol import TileInputs
from .rothc_cover import vegetation
from .rothc_phases import Cells
from .rothc_settings import RothCSettings
from .soil_domain import in_classes, outside

#: Plausible monthly means, °C, and monthly totals, mm.
TEMPERATURES = (-75.0, 50.0)
MOST_RAIN = 4000.0


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
    classes = {name: take(values[name]) for name in told.domain.variables}
    beyond = outside(told.domain, classes, temperature.mean(axis=0), stock)
    status[status == 0] = beyond[status == 0]
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
        dpm_rpm=ratio[runs],
        clay=soil_clay[runs],
        clay_sd=take(clay_sd)[runs].astype(float),
        stock=stock[runs],
        driver=None if driver is None else driver[:, runs],
    )
    mark(in_classes(told.domain.paddy, classes, len(chunk)), Status.PADDY)
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


def _driver(
    told: RothCSettings, inputs: TileInputs, chunk: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    """Return a yearly driver over its value in the start year, ``(run years, n)``.

    NaN where it is missing or negative, or not positive in the start year.
    """
    if told.driver.kind != "variable":
        return None
    values = inputs.values[told.driver.variable]
    values = values.reshape(len(values), -1)[:, chunk].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((values[0] > 0) & (values[1:] >= 0), values[1:] / values[0], np.nan)


def latitudes(window: Window) -> NDArray[np.float64]:
    """Return the latitude of each cell's centre, degrees, ``(y, x)``."""
    if window.grid.is_geographic:
        return np.broadcast_to(window.y[:, None], window.shape).copy()
    x, y = np.meshgrid(window.x, window.y)
    to_degrees = Transformer.from_crs(window.grid.crs, "EPSG:4326", always_xy=True)
    return np.asarray(to_degrees.transform(x, y)[1])


@lru_cache(maxsize=8)
def _hours_of(rows: bytes) -> NDArray[np.float32]:
    """Return hours of daylight, ``(12, rows)``, of float32 latitudes: once for each tile."""
    return np.asarray(day_length_by_month(np.frombuffer(rows, np.float32)))


def _day_lengths(window: Window, cells: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return hours of daylight in each month, ``(12, n)``, at flat positions of a window."""
    if window.grid.is_geographic:
        by_row = _hours_of(window.y.astype(np.float32).tobytes())
        return np.ascontiguousarray(by_row[:, cells // window.width])
    latitude = latitudes(window).reshape(-1)[cells]
    return np.asarray(day_length_by_month(latitude.astype(np.float32)))
