"""Places that a map is predicted at, drawn by area from its cells with soil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..cube.cube import Cube
from ..errors import InputError
from ..grid import Grid
from ..sampling import extent_in_degrees
from ..status import Status

#: Places that tell how far a map's cells lie from the samples.
PLACES = 3000
#: Points of the sphere drawn at once, at least, and times that is done.
_DRAWN, _TIMES = 8192, 50


def draw_places(
    cube: Cube,
    grid: Grid,
    seed: int = 0,
    number: int = PLACES,
    classes: Mapping[str, Sequence[int]] | None = None,
) -> NDArray[np.float64]:
    """Return longitude and latitude of places on a map's soil, each area alike, ``(number, 2)``.

    Points are drawn on the sphere within the grid's extent, or that of the boundary where it is
    smaller, and those kept that lie inside in a cell with soil; of a map with very little soil they
    may be fewer.

    Parameters
    ----------
    cube
        With the soil mask, and the boundary of the map; all of the grid is soil without them.
    grid
        Of the map.
    seed
        Of the draw.
    number
        Of places.
    classes
        Cube variables of classes and the codes of which one must be there, where a map has only
        such cells.

    Raises
    ------
    InputError
        No soil is found.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x9AC3]))
    west, south, east, north = _extent(cube, grid)
    width = (east - west) % 360 or 360.0  # a grid may cross the date line
    low, high = np.sin(np.radians([south, north])).tolist()
    kept: list[NDArray[np.float64]] = []
    at_once = max(_DRAWN, 2 * number)  # few readings of the mask, however many are wanted
    for _ in range(_TIMES):
        lon = (west + rng.uniform(0, width, at_once) + 180) % 360 - 180
        lat = np.degrees(np.arcsin(rng.uniform(low, high, at_once)))
        kept.append(np.stack([lon, lat], axis=1)[_mapped(cube, grid, lon, lat, classes or {})])
        if sum(map(len, kept)) >= number:
            break
    places = np.concatenate(kept)[:number]
    if len(places) == 0:
        where, keys = (" of the biome", "[grid] and [biome]") if classes else ("", "[grid]")
        raise InputError(f"{cube.path}: no soil{where} was found within the map; check {keys}")
    return places


def _extent(cube: Cube, grid: Grid) -> tuple[float, float, float, float]:
    """Return the smaller of the extents of a grid and of the boundary, degrees."""
    found = [extent_in_degrees(grid)]
    if cube.boundary is not None:
        found.append(cube.boundary.degrees())
    return min(found, key=lambda box: ((box[2] - box[0]) % 360 or 360.0) * (box[3] - box[1]))


def _mapped(
    cube: Cube,
    grid: Grid,
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    classes: Mapping[str, Sequence[int]],
) -> NDArray[np.bool_]:
    mask = cube.manifest.masks.soil_mask
    held = np.asarray(grid.locate(lon, lat)[2])
    if mask:
        held = np.asarray(cube.at(lon, lat, grid, [mask])[mask] == Status.SOIL)
    for name, codes in classes.items():
        held &= np.isin(cube.at(lon, lat, grid, [name])[name], list(codes))
    if cube.boundary is not None:
        held &= cube.boundary.holds(lon, lat)
    return held
