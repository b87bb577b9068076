"""A small country on disk: rasters, profiles, a cube TOML and a recipe, as users have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from rasterio.transform import from_origin

WEST, NORTH, DEGREES = 10.0, 50.0, 10.0

CUBE_TOML = """
title = "a small country"

[[layer]]
name = "rain"
file = "rain.tif"
kind = "amount"
units = "mm"

[[layer]]
name = "elevation"
file = "elevation.tif"
kind = "amount"
units = "m"
"""

#: Groups of covariates of a model with branches.
GROUPS_TOML = """
[[model.groups]]
name = "climate"
covariates = ["rain"]

[[model.groups]]
name = "relief"
covariates = ["elevation"]
window = 3
"""

RECIPE_TOML = """
name = "small"
title = "A small country"
seed = 3

[grid]
crs = "EPSG:4326"
bounds = [10, 40, 20, 50]
resolution = {resolution}
tile_size = {tile_size}

[cube]
path = "{cube}"
spec = "cube.toml"

[profiles]
[[profiles.files]]
path = "profiles.csv"
source = "survey"
licence = "CC0-1.0"

[model]
kind = "forest"
covariates = ["rain", "elevation"]
trees = {trees}

[map]
depths = [[0, 5], [30, 60]]

[assess]
enabled = {assess}
folds = 3
bootstrap = 50

[products]
cog = false
report = false
"""


@dataclass(frozen=True)
class Country:
    """The files of the small country."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "small.toml"

    @property
    def cube(self) -> Path:
        return self.folder / "cube.zarr"

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a text file; the old text must be there."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def write_raster(path: Path, values: np.ndarray, crs: str | None = "EPSG:4326", west=WEST) -> None:
    """Write a GeoTIFF over the country, or over elsewhere."""
    size = DEGREES / values.shape[0]
    profile = {
        "driver": "GTiff",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": "float32",
        "crs": crs,
        "transform": from_origin(west, NORTH, size, size),
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile) as file:
        file.write(values.astype("float32"), 1)


def profiles_table(profiles: int = 120, seed: int = 0) -> pd.DataFrame:
    """Three layers of each profile, richer in carbon where it rains and near the surface."""
    rng = np.random.default_rng(seed)
    lon = rng.uniform(10.1, 19.9, profiles).round(4)
    lat = rng.uniform(40.1, 49.9, profiles).round(4)
    top = np.tile([0, 20, 50], profiles)
    return pd.DataFrame(
        {
            "profile_id": np.repeat([f"p{i}" for i in range(profiles)], 3),
            "lon": np.repeat(lon, 3),
            "lat": np.repeat(lat, 3),
            "year": 2005,
            "top_cm": top,
            "bottom_cm": top + 20,
            "soc_g_kg": np.exp(rng.normal(3.0 - top / 50 + np.repeat(lat - 45, 3) / 8, 0.4)).round(
                2
            ),
        }
    )


def make_country(
    folder: Path,
    *,
    trees: int = 10,
    resolution: float = 0.1,
    tile_size: int = 64,
    assess: bool = False,
) -> Country:
    """Write everything; the recipe is ``small.toml``."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(1200, 300, 100)[:, None] + rng.normal(0, 30, (100, 100))
    write_raster(folder / "rain.tif", ramp)
    write_raster(folder / "elevation.tif", rng.gamma(2.0, 200.0, (200, 200)))
    profiles_table().to_csv(folder / "profiles.csv", index=False)
    (folder / "cube.toml").write_text(CUBE_TOML)
    text = RECIPE_TOML.format(
        cube=folder / "cube.zarr",
        trees=trees,
        resolution=resolution,
        tile_size=tile_size,
        assess=str(assess).lower(),
    )
    (folder / "small.toml").write_text(text)
    return Country(folder)
