"""Totals and means of a map by zones, and their change between two dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import InputError, did_you_mean
from ..products.layers import Layer, blocks, depth_label, layers, map_grid, mean_layers, years_of
from ..products.totals import Totals, map_totals
from ..products.words import family
from ..progress import QUIET, Reporter
from .error_range import ErrorRange
from .spread import DRAWS, Bounds, Patches, bounds_of, draw_totals, gather_spread
from .zones import ZoneMap

WHOLE, NOWHERE = "whole map", "in no zone"
UNFLAGGED = "whole map, flagged cells left out"
#: Columns of the table. Intervals are of 90 %; a change is since the year in `since`.
COLUMNS = (
    "zone",
    "quantity",
    "depth",
    "year",
    "since",
    "cells",
    "area_km2",
    "mean_kg_m2",
    "mean_low",
    "mean_high",
    "total_pg",
    "total_low",
    "total_high",
)
_TOTALS = ("total_pg", "total_low", "total_high")
_MEANS = ("mean_kg_m2", "mean_low", "mean_high")
_KEYS = ["quantity", "depth", "year", "since", "zone"]


@dataclass(frozen=True)
class ZonalTotals:
    """Totals by zone.

    Parameters
    ----------
    table
        :data:`COLUMNS`; one row for each zone, quantity, depth and year, and for the whole map.
    source
        Of the zones.
    notes
        What a reader should know.
    """

    table: pd.DataFrame
    source: str
    notes: tuple[str, ...] = ()


def zonal_totals(
    ds: xr.Dataset,
    zones: ZoneMap,
    *,
    variables: Sequence[str] = (),
    years: tuple[int, int] | None = None,
    reach: ErrorRange | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    block: int = 1024,
    reporter: Reporter = QUIET,
) -> ZonalTotals:
    """Return totals (Pg), area-weighted means (kg/m²) and areas by zone.

    Parameters
    ----------
    ds
        As ``open_map`` returns it, with stocks (or fluxes) by area.
    zones
        On the map's grid.
    variables
        Such as ``stock_poml_mean``, or ``stock_poml``; by default all means by area.
    years
        Two years of the map: their totals and the change between them. By default all years.
    reach
        How far errors go together; without it there are no intervals.
    draws, seed
        Of the intervals.
    block
        Cells along a side of what is read at once; does not change the result.

    Raises
    ------
    InputError
        The map holds no stocks, or not these variables or years.
    """
    wanted = _wanted(ds, variables, years)
    changes = _change_layers(ds, wanted, years)
    names = _Named(zones.names)
    totals = map_totals(
        ds,
        zones=zones.codes,
        zone_names=names,
        wanted=[*wanted, *changes],
        block=block,
        reporter=reporter,
    )
    table = _table(totals, {la.variable: la for la in [*wanted, *changes]}, years_of(ds)[0])
    intervals = reach is not None and _bounded(ds, [*wanted, *changes])
    if intervals and reach is not None:
        settings = _Drawing(reach, draws, seed, block)
        named = ZoneMap(zones.codes, names, zones.source)
        table = _with_intervals(ds, named, table, [*wanted, *changes], settings, reporter)
    table = pd.concat([table, _over_depth(table), _differences(table, years)], ignore_index=True)
    notes = [
        _nowhere_note(table, zones.source),
        zones.note,
        _interval_note(reach, bool(intervals)),
        _change_note(years, table),
    ]
    return ZonalTotals(_sorted(table), zones.source, tuple(filter(None, notes)))


class _Named(Mapping[int, str]):
    """Names of zones and of what is in none; none that would pass for the whole map."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names

    def __getitem__(self, code: int) -> str:
        """Return a zone's name."""
        if code < 0:
            return NOWHERE
        name = self._names[code]
        return f"{name} (zone)" if name in (WHOLE, NOWHERE, UNFLAGGED) else name

    def __iter__(self) -> Iterator[int]:
        """Yield the codes that are known beforehand."""
        yield -1
        yield from self._names

    def __len__(self) -> int:
        """Return how many those are."""
        return len(self._names) + 1


def _wanted(ds: xr.Dataset, variables: Sequence[str], years: tuple[int, int] | None) -> list[Layer]:
    means = mean_layers(ds)
    known = {la.variable for la in means}
    chosen: list[Layer] = []
    for name in variables:
        found = [la for la in means if name in (la.variable, la.quantity)]
        if not found:
            raise InputError(
                f'the map has no variable of means "{name}"; {did_you_mean(name, known)}'
            )
        chosen += found
    by_area = [la for la in chosen or means if la.units.startswith("kg m-2")]
    if not by_area or (variables and len(by_area) < len(chosen)):
        held = ", ".join(f"{la.variable} ({la.units})" for la in _first_of_each(chosen or means))
        raise InputError(
            f"totals need mass by area (kg m-2), and the map holds {held}. A content in g/kg "
            "becomes a stock with bulk density: give --density (g/cm3, or the name of a "
            "pedotransfer function) and, where it is known, --fragments"
        )
    if years is None:
        return by_area
    held_years = years_of(ds)
    for year in years:
        if year not in held_years:
            raise InputError(
                f"the map has no year {year}; it has {', '.join(map(str, held_years))}"
            )
    if years[0] >= years[1]:
        raise InputError(
            f"two years, the earlier first, were expected; found {years[0]} {years[1]}"
        )
    return [la for la in by_area if la.year in years]


def _first_of_each(found: Sequence[Layer]) -> list[Layer]:
    return list({la.variable: la for la in reversed(found)}.values())[::-1]


def _change_layers(
    ds: xr.Dataset, wanted: Sequence[Layer], years: tuple[int, int] | None
) -> list[Layer]:
    """Return mapped changes between the two years: those counted from the map's first year."""
    if years is None or years[0] != years_of(ds)[0]:
        return []
    stocks = {la.quantity.partition("_")[2] for la in wanted if family(la.quantity) == "stock"}
    return [
        la
        for la in layers(ds)
        if family(la.quantity) == "change"
        and la.statistic == "mean"
        and la.year == years[1]
        and la.quantity.partition("_")[2] in stocks
    ]


def _table(totals: Totals, of: dict[str, Layer], first: int) -> pd.DataFrame:
    rows = []
    for row in totals.rows:
        if row.by == "status" or row.variable not in of:
            continue
        quantity = of[row.variable].quantity
        changed = family(quantity) == "change"
        whole = {"all": WHOLE, "unflagged": UNFLAGGED}
        rows.append(
            {
                "zone": whole.get(row.by, row.group),
                "quantity": quantity,
                "depth": row.depth,
                "year": row.year,
                "since": first if changed else pd.NA,
                "cells": row.cells,
                "area_km2": row.area_km2,
                "mean_kg_m2": row.mean,
                "total_pg": row.total_pg,
            }
        )
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    return table.astype({"since": "Int64", "mean_low": float, "total_low": float})


@dataclass(frozen=True)
class _Drawing:
    reach: ErrorRange
    draws: int
    seed: int
    block: int


def _bounded(ds: xr.Dataset, wanted: Sequence[Layer]) -> bool:
    found = layers(ds)
    return any(bounds_of(found, la) for la in wanted)


def _with_intervals(
    ds: xr.Dataset,
    zones: ZoneMap,
    table: pd.DataFrame,
    wanted: Sequence[Layer],
    how: _Drawing,
    reporter: Reporter,
) -> pd.DataFrame:
    found, grid = layers(ds), map_grid(ds)
    bounds: list[Bounds] = [b for la in wanted if (b := bounds_of(found, la))]
    patches = Patches.of(grid, how.reach.least_km)
    table = table.copy()
    steps = len(list(blocks(grid.shape, how.block))) * len(bounds)
    with reporter.task("intervals of totals", steps) as progress:
        for one in bounds:
            spread = gather_spread(ds, one, zones.codes, patches, how.block, progress)
            mine = (
                (table["quantity"] == one.mean.quantity)
                & (table["depth"] == depth_label(one.mean.depth))
                & (table["year"] == one.mean.year)
                & (table["zone"] != UNFLAGGED)
            )
            place = {zone: i for i, zone in enumerate(table.loc[mine, "zone"])}
            codes = {code for code, _ in spread.parts}
            groups = {
                code: [place[name] for name in (WHOLE, zones.names.get(code, "")) if name in place]
                for code in codes
            }
            errors = draw_totals(
                spread, groups, len(place), patches, how.reach, how.seed, how.draws
            )
            low, high = np.quantile(errors * 1e-12, [0.05, 0.95], axis=0)
            total = table.loc[mine, "total_pg"].to_numpy(np.float64)
            to_mean = 1e6 / table.loc[mine, "area_km2"].to_numpy(np.float64)  # Pg / km² to kg/m²
            table.loc[mine, "total_low"], table.loc[mine, "total_high"] = total + low, total + high
            table.loc[mine, "mean_low"] = (total + low) * to_mean
            table.loc[mine, "mean_high"] = (total + high) * to_mean
    return table


def _over_depth(table: pd.DataFrame) -> pd.DataFrame:
    """Return sums of stocks over depths that touch.

    How far errors of depths go together is not known from a map of intervals. They are taken to go
    together wholly, so that bounds of totals add up over depth: rather too wide an interval.
    """
    stocks = table[table["quantity"].map(family) == "stock"]
    labels = sorted({_ends(depth) for depth in stocks["depth"]})
    touching = all(a[1] == b[0] for a, b in pairwise(labels))
    if len(labels) < 2 or not touching:
        return table.iloc[:0]
    keys = ["zone", "quantity", "year"]
    grouped = stocks.groupby(keys, sort=False)
    complete = grouped["depth"].nunique() == len(labels)
    # means are summed as well: where a layer has fewer cells, totals are of different areas
    summed = grouped.agg(
        cells=("cells", "min"),
        area_km2=("area_km2", "min"),
        **{name: (name, _whole_sum) for name in (*_TOTALS, *_MEANS)},
    )[complete].reset_index()
    summed["depth"] = depth_label((labels[0][0], labels[-1][1]))
    return summed.reindex(columns=list(COLUMNS)).astype({"since": "Int64"})


def _whole_sum(values: pd.Series[float]) -> float:
    """Return a sum, NaN if a part of it is."""
    return float(values.sum(skipna=False))


def _ends(depth: str) -> tuple[float, float]:
    top, _, bottom = depth.removesuffix("cm").partition("-")
    return float(top), float(bottom)


def _differences(table: pd.DataFrame, years: tuple[int, int] | None) -> pd.DataFrame:
    """Return changes of stocks that the map holds no layer of: differences of totals."""
    if years is None:
        return table.iloc[:0]
    told = set(table.loc[table["since"].notna(), "quantity"].map(lambda q: q.partition("_")[2]))
    stocks = table[table["quantity"].map(family) == "stock"]
    stocks = stocks[~stocks["quantity"].map(lambda q: q.partition("_")[2] in told)]
    keys = ["zone", "quantity", "depth"]
    pair = [stocks[stocks["year"] == year].set_index(keys) for year in years]
    then, now = pair[0], pair[1]
    both = now.index.intersection(then.index)
    then, now = then.loc[both], now.loc[both]
    found: dict[str, Any] = {
        "year": years[1],
        "since": years[0],
        "cells": now["cells"],
        "area_km2": now["area_km2"],
        "mean_kg_m2": now["mean_kg_m2"] - then["mean_kg_m2"],
        "total_pg": now["total_pg"] - then["total_pg"],
    }
    out = pd.DataFrame(found, index=both).reset_index()
    out["quantity"] = out["quantity"].map(lambda q: "change" + q.removeprefix("stock"))
    return out.reindex(columns=list(COLUMNS)).astype({"since": "Int64"})


def _nowhere_note(table: pd.DataFrame, source: str) -> str:
    if set(table["zone"]) - {WHOLE, UNFLAGGED, NOWHERE}:
        return ""
    return f"No cell with a value lies in a zone of {source}: do they overlap the map?"


def _interval_note(reach: ErrorRange | None, drawn: bool) -> str:
    if drawn and reach is not None:
        return (
            f"Intervals (90 %) are of totals drawn with errors of a {reach.to_text()}. They hold "
            "what the map's own bounds hold: an error that all cells share, such as a bias of the "
            "model or coarse fragments that nobody knew, is not in them."
        )
    if reach is not None:
        return "The map holds no bounds of these variables, so their totals have no interval."
    return (
        "No intervals: how far errors of neighbouring cells go together is neither stated "
        "(--error-range KM) nor known from a validation of this run."
    )


def _change_note(years: tuple[int, int] | None, table: pd.DataFrame) -> str:
    changes = table[table["since"].notna()]
    if years is None or changes.empty or changes["total_low"].notna().any():
        return ""
    return (
        "Changes have no interval: the map holds bounds of changes since its first year only, "
        "where its model gives them, and bounds of two stocks do not say how their errors go "
        "together in time."
    )


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows by quantity, depth and year, the whole map first."""
    first = {WHOLE: 0, UNFLAGGED: 1, NOWHERE: 3}
    ranks = table.assign(
        zone=[f"{first.get(zone, 2)}{zone}" for zone in table["zone"]],
        quantity=[f"{family(q) == 'change':d}{q}" for q in table["quantity"]],
        depth=table["depth"].map(_ends),
        since=table["since"].fillna(0),
    )
    order = ranks.sort_values(_KEYS, kind="stable").index
    return table.loc[order].reset_index(drop=True).astype({"cells": "int64", "year": "int64"})
