"""Recipes of regions: a model of the world, a region's profiles and cube, and the region's grid.

What `edaphos finetune` runs, and what a recipe with [[regions]] runs after its own map, is an
ordinary recipe, kept beside its run: cross-validated beside a forest of the region's profiles
alone, mapped, reported, and continued where it was cut off.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pyproj import Transformer

from edaphos.engine.assess.splits import SMALLEST_SIDE
from edaphos.engine.boundary import Boundary
from edaphos.engine.branches.groups import absent_groups
from edaphos.engine.branches.model_file import depths_of, digest_of_model, read_card
from edaphos.engine.branches.settings import settings_from
from edaphos.engine.branches.window_ground import cell_metres, learned_metres, strides
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError, did_you_mean
from edaphos.engine.grid import snapped
from edaphos.engine.store import write_atomically
from edaphos.engine.training_spec import TrainSpec

from .region_extent import Box, extent_of, finest, shared, stacks_of

#: Name of the group of a region's own covariates; numbered where the model has one of that name.
OWN = "own"
#: Cells along the side of a tile, as small regions have few.
TILE = 256
#: Blocks of cross-validation that an extent should hold, so that intervals can be told by depth
#: though some blocks hold no profile; and their largest side, degrees.
BLOCKS, LARGEST_BLOCK = 40, 1.0


@dataclass(frozen=True)
class Region:
    """A region to fine-tune to.

    Parameters
    ----------
    name, title
        Of its run.
    model
        Folder of the model of the world.
    profiles
        The table [profiles] of its recipe, paths of files absolute.
    cube
        Of its covariates.
    bounds
        Degrees; None for all of the cube.
    boundary
        File of polygons outside which nothing is mapped, with no bounds beside it.
    grid
        CRS, origin and cell size of a grid that its map is a part of; None for the cube's finest.
    resolution
        Cell size in units of the CRS instead of that of the grid.
    own
        Variables of its cube that the model of the world does not read: they get a branch.
    windows
        What windows keep on cells of another size than the world's: their ground, by cells that
        lie apart, or their number of cells.
    seed, licence
        Of the map.
    fine_tuning
        Settings that differ from the defaults.
    assess
        Cross-validation; {"enabled": False} for none. Its blocks are those that suit the extent,
        if it names no side.
    products
        What is made from the map, as in a recipe.
    year
        That the map is labelled with.
    """

    name: str
    title: str
    model: Path
    profiles: Mapping[str, Any]
    cube: Cube
    bounds: Box | None = None
    boundary: Path | None = None
    grid: tuple[str, tuple[float, float], float] | None = None
    resolution: float | None = None
    own: tuple[str, ...] = ()
    windows: Literal["ground", "cells"] = "ground"
    seed: int = 0
    licence: str = ""
    fine_tuning: Mapping[str, Any] | None = None
    assess: Mapping[str, Any] | None = None
    products: Mapping[str, Any] | None = None
    year: int = 2020


def region_recipe(region: Region) -> dict[str, Any]:
    """Return the recipe of a region, as a TOML of it would read.

    Raises
    ------
    InputError
        There is no such model, or the cube has part of a group, or nothing that the model reads.
    """
    card = read_card(region.model)
    told = settings_from(card["settings"])
    missing = absent_groups(told.groups, region.cube.manifest.variables)
    covariates = [
        name for group in told.groups if group.name not in missing for name in group.covariates
    ]
    check_own(region.own, [n for group in told.groups for n in group.covariates], region.cube)
    covariates += region.own
    crs, origin, cell = region.grid or finest(region.cube, covariates)
    cell = region.resolution or cell
    boundary = None if region.boundary is None else Boundary.read(region.boundary, "boundary")
    bounds = extent_of(region.name, region.cube, covariates, crs, region.bounds, boundary)
    read = [group for group in told.groups if group.name not in missing]
    stride, alike = strides(read, learned_metres(card), cell_metres(crs, cell))
    if region.windows == "cells":
        stride = 1
    # coarser cells than the world's have no stride: the model says what may be done
    kept = {} if alike or (stride == 1 and region.windows == "ground") else {"stride": stride}
    rate = told.training.rate
    assess = {"splits": ["block", "random"], "folds": 5, **(region.assess or {})}
    boxes = boundary.boxes() if boundary is not None else (_in_degrees(bounds, crs),)
    assess.setdefault("block_deg", _block_side(boxes))
    forest = {"kind": "forest", "covariates": covariates, "max_features": 0.33}
    assess.setdefault("compare", [{"name": "forest of the region", "model": forest}])
    return {
        "name": region.name,
        "title": region.title,
        "licence": region.licence,
        "seed": region.seed,
        "grid": {
            "crs": crs,
            "bounds": list(snapped(bounds, origin, cell)),
            "resolution": cell,
            "tile_size": TILE,
            **({} if region.boundary is None else {"boundary": str(region.boundary.absolute())}),
        },
        "cube": {"path": str(region.cube.path.absolute())},
        "profiles": dict(region.profiles),
        "model": {
            "kind": "gsoilcpm",
            "start": str(region.model.absolute()),
            "start_digest": digest_of_model(region.model),
            "lacking": list(missing),
            **kept,
            **_own(region, [group.name for group in told.groups]),
            # of which a share is taken
            **({"training": {"rate": rate}} if rate != TrainSpec().rate else {}),
            # ways are chosen by blocks as large as those that judge them
            "fine_tuning": {"part_deg": assess["block_deg"], **(region.fine_tuning or {})},
        },
        "map": {
            "depths": [list(pair) for pair in depths_of(card)],
            "quantiles": list(card["quantiles"]),
            "year": region.year,
        },
        "assess": assess,
        "products": dict(region.products or {}),
    }


def _own(region: Region, known: Sequence[str]) -> dict[str, Any]:
    """Return the group of a region's own covariates, if it has any."""
    names = (OWN, *(f"{OWN}-{number}" for number in range(2, len(known) + 3)))
    name = next(name for name in names if name not in known)
    return {"own": [{"name": name, "covariates": list(region.own)}]} if region.own else {}


def write_recipe(recipe: Mapping[str, Any], path: Path) -> None:
    """Write a recipe as TOML."""
    lines = [f"{key} = {_toml(v)}" for key, v in recipe.items() if not isinstance(v, Mapping)]
    for key, table in recipe.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{key}]", *(f"{k} = {_toml(v)}" for k, v in table.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def reach_km(region: Region, recipe: Mapping[str, Any]) -> float:
    """Return how far the windows of a region's recipe reach where their cells lie apart, else 0."""
    _, cells = _seen_around(region, recipe)
    metres = cell_metres(recipe["grid"]["crs"], recipe["grid"]["resolution"])
    return 0.0 if (recipe["model"].get("stride") or 1) == 1 else cells * metres / 1000


def _seen_around(region: Region, recipe: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return the covariates that windows are cut of, and how many cells these reach."""
    told, model = settings_from(read_card(region.model)["settings"]), recipe["model"]
    wide = [g for g in told.groups if g.window > 1 and g.name not in model["lacking"]]
    half = max((group.window // 2 for group in wide), default=0)
    return [name for g in wide for name in g.covariates], half * (model.get("stride") or 1)


def cut_share(region: Region, recipe: Mapping[str, Any]) -> float:
    """Return the share of a region's map whose windows reach beyond covariates of its cube.

    About so, by the box that all these covariates share.
    """
    names, cells = _seen_around(region, recipe)
    if not names:
        return 0.0
    grid = recipe["grid"]
    reach = cells * grid["resolution"]
    west, south, east, north = grid["bounds"]
    around = (west - reach, south - reach, east + reach, north + reach)
    left, low, right, high = shared(around, grid["crs"], stacks_of(region.cube, names))
    across = max(0.0, right - left - 2 * reach) / (east - west)
    up = max(0.0, high - low - 2 * reach) / (north - south)
    return 1.0 - across * up


def unread(region: Region) -> tuple[str, ...]:
    """Return the variables of a region's cube that neither the world's nets read nor its own."""
    told = settings_from(read_card(region.model)["settings"])
    read = {name for group in told.groups for name in group.covariates} | set(region.own)
    manifest = region.cube.manifest
    known = {*read, manifest.masks.soil_mask}
    return tuple(name for name in manifest.variables if name not in known)


def check_own(own: Sequence[str], known: Sequence[str], cube: Cube) -> None:
    """Refuse variables of a region's own that its cube lacks, or that the world reads."""
    held = cube.manifest.variables
    for name in own:
        if name not in held:
            raise InputError(f'own: the cube has no variable "{name}": {did_you_mean(name, held)}')
        if name in known:
            raise InputError(
                f'own: the model of the world reads "{name}" already; name only what it does not'
            )


def _block_side(boxes: Sequence[Box]) -> float:
    """Return the side of blocks of which an area holds some :data:`BLOCKS`, degrees.

    At most :data:`LARGEST_BLOCK`; rounded down to one digit. The area is made up of boxes.

    >>> _block_side([(14.6, 45.1, 15.4, 45.7)]), _block_side([(-74, -34, -34.5, 5.5)])
    (0.09, 1.0)
    """
    area = 0.0
    for west, south, east, north in boxes:
        around = east - west if east > west else east - west + 360
        area += around * math.cos(math.radians((south + north) / 2)) * (north - south)
    side = max(SMALLEST_SIDE, min(LARGEST_BLOCK, math.sqrt(area / BLOCKS)))
    digit = 10.0 ** math.floor(math.log10(side) + 1e-9)
    return round(math.floor(side / digit + 1e-9) * digit, 6)


def _in_degrees(bounds: Box, crs: str) -> Box:
    to = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south, east, north = map(float, to.transform_bounds(*bounds, densify_pts=21))
    return west, south, east, north
