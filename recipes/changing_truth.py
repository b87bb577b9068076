"""The truth of the virtual region: stocks of every year, surveys of them, and a map's errors.

Stocks follow RothC, but not as the recipe knows it: rates follow the microbial biomass relative to
the start, with a parameter of their own; the carbon input follows fertiliser only in part, and a
drift that no file holds; the stock of the first year has a hidden field and noise of the place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.hybrid.rothc_process import RothCProcess
from edaphos.engine.hybrid.site_years import SiteYears
from edaphos.engine.models.poml_settings import PomlSettings
from edaphos.engine.models.poml_sites import Places, of_cells, site_years
from edaphos.engine.status import Status
from edaphos.kernels.metrics import metrics

from .changing_world import ChangingWorld, Floats
from .virtual_fields import nugget

#: The truth's process: rates relative to those of the start.
PROCESS = RothCProcess(mu_max=1.0, km=1.5, mu_anchor="start", calibrates=False)
#: Share of fertiliser's change that the input follows, and sd of its hidden drift a year.
RESPONSE, DRIFT = 0.7, 0.006
#: Relative sd of a stock's hidden field, of its place, and of a measurement.
HIDDEN, PLACE, MEASURED = 0.12, 0.06, 0.05
#: kg/m² to g/kg for g/cm³ and cm.
G_KG = 100.0


@dataclass(frozen=True)
class Survey:
    """How the region is surveyed.

    Parameters
    ----------
    revisited, once
        Sites sampled in both years, and in each year alone.
    dates
        The two years.
    """

    revisited: int = 240
    once: int = 80
    dates: tuple[int, int] = (1980, 2000)


def true_stocks(world: ChangingWorld, data: SiteYears) -> Floats:
    """Return the stock at the end of each year, ``(S, Y)`` kg/m², of places without their noise.

    Parameters
    ----------
    world
        Whose hidden fields count.
    data
        Covariates and drivers of the places.
    """
    drivers = data.drivers
    temperature = drivers.climate.temperature.mean(axis=0)
    rain = drivers.climate.rain.sum(axis=0) / len(data.years)
    hidden = world.field("stock", 250, data.lon, data.lat)
    level = np.log(3.4) + 0.022 * (drivers.clay - 24) - 0.03 * (temperature - 15)
    start = np.exp(level + 0.0002 * (rain - 1100) + HIDDEN * hidden)
    given = np.asarray(drivers.input_driver, float)
    drift = (
        DRIFT * world.field("drift", 350, data.lon, data.lat) * np.arange(len(data.years))[:, None]
    )
    entering = np.maximum(1 + RESPONSE * (given / given[0] - 1) + drift, 0.1)
    begun = np.zeros(len(start), np.int64)
    return PROCESS.simulate(replace(drivers, input_driver=entering), begun, start)


def cells_of(
    told: PomlSettings, cube: Cube, grid: Grid, row: NDArray[np.int64], col: NDArray[np.int64],
    lon: Floats, lat: Floats,
) -> SiteYears:  # fmt: skip
    """Return covariates and drivers of places in cells of a grid."""
    x, y = grid.x_of(col), grid.y_of(row)
    values = cube.at(x, y, grid, told.variables, told.span)
    last = {name: np.moveaxis(array, 0, -1) for name, array in values.items()}
    data, _ = site_years(told, last, Places(lon, lat, y))
    return data


def survey_table(
    world: ChangingWorld, told: PomlSettings, cube: Cube, grid: Grid, survey: Survey, seed: int
) -> pd.DataFrame:
    """Return the layers of a survey, two for each site and date."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    soil = np.flatnonzero(cube.status(grid.whole) == Status.SOIL)
    count = survey.revisited + 2 * survey.once
    row, col = np.divmod(rng.choice(soil, count), grid.shape[1])
    dx, dy = grid.resolution
    lon = (grid.x_of(col) + dx * rng.uniform(-0.45, 0.45, count)).round(5)
    lat = (grid.y_of(row) + abs(dy) * rng.uniform(-0.45, 0.45, count)).round(5)
    stock = true_stocks(world, cells_of(told, cube, grid, row, col, lon, lat))
    stock = stock * np.exp(PLACE * nugget("place", lon, lat, seed))[:, None]
    density = rng.normal(1.3, 0.08, count).clip(0.9, 1.6).round(3)
    coarse = rng.beta(1.2, 12, count).round(3)
    which = np.arange(count)
    first = which < survey.revisited + survey.once
    second = (which < survey.revisited) | ~first
    depth, half = told.depth_cm, told.depth_cm / 2
    tables = []
    for date, sampled in zip(survey.dates, (first, second), strict=True):
        measured = stock[:, date - told.span[0]] * np.exp(MEASURED * rng.standard_normal(count))
        content = measured * G_KG / (density * (1 - coarse) * depth)
        for top, share in ((0.0, 1.15), (half, 0.85)):
            layer = {
                "profile_id": [f"v{i:04d}" for i in which],
                "lon": lon,
                "lat": lat,
                "year": date,
                "top_cm": top,
                "bottom_cm": top + half,
                "soc_g_kg": (content * share).round(3),
                "bulk_density_g_cm3": density,
                "coarse_fraction": coarse,
            }
            tables.append(pd.DataFrame(layer)[sampled])
    return pd.concat(tables, ignore_index=True)


def true_map(world: ChangingWorld, told: PomlSettings, cube: Cube, grid: Grid) -> Floats:
    """Return the true stock of every cell in every year of the span, ``(Y, y, x)``, NaN at sea."""
    window = grid.whole
    values = cube.read(window, told.variables, told.span)
    found = np.full((len(told.span), window.height * window.width), np.nan)
    cells = np.flatnonzero(cube.status(window) == Status.SOIL)
    lon, lat = (a.reshape(-1) for a in np.meshgrid(window.x, window.y))
    for first in range(0, len(cells), 4096):
        here = cells[first : first + 4096]
        places = Places(lon[here], lat[here], lat[here])
        data, _ = site_years(told, of_cells(values, here), places)
        found[:, here] = true_stocks(world, data).T
    return found.reshape(len(told.span), *window.shape)


#: Columns of a table of errors.
COLUMNS = (
    "arm", "year", "n", "RMSE", "CCC", "ME", "change_RMSE", "trend_RMSE", "inside", "change_inside",
)  # fmt: skip


def judge(mapped: xr.Dataset, truth: Floats, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return the errors of each mean of a map over all cells, by year.

    Parameters
    ----------
    mapped
        A map of one depth.
    truth
        ``(Y, y, x)`` kg/m² in the map's years.
    labels
        What variables are called.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`: ``year`` is a year or ``all``; ``change_RMSE`` is of each cell's change
        since the first year; ``trend_RMSE``, of ``all``, of the region's mean by year; ``inside``
        and ``change_inside`` are the shares of true stocks and changes inside the 90 % interval,
        where there is one.
    """
    years = [int(year) for year in mapped["year"].values]
    found = []
    for name, label in labels.items():
        stock = mapped[name].values[0].astype(float)
        held = np.isfinite(stock).all(axis=0) & np.isfinite(truth).all(axis=0)
        ours, theirs = stock[:, held], truth[:, held]
        since = theirs - theirs[0]
        change = ours - ours[0] - since
        trend = ours.mean(axis=1) - theirs.mean(axis=1)
        inside = _inside(mapped, name, theirs, held)
        changed = _inside(mapped, name.replace("stock", "change"), since, held)
        for i, year in enumerate(years):
            shares = inside[i], changed[i] if i else np.nan
            scores = _scores(theirs[i], ours[i])
            found.append((label, str(year), *scores, _size(change[i]), np.nan, *shares))
        scores = _scores(theirs.ravel(), ours.ravel())
        shares = float(inside.mean()), float(changed[1:].mean()) if len(years) > 1 else np.nan
        found.append((label, "all", *scores, _size(change[1:]), _size(trend), *shares))
    return pd.DataFrame(found, columns=list(COLUMNS))


def _size(errors: Floats) -> float:
    return float(np.sqrt((errors**2).mean())) if errors.size else np.nan


def _inside(
    mapped: xr.Dataset, mean: str, truth: Floats, held: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the share of the truth inside the interval, by year; NaN where there is none."""
    low, high = (mean.replace("mean", quantile) for quantile in ("q05", "q95"))
    if low not in mapped:
        return np.full(len(truth), np.nan)
    within = (mapped[low].values[0][:, held] <= truth) & (truth <= mapped[high].values[0][:, held])
    return np.asarray(within.mean(axis=1))


def _scores(truth: Floats, stock: Floats) -> tuple[int, float, float, float]:
    scores = metrics(truth, stock)
    return int(scores["n"]), scores["RMSE"], scores["CCC"], scores["ME"]
