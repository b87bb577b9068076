"""The commands about models to share: fine-tune one to a region, and show what one is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edaphos.engine.errors import InputError
from edaphos.engine.progress import Reporter

from .console import errors, print_json
from .options import Json, Quiet, Workers, box, pairs

model_app = typer.Typer(no_args_is_help=True, help="Look at models that can be shared.")
#: Share of a map with windows cut off that is worth a word.
TOLD_CUT = 0.01
Windows = Literal["ground", "cells"]
Legend = Literal["beck-2018", "alphabetical-32"]
ModelFolder = Annotated[
    Path, typer.Argument(help="Folder of a model: model/ of a run, or one that was shared.")
]


def _on_disk(model: Path) -> Path:
    """Return the folder; one in a bucket is refused, as nets are read from a disk."""
    if str(model).startswith("s3:"):
        raise InputError(
            f"{model}: the folder of a model lies on a disk; copy it here first, such as by "
            "aws s3 cp --recursive"
        )
    return model


def finetune(
    model: ModelFolder,
    profiles: Annotated[
        Path, typer.Option("--profiles", help="The region's profiles: CSV, GeoPackage, Parquet.")
    ],
    cube: Annotated[str, typer.Option("--cube", help="The region's cube: folder or s3://.")],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="Output folder, the recipe lies beside it; or s3://, the recipe lies here.",
        ),
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(help="west,south,east,north in degrees, if not all of the cube is mapped."),
    ] = None,
    boundary: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --bounds: polygons (GeoJSON, GeoPackage, shapefile); only profiles "
            "inside count, and nothing outside is mapped."
        ),
    ] = None,
    resolution: Annotated[
        float | None, typer.Option(help="Cell size, if not that of the cube's finest layer.")
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            help="Variable of the cube that the model lacks; gets a branch of its own; repeatable."
        ),
    ] = None,
    windows: Annotated[
        Windows,
        typer.Option(
            help="What windows keep on finer cells: their ground, or their number of cells."
        ),
    ] = "ground",
    column: Annotated[
        list[str] | None, typer.Option(help="ours=theirs, such as top_cm=upper_depth; repeatable.")
    ] = None,
    unit: Annotated[
        list[str] | None, typer.Option(help="quantity=unit, such as soc=%; repeatable.")
    ] = None,
    way: Annotated[
        list[str] | None,
        typer.Option(
            help="zero_shot, head, all (these by default), gradual, adapters; repeatable."
        ),
    ] = None,
    block_deg: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=45,
            help="Side of the blocks of its cross-validation, degrees; some 40 of them by default.",
        ),
    ] = None,
    year: Annotated[int, typer.Option(help="Year that the map is labelled with.")] = 2020,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    koeppen_legend: Annotated[
        Legend | None,
        typer.Option(
            help="How the cube's variable koeppen, if there is one, numbers classes; beck-2018 by "
            "default."
        ),
    ] = None,
    trust_units: Annotated[
        bool,
        typer.Option(
            "--trust-units",
            help="Take carbon that looks like per cent, and covariates beyond the world's, as they "
            "are.",
        ),
    ] = False,
    no_assess: Annotated[
        bool, typer.Option("--no-assess", help="Do not cross-validate beside a regional forest.")
    ] = False,
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a model of the world to a region, judge it there, and map the region.

    A recipe is written beside the output folder and run; `edaphos run` with it and the same --out
    continues, and with another --out runs it after a change.
    """
    with errors():
        from edaphos.engine.cube.cube import Cube
        from edaphos.engine.place import place

        from .job import Overrides, load_job
        from .pipeline import run_job
        from .region_recipes import Region, cut_share, reach_km, region_recipe, unread, write_recipe

        if bounds is not None and boundary is not None:
            raise InputError("--bounds and --boundary both say where the region is: give one")
        reporter = Reporter(quiet=quiet or as_json)
        name = (profiles.stem or "region").lower().replace(" ", "-")
        where = place(out) if out else Path("runs") / name
        file = {"path": str(profiles.absolute())}
        columns, units = pairs(column), pairs(unit)
        ways = {"ways": way} if way else {}
        region = Region(
            name="".join(c if c.isalnum() or c in "-_" else "-" for c in where.name.lower()),
            title=f"Soil organic carbon of {where.name}: a model of the world, fine-tuned",
            model=_on_disk(model),
            profiles={"files": [{**file, "columns": columns, "units": units}]},
            cube=Cube.open(place(cube)),
            bounds=box(bounds, "--bounds"),
            boundary=boundary,
            resolution=resolution,
            own=tuple(own or ()),
            windows=windows,
            seed=seed,
            fine_tuning={**ways, "trust_units": trust_units},
            assess={
                "enabled": not no_assess,
                **({} if block_deg is None else {"block_deg": block_deg}),
                **({} if koeppen_legend is None else {"koeppen_legend": koeppen_legend}),
            },
            year=year,
        )
        rest = unread(region)
        if rest:
            reporter.say(
                f"The model does not read {', '.join(rest)} of the cube; --own NAME adds a branch "
                "for one, learned from the region's profiles alone"
            )
        recipe = region_recipe(region)
        reach, cut = reach_km(region, recipe), cut_share(region, recipe)
        if reach and cut > TOLD_CUT:
            reporter.say(
                f"Windows reach {reach:.0f} km: in about {100 * cut:.0f} % of the map they reach "
                "beyond the cube and are cut off, which may show as lines. Give a cube whose "
                "covariates with windows reach as far beyond the map, if need be coarser ones, and "
                "--bounds of the map; or take --windows cells"
            )
        here = where if isinstance(where, Path) else Path(where.name)
        path = here.with_name(f"{where.name}.toml")
        write_recipe(recipe, path)
        reporter.say(f"The recipe is {path}")
        made, report = run_job(load_job(path, Overrides(workers=workers)), where, reporter)
        if as_json:
            print_json({"run": str(made.path), "report": str(report) if report else None})
        else:
            typer.echo(f"map: {made.path}\nreport: {report or 'not asked for'}")


@model_app.command("show", epilog="Example: edaphos model show runs/world/model")
def model_show(model: ModelFolder, as_json: Json = False) -> None:
    """Say what a model is: its groups, bands and units, training data, scores, and licence."""
    with errors():
        from edaphos.engine.branches.model_file import card_text, digest_of_model, read_card

        card = read_card(_on_disk(model))
        if as_json:
            print_json({**card, "sha256": digest_of_model(model)})
        else:
            typer.echo(card_text(card))
            typer.echo(f"SHA-256: {digest_of_model(model)}")
