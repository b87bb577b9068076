"""The biome that is studied: which soil layers lie in it, by classes of the cube and polygons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .boundary import Boundary
from .cube.cube import Cube
from .errors import InputError, did_you_mean
from .grid import Grid
from .profiles.profiles import Profiles
from .progress import QUIET, Reporter


@dataclass(frozen=True)
class Biome:
    """Where layers are of use.

    Parameters
    ----------
    classes
        Cube variables of classes, and the codes of which one must be there; all variables count.
    polygons
        A file of polygons, in one of which a layer must lie.
    """

    classes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    polygons: Path | None = None

    def check(self, cube: Cube) -> None:
        """Refuse variables that the cube lacks, or that hold no classes, and a missing file.

        Raises
        ------
        InputError
            Names the variable, or the file.
        """
        if self.polygons is not None and not self.polygons.exists():
            raise InputError(f"{self.polygons}: no such file of polygons; correct biome.polygons")
        for name in self.classes:
            if name not in cube.manifest.variables:
                raise InputError(
                    f'biome.classes: {cube.path} has no variable "{name}": '
                    f"{did_you_mean(name, cube.manifest.variables)}"
                )
            if cube.variable(name).kind != "class":
                raise InputError(
                    f'biome.classes: "{name}" holds {cube.variable(name).kind}s, not class codes; '
                    "name a layer of kind class"
                )
            if cube.variable(name).time != "static":
                raise InputError(
                    f'biome.classes: "{name}" has classes of its own in each year; name a layer '
                    "without years, as a place is in the biome or not"
                )

    def holds(self, table: pd.DataFrame, cube: Cube, grid: Grid) -> NDArray[np.bool_]:
        """Return which rows of a profile table lie in the biome, ``(n,)``.

        Raises
        ------
        InputError
            As :meth:`check`; the polygons cannot be read; no row lies in the biome, in which case
            the message says which classes there are.
        """
        self.check(cube)
        lon, lat = table["lon"].to_numpy(float), table["lat"].to_numpy(float)
        inside = np.ones(len(table), bool)
        if self.classes:
            found = cube.at(lon, lat, grid, list(self.classes))
            for name, codes in self.classes.items():
                here = np.isin(found[name], codes)
                if not here.any():
                    raise InputError(
                        f"biome.classes.{name} = {list(codes)}: none of {len(table):,} soil layers "
                        f"lies in these classes; those of the layers are {_codes(found[name])}"
                    )
                inside &= here
        if self.polygons is not None:
            inside &= Boundary.read(self.polygons, "biome.polygons").holds(lon, lat)
        if not inside.any():
            raise InputError(
                f"biome: none of {len(table):,} soil layers lies in all that [biome] asks for; "
                "leave a part of it out"
            )
        return inside


def in_biome(
    biome: Biome | None, profiles: Profiles, cube: Cube, grid: Grid, reporter: Reporter = QUIET
) -> Profiles:
    """Return the profiles' layers that lie in the biome; all of them without one."""
    if biome is None:
        return profiles
    inside = biome.holds(profiles.table, cube, grid)
    reporter.say(f"biome: {int(inside.sum()):,} of {len(inside):,} soil layers lie in it")
    return replace(profiles, table=profiles.table[inside].reset_index(drop=True))


def _codes(values: NDArray[Any]) -> str:
    found, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:10]
    return ", ".join(f"{found[i]:g} ({counts[i]:,})" for i in order) or "unknown"
