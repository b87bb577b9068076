"""What soil carbon really does in a virtual world: four truths, only one of them akin to RothC.

All of them turn :class:`Conditions` into stocks at the end of each year, from an equilibrium
before it. The learner and the process model that are to be judged see none of this file. Pools and
inputs are in t C/ha, rates in 1/yr.

``rothc``
    RothC with other rate constants and a weaker effect of clay.
``microbial``
    Litter, soil organic matter and microbes; what decomposes grows with the microbes, but less
    than in proportion (reverse Michaelis-Menten: Schimel & Weintraub 2003, Soil Biol. Biochem. 35,
    549-563; Moorhead & Weintraub 2018, Ecol. Model. 388, 34-43). More input speeds the decay of
    what is there.
``century``
    The three pools of Century (Parton, Schimel, Cole & Ojima 1987, Soil Sci. Soc. Am. J. 51,
    1173-1179; rates of Parton et al. 1993, Glob. Biogeochem. Cycles 7, 785-809), litter passed on
    at once.
``still``
    Every stock stays as it is for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edaphos.engine.hybrid.site_years import Array, Climate, Floats
from edaphos.kernels.equilibrium import equilibrium
from edaphos.kernels.rothc import RATES, inert
from edaphos.kernels.rothc_arrays import Forcing, Soil, State
from edaphos.kernels.rothc_run import simulate

from .virtual_world_pools import Century, Flow, Microbes, integrate, year_factor

#: t C/ha in 1 kg/m².
TONNES = 10.0


@dataclass(frozen=True, eq=False)
class Conditions:
    """What really befalls S places in Y years.

    Parameters
    ----------
    climate
        Of the years, 12 Y rows.
    normals
        Of the time before them, 12 rows.
    carbon
        What enters the soil in each year, ``(Y, S)`` t C/ha.
    rate
        Multiplies all rates in each year, ``(Y, S)``.
    carbon_before, rate_before
        Of the time before, ``(S,)``.
    cover
        ``(12, S)``, 1 where plants cover the soil.
    dpm_rpm, clay
        ``(S,)``; clay in %.
    depth_cm
        Of the layer.
    """

    climate: Climate
    normals: Climate
    carbon: Array
    rate: Array
    carbon_before: Array
    rate_before: Array
    cover: Array
    dpm_rpm: Array
    clay: Array
    depth_cm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Years and places."""
        return self.carbon.shape


Truth = Callable[[Conditions], Floats]


def still(conditions: Conditions) -> Floats:
    """Return ``(S, Y)`` kg/m² that never change: RothC's equilibrium before the first year."""
    start = rothc(conditions)[:, :1]
    return np.repeat(start, conditions.shape[0], axis=1)


# -- RothC ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RothCTruth:
    """RothC that differs from the standard; the defaults are the standard.

    Parameters
    ----------
    rates
        Of DPM, RPM, BIO and HUM, 1/yr.
    clay_slope, clay_base
        The clay that acts is ``clay_base + clay_slope * clay``, %.
    """

    rates: tuple[float, float, float, float] = RATES
    clay_slope: float = 1.0
    clay_base: float = 0.0

    def __call__(self, conditions: Conditions) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²: the first year's is the equilibrium before it."""
        years, places = conditions.shape
        soil = Soil(
            self.clay_base + self.clay_slope * np.asarray(conditions.clay, float),
            np.full(places, conditions.depth_cm),
        )
        before = _forcing(
            conditions,
            conditions.normals,
            np.repeat(conditions.carbon_before[None] / 12, 12, axis=0),
            np.repeat(conditions.rate_before[None], 12, axis=0),
        )
        state = self._equilibrium(before, soil)
        active = [state.pools.sum(axis=0)]
        if years > 1:
            forcing = _forcing(
                conditions,
                _from_second_year(conditions.climate),
                np.repeat(conditions.carbon[1:] / 12, 12, axis=0),
                np.repeat(conditions.rate[1:], 12, axis=0),
            )
            run = simulate(
                forcing, soil, state, 12 * (years - 1), every=12, rates=self.rates,
                evaporation_factor=1.0,
            )  # fmt: skip
            active += list(run.pools.sum(axis=1))
        found = np.stack(active, axis=1)
        return (found + _inert_beside(found[:, 0])[:, None]) / TONNES

    def _equilibrium(self, year: Forcing, soil: Soil) -> State:
        """Return the state that a year leads back to; a year maps pools linearly."""
        standard = equilibrium(year, soil, evaporation_factor=1.0)
        if self.rates == RATES:
            return standard
        ends = []
        for pools in (np.zeros((4, 1)), *np.eye(4)[:, :, None]):
            state = State(np.repeat(pools, year.pixels, axis=1), standard.deficit)
            run = simulate(year, soil, state, 12, rates=self.rates, evaporation_factor=1.0)
            ends.append(run.state.pools.T)
        system = np.stack([end - ends[0] for end in ends[1:]], axis=2)
        pools = np.linalg.solve(np.eye(4) - system, ends[0][..., None])[..., 0]
        return State(np.ascontiguousarray(pools.T), standard.deficit)


#: Slower resistant material, faster humus, and half of clay's effect.
OTHER_ROTHC = RothCTruth(rates=(12.0, 0.24, 0.8, 0.027), clay_slope=0.5, clay_base=8.0)


def rothc(conditions: Conditions) -> Floats:
    """Return the stocks of :data:`OTHER_ROTHC`, ``(S, Y)`` kg/m²."""
    return OTHER_ROTHC(conditions)


def _forcing(conditions: Conditions, climate: Climate, plant: Array, rate: Array) -> Forcing:
    return Forcing(
        temperature=climate.temperature,
        rain=climate.rain,
        evaporation=climate.evapotranspiration,
        cover=conditions.cover,
        plant_input=plant,
        dpm_rpm=conditions.dpm_rpm[None],
        rate_factor=rate,
    )


def _from_second_year(climate: Climate) -> Climate:
    return Climate(*(a[12:] for a in vars(climate).values()))


def _inert_beside(active: Floats) -> Floats:
    """Return inert carbon that goes with active carbon at equilibrium, by Newton's method.

    The total T solves ``T - inert(T) = active``.
    """
    total = active.copy()
    for _ in range(20):
        total -= (total - inert(total) - active) / (1 - 1.139 * inert(total) / total)
    return inert(total)


# -- models of a few pools ------------------------------------------------------------------------


def microbial(conditions: Conditions) -> Floats:
    """Return the stocks of :class:`Microbes`, ``(S, Y)`` kg/m²."""
    model = Microbes(conditions.clay)
    start = model.equilibrium(conditions.carbon_before, _before(conditions))
    return _stocks(model.flow, start, conditions)


def century(conditions: Conditions) -> Floats:
    """Return the stocks of :class:`Century`, ``(S, Y)`` kg/m²."""
    model = Century(conditions.clay)
    start = model.equilibrium(conditions.carbon_before, _before(conditions))
    return _stocks(model.flow, start, conditions)


def _stocks(flow: Flow, start: Floats, conditions: Conditions) -> Floats:
    factor = year_factor(conditions.climate, conditions.rate)
    course = integrate(flow, start, conditions.carbon[1:], factor[1:])
    pools = np.concatenate([start[None], course.pools])
    return np.asarray(pools.sum(axis=1).T / TONNES)


def _before(conditions: Conditions) -> Floats:
    return year_factor(conditions.normals, conditions.rate_before[None])[0]


TRUTHS: dict[str, Truth] = {
    "rothc": rothc,
    "microbial": microbial,
    "century": century,
    "still": still,
}
