"""What a report shows of where a map holds: its area of applicability, and distances of folds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ..assess.assessment import Assessment
from ..models.protocol import DISSIMILARITY
from .canvas import Canvas
from .charts import COLOURS, chart, legend_below, split_names
from .colours import INK, MUTED, SIGNED
from .layers import Layer, blocks, layers, map_grid, read_block
from .pictures import Labels, Picture, finish, style
from .scales import ColourScale
from .tables import Table, areas, fixed

#: Cells along a side of what is read at once.
BLOCK = 2048
#: Distances below are drawn here, km: a logarithmic axis has no 0.
NEAREST_KM = 0.1
_KM2 = 1e6


@dataclass(frozen=True)
class Inside:
    """Area of a year's mapped cells, and of those inside the area of applicability, km²."""

    year: int
    inside: float
    mapped: float


def inside_by_year(ds: xr.Dataset) -> list[Inside]:
    """Return how much of a map is inside, for its first and last year; nothing of other maps."""
    found = [layer for layer in layers(ds) if layer.variable == DISSIMILARITY]
    return [_inside(ds, layer) for layer in dict.fromkeys([*found[:1], *found[-1:]])]


def _inside(ds: xr.Dataset, layer: Layer) -> Inside:
    grid, sums = map_grid(ds), np.zeros(2)
    for where in blocks(grid.shape, BLOCK):
        unlike = read_block(ds, layer, where)
        (top, bottom), (left, right) = ((s.start, s.stop) for s in where)
        window = grid.window(top, left, bottom - top, right - left)
        area = np.broadcast_to(grid.cell_areas(window), unlike.shape)
        sums += [area[unlike <= 1].sum(), area[np.isfinite(unlike)].sum()]
    return Inside(layer.year, float(sums[0] / _KM2), float(sums[1] / _KM2))


def inside_tables(found: list[Inside]) -> list[Table]:
    """Return how much of the map is inside, as one table if any."""
    if not found:
        return []
    unit, texts = areas([area for one in found for area in (one.mapped, one.inside)], 3)
    rows = tuple(
        (
            str(one.year),
            mapped,
            inside,
            f"{fixed(100 * one.inside / one.mapped if one.mapped else np.nan, 1)} %",
        )
        for one, mapped, inside in zip(found, texts[::2], texts[1::2], strict=True)
    )
    heads = ("<year", f"mapped, {unit}", f"inside, {unit}", "share inside")
    note = (
        "Inside, covariates are as like those of the training places as these are to each other "
        "across spatial blocks (Meyer & Pebesma 2021). Outside, the scores of cross-validation are "
        "not known to hold."
    )
    return [Table("Area of applicability", heads, rows, note)]


def applicability_picture(canvas: Canvas) -> Picture | None:
    """Draw the dissimilarity of the first year, colours parting where the map no longer holds."""
    layer = next((la for la in canvas.preview.layers if la.variable == DISSIMILARITY), None)
    if layer is None:
        return None
    label = "outside above 1"
    scale = ColourScale(0.0, 2.0, "linear", SIGNED, label)
    title = "Area of applicability"
    return canvas.draw(canvas.preview.values[layer.name], scale, "applicability", title)


def distance_pictures(assessment: Assessment, labels: Labels) -> tuple[Picture, ...]:
    """Draw how far the map's places and each split's folds are from their nearest sample."""
    table = assessment.distances
    if table.empty:
        return ()
    title, name = "How far is the nearest sample?", "nearest_distances"
    with style():
        figure, ax = chart(title, labels, tall=2.4, foot=1.15)
        ax.set_xscale("log")
        told = []
        for i, (what, words, km) in enumerate(_lines(table)):
            colour = {"prediction": INK, "sample": MUTED}.get(what, COLOURS[(i - 2) % len(COLOURS)])
            wide, share = (2.2 if what == "prediction" else 1.3), np.linspace(0, 1, len(km))
            ax.plot(np.maximum(km, NEAREST_KM), share, color=colour, lw=wide, label=words)
            told.append(f"{words}: median {float(np.median(km)):,.0f} km")
        ax.set_ylim(0, 1)
        ax.set_xlabel("distance to the nearest sample learned from, km, logarithmic")
        ax.set_ylabel("share as near")
        ax.grid(zorder=0)
        ax.set_axisbelow(True)
        legend_below(figure, ax, 3, columnspacing=1.2, handlelength=1.4)
        return (finish(figure, name, title, f"{title} {'; '.join(told)}."),)


def distance_tables(assessment: Assessment) -> list[Table]:
    """Return median distances, and how far each distribution is from the map's, as one table."""
    table = assessment.distances
    if table.empty:
        return []
    apart = table.groupby("what")["wasserstein_km"].first()
    rows = tuple(
        (words, fixed(float(np.median(km)), 0), fixed(float(apart[what]), 0))
        for what, words, km in _lines(table)
    )
    note = (
        "A split asks what the map asks where its distances are those of the map's cells. What "
        "lies far to the left of them flatters."
    )
    heads = ("<nearest sample of", "median, km", "from the map's, km")
    return [Table("Distances to the nearest sample", heads, rows, note)]


def _lines(table: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield each distribution: its key, what people call it, and its distances, ascending."""
    names = {"prediction": "the map's cells", "sample": "samples", **split_names()}
    for what, one in table.groupby("what", sort=False):
        yield str(what), names.get(str(what), str(what)), one["km"].to_numpy(float)
