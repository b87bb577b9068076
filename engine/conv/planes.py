"""Planes: the single rasters that patches and tiles are made of, and the grids they lie on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..cube.cube import Cube
from ..grid import Grid
from ..models.protocol import TileInputs
from ..samples import feature_names

#: A cube variable and its month (0 to 11), None for a static or yearly one. A yearly variable is
#: what it is in the year of the sample, or in the year that is mapped.
Plane = tuple[str, int | None]


def planes_of(cube: Cube, variables: Sequence[str]) -> tuple[Plane, ...]:
    """Return the planes of cube variables, in their order: twelve of each monthly one."""
    found: list[Plane] = []
    for name in dict.fromkeys(variables):
        months = range(12) if cube.variable(name).time == "monthly" else (None,)
        found += [(name, month) for month in months]
    return tuple(found)


def plane_name(plane: Plane) -> str:
    """Return what a plane is called as a feature of samples.

    >>> plane_name(("rain", 0)), plane_name(("slope", None))
    ('rain_01', 'slope')
    """
    name, month = plane
    return name if month is None else feature_names(name, "monthly")[month]


def tile_plane(inputs: TileInputs, plane: Plane, year: int) -> NDArray[np.float32]:
    """Return a view of one plane of a tile, halo included, ``(y, x)``.

    `year` is the position along the year axis of yearly values.
    """
    name, month = plane
    values = inputs.values[name]
    if values.ndim == 2:
        return values
    return values[year if month is None else month]


def planes_of_tile(
    inputs: TileInputs, planes: Sequence[Plane], year: int = 0
) -> NDArray[np.float32]:
    """Return planes of a tile stacked, halo included, ``(planes, y, x)``.

    `year` is the position along the year axis of yearly values.
    """
    return np.stack([tile_plane(inputs, plane, year) for plane in planes])


def native_grid(cube: Cube, variable: str) -> Grid:
    """Return the grid that a variable is stored on, at its own resolution."""
    name = cube.variable(variable).stack
    return Grid(cube.manifest.stacks[name].geobox, name=name)


def native_grids(cube: Cube, variables: Sequence[str]) -> list[tuple[Grid, tuple[str, ...]]]:
    """Group variables by the grid they are stored on, in the order of the variables.

    Stacks of one grid that differ in type or time axis are one group, named by the first of them.
    """
    grids: list[Grid] = []
    members: list[list[str]] = []
    for name in dict.fromkeys(variables):
        grid = native_grid(cube, name)
        known = [k for k, other in enumerate(grids) if other.geobox == grid.geobox]
        if known:
            members[known[0]].append(name)
        else:
            grids.append(grid)
            members.append([name])
    return [(grid, tuple(names)) for grid, names in zip(grids, members, strict=True)]
