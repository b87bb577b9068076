"""Places without samples: drawn evenly over a map's soil, with squares of covariates alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..assess.block_ids import block_ids
from ..assess.prediction_places import draw_places
from ..conv.patches import COLUMN
from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid
from ..progress import QUIET, Reporter
from ..samples import Samples
from ..store import write_atomically
from ..years import YearPolicy
from .group_set import GroupSet, draw_set
from .regions_out import distance_km
from .settings import FEWEST_UNLABELLED, Box

SET, WHERE = "set", "places.npy"
#: Times that blocks are halved where there are fewer than parts of them.
HALVINGS = 20


@dataclass(frozen=True)
class UnlabelledPlaces:
    """Places of a set.

    Parameters
    ----------
    held
        Their squares.
    lon, lat
        Of each place of the set, degrees.
    """

    held: GroupSet
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]

    @classmethod
    def open(cls, folder: Path) -> UnlabelledPlaces:
        """Open what :func:`draw_unlabelled` left.

        Raises
        ------
        InputError
            There is none.
        """
        path = folder / WHERE
        if not path.is_file():
            raise InputError(
                f"{folder}: no places without samples are there, and unlabelled.places asks for "
                "them: draw them (edaphos.engine.branches.unlabelled.draw_unlabelled), as a run "
                "does, or set unlabelled.places = 0"
            )
        lon, lat = np.load(path, allow_pickle=False)
        return cls(GroupSet.open(folder / SET), lon, lat)

    def outside(self, regions: Sequence[Box], buffer_km: float) -> NDArray[np.int64]:
        """Return the places in none of the regions, nor within `buffer_km` of one.

        Raises
        ------
        InputError
            They are too few to learn from.
        """
        kept = np.ones(len(self.lon), bool)
        for box in regions:
            kept &= distance_km(self.lon, self.lat, box) > buffer_km
        if kept.sum() < FEWEST_UNLABELLED:
            raise InputError(
                f"{kept.sum():,} places without samples lie outside the regions left out, and "
                f"{FEWEST_UNLABELLED} are needed: raise unlabelled.places, or set it to 0"
            )
        return np.flatnonzero(kept)

    def split(
        self, chosen: NDArray[np.int64], parts: int, part_deg: float, seed: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Cut places by spatial blocks: those that are learned from, and one part that stops.

        Blocks are halved where there are fewer than parts.
        """
        for _ in range(HALVINGS):
            block = block_ids(self.lon[chosen], self.lat[chosen], part_deg)
            different = np.unique(block)
            if len(different) >= parts:
                break
            part_deg /= 2
        order = np.random.default_rng(seed).permutation(different)
        stops = np.isin(block, order[: max(1, len(order) // parts)])
        return chosen[~stops], chosen[stops]


def unlabelled_folder(patches: Path) -> Path:
    """Return where places without samples lie, beside the squares of samples."""
    return patches.with_name(f"{patches.name}-unlabelled")


def draw_unlabelled(
    cube: Cube,
    grid: Grid,
    windows: Mapping[int, tuple[str, ...]],
    folder: Path,
    number: int,
    *,
    seed: int = 0,
    years: Sequence[int] = (),
    classes: Mapping[str, Sequence[int]] | None = None,
    policy: YearPolicy | None = None,
    client: Any = None,
    stride: int = 1,
    reporter: Reporter = QUIET,
) -> UnlabelledPlaces:
    """Draw places and cut their squares, or take those that are there.

    Places are drawn evenly by area over the cells that a map wants; where two fall into one cell
    and year, it is taken once. A draw that was cut off goes on. Squares are cut from one pass over
    the cube, shard by shard (:func:`~edaphos.engine.branches.group_set.draw_set`).

    Parameters
    ----------
    cube, grid, windows, client, stride, reporter
        As for :func:`~edaphos.engine.branches.group_set.draw_set`.
    folder
        Where they lie.
    number, seed, classes
        As for :func:`~edaphos.engine.assess.prediction_places.draw_places`.
    years
        That are mapped: each place is as it was in one of them, drawn evenly.
    policy
        What yearly covariates are in years that they lack.
    """
    found = draw_places(cube, grid, seed, number, classes)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x0751]))
    when = rng.choice(np.array(years, float), len(found)) if years else np.full(len(found), np.nan)
    table = pd.DataFrame({"lon": found[:, 0], "lat": found[:, 1], "year": when})
    folder.mkdir(parents=True, exist_ok=True)
    made = draw_set(
        Samples(table, ()),
        cube,
        grid,
        windows,
        folder / SET,
        years=policy,
        client=client,
        stride=stride,
        reporter=reporter,
    ).table
    _, first = np.unique(made[COLUMN].to_numpy(), return_index=True)
    where = made[["lon", "lat"]].to_numpy(np.float64)[first].T
    buffer = io.BytesIO()
    np.save(buffer, where, allow_pickle=False)
    write_atomically(folder / WHERE, buffer.getvalue())
    return UnlabelledPlaces.open(folder)
