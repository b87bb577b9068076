"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edaphos.engine.errors import InputError

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
Out = Annotated[
    str | None, typer.Option("--out", "-o", help="Output folder, or s3://bucket/folder.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes; on Slurm, at least.")]
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
Region = Annotated[
    str | None,
    typer.Option(
        help="west,south,east,north in the map's CRS: make only the tiles that touch it, anew "
        "where they are finished."
    ),
]
Years = Annotated[
    str | None, typer.Option(help="Years instead of the recipe's, such as 2000,2005-2010.")
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


def box(text: str | None, option: str = "--region") -> tuple[float, float, float, float] | None:
    """Return west, south, east, north; None where nothing is given."""
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f'{option} "{text}": expected west,south,east,north, such as 5,45,11,48'
        ) from None
    return west, south, east, north


def years_of(text: str | None) -> tuple[int, ...] | None:
    """Return the years of a list with spans; None where nothing is given."""
    if text is None:
        return None
    try:
        ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
        if any(len(pair) > 2 for pair in ends):
            raise ValueError
    except ValueError:
        raise InputError(f'--years "{text}": expected years such as 2000,2005-2010') from None
    return tuple(year for pair in ends for year in range(pair[0], pair[-1] + 1))


def pairs(options: list[str] | None) -> dict[str, str]:
    """Return options of the form ours=theirs as a dict."""
    found = {}
    for option in options or []:
        ours, sign, theirs = option.partition("=")
        if not sign:
            raise InputError(f'"{option}": expected ours=theirs, such as top_cm=upper_depth')
        found[ours.strip()] = theirs.strip()
    return found
