"""Totals by zone: as files in a run's folder, lines on a terminal, tables of its report."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..place import Place
from ..products.tables import Table, count, digits_for, fixed, interval, signed
from ..products.words import family, quantity_title
from ..store import list_objects, write_atomically
from .zonal import COLUMNS, WHOLE, ZonalTotals

FOLDER = "stocks"
#: Zones on a terminal; the table holds all.
MOST_LINES = 40


def write_zonal(run_folder: Place, stem: str, found: ZonalTotals) -> Place:
    """Write ``stocks/STEM.csv`` and, beside it, what a report tells of it; return its place."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_") or "zones"
    folder = run_folder / FOLDER
    table = folder / f"{safe}.csv"
    write_atomically(table, found.table.to_csv(index=False, lineterminator="\n"))
    told = {"zones": found.source, "notes": list(found.notes)}
    write_atomically(folder / f"{safe}.json", json.dumps(told, indent=1) + "\n")
    return table


def load_zonal(run_folder: Place) -> tuple[ZonalTotals, ...]:
    """Read all totals by zone that a run's folder holds."""
    folder = run_folder / FOLDER
    if not folder.is_dir():
        return ()
    found = []
    for name in sorted(key for key in list_objects(folder) if key.endswith(".json")):
        path, table = folder / name, folder / f"{name.removesuffix('.json')}.csv"
        if table.is_file():
            told = json.loads(path.read_text())
            rows = pd.read_csv(io.StringIO(table.read_text()), dtype={"since": "Int64"})
            found.append(ZonalTotals(rows, told["zones"], tuple(told["notes"])))
    return tuple(found)


def zonal_tables(found: ZonalTotals) -> list[Table]:
    """Return a table for each quantity, depth and year, the notes below the first."""
    tables: list[Table] = []
    keys = ["quantity", "depth", "year", "since"]
    for key, rows in found.table.groupby(keys, sort=False, dropna=False):
        title = _title(dict(zip(keys, key, strict=True)))
        note = " ".join(found.notes) if not tables else ""
        tables.append(_table(rows, f"By {found.source}: {title}", note))
    return tables


def zonal_lines(found: ZonalTotals) -> list[str]:
    """Return the totals as lines of text, the largest zones first."""
    lines: list[str] = []
    for table in zonal_tables(found):
        rows = table.rows[:MOST_LINES]
        width = [max(len(row[i]) for row in (_plain(table), *rows)) for i in range(len(rows[0]))]
        lines.append(table.title)
        for row in (_plain(table), *rows):
            cells = [row[0].ljust(width[0])]
            cells += [cell.rjust(w) for cell, w in zip(row[1:], width[1:], strict=True)]
            lines.append("  " + "  ".join(cells).rstrip())
        if len(table.rows) > MOST_LINES:
            lines.append(f"  … and {len(table.rows) - MOST_LINES:,} more zones in the table")
    return [*lines, *found.notes]


def _plain(table: Table) -> tuple[str, ...]:
    return tuple(name for name, _ in table.heads)


def _title(key: Mapping[str, Any]) -> str:
    words = f"{quantity_title(str(key['quantity']))}, {str(key['depth']).replace('-', '–')}"
    if not pd.isna(key["since"]):
        return f"{words}, {int(key['since'])} to {int(key['year'])}"
    return f"{words}, {int(key['year'])}"


def _table(rows: pd.DataFrame, title: str, note: str) -> Table:
    """Return the whole map first, then zones by the size of their total."""
    place = rows["zone"] != WHOLE
    rows = rows.assign(place=place, size=-rows["total_pg"].abs())
    rows = rows.sort_values(["place", "size"], kind="stable")[list(COLUMNS)]
    tg = float(rows["total_pg"].abs().max()) < 1
    factor, unit = (1000.0, "Tg") if tg else (1.0, "Pg")
    changed = family(str(rows["quantity"].iloc[0])) == "change"
    number = signed if changed else fixed
    per_mass = digits_for([float(v) for v in rows["mean_kg_m2"]])
    per_total = digits_for([float(v) * factor for v in rows["total_pg"]])
    cells = tuple(
        (
            str(row.zone),
            count(row.area_km2),
            _ranged(number, row.mean_kg_m2, row.mean_low, row.mean_high, per_mass),
            _ranged(
                number,
                row.total_pg * factor,
                row.total_low * factor,
                row.total_high * factor,
                per_total,
            ),
        )
        for row in rows.itertuples()
    )
    heads = ("<zone", "area, km²", "mean, kg/m²", f"total, {unit}")
    return Table(title, heads, cells, note)


def _ranged(number: Any, value: float, low: float, high: float, digits: int) -> str:
    return f"{number(value, digits)} {interval(low, high, digits)}".strip()
