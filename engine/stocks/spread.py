"""Intervals of totals from a map's own bounds, with errors that go together in space.

Bounds of cells do not add up to bounds of a total. From each cell's mean and 90 % bounds come its
spread below and above; their sums with areas, by zone and patch of cells, are gathered block by
block in whole numbers, so that cutting the map cannot change them; and
:func:`~edaphos.kernels.zonal_errors.draw_errors` draws totals from those.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import Transformer

from edaphos.kernels.random_field import unit_vectors
from edaphos.kernels.zonal_errors import draw_errors

from ..grid import Grid
from ..products.layers import Block, Layer, blocks, map_grid, read_block
from ..progress import TaskProgress
from .error_range import ErrorRange
from .zones import Codes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Standard normal deviate of the 95 % quantile.
Z95 = 1.6448536269514722
#: Most patches: what draws take is in proportion.
MOST_PATCHES = 20_000
DRAWS = 400
#: Whole-number unit of area times spread: this share of a cell's nominal area times 1 kg/m².
_STEPS = 2**12
#: Spread that is still told apart in an int64 sum of squares over 10⁹ cells, kg/m².
_LARGEST = 200.0


@dataclass(frozen=True)
class Bounds:
    """A layer of means with those of its lower and upper 90 % bound."""

    mean: Layer
    low: Layer
    high: Layer


def bounds_of(found: list[Layer], mean: Layer) -> Bounds | None:
    """Return a layer of means with its bounds, None where the map holds none."""
    same = [
        la
        for la in found
        if la.variable.rpartition("_")[0] == mean.variable.rpartition("_")[0]
        and (la.depth_index, la.year_index) == (mean.depth_index, mean.year_index)
    ]
    by_statistic = {la.statistic: la for la in same}
    low, high = by_statistic.get("Q0.05"), by_statistic.get("Q0.95")
    return Bounds(mean, low, high) if low and high else None


@dataclass(frozen=True)
class Patches:
    """Squares of cells within which errors are taken as one.

    Parameters
    ----------
    side
        Cells.
    side_km
        The same at the grid's middle latitude.
    """

    grid: Grid
    side: int
    side_km: float

    @classmethod
    def of(cls, grid: Grid, length_km: float) -> Patches:
        """Return patches of half the least length over which errors are correlated.

        Larger ones where there would be more than :data:`MOST_PATCHES`.
        """
        rows, cols = grid.shape
        fewest = int(np.ceil(np.sqrt(rows * cols / MOST_PATCHES)))
        cell_km = _cell_km(grid)
        side = max(1, int(length_km / 2 / cell_km), fewest)
        return cls(grid, side, side * cell_km)

    @classmethod
    def about(cls, grid: Grid, side_km: float) -> Patches:
        """Return patches of a side of about so many km."""
        cell_km = _cell_km(grid)
        side = max(1, round(side_km / cell_km))
        return cls(grid, side, side * cell_km)

    @property
    def across(self) -> int:
        """Patches in a row of them."""
        return -(-self.grid.shape[1] // self.side)

    def numbers(self, where: Block) -> Ints:
        """Return the patch of each cell of a block."""
        row, col = (np.arange(part.start, part.stop) // self.side for part in where)
        return np.asarray(row[:, None] * self.across + col[None, :], np.int64)

    def points(self, numbers: Ints) -> Floats:
        """Return unit vectors of patches' middles, ``(3, n)``."""
        half = (self.side - 1) / 2
        x = (
            self.grid.origin[0]
            + (numbers % self.across * self.side + half + 0.5) * (self.grid.resolution[0])
        )
        y = (
            self.grid.origin[1]
            - (numbers // self.across * self.side + half + 0.5) * (self.grid.resolution[1])
        )
        if not self.grid.is_geographic:
            to_degrees = Transformer.from_crs(self.grid.crs, "EPSG:4326", always_xy=True)
            x, y = to_degrees.transform(x, y)
            # a patch beyond the edge of an interrupted projection: near its neighbours' middle
            x, y = (np.where(np.isfinite(v), v, 0.0) for v in (x, y))
        return unit_vectors(x, np.clip(y, -90, 90))


def _cell_km(grid: Grid) -> float:
    """Return the side of a cell at the grid's middle."""
    rows, cols = grid.shape
    middle = grid.cell_areas(grid.window(rows // 2, cols // 2, 1, 1))
    return float(np.sqrt(middle.flat[0])) / 1000


@dataclass
class Spread:
    """Sums over parts (the cells of one zone in one patch), in whole numbers."""

    unit: float
    parts: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def add(self, zone: Ints, patch: Ints, low: Ints, high: Ints) -> None:
        """Add cells: their zone, patch, and area times spread on both sides."""
        if not zone.size:
            return
        base = int(patch.max()) + 1
        keys, place = np.unique((zone + 1) * base + patch, return_inverse=True)
        sums = np.zeros((3, len(keys)), np.int64)
        for total, values in zip(sums, (low, high, (low**2 + high**2) // 2), strict=True):
            np.add.at(total, place, values)
        for key, added in zip(keys.tolist(), sums.T.tolist(), strict=True):
            held = self.parts.setdefault((key // base - 1, key % base), [0, 0, 0])
            for i in range(3):
                held[i] += added[i]


def gather_spread(
    ds: xr.Dataset,
    wanted: Bounds,
    codes: Codes,
    patches: Patches,
    block: int,
    progress: TaskProgress,
) -> Spread:
    """Read a layer with its bounds and return its spread by zone code and patch."""
    grid = map_grid(ds)
    nominal = float(np.max(grid.cell_areas(grid.window(grid.shape[0] // 2, 0, 1, 1))))
    found = Spread(unit=nominal / _STEPS)
    for where in blocks(grid.shape, block):
        mean, low, high = (
            read_block(ds, layer, where).astype(np.float64)
            for layer in (wanted.mean, wanted.low, wanted.high)
        )
        here = np.isfinite(mean) & np.isfinite(low) & np.isfinite(high)
        if here.any():
            rows, cols = where
            shape = (rows.stop - rows.start, cols.stop - cols.start)
            areas = grid.cell_areas(grid.window(rows.start, cols.start, *shape))
            weight = np.broadcast_to(areas / found.unit, shape)[here]
            zone = np.asarray(codes[where])[here].astype(np.int64)
            sides = (
                np.rint(weight * np.clip(side[here] / Z95, 0, _LARGEST)).astype(np.int64)
                for side in (mean - low, high - mean)
            )
            found.add(zone, patches.numbers(where)[here], *sides)
        progress.advance()
    return found


def draw_totals(
    spread: Spread,
    groups: dict[int, list[int]],
    count: int,
    patches: Patches,
    reach: ErrorRange,
    seed: int,
    draws: int = DRAWS,
) -> Floats:
    """Draw errors of groups' totals, ``(draws, count)`` in kg.

    Parameters
    ----------
    spread
        By zone code and patch.
    groups
        For each zone code, the groups (0 to `count` - 1) that its cells count in.
    count
        How many groups there are.
    patches
        As they were gathered with.
    reach
        How far errors go together.
    seed
        Of the draws.
    """
    rows = [
        (group, patch, *sums)
        for (code, patch), sums in sorted(spread.parts.items())
        for group in groups.get(code, ())
    ]
    if not rows:
        return np.zeros((draws, count))
    group, patch, low, high, squares = np.array(rows, np.float64).T
    group, numbers = group.astype(np.int64), patch.astype(np.int64)
    used, place = np.unique(numbers, return_inverse=True)
    independent = np.bincount(group, squares, minlength=count).astype(np.float64)
    errors = draw_errors(
        patches.points(used),
        group,
        place.astype(np.int64),
        low,
        high,
        independent,
        structures=reach.structures,
        patch_km=patches.side_km,
        draws=draws,
        rng=np.random.default_rng(seed),
    )
    return errors * spread.unit
