"""How much ground a window is of, in the world that nets learned and in a region of other cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyproj import CRS

from ..errors import InputError
from ..grid import Grid
from .groups import Group

#: Metres of a degree of latitude, about.
DEGREE = 111_320.0
#: Cells whose sides differ by up to this factor count as alike.
ALIKE = 1.5
#: Where the summary of a fine-tuned model tells :func:`learned_metres` of the one it began with.
LEARNED = "metres between cells of the world's windows"


def cell_metres(crs: Any, cell: float) -> float:
    """Return how high a cell is, metres."""
    return cell * (DEGREE if CRS.from_user_input(crs).is_geographic else 1.0)


def strides(groups: Sequence[Group], learned: float, here: float) -> tuple[int, bool]:
    """Return the stride that keeps the ground of windows, and whether cells count as alike.

    Parameters
    ----------
    groups
        That are read.
    learned, here
        How far the cells of a window lay apart, and cells of a grid do, metres.

    Examples
    --------
    >>> relief = [Group("relief", ("elevation",), 5)]
    >>> strides(relief, 11_132.0, 250.0), strides(relief, 250.0, 300.0)
    ((45, False), (1, True))
    """
    same = alike(learned, here) or all(group.window == 1 for group in groups)
    return 1 if same else max(1, round(learned / here)), same


def alike(learned: float, here: float) -> bool:
    """Return whether cells so far apart, metres, count as of the same ground."""
    return 1 / ALIKE <= learned / here <= ALIKE


def learned_metres(told: Mapping[str, Any]) -> float:
    """Return how far the cells of a window lay apart for a model whose JSON this is, metres."""
    grid = told["grid"]
    return cell_metres(grid["crs"], grid["cell"]) * (told["settings"].get("stride") or 1)


def check_ground(groups: Sequence[Group], learned: float, grid: Grid) -> None:
    """Refuse cells on which windows would be of another piece of ground than nets learned.

    Raises
    ------
    InputError
        Telling what may be done.
    """
    here = cell_metres(grid.crs, grid.resolution[0])
    stride, same = strides(groups, learned, here)
    if same:
        return
    seen = ", ".join(f"{g.name} of {g.window} x {g.window}" for g in groups if g.window > 1)
    apart = (
        f"model.stride = {stride} keeps the ground, by cells that lie so many cells apart"
        if stride > 1
        else f"a finer grid, of cells of {learned:,.0f} m or less, keeps the ground"
    )
    raise InputError(
        f'grid "{grid.name}": nets learned windows ({seen} cells) of cells {learned:,.0f} m apart, '
        f"and cells here are of {here:,.0f} m: windows of as many cells would be of another piece "
        f"of ground. {apart}; model.stride = 1 keeps the number of cells, and what windows mean "
        "is learned anew from the region"
    )
