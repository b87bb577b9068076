"""The small map that is disturbed: a cube, a slow model of one's own that counts, a recipe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .worlds import DEGREES, make_cube

MODEL = '''
"""A model that takes its time, and notes each tile it makes beside itself."""

import json
import os
import time
from pathlib import Path

import numpy as np
from edaphos.engine.models.protocol import Emits, Output, Reads

MAKES = Path(__file__).parent / "makes"


class Slow:
    kind = "slow"
    needs_samples = False
    reads = Reads(("elevation", "t"))
    emits = Emits(
        (
            Output("stock_mean", "kg m-2", "mean", "stock"),
            Output("drift_mean", "kg m-2", "mean", "float"),
        ),
        ((0, 30), (30, 100)),
    )

    def __init__(self, seconds=0.1):
        self.seconds = seconds

    def predict(self, inputs):
        window = inputs.window
        line = f"{os.getpid()} {time.monotonic()}\\n".encode()
        name = MAKES / f"{window.row0}-{window.col0}"
        note = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(note, line)
        os.close(note)
        until = time.monotonic() + self.seconds
        base = 5 + inputs.values["elevation"] + inputs.values["t"]
        for _ in range(20):
            base = base + 0.1 * np.sin(base)
        values = np.stack([base, base / 2])[:, None]
        time.sleep(max(0.0, until - time.monotonic()))
        return {
            "stock_mean": np.clip(values, 0, None).astype(np.float32),
            "drift_mean": np.cos(values).astype(np.float32),
        }

    def save(self, folder):
        (folder / "model.json").write_text(json.dumps(self.seconds))

    @classmethod
    def load(cls, folder):
        return cls(json.loads((folder / "model.json").read_text()))
'''

RECIPE = """
name = "disturbed"
title = "A map that is disturbed"

[grid]
crs = "EPSG:4326"
bounds = [0, 0, {degrees}, {degrees}]
resolution = {resolution!r}
tile_size = {tile}

[cube]
path = "{cube}"

[model]
kind = "chaos_slow:Slow"
settings = {{ seconds = {seconds} }}

[map]
depths = [[0, 30], [30, 100]]

[assess]
enabled = false

[cluster.slurm]
cores = 1
memory = "2GB"
interface = "lo"
logs = "jobs"

[products]
cog = false
report = false
"""


@dataclass(frozen=True)
class ChaosWorld:
    """The files of the disturbed map.

    Parameters
    ----------
    folder
        Holds recipe, cube, model and what the model notes; runs go elsewhere.
    tiles
        Tiles of the map.
    """

    folder: Path
    tiles: int

    @property
    def recipe(self) -> Path:
        """The recipe."""
        return self.folder / "disturbed.toml"

    def forget_makes(self) -> None:
        """Begin to count anew."""
        for path in (self.folder / "makes").iterdir():
            path.unlink()

    def makes(self) -> Counter[str]:
        """Return how often each tile was begun, by its first row and column."""
        return Counter(
            {p.name: p.read_bytes().count(b"\n") for p in (self.folder / "makes").iterdir()}
        )

    def made_again(self) -> list[str]:
        """Return, for each tile begun more than once, by which process and when (s)."""
        return [
            f"{path.name}: {', '.join(path.read_text().split(chr(10)))}"
            for path in sorted((self.folder / "makes").iterdir())
            if path.read_bytes().count(b"\n") > 1
        ]


def make_chaos_world(
    folder: Path, *, side: int = 8, tile: int = 64, seconds: float = 0.25
) -> ChaosWorld:
    """Write everything for a map of `side` x `side` tiles of `tile` cells a side.

    `seconds` is what the model takes for a tile at least.
    """
    folder.mkdir(parents=True)
    (folder / "makes").mkdir()
    cells = side * tile
    make_cube(folder / "cube.zarr", cells)
    (folder / "chaos_slow.py").write_text(MODEL)
    world = ChaosWorld(folder, side * side)
    world.recipe.write_text(
        RECIPE.format(
            degrees=DEGREES,
            resolution=DEGREES / cells,
            tile=tile,
            cube=folder / "cube.zarr",
            seconds=seconds,
        )
    )
    return world
