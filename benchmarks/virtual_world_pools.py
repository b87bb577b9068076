"""Models of soil carbon in a few pools, that are not RothC: microbes, and Century.

Both take a year's carbon and what climate makes of decomposition, and give change and CO2. Pools
are in t C/ha, rates in 1/yr.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edaphos.engine.hybrid.site_years import Array, Climate, Floats

#: Steps of a fourth order Runge-Kutta rule in a year; the fastest rate here is about 7 a year.
STEPS = 24

Flow = Callable[[Floats, Array, Array], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Course:
    """Pools ``(Y, P, S)`` at the end of each year, and CO2 given off in it, ``(Y, S)`` t C/ha."""

    pools: Floats
    co2: Floats


def integrate(flow: Flow, start: Floats, carbon: Array, climate: Array) -> Course:
    """Carry pools through years.

    Parameters
    ----------
    flow
        Of pools ``(P, S)``, input and climate ``(S,)``, to their change ``(P, S)`` and CO2 ``(S,)``
        in a year.
    start
        Pools, ``(P, S)``.
    carbon, climate
        Of each year, ``(Y, S)``.
    """
    pools, step = start.copy(), 1.0 / STEPS
    ends, gas = [], []
    for i, m in zip(carbon, climate, strict=True):
        given_off = np.zeros(pools.shape[1])
        for _ in range(STEPS):
            k1, r1 = flow(pools, i, m)
            k2, r2 = flow(pools + step / 2 * k1, i, m)
            k3, r3 = flow(pools + step / 2 * k2, i, m)
            k4, r4 = flow(pools + step * k3, i, m)
            pools = pools + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            given_off += step / 6 * (r1 + 2 * r2 + 2 * r3 + r4)
        ends.append(pools)
        gas.append(given_off)
    return Course(np.array(ends), np.array(gas))


def year_factor(climate: Climate, rate: Array) -> Floats:
    """Return what climate and `rate` ``(Y, S)`` make of decomposition in each year, ``(Y, S)``.

    The mean over the months of a doubling every 10 °C, 1 at 15 °C, and of a share of water from
    0.2 (no rain) to 1 (rain meets the demand): neither RothC's curve nor its water balance.
    """
    heat = 2.0 ** ((climate.temperature - 15) / 10)
    water = 0.2 + 0.8 * np.minimum(climate.rain / np.maximum(climate.evapotranspiration, 1), 1)
    months = heat * water
    return np.asarray(months.reshape(-1, 12, months.shape[1]).mean(axis=1) * rate)


# -- microbes ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Microbes:
    """Litter, soil organic matter and microbes, in this order.

    Parameters
    ----------
    clay
        ``(S,)`` %; it protects organic matter.
    litter_rate, matter_rate
        Largest rates at 15 °C, 1/yr.
    litter_half, matter_half
        Microbes at which half of that is reached, t C/ha.
    efficiency
        Share of what decomposes that becomes microbes; the rest is CO2.
    death
        1/yr; at 15 °C.
    to_matter
        Share of plant carbon that enters soil organic matter at once.
    dead_to_matter
        Share of dead microbes that becomes soil organic matter; the rest is litter.
    """

    clay: Array
    litter_rate: float = 2.2
    matter_rate: float = 0.115
    litter_half: float = 0.5
    matter_half: float = 1.5
    efficiency: float = 0.4
    death: float = 1.6
    to_matter: float = 0.1
    dead_to_matter: float = 0.7

    def _matter_rate(self) -> Floats:
        return np.asarray(self.matter_rate / (0.6 + 0.016 * self.clay))

    def flow(self, pools: Floats, carbon: Array, climate: Array) -> tuple[Floats, Floats]:
        """Return the change of the pools and the CO2 of a year."""
        litter, matter, microbes = pools
        eaten = climate * self.litter_rate * litter * microbes / (self.litter_half + microbes)
        mined = climate * self._matter_rate() * matter * microbes / (self.matter_half + microbes)
        dead = climate * self.death * microbes
        change = np.stack(
            [
                (1 - self.to_matter) * carbon + (1 - self.dead_to_matter) * dead - eaten,
                self.to_matter * carbon + self.dead_to_matter * dead - mined,
                self.efficiency * (eaten + mined) - dead,
            ]
        )
        return change, (1 - self.efficiency) * (eaten + mined)

    def equilibrium(self, carbon: Array, climate: Array) -> Floats:
        """Return the pools that do not change, ``(3, S)``: CO2 equals input, so all follows."""
        dead = self.efficiency / (1 - self.efficiency) * carbon
        microbes = dead / (climate * self.death)
        eaten = (1 - self.to_matter) * carbon + (1 - self.dead_to_matter) * dead
        mined = self.to_matter * carbon + self.dead_to_matter * dead
        litter = eaten * (self.litter_half + microbes) / (climate * self.litter_rate * microbes)
        matter = mined * (self.matter_half + microbes) / (climate * self._matter_rate() * microbes)
        return np.stack([litter, matter, microbes])


# -- Century -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Century:
    """Active, slow and passive carbon, in this order.

    Parameters
    ----------
    clay
        ``(S,)`` %. Silt is taken as proportional to it, up to 90 % of both together.
    abiotic
        Century's product of temperature and water factors where :func:`year_factor` is 1.
    lignin
        Share of plant carbon that is lignin and goes to the slow pool.
    """

    clay: Array
    abiotic: float = 0.30
    lignin: float = 0.12

    def matrix(self) -> Floats:
        """Return where what leaves each pool goes, ``(to, from, S)``; what lacks is CO2."""
        clay = np.asarray(self.clay, float) / 100
        fine = np.minimum(2.2 * clay, 0.9)
        respired = 0.85 - 0.68 * fine
        passive = 0.003 + 0.032 * clay
        shares = np.zeros((3, 3, len(clay)))
        shares[1, 0] = 1 - respired - passive
        shares[2, 0] = passive
        shares[2, 1] = np.maximum(0.003 - 0.009 * clay, 0)
        shares[0, 1] = 0.45 - shares[2, 1]
        shares[0, 2] = 0.45
        return shares

    def rates(self) -> Floats:
        """Return the largest rates, ``(3, S)`` 1/yr; texture slows the active pool."""
        fine = np.minimum(2.2 * np.asarray(self.clay, float) / 100, 0.9)
        slow, passive = np.full_like(fine, 0.2), np.full_like(fine, 0.0045)
        return np.stack([7.3 * (1 - 0.75 * fine), slow, passive])

    def enters(self, carbon: Array) -> Floats:
        """Return what of plant carbon reaches the pools, ``(3, S)``; litter respires the rest."""
        lignin = self.lignin * carbon
        return np.stack([0.45 * (carbon - lignin), 0.7 * lignin, np.zeros_like(lignin)])

    def flow(self, pools: Floats, carbon: Array, climate: Array) -> tuple[Floats, Floats]:
        """Return the change of the pools and the CO2 of a year."""
        gone = self.abiotic * climate * self.rates() * pools
        moved = (self.matrix() * gone).sum(axis=1)
        entered = self.enters(carbon)
        co2 = gone.sum(axis=0) - moved.sum(axis=0) + carbon - entered.sum(axis=0)
        return entered + moved - gone, np.asarray(co2)

    def equilibrium(self, carbon: Array, climate: Array) -> Floats:
        """Return the pools that do not change, ``(3, S)``: three linear equations a place."""
        rates = self.abiotic * climate * self.rates()
        system = (np.eye(3)[:, :, None] - self.matrix()) * rates
        solved = np.linalg.solve(np.moveaxis(system, 2, 0), self.enters(carbon).T[..., None])
        return np.asarray(solved[..., 0].T)
