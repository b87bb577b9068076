"""Make a virtual world: what surveyors and users of the arms see of it, and what is true.

The truth has an input that nobody knows, with a trend of its own, a driver that is in no covariate,
differences within metres, and places that are sampled the more, the more fertile they are. What is
given to the arms may also be wrong: see :class:`Variant`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.hybrid.site_years import Climate, Drivers, Floats, SiteYears

from .virtual_truths import TRUTHS, Conditions, Truth
from .virtual_world_places import (
    EARLIEST,
    FIRST,
    LAST,
    YEARS,
    Places,
    make_places,
    sample,
    scatter,
)

Given = Literal["right", "wrong", "lagged"]

DEPTH_CM = 20.0
#: Years by which drivers given as ``lagged`` come late.
LAG = 5
#: Truths that leave equilibrium in EARLIEST, under real weather, not in FIRST with the arms: the
#: same start under the same normals would give every process that starts there a drift for nothing.
WITH_HISTORY = ("rothc", "microbial", "century")
#: Truths that know conversions of land use.
CONVERTED = ("microbial", "century")
#: Numbers of test places begin here.
TEST = 1_000_000


@dataclass(frozen=True)
class Variant:
    """One way a world can be.

    Parameters
    ----------
    name
        Of the variant.
    truth
        A key of ``TRUTHS``.
    drivers
        What is given of the input's driver: ``right``, ``wrong`` (its ratio to 1980 turned upside
        down), ``lagged`` (that of five years before).
    sites
        Sampled at each date.
    dates
        Years.
    revisited
        Whether the same sites are sampled at each date, or new ones.
    """

    name: str = "base"
    truth: str = "rothc"
    drivers: Given = "right"
    sites: int = 400
    dates: tuple[int, ...] = (1980, 2000)
    revisited: bool = True


@dataclass(frozen=True)
class Nature:
    """What the truth knows and nobody else does; the defaults are those of the benchmark.

    Parameters
    ----------
    elasticity
        The input follows the driver to this power.
    hidden
        Power of the factor of the input that nobody knows; 0: there is none.
    wetness
        Power of the hidden driver of all rates.
    noise
        Standard deviation of a measured stock, as a share of it.
    reported
        Standard deviation of the logarithm of the driver as reported.
    clay_error
        Standard deviation of clay as mapped, %.
    settled
        Years whose mean input the equilibrium is taken from.
    history
        Whether the truth runs from EARLIEST on, if it is of :data:`WITH_HISTORY`.
    """

    elasticity: float = 0.85
    hidden: float = 1.0
    wetness: float = 1.0
    noise: float = 0.07
    reported: float = 0.02
    clay_error: float = 4.0
    settled: int = 5
    history: bool = True


#: A world in which standard RothC with the given drivers is the truth.
KNOWN = Nature(1.0, 0.0, 0.0, noise=0.0, reported=0.0, clay_error=0.0, settled=1, history=False)


@dataclass(frozen=True, eq=False)
class World:
    """One world.

    Parameters
    ----------
    variant, seed
        Of it.
    train
        Sampled places with noisy stocks at the dates, and what is given of all years to 2010.
    test
        Places that nobody sampled, spread evenly, without stocks.
    train_truth, test_truth
        Stocks ``(S, Y)`` kg/m².
    fresh
        What a surveyor would measure at the test places, ``(S, Y)`` kg/m².
    """

    variant: Variant
    seed: int
    train: SiteYears
    test: SiteYears
    train_truth: Floats
    test_truth: Floats
    fresh: Floats

    @property
    def years(self) -> NDArray[np.int64]:
        """Calendar years, ``(Y,)``."""
        return self.train.years


def make_world(
    variant: Variant,
    seed: int,
    *,
    test_sites: int = 400,
    nature: Nature = Nature(),
    truth: Truth | None = None,
    rising: bool = True,
) -> World:
    """Return a world.

    Parameters
    ----------
    variant, seed
        The same seed has the same land, weather and test places in all variants.
    test_sites
        Number of places to predict.
    nature
        What the truth knows.
    truth
        Instead of the variant's.
    rising
        Whether weather and farming have a trend.
    """
    truth = TRUTHS[variant.truth] if truth is None else truth
    visits = variant.sites * (1 if variant.revisited else len(variant.dates))
    lon, lat, number = sample(seed, visits)
    shock = variant.truth in CONVERTED
    start = 0 if nature.history and variant.truth in WITH_HISTORY else FIRST - EARLIEST
    made: list[tuple[SiteYears, Floats, Floats]] = []
    for where in (
        (lon, lat, number),
        (*scatter(2 * seed, test_sites), TEST + np.arange(float(test_sites))),
    ):
        places = make_places(seed, *where, rising=rising)
        happening = _happening(places, nature, start, shock)
        stock = truth(happening.conditions)[:, FIRST - EARLIEST - start :]
        rng = np.random.default_rng([seed, 20 + len(made)])
        noisy = stock * (1 + nature.noise * _numbers(rng, where[2], stock.shape))
        made.append((_given(places, happening, variant, nature, seed, where[2]), stock, noisy))
    (train, train_truth, train_noisy), (test, test_truth, fresh) = made
    seen = _seen(variant, len(lon))
    return World(
        variant=variant,
        seed=seed,
        train=replace(train, stock=np.where(seen, train_noisy, np.nan)),
        test=test,
        train_truth=train_truth,
        test_truth=test_truth,
        fresh=fresh,
    )


def make_still_world(
    seed: int,
    *,
    sites: int = 400,
    test_sites: int = 400,
    drivers: Literal["still", "rising"] = "still",
) -> World:
    """Return a world in which no stock ever changes, whatever weather and farming do.

    With `drivers` ``still`` they vary from year to year, but without a trend; ``rising`` ones are
    those of the other worlds, and wrong about this one.
    """
    variant = Variant("still", truth="still", sites=sites)
    return make_world(variant, seed, test_sites=test_sites, rising=drivers == "rising")


def _seen(variant: Variant, sites: int) -> NDArray[Any]:
    dates = np.array(variant.dates) - FIRST
    seen = np.zeros((sites, LAST - FIRST + 1), bool)
    if variant.revisited:
        seen[:, dates] = True
    else:
        # by turns, so that every date draws on the best liked places alike
        seen[np.arange(sites), dates[np.arange(sites) % len(dates)]] = True
    return seen


def _numbers(rng: np.random.Generator, number: Floats, shape: tuple[int, ...]) -> Floats:
    """Return standard normal numbers of each place, which do not depend on the other places."""
    key = int(rng.integers(2**31))
    rows = [np.random.default_rng([key, int(n)]).standard_normal(shape[1:]) for n in number]
    return np.array(rows).reshape(shape)


# -- what happens, and what is given of it ---------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Happening:
    conditions: Conditions
    input_ratio: Floats = field(repr=False)  # of all YEARS to what the climate gives, (Y, S)


def _happening(places: Places, nature: Nature, start: int, shock: bool) -> _Happening:
    ratio = places.driver**nature.elasticity * places.hidden**nature.hidden
    rate = np.repeat(places.wetness[None] ** nature.wetness, len(YEARS), axis=0)
    if shock:
        since = YEARS[:, None] - places.converted
        ratio = np.where(since >= 0, 0.65 * ratio, ratio)
        # tilled for good; the first years break up most
        rate = np.where(since >= 0, rate * (1.15 + 0.5 * np.exp(-np.maximum(since, 0) / 4)), rate)
    carbon = places.carbon * ratio
    if nature.settled == 1:
        before = carbon[start]
    else:
        lo = max(0, start + 1 - nature.settled)
        before = carbon[lo : lo + nature.settled].mean(axis=0)
    climate = Climate(*(a[12 * start :] for a in vars(places.climate).values()))
    conditions = Conditions(
        climate=climate,
        normals=places.normals,
        carbon=carbon[start:],
        rate=rate[start:],
        carbon_before=before,
        rate_before=rate[start],
        cover=_cover(len(places.lon)),
        dpm_rpm=np.full(len(places.lon), 1.44),
        clay=places.clay,
        depth_cm=DEPTH_CM,
    )
    return _Happening(conditions, ratio)


def _cover(places: int) -> NDArray[Any]:
    """Return when plants cover the soil: from March to October."""
    return np.repeat(np.isin(np.arange(12), range(2, 10))[:, None], places, axis=1).astype(float)


def _given(
    places: Places,
    happening: _Happening,
    variant: Variant,
    nature: Nature,
    seed: int,
    number: Floats,
) -> SiteYears:
    count, now = len(places.lon), FIRST - EARLIEST
    rng = np.random.default_rng([seed, 30])
    errors = _numbers(rng, number, (count, 2 * len(YEARS) + 3))
    driver = _told(places.driver, variant.drivers)
    driver = driver * np.exp(nature.reported * errors[:, : len(driver)].T)
    climate = Climate(*(a[12 * now :] for a in vars(places.climate).values()))
    clay = np.clip(places.clay + nature.clay_error * errors[:, -1], 2, 60)
    drivers = Drivers(
        years=YEARS[now:],
        climate=climate,
        input_driver=driver,
        cover=_cover(count),
        dpm_rpm=np.full(count, 1.44),
        clay=clay,
        depth_cm=DEPTH_CM,
        normals=places.normals,
    )
    green = np.log(places.carbon * happening.input_ratio / 3)[now:].T
    ndvi = (
        0.55
        + 0.16 * green
        + 0.03 * errors[:, len(driver) : 2 * len(driver)]
        + 0.05 * errors[:, [-2]]
    )
    years = len(drivers.years)
    t, p, e = (
        a.reshape(years, 12, count)
        for a in (climate.temperature, climate.rain, climate.evapotranspiration)
    )
    yearly = np.stack([t.mean(axis=1).T, p.sum(axis=1).T, e.sum(axis=1).T, ndvi, driver.T], axis=2)
    spi = np.log(places.slope) + 0.5 * errors[:, -3]
    static = np.stack([places.elevation, places.slope, spi, clay], axis=1)
    return SiteYears(
        drivers=drivers,
        stock=np.full((count, years), np.nan),
        static=static.astype(np.float32),
        yearly=yearly.astype(np.float32),
        static_names=("elevation", "slope", "spi", "clay"),
        yearly_names=("temperature", "rain", "evapotranspiration", "ndvi", "fertiliser"),
        lon=places.lon,
        lat=places.lat,
    )


def _told(driver: Floats, given: Given) -> Floats:
    """Return what is told of the driver from FIRST on, ``(Y, S)``."""
    now = FIRST - EARLIEST
    if given == "wrong":
        return driver[now] ** 2 / driver[now:]
    if given == "lagged":
        return driver[now - LAG : len(driver) - LAG]
    if given != "right":
        raise ValueError(f'drivers are right, wrong or lagged, not "{given}"')
    return driver[now:]
