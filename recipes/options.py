"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
Out = Annotated[
    str | None, typer.Option("--out", "-o", help="Output folder, or s3://bucket/folder.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Local worker processes.")]
Cluster = Annotated[
    str | None, typer.Option(help='"local", "slurm", or a Dask scheduler: tcp://host:8786.')
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder that source files are looked for in.")
]
CubePath = Annotated[
    str | None,
    typer.Option("--cube", help="The cube's folder or s3:// address, instead of the recipe's."),
]
Preset = Annotated[
    str | None, typer.Option("--grid", help="A grid preset instead of the recipe's grid.")
]
RunPlace = Annotated[str, typer.Argument(help="A run's folder, or its s3:// address.")]
CubePlace = Annotated[str, typer.Argument(help="A cube's folder, or its s3:// address.")]
RecipePath = Annotated[Path, typer.Argument(help="A recipe, or the name of a built-in one.")]


def recipe_path(path: Path) -> Path:
    """Return the file, or the built-in one of that name."""
    if path.exists() or path.suffix:
        return path
    from .templates import builtin_path

    return builtin_path(str(path))
