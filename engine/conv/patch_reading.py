"""Cutting patches out of a cube: stack by stack, chunk by chunk, each chunk read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..cube.cube import Cube
from ..cube.kept_chunks import KeptChunks
from ..cube.layout import Stack, Variable
from ..cube.points import patch_cells, unique_cells
from ..cube.resampling import geometry
from ..cube.stack_reader import POINT_BYTES, Planes
from ..grid import Grid
from ..years import CLIMATOLOGY, DROPPED, climatology
from .places import Held, Places
from .planes import Plane

#: Cells of patches evaluated at once, at most.
_CELLS = 2**18


def read_patches(
    cube: Cube,
    grid: Grid,
    places: Places,
    planes: Sequence[Plane],
    out: NDArray[np.float32],
    *,
    memory: int,
    advance: Callable[[int, str], None],
) -> None:
    """Write all patches.

    Parameters
    ----------
    cube, grid, places
        What is read, and at which cells.
    planes
        What is written; all months of a monthly variable.
    out
        Written, ``(places, planes, size, size)``, NaN for missing; a memory map by all means.
    memory
        Bytes to work in. Chunks are kept in half of them; where that is too little even for one
        variable, chunks are read again.
    advance
        Called with the patches that are done, one for each variable, and the name of one.
    """
    size = out.shape[-1]
    out[places.rows < 0] = np.nan
    chosen = np.flatnonzero(places.rows >= 0)
    for stack, members in _stacks(cube, planes):
        reader = KeptChunks(cube.path, stack, memory // 2)
        homes = _homes(reader, grid, places.rows[chosen], places.cols[chosen], size)
        for variables in _passes(reader, members, homes, memory // 2):
            slots = np.array(
                [[k for k, p in enumerate(planes) if p[0] == v.name] for v in variables]
            )
            most = _at_once(size, slots.size * max(1, len(variables[0].years)), memory)
            for group in _groups(homes, most):
                _cut(reader, grid, places, chosen[group], variables, slots, out)
                advance(len(group) * len(variables), variables[0].name)


def _stacks(cube: Cube, planes: Sequence[Plane]) -> Iterator[tuple[Stack, list[Variable]]]:
    """Group variables that are read together: of one stack, holding the same years."""
    groups: dict[tuple[str, Held], list[Variable]] = {}
    for name in dict.fromkeys(name for name, _ in planes):
        variable = cube.variable(name)
        groups.setdefault((variable.stack, variable.years), []).append(variable)
    for (stack, _), members in groups.items():
        yield cube.manifest.stacks[stack], sorted(members, key=lambda variable: variable.band)


def _passes(
    reader: KeptChunks, members: list[Variable], homes: NDArray[np.int64], room: int
) -> Iterator[list[Variable]]:
    """Cut variables into as many as have room for the chunks of three rows, or one by one."""
    height, width = reader.chunk
    times = {"static": 1, "monthly": 12, "yearly": len(members[0].years)}[members[0].time]
    rows = np.unique(homes, axis=0)[:, 0]
    most = int(np.unique(rows, return_counts=True)[1].max(initial=1))
    bytes_kept = 3 * (most + 2) * height * width * reader.array.dtype.itemsize * times
    number = max(1, room // bytes_kept)
    for start in range(0, len(members), number):
        yield members[start : start + number]


def _at_once(size: int, values: int, memory: int) -> int:
    """Return patches that are evaluated at once; each cell has that many values."""
    cells = min(_CELLS, memory // 2 // (POINT_BYTES + 12 * values))
    return max(1, cells // size**2)


def _groups(homes: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """Yield positions of at most so many patches with one home, homes row by row."""
    order = np.lexsort((homes[:, 1], homes[:, 0]))
    cuts = np.flatnonzero(np.diff(homes[order], axis=0).any(axis=1)) + 1
    for group in np.split(order, cuts):
        for start in range(0, group.size, most):
            yield group[start : start + most]


def _homes(
    reader: KeptChunks, grid: Grid, rows: NDArray[np.int64], cols: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """Return row and column of the chunk of each patch's middle, ``(n, 2)``.

    Of a patch that reaches into the source only with its margin, it is the chunk of the first cell
    that does; -1 if none does.
    """
    how = geometry(grid, reader.stack)
    homes = np.full((rows.size, 2), -1, np.int64)
    for side in (1, size):
        left_over = np.flatnonzero(homes[:, 0] < 0)
        step = max(1, _CELLS // (side**2 * how.subpoints))
        for start in range(0, left_over.size, step):
            part = left_over[start : start + step]
            down, across = patch_cells(grid, rows[part], cols[part], side)
            extent = how.cells(down, across).extent()
            top, bottom, left, right = (a.reshape(part.size, side**2) for a in extent)
            there = (bottom > top) & (right > left)
            first = there.argmax(axis=1)
            cell = np.stack([top, left % reader.stack.shape[1]])[:, np.arange(part.size), first]
            homes[part] = np.where(there.any(axis=1), cell // np.array([reader.chunk]).T, -1).T
    return homes


def _cut(
    reader: KeptChunks,
    grid: Grid,
    places: Places,
    chosen: NDArray[np.int64],
    variables: list[Variable],
    slots: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Write some patches of variables of one stack; `slots` is ``(variables, months)``."""
    size, bands = out.shape[-1], tuple(variable.band for variable in variables)

    def values(which: NDArray[np.int64], times: tuple[int, ...]) -> NDArray[np.float32]:
        down, across = patch_cells(grid, places.rows[which], places.cols[which], size)
        return unique_cells(reader, grid, down, across, Planes(bands, times))

    def write(which: NDArray[np.int64], flat: NDArray[np.float32]) -> None:
        shaped = flat.reshape(slots.size, which.size, size, size)
        out[which[:, None], slots.ravel()[None, :]] = np.swapaxes(shaped, 0, 1)

    held = variables[0].years
    if variables[0].time != "yearly":
        write(chosen, values(chosen, tuple(range(12)) if variables[0].time == "monthly" else ()))
        return
    taken = places.years[held][chosen]
    positions = [reader.stack.years.index(year) for year in held]
    for choice in np.unique(taken):
        which = chosen[taken == choice]
        if choice == DROPPED:
            out[which[:, None], slots.ravel()[None, :]] = np.nan
        elif choice == CLIMATOLOGY:
            series = np.moveaxis(values(which, tuple(positions)), 1, 2)  # (bands, cells, years)
            kind = variables[0].kind
            write(which, np.stack([climatology(np.ascontiguousarray(s), kind) for s in series]))
        else:
            write(which, values(which, (positions[choice],)))
