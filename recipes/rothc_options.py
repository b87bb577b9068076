"""Options that the commands of ``edaphos rothc`` share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edaphos.engine.errors import InputError


class Evaporation(StrEnum):
    """What the column Evap holds."""

    pan = "pan"
    pet = "pet"


EvaporationOption = Annotated[
    Evaporation,
    typer.Option(
        "--evaporation",
        help="What Evap holds: pan, open-pan evaporation (times 0.75); pet, potential "
        "evapotranspiration.",
    ),
]


def check_output(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before any work is done for it.

    Raises
    ------
    InputError
        It, or what it would be made in, is a file or not ours to write to.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise InputError(f"--out {folder}: {there} is a file; name a folder to write to")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--out {folder}: {there} cannot be written to; name another folder")
