"""The command line. Heavy imports stay inside the commands, so that ``--help`` is instant."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from edaphos.engine.progress import Reporter

from .cluster_cli import submit
from .console import errors as _errors
from .console import print_json as _print_json
from .cube_cli import cube_app
from .finetune_cli import finetune, model_app
from .map_cli import map_app
from .options import (
    Cluster,
    CubePath,
    Data,
    Json,
    Out,
    Preset,
    Quiet,
    RecipePath,
    Region,
    RunPlace,
    Workers,
    Years,
    box,
    pairs,
    recipe_path,
    years_of,
)
from .rothc_cli import rothc_app
from .stocks_cli import stocks
from .watch_cli import status, stop

app = typer.Typer(
    name="edaphos",
    help="Wall-to-wall maps of soil organic carbon, per depth and year, from 1 km to 250 m.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
profiles_app = typer.Typer(no_args_is_help=True, help="Read and check soil profiles.")
recipe_app = typer.Typer(no_args_is_help=True, help="List recipes and begin your own.")
app.add_typer(cube_app, name="cube")
app.add_typer(profiles_app, name="profiles")
app.add_typer(recipe_app, name="recipe")
app.add_typer(map_app, name="map")
app.add_typer(model_app, name="model")
app.add_typer(rothc_app, name="rothc")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("edaphos"))
        raise typer.Exit


@app.callback()
def _root(
    wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Prepare for commands: a model of the user's own is looked for in this folder, too."""
    del wanted
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    # worker processes learn of it from their environment
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if here not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, paths)])


@app.command(epilog="Example: edaphos demo --out my-demo")
def demo(
    out: Out = None,
    workers: Workers = None,
    quiet: Quiet = False,
    degrees: Annotated[
        float | None,
        typer.Option(
            help="Cell size: 0.25, or 0.5 or 1 to be quicker; 0.1 of a changing soil, or any."
        ),
    ] = None,
    soil: Annotated[
        Literal["still", "changing"],
        typer.Option(help="still: the whole Earth, once; changing: a region, 1980 to 2000."),
    ] = "still",
) -> None:
    """Map a virtual soil, and judge the map against the known truth.

    Needs no data of yours. A still soil lies on the real Earth: land, climate, relief and Koeppen
    classes come with the demo packages. A changing one lies on a made-up region of 16 by 16
    degrees, surveyed in 1980 and 2000; process, forest and their hybrid map every year.
    """
    with _errors():
        reporter = Reporter(quiet=quiet)
        if soil == "changing":
            from .changing_demo import run_changing_demo

            place = Path(out or "runs/changing-demo")
            report = run_changing_demo(place, degrees or 0.1, workers, reporter)
        else:
            from .demo import run_demo

            report = run_demo(Path(out or "runs/demo"), degrees or 0.25, workers, reporter)
        typer.echo(f"report: {report}")


@app.command(epilog="Example: edaphos run world.toml --out runs/world --workers 2")
def run(
    recipe: RecipePath,
    out: Out = None,
    data: Data = None,
    cube: CubePath = None,
    grid: Preset = None,
    cluster: Cluster = None,
    workers: Workers = None,
    region: Region = None,
    years: Years = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make the map of a recipe, or continue one that was cut off."""
    with _errors():
        from edaphos.engine.place import place

        from .job import Overrides, load_job
        from .pipeline import run_job
        from .submit import batch_job

        reporter = Reporter(quiet=quiet or as_json)
        own = Overrides(cluster, workers, data, cube, grid, years_of(years))
        job = load_job(recipe_path(recipe), own)
        where = place(out or f"runs/{job.recipe.name}")
        with batch_job(reporter.say) as signals:
            stop = signals.stop_reason
            made, report = run_job(job, where, reporter, region=box(region), stop=stop)
        if as_json:
            _print_json({"run": str(made.path), "report": str(report) if report else None})
        else:
            typer.echo(f"map: {made.path}\nreport: {report or 'not asked for'}")


@app.command(epilog="Example: edaphos plan world.toml --workers 16")
def plan(
    recipe: RecipePath,
    out: Out = None,
    data: Data = None,
    cube: CubePath = None,
    grid: Preset = None,
    cluster: Cluster = None,
    workers: Workers = None,
    store_mb_s: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="MB/s that the store gives all workers together; by default what this machine "
            "gets of it.",
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Say what a recipe will take (tiles, bytes, files, memory, time), before anything runs.

    The cube is built if it is missing; sample tiles are made with a model fitted for the purpose,
    written beside the output folder and removed. Times come with the interval that holds the truth
    in 9 of 10 cases, for 1 to 1,000 workers.
    """
    with _errors():
        from edaphos.engine.place import place

        from .job import Overrides, load_job
        from .planning import plan_job

        job = load_job(recipe_path(recipe), Overrides(cluster, workers, data, cube, grid))
        found = plan_job(
            job,
            Reporter(quiet=quiet or as_json),
            out=place(out or f"runs/{job.recipe.name}"),
            store_mb_s=store_mb_s,
        )
        _print_json(found.to_dict()) if as_json else typer.echo(found.to_text())


app.command(
    epilog="Example: edaphos finetune runs/world/model --profiles region.csv --cube region.zarr"
)(finetune)
app.command(epilog="Example: edaphos submit world.toml --out runs/world")(submit)
app.command(epilog="Example: edaphos status runs/world")(status)
app.command(epilog="Example: edaphos stop runs/world")(stop)
app.command(epilog="Example: edaphos stocks runs/world --zones countries.gpkg --name NAME")(stocks)


@app.command(epilog="Example: edaphos report runs/world")
def report(run: RunPlace, quiet: Quiet = False) -> None:
    """Write a run's report again, from what the run folder holds."""
    with _errors():
        from edaphos.engine.run import Run

        from .finish import write_run_report
        from .truth_files import TRUTH, load_truth

        folder = Path(run) / TRUTH
        truth = load_truth(folder) if (folder / "note.txt").exists() else None
        typer.echo(f"report: {write_run_report(Run.open(run), Reporter(quiet=quiet), truth)}")


@profiles_app.command("check", epilog="Example: edaphos profiles check profiles.csv")
def profiles_check(
    file: Annotated[Path, typer.Argument(help="CSV, GeoPackage, Parquet, or a WoSIS folder.")],
    column: Annotated[
        list[str] | None, typer.Option(help="ours=theirs, such as top_cm=upper_depth; repeatable.")
    ] = None,
    unit: Annotated[
        list[str] | None, typer.Option(help="quantity=unit, such as soc=%; repeatable.")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Write rejected rows with their reason to this CSV.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check soil profiles: what is dropped or flagged, how many, and why."""
    with _errors():
        from edaphos.engine.profiles.profiles import check_profiles
        from edaphos.engine.profiles.schema import ProfileFile, QARules

        described = ProfileFile(path=file, columns=pairs(column), units=pairs(unit))
        checked = check_profiles([described], QARules())
        if rejected is not None:
            checked.rejected.to_csv(rejected, index=False)
        _print_json(checked.report.to_json()) if as_json else typer.echo(checked.report.to_text())


@recipe_app.command("list", epilog="Example: edaphos recipe list")
def recipe_list() -> None:
    """List the built-in recipes, and the cube TOMLs that go with them."""
    from .templates import builtin_titles

    titles = builtin_titles()
    width = max(len(name) for name in titles)
    for name, title in titles.items():
        typer.echo(f"{name:{width}} {title}")


@recipe_app.command("new", epilog="Example: edaphos recipe new world > my.toml")
def recipe_new(
    name: Annotated[str, typer.Argument(help="A built-in recipe, or the cube TOML of one.")],
) -> None:
    """Print a commented recipe to begin from: every setting, what it means, and its default.

    The cube TOML that goes with it is printed by `edaphos recipe new world_cube`.
    """
    with _errors():
        from .templates import commented

        typer.echo(commented(name), nl=False)


def main() -> None:
    """Entry point of the ``edaphos`` command."""
    app()


if __name__ == "__main__":
    main()
