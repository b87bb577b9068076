"""From samples or a tile's cells to sites and years, and a reason for each cell that cannot run.

Both come as *site values*: cube variables by name with the sites last, static ``(S,)``, monthly
``(12, S)``, yearly ``(Y, S)`` over the years of the span. One function makes sites and years of
them, so that a map cell is treated exactly as the training site in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.evapotranspiration import LEAST_HEAT, thornthwaite_of_days
from edaphos.kernels.productivity import miami_npp
from edaphos.kernels.sun import day_length_by_month

from ..errors import InputError
from ..hybrid.site_years import Climate, Drivers, Floats, SiteYears
from ..samples import Samples, feature_names
from ..status import Status
from .poml_settings import PomlSettings
from .rothc_cells import MOST_RAIN, TEMPERATURES
from .rothc_cover import vegetation
from .soil_domain import outside

Array = NDArray[Any]
SiteValues = Mapping[str, Array]
#: Features made of each year's climate.
CLIMATE_FEATURES = ("temperature_of_year", "rain_of_year", "evapotranspiration_of_year")


@dataclass(frozen=True, eq=False)
class Places:
    """What is known of sites beside cube values, each ``(S,)``.

    ``lat`` and ``lon`` are the sites' own, ``cell_lat`` that of their cells' centres.
    """

    lon: Floats
    lat: Floats
    cell_lat: Floats
    source: Array | None = None
    weight: Floats | None = None


def of_samples(told: PomlSettings, samples: Samples) -> tuple[SiteValues, Places, Floats, Array]:
    """Return site values, places, stocks ``(S, Y)``, and the row of each site and year.

    Raises
    ------
    InputError
        A site lacks rows of some years: rows of one site were separated.
    """
    years, table = told.span, samples.table
    site = table["profile_id"].to_numpy(str)
    order = np.lexsort((table["year"].to_numpy(float), site))
    sites = len(np.unique(site))
    complete = len(order) == sites * len(years)
    if complete:
        held = table["year"].to_numpy(float)[order].reshape(sites, len(years))
        complete = bool((held == np.array(years)).all())
    if not complete:
        raise InputError(
            f"sites need a row for each of the years {years[0]} to {years[-1]}, found "
            f"{len(order)} rows of {sites} sites: split samples by location or block, not by row"
        )
    grid = order.reshape(sites, len(years))

    def column(name: str) -> Array:
        return np.asarray(table[name].to_numpy()[grid])

    values: dict[str, Array] = {}
    for name in told.variables:
        months = feature_names(told.renamed.get(name, name), "monthly")
        if name in told.changing:
            values[name] = column(name).T
        elif months[0] in samples.features:
            values[name] = np.stack([column(month)[:, 0] for month in months])
        else:
            samples.matrix((name,))  # refuses, naming the nearest feature, what is not there
            values[name] = column(name)[:, 0]
    places = Places(
        lon=column("lon")[:, 0].astype(float),
        lat=column("lat")[:, 0].astype(float),
        cell_lat=column("cell_lat")[:, 0].astype(float),
        source=column("source")[:, 0],
        weight=column("weight")[:, 0].astype(float),
    )
    return values, places, samples.y[grid], grid


def of_cells(values: Mapping[str, Array], cells: NDArray[np.intp]) -> SiteValues:
    """Return site values of a tile's cells at flat positions."""
    return {
        name: np.ascontiguousarray(array.reshape(*array.shape[:-2], -1)[..., cells])
        for name, array in values.items()
    }


def site_years(
    told: PomlSettings, values: SiteValues, places: Places, stock: Floats | None = None
) -> tuple[SiteYears, NDArray[np.uint8]]:
    """Return sites and years, and a status code for each site (0: fit to be used).

    Parameters
    ----------
    told
        What the values are taken for.
    values
        Site values of ``told.variables``, or of ``told.mapped_variables`` for a map that does not
        run the process; its drivers are then void.
    places
        Of the sites.
    stock
        ``(S, Y)`` kg/m²; none if None.
    """
    years, sites = np.array(told.span, np.int64), len(places.lon)
    climate, normals = _climates(told, values, places.cell_lat)
    status = np.zeros(sites, np.uint8)

    def mark(where: Any, code: Status) -> None:
        status[np.asarray(where) & (status == 0)] = code

    for weather in (climate, normals):
        if weather is not None:
            mark(_bad_weather(weather), Status.INVALID_CLIMATE)
    usual = normals or climate
    classes = {name: values[name] for name in told.domain.variables}
    if usual is not None or classes:
        warmth = None if usual is None else _mean(usual.temperature)
        beyond = outside(told.domain, classes, warmth, None)
        status[status == 0] = beyond[status == 0]
    drivers, ratio_known = _drivers(told, values, climate, normals, sites)
    if _driven(told, values):
        clay = values[told.clay]
        mark(~((clay >= 0) & (clay <= 100)), Status.INVALID_CLAY)
        mark(~ratio_known, Status.INVALID_INPUT)
        mark(~(drivers.input_driver >= 0).all(axis=0), Status.INVALID_INPUT)
    static, static_names = _static(told, values, climate)
    yearly, yearly_names = _yearly(told, values, climate, sites)
    mark(~np.isfinite(static).all(axis=1), Status.INVALID_INPUT)
    mark(~np.isfinite(yearly).all(axis=(1, 2)), Status.INVALID_INPUT)
    data = SiteYears(
        drivers=drivers,
        stock=np.full((sites, len(years)), np.nan) if stock is None else stock,
        static=static,
        yearly=yearly,
        static_names=static_names,
        yearly_names=yearly_names,
        lon=places.lon,
        lat=places.lat,
        **{} if places.source is None else {"source": places.source},
        **{} if places.weight is None else {"weight": places.weight},
    )
    return data, status


def _climates(
    told: PomlSettings, values: SiteValues, latitude: Floats
) -> tuple[Climate | None, Climate | None]:
    """Return the climate of the years and that of the spin-up, None where it is not read."""
    weather, years = told.climate, len(told.span)
    climate = normals = None

    def held(names: Sequence[str]) -> bool:  # a covariate of the forest may be one of them
        return all(name in values for name in names)

    if not weather.transient and held(weather.names):
        monthly = [values[name] for name in weather.names]
        climate = _climate(monthly, latitude)
    elif weather.transient and held(weather.yearly):
        rows = []
        for name in weather.names:
            months = [values[month] for month in feature_names(name, "monthly")]
            rows.append(np.stack(months, axis=1).reshape(12 * years, -1))
        climate = _climate(rows, latitude)
        if weather.normals and held(weather.names):
            normals = _climate([values[name] for name in weather.names], latitude)
    return climate, normals


def _climate(rows: list[Array], latitude: Floats) -> Climate:
    """Return a climate; without evapotranspiration, with Thornthwaite's of each year."""
    temperature, rain, *given = rows
    if given:
        return Climate(temperature, rain, given[0])
    hours = day_length_by_month(latitude.astype(np.float32))[:, None]
    months = temperature.reshape(-1, 12, temperature.shape[1]).swapaxes(0, 1)
    potential: Array = thornthwaite_of_days(
        np.ascontiguousarray(months), hours, least_heat=LEAST_HEAT
    )
    potential = np.asarray(potential).swapaxes(0, 1).reshape(temperature.shape)
    return Climate(temperature, rain, potential)


def _bad_weather(weather: Climate) -> Array:
    low, high = TEMPERATURES
    fine = ((weather.temperature >= low) & (weather.temperature <= high)).all(axis=0)
    fine &= ((weather.rain >= 0) & (weather.rain <= MOST_RAIN)).all(axis=0)
    fine &= (weather.evapotranspiration >= 0).all(axis=0)
    return np.asarray(~fine)


def _driven(told: PomlSettings, values: SiteValues) -> bool:
    """Whether all that drives the process was read."""
    return all(name in values for name in told.variables)


def _drivers(
    told: PomlSettings,
    values: SiteValues,
    climate: Climate | None,
    normals: Climate | None,
    sites: int,
) -> tuple[Drivers, Array]:
    """Return what drives the process, and where the ratio of litter is known.

    Of a map that does not run the process, drivers say no more than the years.
    """
    years = np.array(told.span, np.int64)
    known = np.ones(sites, bool)
    if climate is None or not _driven(told, values):
        none = np.empty((12, sites), np.float32)
        void = Climate(none, none, none)
        rest = (np.empty((len(years), sites)), none, np.empty(sites), np.empty(sites))
        return Drivers(years, void, *rest, told.depth_cm), known
    plants = told.plants
    if plants.cover.variable:
        usual = normals or climate
        seasons = usual.temperature.reshape(-1, 12, sites)
        mean = (sum(seasons, np.zeros((12, sites))) / len(seasons)).astype(np.float32)
        cover, ratio = vegetation(plants.cover, values[plants.cover.variable], mean)
        known = np.isfinite(ratio)
    else:
        covered = np.isin(np.arange(1, 13), plants.months)
        cover = np.repeat(covered[:, None], sites, axis=1).astype(np.uint8)
        ratio = np.full(sites, plants.dpm_rpm)
    drivers = Drivers(
        years=years,
        climate=climate,
        input_driver=_input_driver(told, values, climate, sites),
        cover=cover,
        dpm_rpm=ratio,
        clay=values[told.clay],
        depth_cm=told.depth_cm,
        normals=normals,
        input_base=told.driver.told_base,
    )
    return drivers, known


def _input_driver(told: PomlSettings, values: SiteValues, climate: Climate, sites: int) -> Array:
    """Return what the carbon input is proportional to, ``(Y, S)``."""
    years = len(told.span)
    if told.driver.kind == "variable":
        return values[told.driver.variable]
    if told.driver.kind == "none":
        return np.ones((years, sites))
    mean, rain = _total(climate.temperature, years) / 12, _total(climate.rain, years)
    return miami_npp(mean, rain)


def _total(rows: Array, years: int) -> Floats:
    """Return the sum over the months of each year, ``(Y, S)``, of ``(12 Y, S)``.

    Month by month: a sum over an axis takes its terms in an order that depends on the number of
    sites, which would let the last bits of a map depend on its tiles.
    """
    months = rows.reshape(years, 12, rows.shape[1])
    total = np.zeros((years, rows.shape[1]))
    for month in range(12):
        total += months[:, month]
    return total


def _mean(rows: Array) -> Floats:
    """Return the mean over all months, ``(S,)``, added up one by one as in :func:`_total`."""
    return sum(rows, np.zeros(rows.shape[1])) / len(rows)


def _static(
    told: PomlSettings, values: SiteValues, climate: Climate | None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return covariates that do not change, ``(S, p)``, and their names."""
    columns: dict[str, Array] = {}
    for name in told.static:
        array = values[name]
        if array.ndim == 1:
            columns[name] = array
        else:
            columns |= dict(zip(feature_names(name, "monthly"), array, strict=True))
    if told.climate_features and climate is not None and not told.climate.transient:
        of_year = _of_year(climate, 1)
        columns |= {n: v[0] for n, v in zip(CLIMATE_FEATURES, of_year, strict=True)}
    names = tuple(columns)
    sites = next(iter(values.values())).shape[-1]
    if not names:
        return np.empty((sites, 0), np.float32), ()
    return np.stack([columns[n] for n in names], axis=1).astype(np.float32), names


def _yearly(
    told: PomlSettings, values: SiteValues, climate: Climate | None, sites: int
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return covariates of each year, ``(S, Y, q)``, and their names."""
    columns: dict[str, Array] = {name: values[name] for name in told.yearly}
    if told.climate_features and climate is not None and told.climate.transient:
        columns |= dict(zip(CLIMATE_FEATURES, _of_year(climate, len(told.span)), strict=True))
    names = tuple(columns)
    if not names:
        return np.empty((sites, len(told.span), 0), np.float32), ()
    return np.stack([columns[n].T for n in names], axis=2).astype(np.float32), names


def _of_year(climate: Climate, years: int) -> list[Array]:
    """Return mean temperature, rain and evapotranspiration of each year, ``(Y, S)`` each."""
    rain, potential = (_total(rows, years) for rows in (climate.rain, climate.evapotranspiration))
    return [_total(climate.temperature, years) / 12, rain, potential]
