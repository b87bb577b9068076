"""Soil surveys of the virtual Earth: where people dig, how deep, what laboratories report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.status import Status
from edaphos.kernels.random_field import EARTH_RADIUS_KM, unit_vectors

from .virtual_fields import Field
from .virtual_truth import CovariateNames, VirtualSoil

Floats = NDArray[np.float64]

#: Where surveys are dense: longitude, latitude, radius in km, weight (a stand-in for rich countries
#: and for regions with a well-known survey).
SURVEYED: tuple[tuple[float, float, float, float], ...] = (
    (8, 49, 1300, 1.0),
    (-93, 39, 1600, 1.0),
    (137, 36, 700, 0.6),
    (115, 33, 900, 0.4),
    (147, -34, 900, 0.7),
    (-50, -22, 1100, 0.5),
    (27, -28, 900, 0.5),
    (36, 0, 800, 0.4),
    (3, 9, 900, 0.4),
    (78, 20, 900, 0.3),
    (-99, 20, 700, 0.4),
    (40, 52, 1200, 0.35),
)

#: Columns of the table, as the CSV reader of profiles knows them.
COLUMNS: tuple[str, ...] = (
    "profile_id",
    "source",
    "lon",
    "lat",
    "year",
    "top_cm",
    "bottom_cm",
    "soc_g_kg",
)


class CubeAt(Protocol):
    """The part of a cube that sampling uses."""

    def at(
        self, lon: Floats, lat: Floats, grid: Grid, variables: tuple[str, ...]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the values of the grid cells that hold the points."""


@dataclass(frozen=True)
class Points:
    """Places on soil, with what the cube says of them (names as the process knows them)."""

    lon: Floats
    lat: Floats
    climate: dict[str, NDArray[Any]]

    def take(self, index: NDArray[Any]) -> Points:
        """Return some of the points."""
        climate = {name: values[..., index] for name, values in self.climate.items()}
        return Points(self.lon[index], self.lat[index], climate)


def sample_profiles(
    soil: VirtualSoil,
    cube: CubeAt,
    grid: Grid,
    n: int,
    seed: int,
    *,
    names: CovariateNames | None = None,
    soil_mask: str = "soil_mask",
    preferential: bool = True,
) -> pd.DataFrame:
    """Dig `n` profiles and return their layers as a table with :data:`COLUMNS`.

    Parameters
    ----------
    soil, cube, grid
        The truth; the covariates; the grid whose cells give a point its covariates.
    n, seed
        Number of profiles; seed of places, horizons and noise.
    names
        What the cube calls its variables.
    soil_mask
        Class variable of the cube; profiles are dug where it is ``Status.SOIL``.
    preferential
        Dig where surveys do (:func:`inclusion`); else every soil area has the same chance.

    Raises
    ------
    InputError
        If hardly any point of the grid lies on soil.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x501]))
    names = names or CovariateNames()
    points = _draw_points(soil, cube, grid, n, rng, names, soil_mask, preferential)
    profile, top, bottom = horizons(n, rng)
    where = points.take(profile)
    truth = soil.soc(where.lon, where.lat, top, bottom, where.climate)
    measured = measure(truth, soil.strengths.measurement, profile, rng)
    year = np.floor(rng.triangular(1955, 1992, 2022, n))
    year[rng.random(n) < 0.25] = np.nan
    label = np.array([f"v{i:05d}" for i in range(n)])
    table = pd.DataFrame(
        {
            "profile_id": label[profile],
            "source": "virtual",
            "lon": where.lon,
            "lat": where.lat,
            "year": year[profile],
            "top_cm": top,
            "bottom_cm": bottom,
            "soc_g_kg": measured,
        }
    )
    return table[list(COLUMNS)]


def write_profiles(table: pd.DataFrame, path: Path) -> None:
    """Write a table of profiles as CSV, which the plain profile reader takes as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    out = table.assign(year=table["year"].astype("Int64"))
    out.to_csv(path, index=False, lineterminator="\n")


def development(lon: Floats, lat: Floats, seed: int) -> Floats:
    """Return how well a place is surveyed, 0.02 to 1: :data:`SURVEYED` regions times roads."""
    here = unit_vectors(lon, lat)
    total = np.zeros(here.shape[1])
    for centre_lon, centre_lat, radius, weight in SURVEYED:
        centre = unit_vectors(np.array([centre_lon]), np.array([centre_lat]))[:, 0]
        chord_km = EARTH_RADIUS_KM * np.sqrt(np.maximum(2.0 - 2.0 * centre @ here, 0.0))
        total += weight * np.exp(-0.5 * (chord_km / radius) ** 2)
    roads = 1.0 / (1.0 + np.exp(-1.5 * Field("roads", 300.0, seed)(lon, lat)))
    return np.asarray(0.02 + np.minimum(total, 1.0) * roads)


def inclusion(points: Points, seed: int) -> Floats:
    """Return the chance (up to a factor) that a survey digs at each point.

    Accessible and farmed land is dug most: yearly means of 0 to 28 °C, 300 to 2200 mm of rain,
    gentle slopes, surveyed regions. Deserts, tundra and rain forests are hardly visited.
    """
    warm = points.climate["temperature"].mean(axis=0)
    rain = points.climate["rain"].sum(axis=0)
    comfort = _between(warm, 0.0, 28.0, 3.0) * _between(np.log(rain + 1.0), 5.7, 7.7, 0.3)
    farmed = np.exp(-np.nan_to_num(points.climate["slope"]) / 2.0)
    return np.asarray((0.03 + comfort) * (0.2 + farmed) * development(points.lon, points.lat, seed))


def horizons(
    n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return profile number, top and bottom (cm) of the layers of `n` profiles.

    One profile in six is a topsoil sample to 15, 20 or 30 cm. The others are dug to about 110 cm
    (30 to 250), with horizons that thicken downwards; surveyors favour multiples of 5.
    """
    profile, tops, bottoms = [], [], []
    for i in range(n):
        if rng.random() < 1 / 6:
            edges = [0, int(rng.choice([15, 20, 30]))]
        else:
            end = float(np.clip(rng.lognormal(np.log(110.0), 0.4), 30.0, 250.0))
            edges, thickness = [0], rng.uniform(8.0, 28.0)
            while edges[-1] < end:
                step = 5 if rng.random() < 0.6 else 1
                edge = int(step * round(min(edges[-1] + thickness, end) / step))
                edges.append(max(edge, edges[-1] + 3))
                thickness = rng.uniform(0.8, 1.7) * thickness
                if end - edges[-1] < 5:
                    break
        profile += [i] * (len(edges) - 1)
        tops += edges[:-1]
        bottoms += edges[1:]
    return np.array(profile), np.array(tops), np.array(bottoms)


def measure(
    truth: Floats, relative_sd: float, profile: NDArray[np.int64], rng: np.random.Generator
) -> Floats:
    """Return what a laboratory reports: noise with mean 1, then rounding.

    Two laboratories in three report 0.1 g/kg, the others whole g/kg (percent with one digit);
    what would be zero is reported as half of the last digit.
    """
    sigma = np.sqrt(np.log1p(relative_sd**2))
    noisy = truth * np.exp(sigma * rng.standard_normal(truth.shape) - 0.5 * sigma**2)
    coarse = rng.random(int(profile.max()) + 1) < 1 / 3
    digit = np.where(coarse[profile], 1.0, 0.1)
    return np.asarray(np.round(np.maximum(np.round(noisy / digit), 0.5) * digit, 2))


def random_points(count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return longitudes and latitudes of points uniform on the sphere, to 1e-5 degrees."""
    lon = np.asarray(rng.uniform(-180.0, 180.0, count), np.float64)
    lat = np.asarray(np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, count))), np.float64)
    return np.asarray(lon.round(5)), np.asarray(lat.round(5))


def points_at(
    cube: CubeAt, grid: Grid, lon: Floats, lat: Floats, names: CovariateNames, soil_mask: str
) -> tuple[Points, NDArray[np.bool_]]:
    """Return points with their covariates, and which of them are soil with covariates complete."""
    wanted = (names.temperature, names.rain, names.relief, names.slope, soil_mask)
    values = cube.at(lon, lat, grid, wanted)
    climate = {k: np.asarray(v, np.float64).T for k, v in names.rename(values).items()}
    finite = [np.isfinite(v).reshape(-1, len(lon)).all(axis=0) for v in climate.values()]
    usable = np.logical_and.reduce([np.asarray(values[soil_mask]) == Status.SOIL, *finite])
    return Points(lon, lat, climate), usable


def _draw_points(
    soil: VirtualSoil,
    cube: CubeAt,
    grid: Grid,
    n: int,
    rng: np.random.Generator,
    names: CovariateNames,
    soil_mask: str,
    preferential: bool,
) -> Points:
    """Draw `n` places: uniform on the sphere, thinned to soil on the grid and by inclusion."""
    count = max(40 * n, 2000) if preferential else max(8 * n, 2000)
    for _ in range(4):
        lon, lat = random_points(count, rng)
        inside = grid.locate(lon, lat)[2]
        points, usable = points_at(cube, grid, lon[inside], lat[inside], names, soil_mask)
        points = points.take(np.flatnonzero(usable))
        if len(points.lon) >= (4 * n if preferential else n):
            break
        count *= 4
    else:
        raise InputError(
            f"virtual profiles: expected soil below at least {n} of {count} random points of grid "
            f'"{grid.name}", found {len(points.lon)}; use a larger grid or fewer profiles'
        )
    if not preferential:
        return points.take(np.arange(n))
    chance = inclusion(points, soil.seed)
    # Efraimidis & Spirakis 2006: the n largest of u^(1/w) are a weighted sample without replacement
    rank = np.log(rng.random(len(chance))) / chance
    return points.take(np.sort(np.argsort(rank)[::-1][:n]))


def _between(x: Floats, low: float, high: float, soft: float) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp((low - x) / soft)) / (1.0 + np.exp((x - high) / soft)))
