"""A small land whose climate and fertiliser change from year to year, on disk, and its survey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import MANIFEST, read_manifest
from edaphos.engine.grid import Grid
from edaphos.engine.models.poml import PomlModel
from edaphos.engine.samples import feature_names
from edaphos.engine.status import Status

from .cubes import Layer, write_cube

SHAPE = (8, 10)
YEARS = tuple(range(1980, 1987))
#: Cells of half the cube's, so that sites are resampled.
GRID = Grid.from_bounds("EPSG:4326", (100, 26, 110, 34), 0.5, 16, "land")
SETTINGS: Mapping[str, Any] = {
    "years": YEARS,
    "depth_cm": 20.0,
    "static": ("clay", "elevation"),
    "yearly": ("fertiliser",),
    "climate": {"transient": True},
    "driver": {"kind": "variable", "variable": "fertiliser"},
    "learner": {"trees": 12, "min_samples_leaf": 2},
    "uncertainty": {"members": 0},
}
UNITS = {"clay": "%", "elevation": "m", "fertiliser": "kg ha-1", "soil_mask": "1"}


def values(seed: int = 0) -> dict[str, np.ndarray]:
    """Return static fields ``(y, x)``, and yearly ones ``(years, y, x)`` with ``name_01`` …"""
    rng = np.random.default_rng(seed)
    years = len(YEARS)
    elevation = rng.uniform(0, 800, SHAPE)
    warm = 18 - elevation / 160 + rng.normal(0, 0.6, (years, 1, 1))
    held: dict[str, np.ndarray] = {
        "clay": rng.uniform(8, 45, SHAPE),
        "elevation": elevation,
        "fertiliser": rng.uniform(60, 140, SHAPE) * 1.03 ** np.arange(years)[:, None, None],
        "soil_mask": np.full(SHAPE, int(Status.SOIL)),
    }
    held["soil_mask"][0, 0] = Status.SEA
    for i, (warmer, wetter) in enumerate(
        zip(feature_names("temperature", "monthly"), feature_names("rain", "monthly"), strict=True)
    ):
        season = np.cos(2 * np.pi * (i - 6) / 12)
        held[warmer] = warm + 9 * season
        held[wetter] = rng.uniform(30, 160, (years, *SHAPE))
    return held


def write_land(path: Path, changes: Mapping[str, np.ndarray | None] | None = None) -> Cube:
    """Write the land as a cube; `changes` replace its fields, None leaves one out.

    Yearly fields begin in 1980. A field ``temperature`` or ``rain`` of twelve is monthly.
    """
    held = {k: v for k, v in {**values(), **(changes or {})}.items() if v is not None}
    layers: dict[tuple[Any, ...], Layer] = {}
    for name, array in held.items():
        time, years = "static", ()
        if array.ndim == 3:
            time = "monthly" if name in ("temperature", "rain") else "yearly"
            years = () if time == "monthly" else tuple(1980 + i for i in range(len(array)))
        kind = "class" if name in ("soil_mask", "landcover") else "amount"
        key = (kind, time, years)
        known = layers[key].values if key in layers else {}
        layers[key] = Layer(
            {**known, name: array}, (100, 34), (1, 1), kind=kind, time=time, years=years
        )
    write_cube(path, list(layers.values()), soil_mask="soil_mask")
    manifest = read_manifest(path)
    variables = {k: replace(v, units=_units(k)) for k, v in manifest.variables.items()}
    (path / MANIFEST).write_text(replace(manifest, variables=variables).to_json())
    return Cube.open(path)


def _units(name: str) -> str:
    for begin, units in (("temperature", "degC"), ("rain", "mm")):
        if name.startswith(begin):
            return units
    return UNITS.get(name, "1")


def survey(sites: int = 60, dates: tuple[int, ...] = (1980, 1986), seed: int = 1) -> pd.DataFrame:
    """Return two layers of each site and date; richer where clay is, and rising by the year."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(101.1, 109.9, sites).round(4), rng.uniform(26.1, 33.9, sites).round(4)
    held = values()
    cell = ((34 - lat).astype(int), (lon - 100).astype(int))
    rows = []
    for date in dates:
        level = 8 + 0.3 * held["clay"][cell] + 0.3 * (date - 1980)
        for top, share in ((0, 1.1), (10, 0.9)):
            soc = level * share + rng.normal(0, 0.4, sites)
            rows.append(
                pd.DataFrame(
                    {
                        "profile_id": [f"p{i}" for i in range(sites)],
                        "lon": lon,
                        "lat": lat,
                        "year": date,
                        "top_cm": top,
                        "bottom_cm": top + 15,
                        "soc_g_kg": soc.round(3),
                        "bulk_density_g_cm3": 1.3,
                        "coarse_fraction": 0.05,
                    }
                )
            )
    return pd.concat(rows, ignore_index=True).assign(source="survey")


def make_model(changes: Mapping[str, Any] | None = None, seed: int = 3) -> PomlModel:
    """Return an unfitted model of the land; `changes` are settings."""
    return PomlModel({**SETTINGS, **(changes or {})}, seed=seed)
