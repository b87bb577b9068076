"""Samples of a small region with finer covariates of its own, for the benchmark of regions.

Edgeroi, New South Wales: 341 profiles on 36 by 52 km and five rasters of 90 m (McGarry et al. 1989;
R package ithir, GPL-2). Its cube holds what the model of the world reads, from the same files, and
the rasters of its own; recipe, squares and strides are those of ``edaphos finetune``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pandas as pd
from pyproj import Transformer

from edaphos.engine.branches.group_set import draw_set
from edaphos.engine.build.build import build_cube
from edaphos.engine.cube.cube import Cube
from edaphos.engine.progress import QUIET
from edaphos.engine.samples import Samples
from edaphos.recipes.cube_schema import read_cube_spec
from edaphos.recipes.job import load_job, year_policy
from edaphos.recipes.pipeline import draw, load
from edaphos.recipes.region_recipes import Region, region_recipe, write_recipe
from edaphos.recipes.templates import builtin_path

from .gsoilcpm_data import KEPT
from .kept_samples import is_kept, keep_samples, kept_samples
from .open_data import DATA

Told = Mapping[str, Any]

#: Its zone of UTM, in which sites and rasters are.
CRS = "EPSG:32755"
#: Columns of carbon by layer, cm.
LAYERS = {"X0.5.cm": (0, 5), "X5.15.cm": (5, 15), "X15.30.cm": (15, 30)}
#: Degrees by which coarse layers reach beyond the region: windows, gaps to fill, and the ring of
#: the topographic position index.
BEYOND = 3.0
#: Settings of a region's model that its cube decides.
DECIDED = "own", "stride"


def draw_fine(region: Told, model: Path) -> None:
    """Build the region's cube and draw its samples and their squares, unless that was done.

    Parameters
    ----------
    region
        As the plan has it: ``bounds``, ``own`` (rasters by the name of their variable) and
        ``bulk_density``, g/cm3.
    model
        Folder of a model of the world.
    """
    folder = _folder(region)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not is_kept(folder):
            _draw(region, model, folder)


def fine_samples(region: Told) -> tuple[Samples, dict[str, Any]]:
    """Return what :func:`draw_fine` drew, and what its cube decides of a model's settings."""
    folder = _folder(region)
    samples, about = kept_samples(folder, folder / "set")
    return samples, about["settings"]


def _folder(region: Told) -> Path:
    return KEPT / str(region["name"]).lower()


def _draw(region: Told, model: Path, folder: Path) -> None:
    cube, profiles = folder / "cube.zarr", folder / "profiles.csv"
    if not cube.exists():
        write_recipe(_cube_spec(region), folder / "cube.toml")
        build_cube(read_cube_spec(folder / "cube.toml", DATA), cube, reporter=QUIET)
    _profiles(float(region["bulk_density"])).to_csv(profiles, index=False)
    recipe = region_recipe(
        Region(
            name=folder.name,
            title=str(region["name"]),
            model=model,
            profiles={"files": [{"path": str(profiles)}]},
            cube=Cube.open(cube),
            own=tuple(region["own"]),
        )
    )
    write_recipe(recipe, folder / "region.toml")
    job = load_job(folder / "region.toml")
    table, spec = job.recipe.profiles, job.model.build()
    assert table is not None  # given above
    samples, _ = draw(job, Cube.open(cube), load(job, table, Cube.open(cube)))
    windows, stride = (getattr(spec, name) for name in ("windows", "stride"))
    samples = draw_set(
        samples,
        Cube.open(cube),
        job.grid,
        windows,
        folder / "set",
        years=year_policy(table),
        stride=stride,
    )
    settings = {name: recipe["model"][name] for name in DECIDED if name in recipe["model"]}
    keep_samples(samples, folder, settings=settings)


def _cube_spec(region: Told) -> dict[str, Any]:
    """Return the spec of the world's cube around the region, with the region's rasters."""
    spec = tomllib.loads(builtin_path("world_cube").read_text(encoding="utf-8"))
    west, south, east, north = region["bounds"]
    around = [west - BEYOND, south - BEYOND, east + BEYOND, north + BEYOND]
    own = [
        {"name": name, "file": f"edgeroi/edgeroiCovariates_{file}.tif", "kind": "amount"}
        for name, file in region["own"].items()
    ]
    coarse = [{**layer, "crop": around} for layer in spec["layer"]]
    return {**spec, "layer": coarse + [{**layer, "licence": "GPL-2 (package)"} for layer in own]}


def _profiles(bulk_density: float) -> pd.DataFrame:
    """Return the profiles down to 30 cm as contents, g/kg, in rows of a layer each.

    The package gives densities of carbon, kg/m3, which it has from contents and texture; so one
    bulk density for all, g/cm3, is a makeshift that leaves the ranks as they are.
    """
    import rdata

    held = rdata.read_rda(DATA / "edgeroi" / "edgeroi_splineCarbon.rda")["edgeroi_splineCarbon"]
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(held["east"].to_numpy(), held["north"].to_numpy())
    sites = pd.DataFrame({"profile_id": held["id"].astype(str), "lon": lon, "lat": lat})
    layers = [
        sites.assign(top_cm=top, bottom_cm=bottom, soc_g_kg=held[name] / bulk_density)
        for name, (top, bottom) in LAYERS.items()
    ]
    return pd.concat(layers, ignore_index=True).sort_values(["profile_id", "top_cm"])
