"""Area-weighted totals of a map, the same to the last digit however the map is cut.

Values are summed as the integers the map stores, areas as integers of a fixed unit, products as
Python integers; so the order of summation cannot matter. Content (g/kg) has no total without bulk
density: it gets an area-weighted mean. Stocks (kg/m²) get both. Only ``mean`` layers are summed:
quantiles of cells do not add up to a quantile of the sum.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..grid import Grid
from ..progress import QUIET, Reporter
from ..status import FLAGGED, Status
from .layers import (
    Block,
    Layer,
    blocks,
    depth_label,
    map_grid,
    mean_layers,
    read_block,
    read_status,
)

Group = Literal["all", "unflagged", "zone", "status"]

#: Smallest step of values of each unit, where the map's encoding does not say it.
_QUANTUM = {"g kg-1": 0.01, "kg m-2": 1e-6, "kg m-2 yr-1": 1e-6}
#: Unit of area weights in m² (1 mm²).
_AREA_UNIT_M2 = 1e-6
#: Bits of one half of an area where areas differ within a row.
_HALF = 16


@dataclass(frozen=True)
class TotalRow:
    """One line of the totals: a quantity at one depth and year, over one group of cells.

    Parameters
    ----------
    variable, units, depth, year
        Which layer; ``depth`` as ``0-5cm``.
    by, group
        ``all``, ``unflagged`` (all but cells whose status is in ``FLAGGED``, where there are any),
        ``zone`` (such as Köppen classes) or ``status``, and the group's name.
    cells
        Cells with a value.
    area_km2
        Their area.
    mean
        Area-weighted mean, in `units`.
    total_pg
        Mass in Pg (10¹⁵ g), for stocks and for fluxes (a year) only.
    """

    variable: str
    units: str
    depth: str
    year: int
    by: Group
    group: str
    cells: int
    area_km2: float
    mean: float
    total_pg: float | None = None


@dataclass(frozen=True)
class Totals:
    """All totals of a map."""

    rows: tuple[TotalRow, ...]
    note: str

    def select(
        self, by: Group, variable: str | None = None, year: int | None = None
    ) -> list[TotalRow]:
        """Return the rows of one grouping, optionally of one variable or year."""
        return [
            r
            for r in self.rows
            if r.by == by and variable in (None, r.variable) and year in (None, r.year)
        ]

    def of(self, variables: Collection[str]) -> Totals:
        """Return the rows of some variables."""
        return replace(self, rows=tuple(r for r in self.rows if r.variable in variables))

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``."""
        return asdict(self)


class Zones(Protocol):
    """Class codes that can be read block by block: an array, or anything indexed as one."""

    def __getitem__(self, where: Block, /) -> NDArray[np.integer[Any]]:
        """Return the codes of a block."""


class _Sums:
    """Exact sums of one group: cells, weights, and weights times values."""

    __slots__ = ("cells", "weight", "weighted")

    def __init__(self) -> None:
        self.cells = self.weight = self.weighted = 0

    def take_away(self, other: _Sums) -> None:
        """Leave out the cells of another group, which must lie in this one."""
        self.cells -= other.cells
        self.weight -= other.weight
        self.weighted -= other.weighted


_Groups = dict[tuple[Group, str], _Sums]


def map_totals(
    ds: xr.Dataset,
    *,
    zones: Zones | None = None,
    zone_names: Mapping[int, str] | None = None,
    wanted: Sequence[Layer] | None = None,
    block: int = 1024,
    reporter: Reporter = QUIET,
) -> Totals:
    """Return area-weighted means (and, for stocks, totals) of the ``mean`` layers of a map.

    Parameters
    ----------
    ds
        As ``open_map`` returns it.
    zones
        Class code of each cell, ``(y, x)``, such as Köppen classes; read once for each block.
    zone_names
        Their names; codes of one name are one group, codes without a name are left out.
    wanted
        Layers to be summed instead of the means. The mean of cells' bounds is no bound of the mean.
    block
        Cells along a side of what is read at once; does not change the result.
    """
    grid = map_grid(ds)
    by_year = "year" in ds["status"].dims
    wanted = mean_layers(ds) if wanted is None else wanted
    sums: dict[str, _Groups] = {layer.name: defaultdict(_Sums) for layer in wanted}
    names = zone_names or {}
    parts = list(blocks(grid.shape, block))
    with reporter.task("totals", len(parts)) as progress:
        for where in parts:
            areas = _Areas.of(grid, where)
            zone = None if zones is None else np.asarray(zones[where])
            for layer in wanted:
                status = read_status(ds, where, layer.year_index if by_year else 0)
                _add(
                    sums[layer.name],
                    read_block(ds, layer, where),
                    {"status": status} | ({} if zone is None else {"zone": zone}),
                    names,
                    areas,
                    _quantum(ds, layer),
                )
            progress.advance()
    for groups in sums.values():
        _leave_out_flagged(groups)
    rows = [
        row
        for layer in wanted
        for row in _rows(sums[layer.name], layer, _area_unit(grid), _quantum(ds, layer))
    ]
    return Totals(tuple(rows), _note(wanted))


def stock_by_status(
    ds: xr.Dataset, stock: Callable[[Block], NDArray[np.floating[Any]]], *, block: int = 1024
) -> dict[str, float]:
    """Return a stock's total over the cells of each status, and over all, in Pg.

    For a map that began with a given stock and left some of it out: what the total is with and
    without those cells.

    Parameters
    ----------
    ds
        As ``open_map`` returns it.
    stock
        Returns the stock of a block, ``(y, x)`` kg/m², NaN where there is none.
    block
        Cells along a side of what is read at once; does not change the result.

    Returns
    -------
    dict
        Pg by the status in words; ``all`` for all cells with a stock.
    """
    grid, quantum = map_grid(ds), _QUANTUM["kg m-2"]
    sums: _Groups = defaultdict(_Sums)
    for where in blocks(grid.shape, block):
        values = np.asarray(stock(where), np.float32)
        _add(sums, values, {"status": read_status(ds, where)}, {}, _Areas.of(grid, where), quantum)
    to_pg = quantum * _area_unit(grid) * 1e-12
    return {name: group.weighted * to_pg for (_, name), group in sums.items()}


def _summable(layer: Layer) -> bool:
    """Whether a layer's values times areas are a mass, or a mass a year."""
    return layer.units.startswith("kg m-2")


def _leave_out_flagged(groups: _Groups) -> None:
    """Add the group of all cells that are not flagged, if some are: a difference of integers."""
    keys: list[tuple[Group, str]] = [("status", Status(s).words) for s in sorted(FLAGGED)]
    flagged = [groups[key] for key in keys if key in groups]
    if not flagged:
        return
    rest = groups["unflagged", "without flagged cells"]
    whole = groups["all", "all"]
    rest.cells, rest.weight, rest.weighted = whole.cells, whole.weight, whole.weighted
    for part in flagged:
        rest.take_away(part)


def _note(wanted: Sequence[Layer]) -> str:
    if any(_summable(layer) for layer in wanted):
        return "Means are weighted by cell areas; stocks are totalled over cells with a value."
    return (
        "Means are weighted by exact cell areas. A content in g/kg has no total: that takes bulk "
        "density and coarse fragments, which this map does not hold."
    )


def _quantum(ds: xr.Dataset, layer: Layer) -> float:
    stored = ds[layer.variable].encoding.get("scale_factor")
    return float(stored) if stored else _QUANTUM.get(layer.units, 1e-4)


def _area_unit(grid: Grid) -> float:
    """Return the unit in m² of the integer area weights: a property of the grid, never of a block.

    Where one row's cells are of one area, only Python integers meet the weight and it may be fine;
    elsewhere an area has 32 bits, of which :func:`_add_group` multiplies one half at a time.
    """
    return _AREA_UNIT_M2 if _row_constant(grid) else grid.resolution[0] * grid.resolution[1] / 2**32


def _row_constant(grid: Grid) -> bool:
    return bool(grid.cell_areas(grid.window(0, 0, 1, 2)).shape[1] == 1)


@dataclass(frozen=True)
class _Areas:
    """Cell areas of a block as integers: one for each row, or one for each cell."""

    weights: NDArray[np.int64]

    @classmethod
    def of(cls, grid: Grid, where: Block) -> _Areas:
        rows, cols = where
        shape = (rows.stop - rows.start, cols.stop - cols.start)
        areas = grid.cell_areas(grid.window(rows.start, cols.start, *shape))
        whole = np.rint(areas / _area_unit(grid)).astype(np.int64)
        return cls(np.broadcast_to(whole, (shape[0], whole.shape[1])))


def _add(
    sums: _Groups,
    values: NDArray[np.float32],
    groupings: Mapping[Group, NDArray[np.integer]],
    zone_names: Mapping[int, str],
    areas: _Areas,
    quantum: float,
) -> None:
    present = np.isfinite(values)
    if not present.any():
        return
    row, col = np.nonzero(present)
    steps = np.rint(values[present].astype(np.float64) / quantum).astype(np.int64)
    _add_group(sums["all", "all"], row, col, steps, areas.weights)
    for by, codes in groupings.items():
        mine = codes[present]
        for code in np.unique(mine):
            name = _group_name(by, int(code), zone_names)
            if name is not None:
                use = mine == code
                _add_group(sums[by, name], row[use], col[use], steps[use], areas.weights)


def _add_group(
    total: _Sums,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.int64],
) -> None:
    """Add cells to a group: integers within a row by NumPy, whatever is larger by Python."""
    total.cells += len(row)
    if weights.shape[1] > 1:
        cell = weights[row, col]
        total.weight += sum(map(int, _row_sums(row, cell)))
        # in halves, so that a row of products of areas and steps of 2**30 stays within an int64
        for half, unit in ((cell >> _HALF, 1 << _HALF), (cell & ((1 << _HALF) - 1), 1)):
            total.weighted += unit * sum(map(int, _row_sums(row, half * steps)))
        return
    counts, summed = np.bincount(row), _row_sums(row, steps)
    for r in np.flatnonzero(counts):
        total.weight += int(weights[r, 0]) * int(counts[r])
        total.weighted += int(weights[r, 0]) * int(summed[r])


def _row_sums(row: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    summed = np.zeros(int(row.max()) + 1, np.int64)
    np.add.at(summed, row, values)
    return summed


def _rows(sums: _Groups, layer: Layer, unit: float, quantum: float) -> list[TotalRow]:
    found = []
    for (by, name), total in sorted(sums.items(), key=_order):
        if not total.weight:
            continue
        mean = total.weighted / total.weight * quantum
        area_m2 = total.weight * unit
        found.append(
            TotalRow(
                variable=layer.variable,
                units=layer.units,
                depth=depth_label(layer.depth),
                year=layer.year,
                by=by,
                group=name,
                cells=total.cells,
                area_km2=area_m2 / 1e6,
                mean=mean,
                total_pg=math.prod((mean, area_m2, 1e-12)) if _summable(layer) else None,
            )
        )
    return found


def _order(item: tuple[tuple[Group, str], _Sums]) -> tuple[int, int, str]:
    """Sort the whole first, then statuses by code, then zones by name."""
    by, name = item[0]
    statuses = [s.words for s in Status]
    place = statuses.index(name) if by == "status" and name in statuses else 0
    return ("all", "unflagged", "status", "zone").index(by), place, name


def _group_name(by: Group, code: int, zone_names: Mapping[int, str]) -> str | None:
    if by == "all":
        return "all"
    if by == "zone":
        return zone_names.get(code)
    try:
        return Status(code).words
    except ValueError:
        return f"status {code}"
