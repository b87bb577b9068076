"""A small virtual world of sites and years, for tests of hybrids."""

from __future__ import annotations

import numpy as np

from edaphos.engine.hybrid.site_years import Climate, Drivers, SiteYears

YEARS = np.arange(1980, 2001)


def drivers(sites: int = 40, years: np.ndarray = YEARS, seed: int = 0) -> Drivers:
    """Return a temperate climate that warms a little, and an input that grows by 2 % a year."""
    rng = np.random.default_rng(seed)
    months, steps = 12 * len(years), np.arange(12 * len(years))
    season = np.cos(2 * np.pi * (steps % 12 - 6.5) / 12)[:, None]
    mean = rng.uniform(6, 18, sites)
    temperature = mean + 9 * season + 0.03 * (steps // 12)[:, None]
    rain = rng.uniform(40, 110, sites) * rng.uniform(0.5, 1.5, (months, sites))
    evapotranspiration = np.maximum(4.5 * temperature, 2.0)
    growth = rng.uniform(0.9, 1.1, sites) * 1.02 ** np.arange(len(years))[:, None]
    return Drivers(
        years=years,
        climate=Climate(temperature, rain, evapotranspiration),
        input_driver=growth,
        cover=np.repeat((np.arange(12) % 11 < 9)[:, None], sites, axis=1).astype(float),
        dpm_rpm=np.full(sites, 1.44),
        clay=rng.uniform(8, 45, sites),
        depth_cm=20.0,
    )


def site_years(sites: int = 40, seed: int = 0, dates: tuple[int, ...] = (1980, 2000)) -> SiteYears:
    """Return sites sampled at `dates`, their stocks rising slowly, with noise."""
    rng = np.random.default_rng([seed, 1])
    told = drivers(sites, seed=seed)
    years = told.years
    level = 3 + 0.04 * told.clay + 0.3 * rng.standard_normal(sites)
    truth = level[:, None] * (1 + 0.008 * (years - years[0]))
    stock = np.full(truth.shape, np.nan)
    for date in dates:
        at = int(date - years[0])
        stock[:, at] = truth[:, at] + 0.15 * rng.standard_normal(sites)
    mean = told.climate.temperature.reshape(len(years), 12, sites).mean(axis=1)
    yearly = np.stack([mean.T, told.input_driver.T], axis=2).astype(np.float32)
    static = np.stack([told.clay, rng.uniform(0, 100, sites)], axis=1).astype(np.float32)
    return SiteYears(
        drivers=told,
        stock=stock,
        static=static,
        yearly=yearly,
        static_names=("clay", "elevation"),
        yearly_names=("temperature_mean", "fertiliser"),
        lon=rng.uniform(100, 116, sites),
        lat=rng.uniform(24, 40, sites),
    )
