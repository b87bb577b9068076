"""The regions of a recipe: after the map of the world, each is fine-tuned to and mapped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edaphos.engine.boundary import Boundary
from edaphos.engine.branches.groups import absent_groups
from edaphos.engine.branches.settings import settings_from
from edaphos.engine.branches.window_ground import cell_metres, strides
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.place import place
from edaphos.engine.products.blended import write_blended
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import GridSpec, Run

from .gsoilcpm_schema import GsoilcpmTable, RegionTable
from .job import Job, load_job
from .region_extent import extent_of, finest
from .region_recipes import Region, check_own, region_recipe, write_recipe

REGIONS, BLENDED = "regions", "blended"
#: Runs the recipe of a region.
Runner = Callable[[Job, Path], Run]


def check_regions(job: Job, out: object) -> None:
    """Refuse regions whose files are not there, or a run in a bucket, before anything runs."""
    for region in job.recipe.regions:
        if not isinstance(out, Path):
            raise InputError(
                "regions: a run with [[regions]] lies in a folder of this machine or of a file "
                "system that workers share, not in a bucket"
            )
        if region.profiles and not (job.data / region.profiles).is_file():
            raise InputError(
                f"{job.data / region.profiles}: no such file, named by region {region.name}"
            )
        if region.cube:
            _check_cube(job, region, Cube.open(place(region.cube)))  # says what is wrong
        elif region.own:
            raise InputError(
                f"regions: {region.name} names covariates of its own ({', '.join(region.own)}) and "
                "no cube of its own; give cube, or add them to a group of the model"
            )
        else:
            spec = GridSpec.of(job.grid)
            _check_cells(job, region, (), spec.crs, spec.resolution)
            boundary = _boundary(job, region)
            if boundary is not None and not boundary.meets(job.grid):
                raise InputError(
                    f"regions: the boundary of {region.name} lies outside the grid of the world"
                )


def _check_cube(job: Job, region: RegionTable, cube: Cube) -> None:
    """Refuse a region's cube that the model of the world cannot be fine-tuned with."""
    model = job.recipe.model
    if not isinstance(model, GsoilcpmTable):  # which the schema has told
        return
    told = settings_from(model.settings())
    known = [name for group in told.groups for name in group.covariates]
    check_own(region.own, known, cube)
    if region.own and told.fine_tuning.adversarial:
        raise InputError(
            f"regions: {region.name} names covariates of its own, and fine_tuning.adversarial "
            "compares regions with places of the world, which have none of these; leave one of "
            "the two out"
        )
    missing = absent_groups(told.groups, cube.manifest.variables)
    if missing and not told.group_dropout:
        raise InputError(
            f"regions: the cube of {region.name} lacks the group {', '.join(missing)}, and "
            "model.group_dropout = 0 teaches no net to do without: set it above 0, or give them"
        )
    held = [n for n in (*known, *region.own) if n in cube.manifest.variables]
    crs, _, cell = finest(cube, held)
    extent_of(region.name, cube, held, crs, region.bounds, _boundary(job, region))
    _check_cells(job, region, missing, crs, cell)


def _boundary(job: Job, region: RegionTable) -> Boundary | None:
    if region.boundary is None:
        return None
    return Boundary.read(job.data / region.boundary, f"boundary of region {region.name}")


def _check_cells(
    job: Job, region: RegionTable, missing: tuple[str, ...], crs: str, cell: float
) -> None:
    """Refuse cells so large that windows on them cannot keep their ground."""
    model = job.recipe.model
    if region.windows == "cells" or not isinstance(model, GsoilcpmTable):
        return
    told = settings_from(model.settings())
    learned = cell_metres(job.grid.crs, job.grid.resolution[0]) * (told.stride or 1)
    here = cell_metres(crs, region.resolution or cell)
    read = [group for group in told.groups if group.name not in missing]
    stride, alike = strides(read, learned, here)
    if stride == 1 and not alike:
        raise InputError(
            f"regions: cells of {region.name} are of {here:,.0f} m, and windows of the model are "
            f"of cells {learned:,.0f} m apart, so that they would be of more ground there: give "
            'resolution, to have smaller cells, or windows = "cells"'
        )


def run_regions(job: Job, run: Run, runner: Runner, reporter: Reporter = QUIET) -> list[Run]:
    """Fine-tune the model of a run to each region, and map it; finished regions are left alone.

    Parameters
    ----------
    job, run
        The recipe of the world and its finished run.
    runner
        What runs the recipe of a region.
    """
    found: list[Run] = []
    for region in job.recipe.regions:
        folder = Path(str(run.path)) / REGIONS
        path = folder / f"{region.name}.toml"
        reporter.say(f"Region {region.name}")
        write_recipe(region_recipe(_region(job, run, region)), path)
        own = replace(load_job(path), cluster=job.cluster)
        found.append(runner(own, folder / region.name))
    return found


def blend_region(world: Run, region: Run) -> None:
    """Blend a region's map into that of the world, if the recipe wants GeoTIFFs."""
    if region.manifest()["provenance"]["products"]["cog"]:
        write_blended(world, region, Path(str(region.path)) / BLENDED)


def _region(job: Job, run: Run, table: RegionTable) -> Region:
    recipe = job.recipe
    assert recipe.profiles is not None  # a model of the world learns from profiles
    files = [
        {**file.model_dump(exclude_unset=True), "path": str(job.data / file.path)}
        for file in recipe.profiles.files
    ]
    if table.profiles:
        files = [{"path": str(job.data / table.profiles)}]
    spec = GridSpec.of(job.grid)
    assess = recipe.assess
    return Region(
        name=f"{recipe.name}-{table.name}",
        title=f"{recipe.title}: {table.name}",
        model=Path(str(run.model_folder)),
        profiles={**recipe.profiles.model_dump(exclude_unset=True), "files": files},
        cube=Cube.open(place(table.cube) if table.cube else job.cube_path),
        bounds=table.bounds,
        boundary=None if table.boundary is None else job.data / table.boundary,
        grid=None if table.cube else (spec.crs, spec.origin, spec.resolution),
        resolution=table.resolution,
        own=table.own,
        windows=table.windows,
        seed=recipe.seed,
        licence=recipe.licence,
        fine_tuning=recipe.model.model_dump(exclude_unset=True).get("fine_tuning", {}),
        assess={
            "enabled": assess.enabled,
            "folds": assess.folds,
            "bootstrap": assess.bootstrap,
            "koeppen_legend": assess.koeppen_legend,
            **({} if table.block_deg is None else {"block_deg": table.block_deg}),
        },
        products=recipe.products.model_dump(exclude_unset=True),
        year=recipe.years[-1],
    )
