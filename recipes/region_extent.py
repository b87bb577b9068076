"""Where a region is: the finest layer of its cube, and what its covariates share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyproj import CRS, Transformer

from edaphos.engine.boundary import Boundary
from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import Stack
from edaphos.engine.errors import InputError

#: West, south, east, north.
Box = tuple[float, float, float, float]


def finest(cube: Cube, covariates: Sequence[str]) -> tuple[str, tuple[float, float], float]:
    """Return CRS, origin and cell size of the finest stack that holds covariates."""
    stacks = [cube.manifest.stacks[cube.variable(name).stack] for name in covariates]
    best = min(stacks, key=_degrees)
    a, _, c, _, _, f = best.transform
    return best.crs, (c, f), abs(a)


def extent_of(
    name: str,
    cube: Cube,
    covariates: Sequence[str],
    crs: str,
    bounds: Box | None,
    boundary: Boundary | None,
) -> Box:
    """Return the bounds of a region's map in its CRS.

    Those of the boundary reach no farther than the covariates of the cube.

    Raises
    ------
    InputError
        Bounds in another order, or there is nothing within them.
    """
    if bounds is not None:
        west, south, east, north = bounds
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise InputError(
                f"{name}: bounds are west, south, east, north in degrees, in this order, found "
                f"{', '.join(f'{side:g}' for side in bounds)}"
            )
        to = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        found = to.transform_bounds(*bounds, densify_pts=21)
    else:
        stacks = stacks_of(cube, covariates)
        box = _box_of(stacks[0], crs) if boundary is None else boundary.extent(crs)
        found = shared(box, crs, stacks)
    if not all(map(math.isfinite, found)) or found[0] >= found[2] or found[1] >= found[3]:
        raise InputError(
            f"{name}: the region has no extent in {crs}: {found}; check its bounds or its "
            "boundary, and whether the cube's layers overlap, there"
        )
    return (float(found[0]), float(found[1]), float(found[2]), float(found[3]))


def stacks_of(cube: Cube, names: Sequence[str]) -> list[Stack]:
    """Return what holds these variables, the finest first."""
    held = {cube.variable(name).stack for name in names}
    return sorted((cube.manifest.stacks[name] for name in sorted(held)), key=_degrees)


def _box_of(stack: Stack, crs: str) -> Box:
    """Return the bounds of a stack in a CRS."""
    to = Transformer.from_crs(stack.crs, crs, always_xy=True)
    west, south, east, north = to.transform_bounds(*_corners(stack), densify_pts=21)
    return west, south, east, north


def shared(box: Box, crs: str, stacks: Sequence[Stack]) -> Box:
    """Return the part of a box that lies within all stacks; its sides are crossed if none does.

    The box is looked up in the CRS of each stack, as one that covers the world has no bounds in
    those of a zone.
    """
    for stack in stacks:
        if CRS.from_user_input(stack.crs) == CRS.from_user_input(crs):
            inside = _corners(stack)
        else:
            to = Transformer.from_crs(crs, stack.crs, always_xy=True)
            there, held = to.transform_bounds(*box, densify_pts=21), _corners(stack)
            slack = abs(stack.transform[0])  # a curved side is found by a few of its points
            wider = (held[0] - slack, held[1] - slack, held[2] + slack, held[3] + slack)
            if _common(there, wider) == there:
                continue
            both = _common(there, held)
            if both[0] >= both[2] or both[1] >= both[3]:
                return math.inf, math.inf, -math.inf, -math.inf
            west, south, east, north = to.transform_bounds(
                *both, densify_pts=21, direction="INVERSE"
            )
            inside = (west, south, east, north)
        box = _common(box, inside)
    return box


def _common(a: Sequence[float], b: Sequence[float]) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _degrees(stack: Stack) -> float:
    """Return about how many degrees of latitude a cell of a stack is high."""
    _, _, _, _, e, _ = stack.transform
    west, south, east, north = _corners(stack)
    to = Transformer.from_crs(stack.crs, "EPSG:4326", always_xy=True)
    x, y = (west + east) / 2, (south + north) / 2
    return abs(to.transform(x, y)[1] - to.transform(x, y + e)[1])


def _corners(stack: Stack) -> Box:
    a, _, c, _, e, f = stack.transform
    rows, cols = stack.shape
    return (c, f + rows * e, c + cols * a, f)
