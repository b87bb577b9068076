"""Totals of a map of stocks by ecosystem, each a share of a cell's area, with their errors.

A cell may be of several ecosystems in part, and in part no land: its stock counts by the share of
its exact area. What is summed are integers, the map's own steps times shares in ten-thousandths
times areas, so that the order of summation, and tiling, cannot matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from edaphos.kernels.zonal_errors import draw_errors

from ..errors import InputError
from ..grid import Grid
from ..products.layers import Block, blocks, depths_of, map_grid
from .error_range import ErrorRange
from .spread import Patches

Floats = NDArray[np.float64]
#: Shares of a block's cells by ecosystem, 0 to 1.
Shares = Callable[[Block], Mapping[str, Floats]]

#: All ecosystems together.
TOGETHER = "together"
#: Step of shares, and step of stocks (kg/m²), in the sums.
_SHARE, _STOCK = 1e-4, 0.002
#: Side of the patches that errors are drawn for, km (a degree); what lies between 5 and 95 %.
_PATCH_KM, _Z90 = 111.2, 1.6448536269514722


@dataclass(frozen=True)
class EcosystemTotal:
    """One ecosystem's stock in one layer.

    Parameters
    ----------
    ecosystem, top_cm, bottom_cm
        Which.
    cells
        Cells with a stock and some of the ecosystem.
    area_mha
        Their area that is of it, million ha.
    mean_t_ha
        Mean over that area.
    unweighted_t_ha
        Mean over cells, each counted alike: what a mean over a grid of degrees is.
    total_pg
        Stock, Pg.
    low_pg, high_pg
        90 % interval of it; None without errors.
    """

    ecosystem: str
    top_cm: float
    bottom_cm: float
    cells: int
    area_mha: float
    mean_t_ha: float
    unweighted_t_ha: float
    total_pg: float
    low_pg: float | None = None
    high_pg: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``."""
        return asdict(self)


class _Sums:
    """Exact sums of one ecosystem in one layer, and what its error is drawn from."""

    def __init__(self) -> None:
        self.cells = self.area = self.mass = self.steps = 0
        self.low: dict[int, float] = {}
        self.high: dict[int, float] = {}
        self.alone = 0.0


def ecosystem_totals(
    ds: xr.Dataset,
    names: Sequence[str],
    shares: Shares,
    layers: Sequence[tuple[float, float]],
    errors: ErrorRange | None = None,
    *,
    draws: int = 500,
    seed: int = 0,
    block: int = 1024,
) -> tuple[list[EcosystemTotal], Floats]:
    """Return totals of ``stock_mean`` by ecosystem and layer, and draws of them.

    Parameters
    ----------
    ds
        A map as ``open_map`` returns it, with ``stock_mean`` and, for errors, ``stock_q05`` and
        ``stock_q95``.
    names
        Ecosystems; all of them together come last.
    shares
        Their shares of cells.
    layers
        Intervals in cm that whole layers of the map make up. Errors of layers of a cell are taken
        as wholly dependent, so that bounds of layers add up.
    errors
        How errors of cells go together; None for no intervals.
    draws, seed
        How many totals are drawn, and of what.
    block
        Cells along a side of what is read at once; does not change the result.

    Returns
    -------
    totals, draws
        One for each ecosystem and layer, ecosystems first; draws ``(draws, totals)`` in Pg, of no
        rows without errors.

    Raises
    ------
    InputError
        The map has no stocks, or its layers do not make up an interval.
    """
    grid = map_grid(ds)
    parts = [_indices(ds, layer) for layer in layers]
    keys = [(name, d) for name in (*names, TOGETHER) for d in range(len(layers))]
    sums = {key: _Sums() for key in keys}
    patches = None if errors is None else Patches.about(grid, _PATCH_KM)
    for where in blocks(grid.shape, block):
        _add_block(ds, grid, where, shares(where), parts, sums, patches)
    drawn = _draws([sums[key] for key in keys], errors, patches, draws, seed)
    found = []
    for i, (name, d) in enumerate(keys):
        s, (top, bottom) = sums[name, d], layers[d]
        area = s.area * _SHARE * 1e-6  # m²: areas are in mm²
        kg = s.mass * _STOCK * _SHARE * 1e-6
        low, high = (None, None)
        if len(drawn):
            low, high = (kg * 1e-12 + float(q) for q in np.quantile(drawn[:, i], (0.05, 0.95)))
        found.append(
            EcosystemTotal(
                ecosystem=name,
                top_cm=top,
                bottom_cm=bottom,
                cells=s.cells,
                area_mha=area * 1e-10,
                mean_t_ha=10 * kg / area if area else float("nan"),
                unweighted_t_ha=10 * s.steps * _STOCK / s.cells if s.cells else float("nan"),
                total_pg=kg * 1e-12,
                low_pg=low,
                high_pg=high,
            )
        )
    return found, drawn + np.array([t.total_pg for t in found])


def _indices(ds: xr.Dataset, layer: tuple[float, float]) -> list[int]:
    """Return the layers of a map that make up an interval."""
    if "stock_mean" not in ds:
        raise InputError(f"the map has no stock_mean to total, but {', '.join(map(str, ds))}")
    depths, (top, bottom) = depths_of(ds), layer
    inside = [i for i, (a, b) in enumerate(depths) if a >= top and b <= bottom]
    ends = [depths[i][0] for i in inside] + [bottom], [top] + [depths[i][1] for i in inside]
    if not inside or ends[0] != ends[1]:
        told = ", ".join(f"{a:g}-{b:g}" for a, b in depths)
        raise InputError(f"the map's layers {told} cm do not make up {top:g}-{bottom:g} cm")
    return inside


def _add_block(
    ds: xr.Dataset,
    grid: Grid,
    where: Block,
    shares: Mapping[str, Floats],
    parts: Sequence[Sequence[int]],
    sums: Mapping[tuple[str, int], _Sums],
    patches: Patches | None,
) -> None:
    rows, cols = where
    window = grid.window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
    statistics = ("stock_mean", "stock_q05", "stock_q95") if patches else ("stock_mean",)
    stocks = {name: ds[name][:, 0, rows, cols].to_numpy().astype(np.float64) for name in statistics}
    known = np.isfinite(stocks["stock_mean"]).all(axis=0)
    if not known.any():
        return
    areas = np.rint(grid.cell_areas(window) * 1e6).astype(np.int64)  # mm²
    tens = {name: np.rint(share / _SHARE).astype(np.int64) for name, share in shares.items()}
    tens[TOGETHER] = np.sum(list(tens.values()), axis=0)
    patch = patches.numbers(where) if patches else None
    for d, indices in enumerate(parts):
        mean = stocks["stock_mean"][indices].sum(axis=0)
        steps = np.where(known, np.rint(mean / _STOCK), 0).astype(np.int64)
        for name, share in tens.items():
            used, s = known & (share > 0), sums[name, d]
            s.cells += int(used.sum())
            s.steps += int(steps[used].sum())
            weight = np.where(used, share, 0)
            s.area += _by_area(weight, areas)
            s.mass += _by_area(weight * steps, areas)
            if patch is not None and used.any():
                low, high = (stocks[n][indices].sum(axis=0) for n in ("stock_q05", "stock_q95"))
                area = (np.broadcast_to(areas, share.shape) * 1e-6 * share * _SHARE)[used] * 1e-12
                below = area * np.maximum(mean - low, 0)[used] / _Z90
                above = area * np.maximum(high - mean, 0)[used] / _Z90
                _into(s.low, patch[used], below)
                _into(s.high, patch[used], above)
                s.alone += float((((below + above) / 2) ** 2).sum())


def _by_area(weight: NDArray[np.int64], areas: NDArray[np.int64]) -> int:
    """Return the sum of weights times areas as a Python integer, rows of one area at once."""
    if areas.shape[1] == 1:
        by_row, rows = weight.sum(axis=1), np.broadcast_to(areas[:, 0], len(weight))
        return sum(int(w) * int(a) for w, a in zip(by_row, rows, strict=True) if w)
    at = np.nonzero(weight)
    each = np.broadcast_to(areas, weight.shape)[at]
    return sum(int(w) * int(a) for w, a in zip(weight[at], each, strict=True))


def _into(sums: dict[int, float], patch: NDArray[np.int64], values: Floats) -> None:
    codes, where = np.unique(patch, return_inverse=True)
    for code, value in zip(codes.tolist(), np.bincount(where, values).tolist(), strict=True):
        sums[code] = sums.get(code, 0.0) + value


def _draws(
    sums: Sequence[_Sums],
    errors: ErrorRange | None,
    patches: Patches | None,
    draws: int,
    seed: int,
) -> Floats:
    """Return draws of the errors of totals, ``(draws, totals)``, Pg."""
    if errors is None or patches is None:
        return np.zeros((0, len(sums)))
    codes = np.unique([code for s in sums for code in s.low] or [0])
    zone = np.concatenate([np.full(len(s.low), i) for i, s in enumerate(sums)]).astype(np.int64)
    patch = np.searchsorted(codes, np.concatenate([np.array(list(s.low), int) for s in sums]))
    return draw_errors(
        patches.points(codes),
        zone,
        patch.astype(np.int64),
        np.concatenate([np.array(list(s.low.values())) for s in sums]),
        np.concatenate([np.array(list(s.high.values())) for s in sums]),
        np.array([s.alone for s in sums]),
        structures=errors.structures,
        patch_km=patches.side_km,
        draws=draws,
        rng=np.random.default_rng(seed),
    )
