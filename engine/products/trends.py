"""How mean stocks go through the years, by region: tables and charts from exact sums.

The mean of a region in a year is area-weighted and comes from the integer sums of
:mod:`~edaphos.engine.products.totals`. The band around it is the area-weighted mean of the cells'
own bounds: the interval that the mean would have if the errors of all cells were the same. Errors
partly cancel over a region, so the interval of the mean is narrower, the more so the larger the
region; by how much depends on how far errors reach, which a map of intervals does not say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from .canvas import depth_words
from .charts import YearLine, draw_years, year_chart, years_in_words
from .colours import ACCENT, MUTED, TEAL, VIOLET
from .figures import write_headings
from .layers import Layer, layers, mean_layers, years_of
from .pictures import Labels, Picture, blank, finish, style
from .scales import pretty_units
from .totals import TotalRow, Totals
from .words import ARMS, arm_of, capital, family, family_title

#: What the region of all cells is called.
WHOLE = "whole map"
#: Regions that get a chart: the whole map and the largest others. The table holds all.
MOST_REGIONS = 6
#: Smallest share of the map's area for a chart of its own.
LEAST_SHARE = 0.005
COLUMNS = ("region", "quantity", "model", "year", "cells", "area_km2", "mean", "low", "high")
#: Of the models' lines.
ARM_COLOURS: Mapping[str, str] = {"ml": ACCENT, "po": TEAL, "poml": VIOLET, "po_own": MUTED}
_MEANS = {"stock": "mean stock", "change": "change of the mean"}
_STATISTICS = {"mean": "mean", "Q0.05": "low", "Q0.95": "high"}


@dataclass(frozen=True)
class Trends:
    """Mean stocks and changes by region, model and year.

    Parameters
    ----------
    table
        :data:`COLUMNS`: ``quantity`` is ``stock`` or ``change`` (since the first year of the
        model), both in `units`; ``low`` and ``high`` are NaN where the map has no bounds.
    title, units
        Of the stock.
    """

    table: pd.DataFrame
    title: str
    units: str

    @property
    def regions(self) -> list[str]:
        """Regions that get a chart: the whole map first, then by area."""
        sizes = self.table.groupby("region")["area_km2"].max().sort_values(ascending=False)
        whole = float(sizes[WHOLE])
        rest = [str(r) for r in sizes.index if r != WHOLE and sizes[r] >= LEAST_SHARE * whole]
        rest = [] if len(rest) == 1 and sizes[rest[0]] > 0.999 * whole else rest
        return [WHOLE, *rest][:MOST_REGIONS]

    def lines(self, region: str, quantity: str) -> dict[str, YearLine]:
        """Return the lines of a region's chart by model, as people call them."""
        mine = self.table[(self.table["region"] == region) & (self.table["quantity"] == quantity)]
        found = {}
        for arm, label in ARMS.items():
            rows = mine[mine["model"] == arm].set_index("year")
            if len(rows):
                values, low, high = (
                    {int(y): float(v) for y, v in rows[column].dropna().items()}
                    for column in ("mean", "low", "high")
                )
                found[label] = YearLine(values, low, high, ARM_COLOURS[arm])
        return found


def trend_layers(ds: xr.Dataset) -> list[Layer]:
    """Return the layers that trends are made of: stocks of models and their bounds, changes' too.

    None for a map of one year, or of one model.
    """
    means = mean_layers(ds)
    arms = {la.quantity for la in means if arm_of(la.quantity)}
    if len(arms) < 2 or len(years_of(ds)) < 2:
        return []
    depth = means[0].depth
    return [
        la
        for la in layers(ds)
        if arm_of(la.quantity) and la.statistic in _STATISTICS and la.depth == depth
    ]


def find_trends(
    ds: xr.Dataset, totals: Totals, groups: Mapping[str, str] | None = None
) -> Trends | None:
    """Return mean stocks of the whole map and of regions in each year, None without such layers.

    Parameters
    ----------
    ds
        As ``open_map`` returns it.
    totals
        Sums of the layers that :func:`trend_layers` names, at least.
    groups
        Region of each zone of the totals, by its name; zones without one are left out. By default
        each zone is a region.
    """
    wanted = trend_layers(ds)
    if not wanted:
        return None
    first = next(la for la in wanted if family(la.quantity) != "change")
    title = f"{family_title(first.quantity)}, {depth_words(first.depth)}"
    return Trends(_table(totals, wanted, groups), title, pretty_units(first.units))


def _table(
    totals: Totals, wanted: Sequence[Layer], groups: Mapping[str, str] | None
) -> pd.DataFrame:
    by_variable = {la.variable: la for la in wanted}
    parts: dict[tuple[str, str, str, int], dict[str, list[TotalRow]]] = {}
    for row in (*totals.select("all"), *totals.select("zone")):
        layer = by_variable.get(row.variable)
        region = WHOLE if row.by == "all" else row.group
        if row.by == "zone" and groups is not None:
            region = groups.get(row.group, "")
        if layer is None or row.depth != layer.depth_label or not region:
            continue
        quantity = "change" if family(layer.quantity) == "change" else "stock"
        key = (region, quantity, arm_of(layer.quantity), row.year)
        parts.setdefault(key, {}).setdefault(_STATISTICS[layer.statistic], []).append(row)
    lines = []
    for key, by_statistic in parts.items():
        line: dict[str, Any] = dict(zip(COLUMNS[:4], key, strict=True))
        for statistic, rows in by_statistic.items():
            area = math.fsum(row.area_km2 for row in rows)
            line[statistic] = math.fsum(row.area_km2 * row.mean for row in rows) / area
            if statistic == "mean":
                line |= {"cells": sum(row.cells for row in rows), "area_km2": area}
        lines.append(line)
    table = pd.DataFrame(lines).reindex(columns=list(COLUMNS))
    return _sorted(pd.concat([table, _changes(table)], ignore_index=True))


def _changes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the changes of models without a layer of changes: of their means since their first."""
    stock = table[table["quantity"] == "stock"].sort_values("year")
    told = set(table.loc[table["quantity"] == "change", "model"])
    stock = stock[~stock["model"].isin(told)]
    start = stock.groupby(["region", "model"])["mean"].transform("first")
    return stock.assign(
        quantity="change", mean=stock["mean"] - start, low=float("nan"), high=float("nan")
    )


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in the order of people: the whole map first, stocks first, models as named."""
    ranks = table.assign(
        region=table["region"].where(table["region"] != WHOLE, ""),
        quantity=table["quantity"] != "stock",
        model=table["model"].map(list(ARMS).index),
    ).sort_values(["region", "quantity", "model", "year"])
    return table.loc[ranks.index].astype({"cells": "int64"}).reset_index(drop=True)


def trend_charts(trends: Trends, labels: Labels) -> dict[str, tuple[Picture, ...]]:
    """Return a chart for each region of the stock, and of its change on one scale for all."""
    limits = _common([trends.lines(region, "change") for region in trends.regions])
    return {
        quantity: tuple(
            year_chart(
                trends.lines(region, quantity),
                name=f"trend_{quantity}_{i}",
                title=capital(region),
                axis=f"{_MEANS[quantity]}, {trends.units}",
                labels=labels,
                limits=limits if quantity == "change" else None,
            )
            for i, region in enumerate(trends.regions)
        )
        for quantity in ("stock", "change")
    }


def trend_sheet(trends: Trends, labels: Labels) -> Picture:
    """Draw stocks (left) and changes (right) of all charted regions, a row for each."""
    regions, head, foot = trends.regions, 0.62 if labels.banner else 0.42, 0.62
    tall, gap = 1.55, 0.52
    width, height = 7.4, head + len(regions) * (tall + gap) + foot
    limits = _common([trends.lines(region, "change") for region in regions])
    title = f"{trends.title}, by region and year"
    with style():
        figure = blank(width, height)
        for i, region in enumerate(regions):
            bottom = height - head - (i + 1) * (tall + gap) + 0.18
            for left, quantity in ((0.62, "stock"), (4.32, "change")):
                box = (left / width, bottom / height, 2.9 / width, tall / height)
                ax = figure.add_axes(box)
                draw_years(
                    ax, trends.lines(region, quantity), limits if quantity == "change" else None
                )
                ax.set_ylabel(trends.units, fontsize=7.5)
                words = f"{capital(region)}: {_MEANS[quantity]}"
                ax.set_title(words, loc="left", fontsize=8.5, pad=4)
        handles, names = figure.axes[0].get_legend_handles_labels()
        place = (0.0, 0.16 / height)
        figure.legend(handles, names, loc="lower left", bbox_to_anchor=place, ncols=3)
        write_headings(figure, title, labels)
        words = years_in_words(trends.lines(WHOLE, "stock"))
        return finish(figure, "trends", title, f"{title}. {WHOLE.capitalize()}: {words}.")


def _common(charts: Sequence[Mapping[str, YearLine]]) -> tuple[float, float] | None:
    """Return limits that hold all lines and bands of all charts."""
    found = [
        value
        for lines in charts
        for line in lines.values()
        for part in (line.values, line.low, line.high)
        for value in part.values()
    ]
    if not found or max(found) <= min(found):
        return None
    pad = 0.06 * (max(found) - min(found))
    return min(found) - pad, max(found) + pad
