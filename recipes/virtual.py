"""The virtual soil on the real Earth: the world in which the demo's map is made and judged.

The climate, relief and land are real; the soil is made up, so that its truth is known everywhere.

- ``virtual_process.py``: what makes carbon, from climate.
- ``virtual_fields.py``, ``virtual_truth.py``: what is hidden, and the truth at any point.
- ``virtual_sampling.py``: the surveys a model learns from.
- ``virtual_judge.py``: a map against the truth, window by window; here, over a whole cube and map.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edaphos.engine.fan_out import fan_out
from edaphos.engine.grid import Grid, Window
from edaphos.engine.progress import QUIET, Reporter

from .virtual_judge import (
    JudgeSettings,
    MapArrays,
    TruthScore,
    WindowScore,
    combine,
    judge_window,
    koeppen_group,
)
from .virtual_sampling import Points, points_at, random_points, sample_profiles, write_profiles
from .virtual_truth import VIRTUAL_BANNER, CovariateNames, VirtualSoil
from .virtual_variance import variance_shares

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

    from edaphos.engine.cube.cube import Cube

__all__ = [
    "VIRTUAL_BANNER",
    "CovariateNames",
    "JudgeSettings",
    "TruthScore",
    "VirtualSoil",
    "describe",
    "judge",
    "judge_tile",
    "sample_profiles",
    "shares_on_earth",
    "write_profiles",
]

#: Variables of a map that are judged: mean and 90 % interval.
MAP_VARIABLES: tuple[str, str, str] = ("soc_mean", "soc_q05", "soc_q95")


def judge(
    soil: VirtualSoil,
    cube: Cube,
    grid: Grid,
    dataset: xr.Dataset,
    settings: JudgeSettings,
    legend: Mapping[int, str],
    *,
    names: CovariateNames | None = None,
    client: Client | None = None,
    reporter: Reporter = QUIET,
) -> TruthScore:
    """Compare a whole map of the virtual Earth with the truth, tile by tile.

    Parameters
    ----------
    soil, cube, grid
        The truth; its covariates; the map's grid.
    dataset
        The map as ``open_map`` gives it, with :data:`MAP_VARIABLES`; its first year is judged.
    settings
        Depths (those of the map), points in a cell, block size of the pictures, seed.
    legend
        Names of the Köppen classes by code.
    names
        What the cube calls its variables.
    client
        Judge tiles as Dask tasks; else one after the other. The score is the same.
    """
    task = partial(judge_tile, soil, cube, dataset, settings, legend, names or CovariateNames())
    windows = [tile.window for tile in grid.tiles()]
    scores = fan_out(task, windows, client, reporter, "judging against the truth")
    return combine(scores, grid.shape, settings)


def judge_tile(
    soil: VirtualSoil,
    cube: Cube,
    dataset: xr.Dataset,
    settings: JudgeSettings,
    legend: Mapping[int, str],
    names: CovariateNames,
    window: Window,
) -> WindowScore:
    """Compare one tile of a map with the truth: reads cube and map, returns sums."""
    rows = slice(window.row0, window.row0 + window.height)
    cols = slice(window.col0, window.col0 + window.width)
    part = (
        dataset[list(MAP_VARIABLES)].isel(year=0, y=rows, x=cols).compute(scheduler="synchronous")
    )
    mean, low, high = (part[v].transpose("depth", "y", "x").values for v in MAP_VARIABLES)
    values = cube.read(window, (*names.truth, names.koeppen))
    groups = koeppen_group(values[names.koeppen], legend)
    return judge_window(
        soil, window, names.rename(values), groups, MapArrays(mean, low, high), settings
    )


def shares_on_earth(
    soil: VirtualSoil,
    cube: Cube,
    grid: Grid,
    seed: int,
    *,
    names: CovariateNames | None = None,
    soil_mask: str = "soil_mask",
    depth: tuple[float, float] = (0.0, 30.0),
    points: int = 40_000,
) -> dict[str, float]:
    """Return the sources of variance of ln SOC over the Earth's soils (see `variance_shares`).

    `points` are drawn uniformly on the sphere; those on soil, about a quarter, are used.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5A]))
    lon, lat = random_points(points, rng)
    inside = grid.locate(lon, lat)[2]
    found, usable = points_at(
        cube, grid, lon[inside], lat[inside], names or CovariateNames(), soil_mask
    )
    where: Points = found.take(np.flatnonzero(usable))
    return variance_shares(soil, where.lon, where.lat, where.climate, depth)


def describe(soil: VirtualSoil, shares: Mapping[str, float] | None = None) -> str:
    """Return, in plain paragraphs, what the virtual soil is, with the values of its parameters.

    Parameters
    ----------
    shares
        From :func:`shares_on_earth`, to state them too.
    """
    p, s, r = soil.process, soil.strengths, soil.ranges
    paragraphs = [
        f"{VIRTUAL_BANNER}. Land, climate, relief and Köppen classes are real; the soil is made up "
        "by a process stated here, so that the truth is known at every point and depth, and a map "
        "made from samples of it can be checked everywhere, which real data never allow.",
        "The process. Plants bring carbon in (net primary production by the Miami model, Lieth "
        f"1975, of which {p.soil_input_share:.0%} enters the upper 30 cm); it decays by RothC's "
        "rates, slowed by cold and drought as in RothC (Coleman & Jenkinson 1996) and up to "
        f"{p.wet_slowdown:g} times by water-logging; clay protects it. The stock is RothC's steady "
        f"state times {p.protection:g} (calibrated), its response to climate tempered by the "
        f"exponent {p.climate_response:g}, plus inert carbon (Falloon et al. 1998). Density falls "
        f"with depth as a fast and a slow exponential ({p.deep_share:.0%} slow, e-folding "
        f"{p.deep_efold_cm:g} cm); content follows from a mix of organic and mineral matter "
        "(Adams 1973).",
        "What no covariate shows. A clay field (correlated over "
        f"{r.clay:g} km), drainage ({r.wetness:g} km, and hollows wetter than ridges), rooting "
        f"depth ({r.rooting:g} km), and two fields of ln carbon density with ranges of {r.broad:g} "
        f"and {r.regional:g} km (standard deviations {s.broad:g} and {s.regional:g}). Inside a map "
        f"cell: a field of {r.local:g} km ({s.local:g}) and a nugget from pedon to pedon "
        f"({s.pedon:g}). Subsoil departs from topsoil. Laboratories err by {s.measurement:.0%} and "
        "round.",
        "The survey is preferential: farmed, gentle, temperate land in well-surveyed countries; "
        "deserts, tundra and rain forests are hardly visited. Some profiles are shallow, and "
        "horizons are not the map's depths.",
    ]
    if shares:
        parts = "; ".join(f"{name} {share:.0%}" for name, share in shares.items())
        paragraphs.append(f"Sources of the variance of ln SOC over the Earth's topsoils: {parts}.")
    paragraphs.append(f"Seed {soil.seed}.")
    return "\n\n".join(paragraphs)
