"""The command that hands a run to Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors, print_json

_DATA = "Folder that source files are looked for in."
_CUBE = "The cube's folder or s3:// address, instead of the recipe's."


def submit(
    recipe: Annotated[Path, typer.Argument(help="A recipe, or the name of a built-in one.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Output folder, or s3://bucket/folder.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help=_DATA)] = None,
    cube: Annotated[str | None, typer.Option(help=_CUBE)] = None,
    grid: Annotated[
        str | None, typer.Option(help="A grid preset instead of the recipe's grid.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes.")] = None,
    years: Annotated[
        str | None, typer.Option(help="Years instead of the recipe's, such as 2000,2005-2010.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the batch script, and submit nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, for scripts.")
    ] = False,
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
        from .templates import builtin_path

        if not recipe.exists() and not recipe.suffix:
            recipe = builtin_path(str(recipe))
        job = load_job(recipe, Overrides("slurm", workers, data, cube, grid))
        where = place(out or f"runs/{job.recipe.name}")
        if not isinstance(where, S3Path):
            where = where.absolute()
        preflight(job, where)
        command = ["run", str(recipe.absolute()), "--out", str(where), "--cluster", "slurm"]
        given = {"data": data, "cube": cube, "grid": grid, "workers": workers}
        for name, value in {**given, "years": years}.items():
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
