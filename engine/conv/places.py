"""Which patches samples need: one for each different cell and choice of years."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cube.cube import Cube
from ..cube.points import located
from ..cube.resampling import NEIGHBOURHOOD
from ..grid import Grid
from ..samples import Samples
from ..years import YearPolicy, years_taken

#: Years that a variable holds.
Held = tuple[int, ...]


@dataclass(frozen=True)
class Places:
    """The different patches, neighbours together.

    Parameters
    ----------
    rows, cols
        Cell in the middle of each, ``(n,)``; -1 for the one patch of samples off the grid.
    years
        For the years held by yearly variables, which of them each patch takes, ``(n,)``, as
        :func:`~edaphos.engine.years.years_taken` tells.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    years: dict[Held, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256()
        for held, array in (((), self.rows), ((), self.cols), *self.years.items()):
            digest.update(f"{held} {len(array)}\n".encode() + array.astype("<i8").tobytes())
        return digest.hexdigest()


def places_of(
    samples: Samples, cube: Cube, grid: Grid, variables: tuple[str, ...], policy: YearPolicy
) -> tuple[Places, NDArray[np.int64]]:
    """Return the patches that samples need, and which of them each sample has, ``(n,)``."""
    table = samples.table
    lon, lat = table["lon"].to_numpy(np.float64), table["lat"].to_numpy(np.float64)
    rows, cols, inside = located(grid, lon, lat)
    held = {cube.variable(name).years for name in variables if cube.variable(name).time == "yearly"}
    spans = sorted(held)
    year = table["year"].to_numpy(np.float64)
    taken = [years_taken(span, year, policy) for span in spans]
    key = np.stack([rows // NEIGHBOURHOOD, cols // NEIGHBOURHOOD, rows, cols, *taken], axis=1)
    key[~inside] = -1
    different, patch = np.unique(key, axis=0, return_inverse=True)
    columns = np.ascontiguousarray(different.T)
    years = dict(zip(spans, columns[4:], strict=True))
    return Places(columns[2], columns[3], years), patch.reshape(-1).astype(np.int64)
