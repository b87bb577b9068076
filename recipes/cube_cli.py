"""The commands about cubes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edaphos.engine.progress import Reporter

from .console import errors, tell_problems
from .options import CubePlace, Quiet, Workers, recipe_path

cube_app = typer.Typer(no_args_is_help=True, help="Build and check covariate cubes.")


@cube_app.command("build", epilog="Example: edaphos cube build world_cube.toml --out world.zarr")
def cube_build(
    spec: Annotated[Path, typer.Argument(help="A cube TOML, or the name of a built-in one.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder of the cube, or s3://bucket/folder.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder that the TOML's relative files start from.")
    ] = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Build a covariate cube from the rasters named in a TOML; continues if it was interrupted."""
    with errors():
        from edaphos.engine.build.build import build_cube
        from edaphos.engine.cluster import ClusterSpec, connect
        from edaphos.engine.place import place

        from .cube_schema import read_cube_spec

        reporter = Reporter(quiet=quiet)
        wanted = read_cube_spec(recipe_path(spec), data)
        with connect(ClusterSpec(workers=workers or 0), reporter) as client:
            manifest = build_cube(wanted, place(out), client=client, reporter=reporter)
        typer.echo(f"{out}: {len(manifest.variables)} variables in {len(manifest.stacks)} stacks")


@cube_app.command("verify", epilog="Example: edaphos cube verify world.zarr")
def cube_verify(cube: CubePlace) -> None:
    """Recompute the checksum of every object of a cube."""
    with errors():
        from edaphos.engine.cube.cube import Cube

        tell_problems(Cube.open(cube).verify(), f"{cube}: every object matches its checksum")


@cube_app.command("show", epilog="Example: edaphos cube show world.zarr")
def cube_show(cube: CubePlace) -> None:
    """List a cube's variables with units, native resolution, gaps and licence."""
    with errors():
        from edaphos.engine.cube.cube import Cube

        from .metadata import variable_resolution

        opened = Cube.open(cube)
        for name, v in sorted(opened.manifest.variables.items()):
            size = variable_resolution(opened, name)
            gap = ", seasonal gaps" if v.seasonal_gap else ""
            points = ", directional" if v.directional else ""
            filled = f", {v.filled_cells:,} cells filled" if v.filled_cells else ""
            typer.echo(f"{name:24} {v.kind:6} {v.time:8} {v.units:10} {size}{gap}{points}{filled}")
