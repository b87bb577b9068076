"""Totals of maps of several years or scenarios as tables, lines and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .scales import pretty_units
from .tables import DASH, Table, area, digits_for, fixed, signed
from .totals import TotalRow, Totals
from .words import family, family_title, quantity_title, scenario_words, series_word


@dataclass(frozen=True)
class TotalLines:
    """Totals by year of what differs in scenario alone, at one depth.

    Parameters
    ----------
    name, title, units
        For files, for people, and of the values.
    values
        By scenario and year.
    """

    name: str
    title: str
    units: str
    values: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Change:
    """A total at the first year and how it changes to the last, in Pg.

    Parameters
    ----------
    quantity
        Whose total.
    start, end
        Rows of the first and last year, over all cells.
    unflagged
        The same without flagged cells; None where no cell is flagged.
    """

    quantity: str
    start: TotalRow
    end: TotalRow
    unflagged: tuple[TotalRow, TotalRow] | None

    @property
    def digits(self) -> int:
        """Decimals that suit the size of the total."""
        return digits_for([self.start.total_pg, self.end.total_pg])


def quantity_of(row: TotalRow) -> str:
    """Return the quantity of a row of means."""
    return row.variable.removesuffix("_mean")


def total_lines(totals: Totals) -> list[TotalLines]:
    """Return the totals by scenario and year, for each family of quantities that has totals."""
    found = []
    for rows in _families(totals):
        first = rows[0]
        if first.total_pg is None:
            continue
        values: dict[str, dict[int, float]] = {}
        for row in rows:
            quantity = quantity_of(row)
            label = scenario_words(quantity) or quantity_title(quantity)
            values.setdefault(label, {})[row.year] = float(row.total_pg or 0.0)
        name = family(quantity_of(first))
        title = f"{family_title(quantity_of(first))}, {_depth(first)}"
        found.append(TotalLines(f"{name}_{first.depth}", title, _mass_units(first), values))
    return found


def changes(totals: Totals) -> list[Change]:
    """Return start and end of each quantity of the first family that has totals."""
    lines = [rows for rows in _families(totals) if rows[0].total_pg is not None]
    found = []
    for quantity in dict.fromkeys(quantity_of(r) for r in lines[0]) if lines else ():
        mine = [r for r in lines[0] if quantity_of(r) == quantity]
        ends = mine[0], mine[-1]
        rest = [_unflagged(totals, row) for row in ends]
        pair = (rest[0], rest[1]) if rest[0] is not None and rest[1] is not None else None
        found.append(Change(quantity, *ends, pair))
    return found


def series_tables(totals: Totals) -> list[Table]:
    """Return means, totals and changes by scenario and year, with and without flagged cells."""
    found = [_series_table(totals, rows) for rows in _families(totals)]
    flagged = totals.select("unflagged")
    if found and flagged:
        whole = next(r for r in totals.select("all") if _same(r, flagged[0]))
        cells, km2 = whole.cells - flagged[0].cells, whole.area_km2 - flagged[0].area_km2
        note = (
            f"Flagged cells ({cells:,}, {area(km2)}) are mapped although "
            "the model hardly holds there."
        )
        found[0] = replace(found[0], note=f"{totals.note} {note}")
    elif found:
        found[0] = replace(found[0], note=totals.note)
    return found


def _series_table(totals: Totals, rows: Sequence[TotalRow]) -> Table:
    first = rows[0]
    summed, several = first.total_pg is not None, len({r.year for r in rows}) > 1
    rest = [_unflagged(totals, row) for row in rows]
    flagged = any(row is not None for row in rest)
    digits = _Digits.of(rows)
    lines = []
    for row, other in zip(rows, rest, strict=True):
        quantity = quantity_of(row)
        start = _start(rows, row)
        cells = [scenario_words(quantity) or quantity_title(quantity), str(row.year)]
        cells += _cells(row, start, digits, several)
        if flagged:
            other_start = _unflagged(totals, start)
            missing = [DASH] * (len(cells) - 2)
            cells += _cells(other, other_start, digits, several) or missing
        lines.append(tuple(cells))
    word = series_word([quantity_of(row) for row in rows])
    heads = [f"<{word}", "year", *_heads(first, summed, several)]
    if flagged:
        heads += [f"{head}, unflagged" for head in _heads(first, summed, several)]
    what = "mean and total" if summed else "mean"
    title = f"{family_title(quantity_of(first))}, {_depth(first)}: {what} by {word} and year"
    return Table(title, tuple(heads), tuple(lines))


@dataclass(frozen=True)
class _Digits:
    mean: int
    total: int

    @classmethod
    def of(cls, rows: Sequence[TotalRow]) -> _Digits:
        return cls(digits_for([r.mean for r in rows]), digits_for([r.total_pg for r in rows]))


def _heads(first: TotalRow, summed: bool, several: bool) -> list[str]:
    units = pretty_units(first.units)
    found = [f"mean, {units}"]
    if summed:
        found.append(f"total, {_mass_units(first)}")
    if several:
        found += [f"change, {_mass_units(first) if summed else units}", "change, %"]
    return found


def _cells(
    row: TotalRow | None, start: TotalRow | None, digits: _Digits, several: bool
) -> list[str]:
    """Return a row's mean, total, and change since `start`, as the heads say."""
    if row is None or start is None:
        return []
    summed = row.total_pg is not None
    found = [fixed(row.mean, digits.mean)]
    if summed:
        found.append(fixed(row.total_pg, digits.total))
    if several and row is start:
        found += [DASH, DASH]
    elif several:
        now, then = (r.total_pg if summed else r.mean for r in (row, start))
        assert now is not None
        assert then is not None
        share = 100 * (now - then) / then if then else math.nan
        found += [signed(now - then, digits.total if summed else digits.mean), signed(share)]
    return found


def _families(totals: Totals) -> list[list[TotalRow]]:
    """Return the rows over all cells by family, units and depth: by scenario, then year."""
    found: dict[tuple[str, str, str], list[TotalRow]] = {}
    for row in totals.select("all"):
        found.setdefault((family(quantity_of(row)), row.units, row.depth), []).append(row)
    order = list(dict.fromkeys(r.variable for r in totals.rows))
    for rows in found.values():
        rows.sort(key=lambda r: (order.index(r.variable), r.year))
    return list(found.values())


def _start(rows: Sequence[TotalRow], row: TotalRow) -> TotalRow:
    return min((r for r in rows if r.variable == row.variable), key=lambda r: r.year)


def _unflagged(totals: Totals, row: TotalRow) -> TotalRow | None:
    return next((r for r in totals.select("unflagged") if _same(r, row)), None)


def _same(one: TotalRow, other: TotalRow) -> bool:
    return (one.variable, one.depth, one.year) == (other.variable, other.depth, other.year)


def _mass_units(row: TotalRow) -> str:
    return "Pg a year" if row.units.endswith("yr-1") else "Pg"


def _depth(row: TotalRow) -> str:
    return row.depth.replace("-", "–").replace("cm", " cm")
