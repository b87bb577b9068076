"""Judging a map of the virtual Earth everywhere, against the truth that no real data can give.

:func:`judge_window` looks at one window and returns sums that can be added up; a
:class:`TruthScore` is their total. Random points come from global cell indices, so tiling and
the order of tiles change nothing but the last bits of the sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.grid import Window
from edaphos.kernels.random_field import hash_normal, hash_uniform

from .virtual_process import climate_state
from .virtual_truth import VirtualSoil

Floats = NDArray[np.float64]
Depth = tuple[float, float]

#: What a map is compared with.
TARGETS: tuple[str, ...] = ("cell mean", "fresh sample")
SCALES: tuple[str, ...] = ("g/kg", "log1p")
WEIGHTINGS: tuple[str, ...] = ("cells", "area")
#: Köppen groups; a cell of none of them counts under "other".
GROUPS: tuple[str, ...] = ("A", "B", "C", "D", "E", "other")

_N, _W, _O, _OO, _E, _EE, _IN, _WIDTH = range(8)
_SUMS = 8
_FRESH = -1  # in place of a stratum's number in the keys of random numbers


@dataclass(frozen=True)
class MapArrays:
    """A window of a map: SOC in g/kg, each ``(depth, y, x)``, NaN where not mapped."""

    mean: NDArray[np.floating[Any]]
    q05: NDArray[np.floating[Any]]
    q95: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Blocks:
    """Pictures at reduced resolution: sums over blocks of cells, each ``(depth, by, bx)``.

    ``row0`` and ``col0`` count blocks from the grid's origin.
    """

    row0: int
    col0: int
    sums: Mapping[str, Floats]


@dataclass(frozen=True)
class WindowScore:
    """What one window adds: ``sums`` of shape (target, scale, weighting, depth, group, sum)."""

    sums: Floats
    blocks: Blocks


@dataclass(frozen=True)
class JudgeSettings:
    """How a map is judged.

    Parameters
    ----------
    depths
        The map's depth intervals, cm.
    points
        Points for each cell's true mean, one in each of as many rows and columns of the cell.
    block
        Cells along a side of the blocks of the pictures.
    seed
        Of the points and of the fresh samples' noise.
    """

    depths: tuple[Depth, ...]
    points: int = 8
    block: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Cells:
    """Some cells of a window by global row and column, ``(n,)`` each."""

    window: Window
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]

    def random(self, key: int, seed: int) -> tuple[Floats, Floats]:
        """Return two uniform numbers for each cell, made of the cell, `key` and `seed`."""
        return (
            hash_uniform(self.rows, self.cols, key, seed, 0),
            hash_uniform(self.rows, self.cols, key, seed, 1),
        )

    def point(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Return longitude and latitude at fractions `u` (east) and `v` (south) of cells."""
        grid = self.window.grid
        (x0, y0), (dx, dy) = grid.origin, grid.resolution
        x, y = x0 + (self.cols + u) * dx, y0 - (self.rows + v) * dy
        if grid.is_geographic and grid.crs.to_epsg() == 4326:
            return x, y
        from pyproj import Transformer

        transform = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform
        lon, lat = transform(x, y)
        return np.asarray(lon), np.asarray(lat)


def judge_window(
    soil: VirtualSoil,
    window: Window,
    climate: Mapping[str, NDArray[Any]],
    groups: NDArray[np.integer],
    mapped: MapArrays,
    settings: JudgeSettings,
) -> WindowScore:
    """Compare one window of a map with the truth.

    Parameters
    ----------
    climate
        ``temperature`` and ``rain`` ``(12, y, x)``, ``relief`` ``(y, x)``.
    groups
        Index into :data:`GROUPS` of each cell, ``(y, x)``.
    mapped
        The map; cells are judged where mean and both bounds are finite.
    """
    use = np.isfinite(mapped.mean).any(axis=0)
    rows, cols = np.nonzero(use)
    cells = Cells(window, window.row0 + rows, window.col0 + cols)
    here = {name: np.asarray(v)[..., rows, cols] for name, v in climate.items()}
    truth, spread = true_cell_means(soil, cells, here, settings)
    fresh = fresh_samples(soil, cells, here, settings)
    mean, low, high = (
        np.asarray(a, np.float64)[:, rows, cols] for a in (mapped.mean, mapped.q05, mapped.q95)
    )
    valid = np.isfinite(mean) & np.isfinite(low) & np.isfinite(high) & np.isfinite(truth)
    area = np.broadcast_to(window.grid.cell_areas(window), window.shape)[rows, cols] / 1e6
    inside = {t: (low <= o) & (o <= high) for t, o in zip(TARGETS, (truth, fresh), strict=True)}

    sums = np.zeros((2, 2, 2, len(settings.depths), len(GROUPS), _SUMS))
    group = np.clip(groups[rows, cols], 0, len(GROUPS) - 1)
    for t, (target, obs) in enumerate(zip(TARGETS, (truth, fresh), strict=True)):
        plain = (obs, mean, high - low)
        logged = (np.log1p(obs), np.log1p(mean), np.log1p(high) - np.log1p(low))
        for s, (o, p, width) in enumerate((plain, logged)):
            for w, weight in enumerate((np.ones_like(area), area)):
                sums[t, s, w] = _sum_groups(o, p, inside[target], width, weight, valid, group)
    images = {
        "n": np.ones_like(truth),
        "truth": truth,
        "map": mean,
        "error": mean - truth,
        "spread": spread,
        "covered_fresh": inside["fresh sample"].astype(float),
        "covered_mean": inside["cell mean"].astype(float),
    }
    return WindowScore(sums, _to_blocks(images, valid, cells, settings.block))


def true_cell_means(
    soil: VirtualSoil,
    cells: Cells,
    climate: Mapping[str, NDArray[Any]],
    settings: JudgeSettings,
) -> tuple[Floats, Floats]:
    """Return each cell's true mean and the sd of ln(SOC) inside it, ``(depth, n)``, from points.

    The points form a Latin square: one in each of ``points`` columns and rows of the cell.
    """
    state = climate_state(climate)
    m, shape = settings.points, (len(settings.depths), len(cells.rows))
    total, logs, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    stride = next(s for s in range(m // 2 + 1, m + 2) if math.gcd(s, m) == 1)
    for k in range(m):
        u, v = cells.random(k, settings.seed)
        lon, lat = cells.point((k + u) / m, ((k * stride) % m + v) / m)
        hidden = soil.hidden(lon, lat, climate["relief"])
        for d, depth in enumerate(settings.depths):
            value = soil.soc_of(state, hidden, *depth)
            total[d] += value
            logs[d] += np.log(value)
            squares[d] += np.log(value) ** 2
    variance = np.maximum(squares - logs**2 / m, 0.0) / max(m - 1, 1)
    return total / m, np.sqrt(variance)


def fresh_samples(
    soil: VirtualSoil,
    cells: Cells,
    climate: Mapping[str, NDArray[Any]],
    settings: JudgeSettings,
) -> Floats:
    """Return one new measured sample in each cell, ``(depth, n)``: random place, noise."""
    hidden = soil.hidden(*cells.point(*cells.random(_FRESH, settings.seed)), climate["relief"])
    state = climate_state(climate)
    sigma = math.sqrt(math.log1p(soil.strengths.measurement**2))
    out = []
    for d, depth in enumerate(settings.depths):
        noise = hash_normal(cells.rows, cells.cols, settings.seed, 1000 + d)
        truth = soil.soc_of(state, hidden, *depth)
        out.append(truth * np.exp(sigma * noise - 0.5 * sigma**2))
    return np.stack(out)


def _sum_groups(
    o: Floats,
    p: Floats,
    inside: NDArray[np.bool_],
    width: Floats,
    weight: Floats,
    valid: NDArray[np.bool_],
    group: NDArray[np.integer],
) -> Floats:
    """Sum over cells by depth and group, shape ``(depth, group, _SUMS)``."""
    out = np.zeros((len(o), len(GROUPS), _SUMS))
    for d in range(len(o)):
        ok = valid[d]
        w, obs, error = weight[ok], o[d, ok], p[d, ok] - o[d, ok]
        terms = (
            np.ones_like(w),
            w,
            w * obs,
            w * obs**2,
            w * error,
            w * error**2,
            w * inside[d, ok],
            w * width[d, ok],
        )
        for k, term in enumerate(terms):
            out[d, :, k] = np.bincount(group[ok], weights=term, minlength=len(GROUPS))
    return out


def _to_blocks(
    images: Mapping[str, Floats], valid: NDArray[np.bool_], cells: Cells, size: int
) -> Blocks:
    window = cells.window
    row0, col0 = window.row0 // size, window.col0 // size
    height = (window.row0 + window.height - 1) // size - row0 + 1
    width = (window.col0 + window.width - 1) // size - col0 + 1
    place = (cells.rows // size - row0) * width + cells.cols // size - col0

    def total(values: Floats, ok: NDArray[np.bool_]) -> Floats:
        summed = np.bincount(place[ok], weights=values[ok], minlength=height * width)
        return np.asarray(summed.reshape(height, width))

    sums = {
        name: np.stack([total(v[d], valid[d]) for d in range(len(v))]) for name, v in images.items()
    }
    return Blocks(row0, col0, sums)


@dataclass(frozen=True)
class TruthScore:
    """How far a map of the virtual Earth is from the truth.

    Parameters
    ----------
    settings
        How it was judged.
    sums
        As in :class:`WindowScore`.
    images
        Means over blocks of ``settings.block`` cells, ``(depth, y, x)`` float32, NaN where nothing
        was mapped: ``truth``, ``map``, ``error`` (map minus true cell mean, g/kg), ``spread`` (sd
        of ln SOC inside cells), ``covered_fresh`` and ``covered_mean`` (local coverage, 0 to 1).
    """

    settings: JudgeSettings
    sums: Floats
    images: Mapping[str, NDArray[np.float32]]

    def table(self) -> pd.DataFrame:
        """Return one row for each target, scale, weighting, depth and Köppen group.

        Columns: ``target``, ``scale``, ``weighting``, ``depth``, ``group`` (``all`` and those
        of :data:`GROUPS` that occur), ``n``, ``ME``, ``RMSE``, ``R2``, ``PICP90``, ``MPIW``, where
        ME is map minus truth and R2 is 1 - SSE/SST.
        """
        labels = ("all", *GROUPS)
        sums = np.concatenate([self.sums.sum(axis=4, keepdims=True), self.sums], axis=4)
        rows = []
        for t, s, w, d, g in np.ndindex(*sums.shape[:5]):
            values = sums[t, s, w, d, g]
            if values[_N] == 0:
                continue
            top, bottom = self.settings.depths[d]
            rows.append(
                {
                    "target": TARGETS[t],
                    "scale": SCALES[s],
                    "weighting": WEIGHTINGS[w],
                    "depth": f"{top:g}-{bottom:g}",
                    "group": labels[g],
                    **_measures(values),
                }
            )
        return pd.DataFrame(rows)


def combine(
    scores: Iterable[WindowScore], grid_shape: tuple[int, int], settings: JudgeSettings
) -> TruthScore:
    """Add up the scores of windows that together cover what is to be judged, each cell once."""
    shape = tuple(-(-n // settings.block) for n in grid_shape)
    totals: list[Floats] = []
    canvas: dict[str, Floats] = {}
    for score in scores:
        totals.append(score.sums)
        for name, part in score.blocks.sums.items():
            image = canvas.setdefault(name, np.zeros((len(settings.depths), *shape)))
            rows = slice(score.blocks.row0, score.blocks.row0 + part.shape[1])
            cols = slice(score.blocks.col0, score.blocks.col0 + part.shape[2])
            image[:, rows, cols] += part
    if not totals:
        raise ValueError("no windows to combine")
    n = canvas.pop("n")
    with np.errstate(invalid="ignore"):
        images = {name: (image / n).astype(np.float32) for name, image in canvas.items()}
    return TruthScore(settings, reduce(np.add, totals), images)


def koeppen_group(codes: NDArray[Any], names: Mapping[int, str]) -> NDArray[np.int64]:
    """Return indices into :data:`GROUPS`, by the first letter of Köppen classes' names."""
    codes = np.asarray(codes)
    out = np.full(codes.shape, len(GROUPS) - 1)
    for code, name in names.items():
        if name[:1] in GROUPS:
            out[codes == code] = GROUPS.index(name[:1])
    return out


def _measures(sums: Sequence[float] | Floats) -> dict[str, float]:
    n, w = float(sums[_N]), float(sums[_W])
    sst = float(sums[_OO]) - float(sums[_O]) ** 2 / w
    return {
        "n": int(n),
        "ME": float(sums[_E]) / w,
        "RMSE": math.sqrt(float(sums[_EE]) / w),
        "R2": 1.0 - float(sums[_EE]) / sst if n > 1 and sst > 0 else math.nan,
        "PICP90": float(sums[_IN]) / w,
        "MPIW": float(sums[_WIDTH]) / w,
    }
