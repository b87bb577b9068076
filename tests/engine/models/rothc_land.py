"""A made-up land for tests of the RothC model: cells from 60° N to 36° S, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import MANIFEST, read_manifest
from edaphos.engine.grid import Grid
from edaphos.engine.models.protocol import TileInputs
from edaphos.engine.models.rothc import RothCModel

from ..cubes import Layer, write_cube

SHAPE = (12, 10)
GRID = Grid.from_bounds("EPSG:4326", (0, -36, 80, 60), 8.0, 512, "land")
CLASSES = (1, 4, 7, 9, 10, 12, 16)


@dataclass
class Land:
    """Cube values by name, as the engine hands them to the model."""

    values: dict[str, np.ndarray] = field(default_factory=dict)
    grid: Grid = GRID

    def inputs(
        self, years: Sequence[int], wanted: np.ndarray | None = None, rows: slice = slice(None)
    ) -> TileInputs:
        """Return the land, or some of its rows, as a tile."""
        first, last, _ = rows.indices(SHAPE[0])
        window = self.grid.window(first, 0, last - first, SHAPE[1])
        values = {k: np.array(v[..., rows, :], np.float32) for k, v in self.values.items()}
        wanted = np.ones(SHAPE, bool) if wanted is None else wanted
        return TileInputs(window, values, wanted[rows].copy(), tuple(years))

    def put(self, name: str, cell: tuple[int, int], value: Any) -> None:
        """Change a variable in a cell, in all its months or years."""
        self.values[name][..., cell[0], cell[1]] = value


def make_land(seed: int = 0) -> Land:
    """Return mild to hot climates with dry and wet seasons, all of them in RothC's domain."""
    rng = np.random.default_rng(seed)
    y = GRID.whole.y
    month = np.arange(12)[:, None, None]
    mean = (27 - 24 * np.sin(np.radians(np.abs(y))) ** 2)[:, None] + rng.normal(0, 1.5, SHAPE)
    swing = (0.3 * y)[:, None] * np.ones(SHAPE)
    temperature = mean - swing * np.cos(2 * np.pi * (month - 0.5) / 12)
    wet = rng.uniform(5, 180, SHAPE) * (1 + rng.uniform(0, 0.9, SHAPE) * np.sin(month / 2))
    return Land(
        {
            "temperature": temperature.astype(np.float32),
            "rain": wet.astype(np.float32),
            "clay": rng.uniform(3, 60, SHAPE).astype(np.float32),
            "stock": rng.uniform(10, 150, SHAPE).astype(np.float32),
            "landcover": rng.choice(CLASSES, SHAPE).astype(np.float32),
        }
    )


def make_model(changes: Mapping[str, Any] | None = None, seed: int = 3) -> RothCModel:
    """Return a model with clay given; `changes` are settings. What a stock takes is not judged."""
    own = dict(changes or {})
    plain: dict[str, Any] = {
        "years": (2000, 2010, 2040),
        "warm_up": 2020,
        "scenarios": {"bau": 1.0, "plus20": 1.2},
        "clay": {"variable": "clay"},
        **own,
        "domain": {"input_over_npp": 0.0, **own.get("domain", {})},
    }
    return RothCModel(plain, seed=seed)


def predicted(model: RothCModel, land: Land, **how: Any) -> dict[str, np.ndarray]:
    """Predict the land; outputs lose their one depth, ``(year, y, x)``."""
    made = model.predict(land.inputs(model.told.years, **how))
    return {k: v if k == "status" else v[0] for k, v in made.items()}


UNITS = {"temperature": "degC", "rain": "mm", "clay": "%", "stock": "t ha-1"}


def write_land(
    path: Path,
    values: Mapping[str, np.ndarray] | None = None,
    units: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Cube:
    """Write the land as a cube; `values`, `units` and `kinds` replace its own.

    Arrays of twelve layers are monthly, of any other number yearly, from 2000 on. A variable
    ``soil_mask`` is taken as that.
    """
    held = {**make_land().values, **(values or {})}
    given = {"landcover": "class", "soil_mask": "class", **(kinds or {})}
    layers = []
    for name, array in held.items():
        time, years = "static", ()
        if array.ndim == 3:
            time = "monthly" if len(array) == 12 else "yearly"
            years = () if time == "monthly" else tuple(range(2000, 2000 + len(array)))
        kind = given.get(name, "amount")
        layers.append(Layer({name: array}, (0, 60), (8, 8), kind=kind, time=time, years=years))
    write_cube(path, layers, soil_mask="soil_mask" if "soil_mask" in held else "")
    manifest = read_manifest(path)
    declared = {**UNITS, **(units or {})}
    variables = {k: replace(v, units=declared.get(k, "1")) for k, v in manifest.variables.items()}
    (path / MANIFEST).write_text(replace(manifest, variables=variables).to_json())
    return Cube.open(path)
