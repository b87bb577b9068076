"""The commands about finished maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edaphos.engine.progress import Reporter

from .console import errors, tell_problems
from .options import Cluster, Quiet, RunPlace, Workers

if TYPE_CHECKING:
    from edaphos.engine.run import Run

map_app = typer.Typer(no_args_is_help=True, help="Check a finished map; blend two.")


@map_app.command("verify", epilog="Example: edaphos map verify runs/world")
def map_verify(
    run: RunPlace,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make the tiles anew in which something is wrong.")
    ] = False,
    cluster: Cluster = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Recompute the checksum of every object of a map against the run's ledger."""
    with errors():
        from edaphos.engine.recovery import verify_map
        from edaphos.engine.run import Run

        reporter = Reporter(quiet=quiet)
        opened = Run.open(run)
        problems = verify_map(opened, reporter)
        fine = f"{run}: every object matches its checksum" + _incomplete(opened)
        if problems and repair:
            from .repair import repair_map

            typer.echo("\n".join(map(str, problems)), err=True)
            tiles = repair_map(opened, problems, cluster, workers, reporter)
            problems = verify_map(opened, reporter)
            fine = (
                f"{run}: {tiles} tile(s) made anew; every object matches its checksum"
                + _incomplete(opened)
            )
        hint = [] if repair or not problems else ["make these tiles anew with --repair"]
        tell_problems([*map(str, problems), *hint], fine)


@map_app.command("blend", epilog="Example: edaphos map blend runs/world runs/region --out blended")
def map_blend(
    world: RunPlace,
    region: RunPlace,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the GeoTIFFs.")],
    width_km: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Width of the passage inside the region's border; 50 by default, or a fifth of a "
            "smaller region's shorter side.",
        ),
    ] = None,
) -> None:
    """Blend a region's map into that of the world towards its border, on the region's grid."""
    with errors():
        from edaphos.engine.products.blended import write_blended
        from edaphos.engine.run import Run

        for path in write_blended(Run.open(world), Run.open(region), out, width_km=width_km):
            typer.echo(str(path))


def _incomplete(run: Run) -> str:
    from edaphos.engine.produce import is_complete

    return "" if is_complete(run) else "; the map is not complete (`edaphos status` tells more)"
