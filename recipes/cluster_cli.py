"""The command that hands a run to Slurm."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import errors, print_json
from .options import (
    CubePath,
    Data,
    Json,
    Out,
    Preset,
    RecipePath,
    Region,
    Workers,
    Years,
    box,
    recipe_path,
    years_of,
)


def submit(
    recipe: RecipePath,
    out: Out = None,
    data: Data = None,
    cube: CubePath = None,
    grid: Preset = None,
    workers: Workers = None,
    region: Region = None,
    years: Years = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the batch script, and submit nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Submit a recipe to Slurm as a batch job that comes back until the map is made.

    What is asked of Slurm stands in the recipe's table [cluster.slurm].
    """
    with errors():
        from edaphos.engine.place import S3Path, place

        from .job import Overrides, load_job
        from .pipeline import preflight
        from .submit import job_script, script_folder
        from .submit import submit as submit_script

        recipe = recipe_path(recipe)
        job = load_job(recipe, Overrides("slurm", workers, data, cube, grid, years_of(years)))
        box(region)  # what is wrong is told now, not by the job
        where = place(out or f"runs/{job.recipe.name}")
        if not isinstance(where, S3Path):
            where = where.absolute()
        preflight(job, where)
        command = ["run", str(recipe.absolute()), "--out", str(where), "--cluster", "slurm"]
        given = {"data": data, "cube": cube, "grid": grid, "workers": workers}
        for name, value in {**given, "region": region, "years": years}.items():
            command += [] if value is None else [f"--{name}", str(value)]
        client = job.recipe.cluster.slurm.client
        name = f"edaphos-{job.recipe.name}"
        script = job_script(job.cluster, client, where, name, command)
        if dry_run:
            typer.echo(script, nl=False)
            return
        number = submit_script(where, script)
        if as_json:
            print_json({"run": str(where), "job": number, "folder": str(script_folder(where))})
            return
        typer.echo(
            f"job {number} makes {where}; its output goes to {script_folder(where)}\n"
            f"look at it:  edaphos status {where}\n"
            f"end it:      edaphos stop {where}"
        )
