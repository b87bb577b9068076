"""Area-weighted totals of a map, the same to the last digit however the map is cut.

Values are summed as the integers the map stores, areas as integers of a fixed unit, products as
Python integers; so the order of summation cannot matter. Content (g/kg) has no total without bulk
density: it gets an area-weighted mean. Stocks (kg/m²) get both. Only ``mean`` layers are summed:
quantiles of cells do not add up to a quantile of the sum.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .grid import Grid
from .layers import Block, Layer, blocks, depth_label, layers, map_grid, read_block, read_status
from .progress import QUIET, Reporter
from .status import Status

Group = Literal["all", "zone", "status"]

#: Smallest step of values of each unit, where the map's encoding does not say it.
_QUANTUM = {"g kg-1": 0.01, "kg m-2": 0.002}
#: Unit of area weights in m² (1 mm²).
_AREA_UNIT_M2 = 1e-6


@dataclass(frozen=True)
class TotalRow:
    """One line of the totals: a quantity at one depth and year, over one group of cells.

    Parameters
    ----------
    variable, units, depth, year
        Which layer; ``depth`` as ``0-5cm``.
    by, group
        ``all``, ``zone`` (such as Köppen classes) or ``status``, and the group's name.
    cells
        Cells with a value.
    area_km2
        Their area.
    mean
        Area-weighted mean, in `units`.
    total_pg
        Mass in Pg (10¹⁵ g), for stocks only.
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

    def select(self, by: Group, variable: str | None = None) -> list[TotalRow]:
        """Return the rows of one grouping, optionally of one variable."""
        return [r for r in self.rows if r.by == by and variable in (None, r.variable)]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``."""
        return asdict(self)


class _Sums:
    """Exact sums of one group: cells, weights, and weights times values."""

    __slots__ = ("cells", "weight", "weighted")

    def __init__(self) -> None:
        self.cells = self.weight = self.weighted = 0


def map_totals(
    ds: xr.Dataset,
    *,
    zones: NDArray[np.integer] | None = None,
    zone_names: Mapping[int, str] | None = None,
    block: int = 1024,
    reporter: Reporter = QUIET,
) -> Totals:
    """Return area-weighted means (and, for stocks, totals) of the ``mean`` layers of a map.

    Parameters
    ----------
    ds
        As ``open_map`` returns it.
    zones
        Class code of each cell, ``(y, x)``, such as Köppen classes.
    zone_names
        Their names; codes without a name are left out of the grouping by zone.
    block
        Cells along a side of what is read at once; does not change the result.
    """
    grid = map_grid(ds)
    status_by_year = "year" in ds["status"].dims
    wanted = [layer for layer in layers(ds) if layer.statistic == "mean"]
    found: list[TotalRow] = []
    with reporter.task("totals", len(wanted)) as progress:
        for layer in wanted:
            sums: dict[tuple[Group, int], _Sums] = defaultdict(_Sums)
            quantum = _quantum(ds, layer)
            for where in blocks(grid.shape, block):
                values = read_block(ds, layer, where)
                status = read_status(ds, where, layer.year_index if status_by_year else 0)
                _add(
                    sums,
                    values,
                    status,
                    None if zones is None else zones[where],
                    grid,
                    where,
                    quantum,
                )
            found += _rows(sums, layer, grid, quantum, zone_names or {})
            progress.advance(note=layer.name)
    return Totals(tuple(found), _note(wanted))


def _note(wanted: list[Layer]) -> str:
    if any(layer.units == "kg m-2" for layer in wanted):
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
    elsewhere 20 bits for an area leave an int64 room to sum a row of 16-bit values.
    """
    return _AREA_UNIT_M2 if _row_constant(grid) else grid.resolution[0] * grid.resolution[1] / 2**20


def _row_constant(grid: Grid) -> bool:
    return bool(grid.cell_areas(grid.window(0, 0, 1, 2)).shape[1] == 1)


def _block_areas(grid: Grid, where: Block) -> NDArray[np.float64]:
    rows, cols = where
    window = grid.window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
    return grid.cell_areas(window)


def _add(
    sums: dict[tuple[Group, int], _Sums],
    values: NDArray[np.float32],
    status: NDArray[np.uint8],
    zones: NDArray[np.integer] | None,
    grid: Grid,
    where: Block,
    quantum: float,
) -> None:
    present = np.isfinite(values)
    if not present.any():
        return
    areas = _block_areas(grid, where)
    unit = _area_unit(grid)
    row, col = np.nonzero(present)
    steps = np.rint(values[present].astype(np.float64) / quantum).astype(np.int64)
    per_row = areas.shape[1] == 1
    weights = np.broadcast_to(np.rint(areas / unit), (values.shape[0], areas.shape[1]))
    groupings: list[tuple[Group, NDArray[np.int64]]] = [
        ("all", np.zeros(len(row), np.int64)),
        ("status", status[present].astype(np.int64)),
    ]
    if zones is not None:
        groupings.append(("zone", zones[present].astype(np.int64)))
    for by, codes in groupings:
        for code in np.unique(codes):
            mine = codes == code
            total = sums[by, int(code)]
            if per_row:
                _add_rows(total, row[mine], steps[mine], weights[:, 0])
            else:
                cell_weights = weights[row[mine], col[mine]].astype(np.int64)
                total.cells += int(mine.sum())
                total.weight += int(cell_weights.sum())
                total.weighted += sum(map(int, _row_dot(row[mine], steps[mine] * cell_weights)))


def _add_rows(
    total: _Sums, row: NDArray[np.int64], steps: NDArray[np.int64], weights: NDArray[np.float64]
) -> None:
    """Add cells that weigh as their row does: integer sums of a row first, then one product."""
    counts = np.bincount(row, minlength=len(weights))
    summed = np.zeros(len(weights), np.int64)
    np.add.at(summed, row, steps)
    for r in np.flatnonzero(counts):
        weight = int(weights[r])
        total.cells += int(counts[r])
        total.weight += weight * int(counts[r])
        total.weighted += weight * int(summed[r])


def _row_dot(row: NDArray[np.int64], products: NDArray[np.int64]) -> NDArray[np.int64]:
    summed = np.zeros(int(row.max()) + 1, np.int64)
    np.add.at(summed, row, products)
    return summed


def _rows(
    sums: dict[tuple[Group, int], _Sums],
    layer: Layer,
    grid: Grid,
    quantum: float,
    zone_names: Mapping[int, str],
) -> list[TotalRow]:
    unit = _area_unit(grid)
    found = []
    for (by, code), total in sorted(sums.items(), key=lambda item: item[0]):
        name = _group_name(by, code, zone_names)
        if name is None or not total.weight:
            continue
        mean = total.weighted / total.weight * quantum
        area_m2 = total.weight * unit
        stock = layer.units == "kg m-2"
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
                total_pg=math.prod((mean, area_m2, 1e-12)) if stock else None,
            )
        )
    return found


def _group_name(by: Group, code: int, zone_names: Mapping[int, str]) -> str | None:
    if by == "all":
        return "all"
    if by == "zone":
        return zone_names.get(code)
    try:
        return Status(code).meaning.replace("_", " ")
    except ValueError:
        return f"status {code}"
