"""Pictures of maps of several years or scenarios: first and last year, change, totals by year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .canvas import Canvas, Depth, depth_words
from .charts import year_chart
from .colours import CARBON, WIDTH
from .figures import draw_multiples
from .layers import Layer, depth_label, mean_layers, years_of
from .pictures import Picture
from .scales import ColourScale, change_scale, pretty_units, robust_scale
from .series_tables import total_lines
from .totals import Totals
from .words import family, family_title, quantity_title, scenario_words

Images = dict[tuple[str, Depth], NDArray[np.float32]]


@dataclass(frozen=True)
class SeriesPanel:
    """The maps of one quantity under one scenario."""

    label: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class SeriesPictures:
    """What a map of several years or scenarios shows."""

    overview: Picture
    panels: tuple[SeriesPanel, ...]
    charts: tuple[Picture, ...] = ()

    def every(self) -> list[Picture]:
        """Return all pictures but the overview."""
        return [*(p for panel in self.panels for p in panel.pictures), *self.charts]


def is_series(ds: xr.Dataset) -> bool:
    """Whether a map is of several years, several quantities, or of scenarios."""
    means = mean_layers(ds)
    several = len({la.year for la in means}) > 1 or len({la.quantity for la in means}) > 1
    return bool(means) and (several or bool(ds.attrs.get("scenario")))


def draw_series(ds: xr.Dataset, canvas: Canvas, totals: Totals | None) -> SeriesPictures:
    """Draw every quantity of a map at its first and last year, and how it changes."""
    years, means = years_of(ds), [la for la in mean_layers(ds) if la.year_index == 0]
    families = list(dict.fromkeys((family(la.quantity), la.units) for la in means))
    panels: list[SeriesPanel] = []
    overview: Picture | None = None
    for name, units in families:
        mine = [la for la in means if (family(la.quantity), la.units) == (name, units)]
        drawn = _Family(canvas, tuple(mine), (years[0], years[-1]), pretty_units(units))
        panels += [drawn.panel(layer) for layer in mine]
        overview = overview or drawn.overview()
    assert overview is not None  # a series holds a layer of means
    charts = [
        year_chart(
            line.values,
            name=f"total_{line.name}",
            title=f"{line.title}, total by year",
            axis=f"total, {line.units}",
            labels=canvas.labels,
        )
        for line in (total_lines(totals) if totals and len(years) > 1 else [])
    ]
    return SeriesPictures(overview, tuple(panels), tuple(charts))


@dataclass(frozen=True)
class _Family:
    """The quantities that differ in scenario alone, drawn on the same scales."""

    canvas: Canvas
    layers: tuple[Layer, ...]
    ends: tuple[int, int]
    units: str

    @property
    def several(self) -> bool:
        return self.ends[0] != self.ends[1]

    def means(self, year: int) -> Images:
        of = self.canvas.preview.of
        return {
            (la.quantity, la.depth): of(la.quantity, "mean", la.depth, year) for la in self.layers
        }

    def changes(self) -> Images:
        first, last = (self.means(year) for year in self.ends)
        return {key: last[key] - first[key] for key in first} if self.several else {}

    def widths(self) -> Images:
        found = {
            (la.quantity, la.depth): self.canvas.width(la.quantity, la.depth, self.ends[1])
            for la in self.layers
        }
        return {key: values for key, values in found.items() if values is not None}

    def scale(self) -> ColourScale:
        ends = [*self.means(self.ends[0]).values(), *self.means(self.ends[1]).values()]
        if not self.units:  # such as beta, which says little on a logarithmic scale
            return robust_scale(ends, "linear", CARBON, "")
        return robust_scale(ends, "log", CARBON, f"{self.units}, logarithmic scale")

    def change_scale(self) -> ColourScale:
        return change_scale(list(self.changes().values()), f"change, {self.units}")

    def panel(self, layer: Layer) -> SeriesPanel:
        """Draw first and last year, change, and the width of the interval where it has one."""
        key, words = (layer.quantity, layer.depth), depth_words(layer.depth)
        title, name = quantity_title(layer.quantity), f"{layer.quantity}_{depth_label(layer.depth)}"
        draw, (first, last) = self.canvas.draw, self.ends
        scale = self.scale()
        found = [
            draw(self.means(year)[key], scale, f"{name}_{year}", f"{title}, {year}")
            for year in dict.fromkeys(self.ends)
        ]
        if self.several:
            changed = f"{title}: change {first} to {last}"
            found.append(draw(self.changes()[key], self.change_scale(), f"{name}_change", changed))
        widths = self.widths()
        if key in widths:
            wide = robust_scale(
                list(widths.values()),
                "log" if self.units else "linear",
                WIDTH,
                f"{self.units}, logarithmic scale" if self.units else "",
            )
            about = f"Width of the 90 % interval, {scenario_words(layer.quantity) or title}, {last}"
            found.append(draw(widths[key], wide, f"{name}_width_{last}", about))
        return SeriesPanel(f"{title}, {words}", tuple(found))

    def overview(self) -> Picture:
        """Draw the change under each scenario, or what there is to show of one."""
        first, last = self.ends
        depth = self.layers[0].depth
        here = [la for la in self.layers if la.depth == depth]
        title = f"{family_title(here[0].quantity)}, {depth_words(depth)}"
        if len(here) > 1 and self.several:
            images, scale = self.changes(), self.change_scale()
            panels = {_label(la): images[la.quantity, depth] for la in here}
            title = f"{title}: change {first} to {last}"
        elif len(here) > 1:
            images, scale = self.means(last), self.scale()
            panels = {_label(la): images[la.quantity, depth] for la in here}
            title = f"{title}, {last}"
        else:
            scale = self.scale()
            key = (here[0].quantity, depth)
            panels = {str(year): self.means(year)[key] for year in dict.fromkeys(self.ends)}
        return draw_multiples(
            self.canvas.preview,
            self.canvas.frame,
            panels,
            scale,
            name="overview",
            title=title,
            labels=self.canvas.labels,
        )


def _label(layer: Layer) -> str:
    return scenario_words(layer.quantity) or quantity_title(layer.quantity)
