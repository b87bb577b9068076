"""RothC-26.3 for one site in plain Python: what the fast kernels are compared with.

Written from the model description (Coleman & Jenkinson 2014, "RothC - A model for the turnover
of carbon in soil"), one month and one number at a time, with nothing of the kernels in it. It is
itself checked against the official programs' output in ``test_rothc_golden.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

RATES = (10.0, 0.3, 0.66, 0.02)  # DPM, RPM, BIO, HUM, 1/yr
DECAY = math.log(2.0) / 5568.0  # radiocarbon, 1/yr
IOM_AGE = 50_000.0  # yr


@dataclass(frozen=True)
class Month:
    """What drives one month; ``modern`` is the % modern of new carbon."""

    temperature: float
    rain: float
    evaporation: float
    cover: float
    plant_input: float
    manure: float
    dpm_rpm: float
    modern: float = 100.0


def months_of(columns: object) -> list[Month]:
    """Return the months of an object with an array for each field of :class:`Month`."""
    rows = [getattr(columns, field.name).tolist() for field in fields(Month)]
    return [Month(*row) for row in zip(*rows, strict=True)]


@dataclass(frozen=True)
class Site:
    clay: float
    depth: float
    iom: float
    evaporation_factor: float = 0.75
    mu_max: float | None = None  # with km: the microbial variant
    km: float | None = None


@dataclass(frozen=True)
class OracleState:
    """The end of a month. Pools, carbon and CO2 in t C/ha, deficit (SMD) in mm, ages in years."""

    pools: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    deficit: float = 0.0
    ages: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    co2: float = 0.0
    modifiers: tuple[float, float, float] = (math.nan, math.nan, math.nan)

    @property
    def carbon(self) -> float:
        return sum(self.pools)

    def delta14c(self, iom: float) -> float:
        """Return Δ14C of the whole soil, per mille; 0 where there is no carbon."""
        total = self.carbon + iom
        if total <= 0:
            return 0.0
        alive = sum(p * math.exp(-DECAY * a) for p, a in zip(self.pools, self.ages, strict=True))
        alive += iom * math.exp(-DECAY * IOM_AGE)
        age = math.log(total / alive) / DECAY
        return 1000.0 * (math.exp(-age / 8035.0) - 1.0)


def temperature_modifier(celsius: float) -> float:
    if celsius < -5.0:
        return 0.0
    return 47.91 / (math.exp(106.06 / (celsius + 18.27)) + 1.0)


def driest(site: Site) -> float:
    """Return the maximum deficit under cover, mm (negative)."""
    return -(20.0 + 1.3 * site.clay - 0.01 * site.clay * site.clay) * site.depth / 23.0


def next_deficit(site: Site, before: float, month: Month) -> float:
    reach = before + month.rain - site.evaporation_factor * month.evaporation
    floor = driest(site) if month.cover > 0 else min(0.556 * driest(site), before)
    return max(floor, min(0.0, reach))


def moisture_modifier(site: Site, deficit: float) -> float:
    lowest = driest(site)
    if deficit > 0.444 * lowest:
        return 1.0
    return 0.2 + 0.8 * (lowest - deficit) / (lowest - 0.444 * lowest)


def step(site: Site, state: OracleState, month: Month) -> OracleState:
    """Return the state one month later."""
    deficit = next_deficit(site, state.deficit, month)
    modifiers = (
        temperature_modifier(month.temperature),
        moisture_modifier(site, deficit),
        0.6 if month.cover > 0 else 1.0,
    )
    rate = math.prod(modifiers)
    if site.mu_max is not None and site.km is not None:
        rate *= site.mu_max * state.pools[2] / (site.km + state.pools[2])
    kept = [p * math.exp(-k * rate / 12.0) for p, k in zip(state.pools, RATES, strict=True)]
    lost = [p - q for p, q in zip(state.pools, kept, strict=True)]
    x = 1.67 * (1.85 + 1.60 * math.exp(-0.0786 * site.clay))
    to_co2, to_bio, to_hum = x / (x + 1.0), 0.46 / (x + 1.0), 0.54 / (x + 1.0)

    share = month.dpm_rpm / (month.dpm_rpm + 1.0)
    fresh = (
        month.plant_input * share + 0.49 * month.manure,
        month.plant_input * (1.0 - share) + 0.49 * month.manure,
        0.0,
        0.02 * month.manure,
    )
    gained = (0.0, 0.0, to_bio * sum(lost), to_hum * sum(lost))
    pools = tuple(map(sum, zip(kept, gained, fresh, strict=True)))

    month_of_decay = math.exp(-DECAY / 12.0)
    alive = [math.exp(-DECAY * age) for age in state.ages]
    moved = sum(d * r for d, r in zip(lost, alive, strict=True))
    activity = [
        (k * r + part * moved) * month_of_decay + new * month.modern / 100.0
        for k, r, part, new in zip(kept, alive, (0.0, 0.0, to_bio, to_hum), fresh, strict=True)
    ]
    ages = tuple(
        math.log(p / a) / DECAY if p > 0 else 0.0 for p, a in zip(pools, activity, strict=True)
    )
    return OracleState(pools, deficit, ages, to_co2 * sum(lost), modifiers)  # type: ignore[arg-type]


def simulate(
    site: Site, months: Sequence[Month], start: OracleState, count: int | None = None
) -> list[OracleState]:
    """Return the state at the end of each of `count` months, `months` being cycled."""
    states = []
    for t in range(len(months) if count is None else count):
        start = step(site, start, months[t % len(months)])
        states.append(start)
    return states


def years(site: Site, months: Sequence[Month], start: OracleState) -> Iterator[OracleState]:
    """Cycle twelve months for ever; yield the state at the end of each year."""
    while True:
        start = simulate(site, months[:12], start)[-1]
        yield start


def spin_up(
    site: Site, months: Sequence[Month], tolerance: float = 1e-6
) -> tuple[OracleState, int]:
    """Cycle the first twelve months from empty pools as the official program does.

    It stops after the first year whose carbon (IOM left out) is within `tolerance` of the year
    before, the carbon before the first year being 0. Returns the state and the months taken.
    """
    before = 0.0
    for year, state in enumerate(years(site, months, OracleState()), start=1):
        if abs(state.carbon - before) <= tolerance:
            return state, 12 * year
        before = state.carbon
    raise AssertionError("unreachable")
