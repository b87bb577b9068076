"""The phases of a RothC map over a block of cells: spin-up, warm-up, scenarios, and the ensemble.

As in FAO's GSOCseq: the carbon input that holds the initial stock is found by inversion under the
climate of the start (here exactly, instead of iterating); then it follows its driver through the
warm-up; then each scenario multiplies it by its factor. Arrays only: no cube, no map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.ensemble import mirrored_scores
from edaphos.kernels.equilibrium import hold_stock, project
from edaphos.kernels.evapotranspiration import LEAST_HEAT, thornthwaite_of_days
from edaphos.kernels.productivity import miami_npp
from edaphos.kernels.rothc import PAN_FACTOR, inert
from edaphos.kernels.rothc_arrays import Forcing, Soil, State
from edaphos.kernels.rothc_run import simulate
from edaphos.kernels.rothc_year import YearMap, year_map

from .rothc_settings import Ensemble, RothCSettings

Array = NDArray[Any]

#: Plant carbon of a month, as a share of the year's: the same in all twelve.
EVEN = 1 / 12
#: Share by which a stock is disturbed at most: the same both ways, or its mean would move.
MOST = 0.99
#: Carbon in dry matter, 0.48 as FAO 2022 (GSOCseq) takes it, and t/ha for each g/m².
NPP_CARBON = 0.48 * 0.01
#: t/ha for each kg/m².
T_HA = 10.0


@dataclass(frozen=True)
class Cells:
    """What is known of ``n`` cells at the start.

    Parameters
    ----------
    temperature, rain
        ``(12, n)`` °C and mm.
    evapotranspiration
        ``(12, n)`` mm where it is given; None where it follows from temperature.
    day_length
        Hours of daylight in each month, ``(12, n)``; for evapotranspiration that is not given.
    cover
        ``(12, n)``, 1 where plants cover the soil.
    dpm_rpm, clay
        ``(n,)``, ratio and %.
    clay_sd
        Standard deviation of clay, ``(n,)`` %.
    stock
        ``(n,)`` t/ha.
    driver
        Yearly values over that of the start, ``(run years, n)``; None where there is none.
    """

    temperature: Array
    rain: Array
    evapotranspiration: Array | None
    day_length: Array
    cover: Array
    dpm_rpm: Array
    clay: Array
    clay_sd: Array
    stock: Array
    driver: Array | None = None


@dataclass(frozen=True)
class Outcome:
    """One scenario of one run, each ``(mapped years, ...)`` in t C/ha (and a year).

    ``pools`` is ``(years, 4, n)``; at the start `co2` and `input` are those of the equilibrium.
    """

    stock: Array
    pools: Array
    co2: Array
    input: Array


def disturbances(ensemble: Ensemble, seed: int) -> NDArray[np.float64]:
    """Return standard normal scores of temperature, rain, clay and stock, ``(members, 4)``.

    A Latin hypercube, and its mirror image: every factor averages to exactly zero, so that the
    mean of the disturbed initial stocks is the initial stock. The same scores serve every cell:
    errors are fully correlated in space, and intervals are those of single cells.
    """
    if ensemble.members == 0:
        return np.zeros((1, 4))
    return mirrored_scores(ensemble.members, 4, seed)


def disturbed(cells: Cells, ensemble: Ensemble, scores: NDArray[np.float64]) -> Cells:
    """Return the cells with their inputs disturbed by a row of :func:`disturbances`."""
    if not scores.any():
        return cells
    warmer, wetter, finer, richer = scores
    return replace(
        cells,
        temperature=cells.temperature + np.float32(warmer * ensemble.temperature),
        rain=np.maximum(cells.rain * np.float32(1 + wetter * ensemble.rain / 100), 0),
        clay=np.clip(cells.clay + finer * cells.clay_sd, 0, 100),
        stock=cells.stock * (1 + float(np.clip(richer * ensemble.stock / 100, -MOST, MOST))),
    )


def outcomes(cells: Cells, settings: RothCSettings) -> Iterator[tuple[str, Outcome]]:
    """Yield each scenario's outcome at the mapped years, for one set of inputs, float64."""
    soil = Soil(cells.clay, np.full(cells.clay.shape, settings.depth_cm))
    iom = inert(cells.stock)
    base = forcing_of(cells, settings)
    year = year_map(base, soil, evaporation_factor=evaporation_factor(settings))
    start = hold_stock(year, cells.stock, iom)
    scale = _driver(cells, settings) * start.factor
    early = sum(y <= settings.last_warm_up for y in settings.run_years)
    # reckoned once for all scenarios
    known = dict.fromkeys(settings.run_years, base) if settings.change.none else {}
    warm, state = _advance(cells, settings, soil, year, start.state, scale[:early], 0, known, False)
    entering = (year.inputs * start.factor)[None]
    opening = (start.state.pools[None], entering, entering)  # at equilibrium CO2 equals the input
    for name, factor in settings.scenarios.items():
        scaled = scale[early:] * factor
        rest, _ = _advance(cells, settings, soil, year, state, scaled, early, known, True)
        pools, co2, entered = (np.concatenate(p) for p in zip(opening, warm, rest, strict=True))
        yield name, Outcome(pools.sum(axis=1) + iom, pools, co2, entered)


#: Pools, CO2 and input of the mapped years among those run.
Parts = tuple[Array, Array, Array]


def _advance(
    cells: Cells,
    settings: RothCSettings,
    soil: Soil,
    year: YearMap,
    state: State,
    scale: Array,
    before: int,
    forcings: dict[int, Forcing],
    again: bool,
) -> tuple[Parts, State]:
    """Run years, each with its factor on the input, `before` of the run's years being over.

    `forcings` are those of calendar years reckoned already, to which these are added if they will
    be run `again`.
    """
    years = settings.run_years[before : before + len(scale)]
    keep = [i for i, calendar in enumerate(years) if calendar in settings.years]
    entering = scale[keep] * year.inputs
    if settings.change.none and settings.steps == "years":
        pools, co2, state = project(year, state, scale, keep)
        return (pools, co2, entering), state
    n = len(cells.stock)
    pools, co2 = np.empty((len(keep), 4, n)), np.empty((len(keep), n))
    # years that share a forcing run in one call
    spans = [(0, len(years))] if settings.change.none else [(i, i + 1) for i in range(len(years))]
    for first, last in spans if years else []:
        forcing = forcings.get(years[first])
        if forcing is None:
            forcing = forcing_of(cells, settings, years[first] - settings.stock.start)
        if again:
            forcings[years[first]] = forcing
        made = simulate(
            forcing,
            soil,
            state,
            12 * (last - first),
            every=12,
            evaporation_factor=evaporation_factor(settings),
            input_factor=scale[first:last],
        )
        state = made.state
        for place, position in enumerate(keep):
            if first <= position < last:
                pools[place], co2[place] = made.pools[position - first], made.co2[position - first]
    return (pools, co2, entering), state


def evaporation_factor(settings: RothCSettings) -> float:
    """Return RothC's factor on what the forcing calls evaporation."""
    given = settings.evaporation.method == "given" and settings.evaporation.pan
    return PAN_FACTOR if given else 1.0


def _climate(cells: Cells, settings: RothCSettings, years_on: int) -> tuple[Array, Array]:
    """Return temperature and rain of a year, `years_on` years after the start."""
    change, decades = settings.change, years_on / 10
    warmer = np.float32(change.temperature_per_decade * decades)
    wetter = np.float32(max(1 + change.rain_percent_per_decade * decades / 100, 0))
    return cells.temperature + warmer, cells.rain * wetter


def forcing_of(cells: Cells, settings: RothCSettings, years_on: int = 0) -> Forcing:
    """Return a year's forcing, `years_on` years after the start; a unit of carbon enters."""
    temperature, rain = _climate(cells, settings, years_on)
    evapotranspiration = cells.evapotranspiration
    if evapotranspiration is None:
        evapotranspiration = thornthwaite_of_days(
            temperature, cells.day_length, least_heat=LEAST_HEAT
        )
    return Forcing(
        temperature=temperature,
        rain=rain,
        evaporation=evapotranspiration,
        cover=cells.cover,
        plant_input=np.full((1, temperature.shape[1]), EVEN),
        dpm_rpm=cells.dpm_rpm[None],
    )


def _driver(cells: Cells, settings: RothCSettings) -> Array:
    """Return the driver of each run year over that of the start, ``(years, n)`` or ``(years, 1)``.

    Where the start's is zero there is nothing to compare with, and the factor stays 1.
    """
    years = settings.run_years
    if settings.driver.kind == "none" or not years:
        return np.ones((len(years), 1))
    if settings.driver.kind == "variable":
        assert cells.driver is not None  # the model reads it
        return cells.driver
    if settings.change.none:
        return np.ones((len(years), 1))  # the climate's productivity is the same every year
    npp = [_miami(cells, settings, 0)]
    npp += [_miami(cells, settings, y - settings.stock.start) for y in years]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(npp[0] > 0, np.stack(npp[1:]) / npp[0], 1.0)


def productivity(cells: Cells, settings: RothCSettings) -> Array:
    """Return the net primary productivity of the start's climate, t C/ha a year, ``(n,)``."""
    return _miami(cells, settings, 0) * NPP_CARBON


def _miami(cells: Cells, settings: RothCSettings, years_on: int) -> Array:
    temperature, rain = _climate(cells, settings, years_on)
    return miami_npp(temperature.mean(axis=0, dtype=float), rain.sum(axis=0, dtype=float))
