"""A recipe for a hybrid over the land that changes, on disk as users have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..engine.changing_land import survey, write_land

RECIPE = """
name = "changing"
title = "A made-up land that changes"
seed = 3

[grid]
crs = "EPSG:4326"
bounds = [100, 26, 110, 34]
resolution = 0.5
tile_size = 16

[cube]
path = "CUBE"

[profiles]
[[profiles.files]]
path = "profiles.csv"
source = "survey"
licence = "CC0-1.0"

[model]
kind = "poml"
static = ["clay", "elevation"]
yearly = ["fertiliser"]

[model.climate]
transient = true

[model.driver]
kind = "variable"
variable = "fertiliser"

[model.process]
calibrate = false

[model.learner]
trees = 8
min_samples_leaf = 2

[model.uncertainty]
members = 4
folds = 2

[map]
years = [1980, 1981, 1982, 1983, 1984, 1985, 1986]
depths = [[0, 20]]

[assess]
enabled = ASSESS
folds = 3
block_deg = 2.0
bootstrap = 20

[products]
cog = false
report = REPORT
"""


@dataclass(frozen=True)
class ChangingLand:
    """The folder of recipe, cube and survey."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "changing.toml"

    def replace(self, old: str, new: str) -> None:
        """Change the recipe; the old text must be there once."""
        text = self.recipe.read_text()
        assert text.count(old) == 1, old
        self.recipe.write_text(text.replace(old, new))


def make_changing_land(
    folder: Path,
    changes: Mapping[str, np.ndarray | None] | None = None,
    table: pd.DataFrame | None = None,
    *,
    assess: bool = False,
) -> ChangingLand:
    """Write cube, survey and recipe; with `assess`, it is cross-validated and reported."""
    folder.mkdir(parents=True, exist_ok=True)
    write_land(folder / "cube.zarr", changes)
    (survey() if table is None else table).to_csv(folder / "profiles.csv", index=False)
    text = RECIPE.replace("CUBE", str(folder / "cube.zarr"))
    for word in ("ASSESS", "REPORT"):
        text = text.replace(word, str(assess).lower())
    made = ChangingLand(folder)
    made.recipe.write_text(text)
    return made
