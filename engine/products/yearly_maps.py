"""Maps of many years, side by side, coarse enough to hold all at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..grid import Grid
from ..status import Status
from .canvas import depth_words
from .colours import CARBON
from .frame import Frame, frame_of
from .layers import Layer, map_grid, mean_layers, years_of
from .preview import block_means, coarse_grid, coarse_layers, coarse_status
from .scales import ColourScale, pretty_units, robust_scale, signed_scale
from .words import family, family_title, quantity_title, scenario_words

#: Fewest years of a map that are worth moving through.
LEAST_YEARS = 3
#: Years shown at most, evenly taken from those of the map.
MOST_YEARS = 60
#: Maps side by side at most.
MOST_PANELS = 4
#: Pixels of all years and panels together, which bounds memory (4 bytes each) and files.
MOST_PIXELS = 15_000_000
#: Columns of pixels of a map at most.
MOST_COLUMNS = 900
#: Pixels along the longer side from which on a coast is drawn as a line of pixels.
FINE = 200
#: Rows to columns of a globe in the Equal Earth projection, as it is cut to its land.
_GLOBE_ASPECT = 0.46

#: What a pixel lies on.
OUTSIDE, SEA, COAST, LAND = range(4)

Values = NDArray[np.float32]


@dataclass(frozen=True)
class YearlyMaps:
    """One quantity by year, one panel for each model or scenario.

    Parameters
    ----------
    name, title, units
        For files, for people, and of the values.
    years
        Those shown, T of them.
    left_out
        How many years of the map are not shown.
    panels
        Values of pixels by label, ``(T, H, W)`` float32, NaN where there are none.
    ground
        What each pixel lies on, ``(H, W)``: :data:`OUTSIDE`, :data:`SEA`, :data:`COAST`,
        :data:`LAND`, which is also wherever there is a value.
    extent
        Left, right, bottom and top of the pixels.
    geographic
        Whether those are degrees.
    """

    name: str
    title: str
    units: str
    years: tuple[int, ...]
    left_out: int
    panels: Mapping[str, Values]
    ground: NDArray[np.uint8]
    extent: tuple[float, float, float, float]
    geographic: bool

    @property
    def begins(self) -> dict[str, int]:
        """Position of the first year in which a panel has values, which changes are since."""
        held = {label: np.isfinite(v).any(axis=(1, 2)) for label, v in self.panels.items()}
        return {label: int(held[label].argmax()) for label in held}

    def changes(self, label: str, position: int) -> Values:
        """Return a panel's change since its first year, ``(H, W)``."""
        values = self.panels[label]
        return values[position] - values[self.begins[label]]

    def scale(self) -> ColourScale:
        """Return one scale for all years and panels."""
        label = f"{self.units}, logarithmic scale"
        return robust_scale(list(self.panels.values()), "log", CARBON, label)

    def change_scale(self) -> ColourScale:
        """Return one scale for the changes of all years and panels.

        It is that of the year with the largest ones, so that it is reached in that year and in no
        other passed.
        """
        label = f"change, {self.units}"
        scales = [
            signed_scale([self.changes(panel, t) for panel in self.panels], label)
            for t in range(1, len(self.years))
        ]
        return max(scales, key=lambda s: s.high)

    def coarser(self) -> YearlyMaps:
        """Return the same with half the rows and columns."""
        panels = {
            label: np.stack([block_means(year, 2) for year in values])
            for label, values in self.panels.items()
        }
        ground = np.maximum.reduceat(self.ground, np.arange(0, self.ground.shape[0], 2), axis=0)
        ground = np.maximum.reduceat(ground, np.arange(0, self.ground.shape[1], 2), axis=1)
        left, right, bottom, top = self.extent
        (down, across), (rows, cols) = self.ground.shape, ground.shape
        right = left + (right - left) * 2 * cols / across
        bottom = top - (top - bottom) * 2 * rows / down
        return replace(self, panels=panels, ground=ground, extent=(left, right, bottom, top))


def read_yearly_maps(ds: xr.Dataset, most_pixels: int = MOST_PIXELS) -> YearlyMaps | None:
    """Read the first family of a map's quantities, at its first depth, year by year.

    Parameters
    ----------
    ds
        As ``open_map`` returns it.
    most_pixels
        Of all years and panels together.

    Returns
    -------
    YearlyMaps or None
        None for a map of fewer than :data:`LEAST_YEARS` years.
    """
    means, every = mean_layers(ds), years_of(ds)
    if not means or len(every) < LEAST_YEARS:
        return None
    first, shown = means[0], _evenly(len(every), MOST_YEARS)
    mine = [la for la in means if _alike(la, first)]
    quantities = list(dict.fromkeys(la.quantity for la in mine))[:MOST_PANELS]
    factor, frame, status = _laid(ds, most_pixels // (len(shown) * len(quantities)))
    label = {q: scenario_words(q) or quantity_title(q) for q in quantities}
    shape = (len(shown), *frame.rows.shape)
    panels = {label[q]: np.full(shape, np.nan, np.float32) for q in quantities}
    for place, position in enumerate(shown):
        wanted = [la for la in mine if la.year_index == position and la.quantity in label]
        coarse = coarse_layers(ds, wanted, factor)
        for layer in wanted:
            pixels = frame.lay(coarse[layer.name])
            panels[label[layer.quantity]][place] = np.where(frame.inside, pixels, np.nan)
    return YearlyMaps(
        name=family(first.quantity),
        title=f"{family_title(first.quantity)}, {depth_words(first.depth)}",
        units=pretty_units(first.units),
        years=tuple(every[position] for position in shown),
        left_out=len(every) - len(shown),
        panels=panels,
        ground=_ground(frame, status, panels),
        extent=frame.extent,
        geographic=not frame.world and map_grid(ds).is_geographic,
    )


def _alike(layer: Layer, first: Layer) -> bool:
    same = (family(layer.quantity), layer.units, layer.depth)
    return same == (family(first.quantity), first.units, first.depth)


def _evenly(count: int, most: int) -> Sequence[int]:
    """Return positions of at most `most` of `count` years, the first and the last among them."""
    if count <= most:
        return range(count)
    return [int(p) for p in np.unique(np.rint(np.linspace(0, count - 1, most)))]


def _laid(ds: xr.Dataset, most: int) -> tuple[int, Frame, NDArray[np.uint8]]:
    """Return by how much a map is coarsened so that its picture has at most `most` pixels."""
    grid = map_grid(ds)
    wide = _columns(grid, most)
    factor = max(1, grid.shape[1] // wide if grid.wraps else math.ceil(grid.shape[1] / wide))
    status = coarse_status(ds, factor)
    frame = frame_of(coarse_grid(grid, factor), status, world_width=wide, least=1)
    return factor, frame, status


def _columns(grid: Grid, most: int) -> int:
    aspect = _GLOBE_ASPECT if grid.wraps else grid.shape[0] / grid.shape[1]
    return max(1, min(MOST_COLUMNS, math.floor(math.sqrt(most / aspect))))


def _ground(
    frame: Frame, status: NDArray[np.uint8], panels: Mapping[str, Values]
) -> NDArray[np.uint8]:
    ground = np.where(frame.lay(status) == Status.SEA, SEA, LAND).astype(np.uint8)
    if max(ground.shape) >= FINE:
        ground[frame.coast(status)] = COAST
    for values in panels.values():
        ground[np.isfinite(values).any(axis=0)] = LAND
    ground[~frame.inside] = OUTSIDE
    return ground
