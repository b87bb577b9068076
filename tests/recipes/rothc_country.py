"""A recipe for RothC over the made-up land, on disk as users have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..engine.models.rothc_land import write_land

#: The land's stocks are made up: what they take is not judged.
OWN_DOMAIN = """[model.domain]
input_over_npp = 0
"""
RECIPE = """
name = "land"
title = "A made-up land under RothC"
seed = 3

[grid]
crs = "EPSG:4326"
bounds = [0, -36, 80, 60]
resolution = 8.0
tile_size = 16

[cube]
path = "CUBE"

[model]
kind = "rothc"
warm_up = 2010

[model.scenarios]
bau = 1.0
plus20 = 1.2

[model.stock]
variable = "stock"
start = 2000

[model.clay]
variable = "clay"

DOMAIN
[map]
years = [2000, 2010, 2040]
depths = [[0, 30]]

[products]
cog = false
report = false
"""


@dataclass(frozen=True)
class RothCLand:
    """The folder of the recipe and the cube."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "land.toml"

    @property
    def cube(self) -> Path:
        return self.folder / "cube.zarr"

    def replace(self, old: str, new: str) -> None:
        """Change the recipe; the old text must be there once."""
        text = self.recipe.read_text()
        assert text.count(old) == 1, old
        self.recipe.write_text(text.replace(old, new))

    def add(self, table: str) -> None:
        """Add a table to the recipe."""
        self.recipe.write_text(self.recipe.read_text() + table)


def make_rothc_land(
    folder: Path,
    values: Mapping[str, np.ndarray] | None = None,
    units: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> RothCLand:
    """Write cube and recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    made = RothCLand(folder)
    write_land(made.cube, values, units, kinds)
    made.recipe.write_text(RECIPE.replace("CUBE", str(made.cube)).replace("DOMAIN", OWN_DOMAIN))
    return made
