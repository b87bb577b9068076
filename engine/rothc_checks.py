"""What a RothC site may look like: columns, units, bounds and calendar, with errors that help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

SPIN_UP_MONTHS = 12
SOIL = ("clay", "depth", "iom")
Array = NDArray[Any]

#: °C that monthly means of the Earth's air keep to.
COLDEST, WARMEST = -90.0, 60.0
#: mm a month down to which evaporation below 0 is taken as condensation: the input that comes
#: with the official program holds -20.7.
CONDENSATION = -30.0


@dataclass(frozen=True)
class Column:
    """One column of the official file: its name there and here, units, bounds and what to do."""

    official: str
    field: str
    units: str
    low: float
    high: float
    advice: str


COLUMNS = (
    Column("year", "year", "", -1e6, 1e6, "give the calendar year as a whole number"),
    Column("month", "month", "", 1, 12, "give the month as a whole number from 1 to 12"),
    Column("modern", "modern", "%", 1e-6, 1000, "give % modern, 100 without bomb carbon"),
    Column("Tmp", "temperature", "C", COLDEST, WARMEST, "give the monthly mean in °C"),
    Column("Rain", "rain", "mm", 0, 10_000, "give the month's rain in mm"),
    Column("Evap", "evaporation", "mm", CONDENSATION, 2000, "give the month's evaporation in mm"),
    Column("C_inp", "plant_input", "t C/ha", 0, 100, "give the month's carbon input in t C/ha"),
    Column("FYM", "manure", "t C/ha", 0, 100, "give the month's manure carbon in t C/ha"),
    Column("PC", "cover", "", 0, 1, "write 1 for soil under plants, 0 for bare soil"),
    Column(
        "DPM_RPM",
        "dpm_rpm",
        "",
        1e-6,
        1e6,
        "give a ratio above 0: 1.44 for crops, 0.67 for unimproved grass, 0.25 for forest",
    ),
)
_WHOLE = ("year", "month", "cover")
_RATE_FACTOR = (0.01, 100.0, "give what the rate constants are multiplied by, 1 for no change")
_SOIL_BOUNDS = {
    "clay": (0.0, 100.0, "give clay in % of the fine earth"),
    "depth": (1e-6, 1000.0, "give the depth of the layer in cm, above 0"),
    "iom": (0.0, 10_000.0, "give inert organic matter in t C/ha; 0.049 SOC^1.139 is usual"),
}


def bounds(field: str) -> tuple[float, float, str]:
    """Return the least and the largest value of a field of the site, and what to do otherwise."""
    if field in _SOIL_BOUNDS:
        return _SOIL_BOUNDS[field]
    if field == "rate_factor":  # of a Dataset only
        return _RATE_FACTOR
    column = next(c for c in COLUMNS if c.field == field)
    return column.low, column.high, column.advice


@dataclass(frozen=True)
class Where:
    """Where values came from, to be named in errors: a file and its line numbers, or arrays."""

    source: str = "site"
    lines: tuple[int, ...] | None = None
    soil_line: int | None = None

    def month(self, index: int, column: str) -> str:
        """Name a month's value."""
        place = f"line {self.lines[index]}" if self.lines else f"row {index}"
        return f"{self.source}, {place}, column {column}"

    def soil(self, name: str) -> str:
        """Name a soil value."""
        line = f", line {self.soil_line}" if self.soil_line else ""
        return f"{self.source}{line}, column {name}"


def check_soil(values: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """Return clay, depth and IOM as numbers, or refuse them."""
    checked = {}
    for name, (low, high, advice) in _SOIL_BOUNDS.items():
        value = float(values[name])
        if not low <= value <= high:  # false for NaN, too
            raise InputError(
                f"{where.soil(name)}: found {value:g}, expected {_interval(low, high)}; {advice}"
            )
        checked[name] = value
    return checked


def check_monthly(columns: Mapping[str, Array], where: Where) -> tuple[str, ...]:
    """Refuse months that cannot be; return notes on what is unusual.

    Parameters
    ----------
    columns
        Values of every column by its field, each of shape (months,).
    where
        What errors name.
    """
    sizes = {c.field: columns[c.field].shape for c in COLUMNS}
    if len(set(sizes.values())) > 1 or any(len(shape) != 1 for shape in sizes.values()):
        raise InputError(
            f"{where.source}: columns of shapes {sizes}; give one value for each month"
        )
    _check_temperature_units(columns, where)
    for column in COLUMNS:
        _check_bounds(column, columns[column.field], where)
    check_calendar(columns["year"], columns["month"], where)
    below = np.flatnonzero(columns["evaporation"] < 0)
    if not below.size:
        return ()
    least = float(columns["evaporation"].min())
    return (
        f"evaporation is below 0 in {below.size} months (down to {least:g} mm, first: "
        f"{where.month(int(below[0]), 'Evap')}); taken as it is, as the official program does",
    )


def _check_bounds(column: Column, values: Array, where: Where) -> None:
    good = (values >= column.low) & (values <= column.high)  # false for NaN
    if column.field in _WHOLE:
        good &= values == np.rint(values)
    bad = np.flatnonzero(~good)
    if bad.size:
        index = int(bad[0])
        value = float(values[index])
        expected = _interval(column.low, column.high)
        if column.field == "cover":
            expected = "0 or 1"
        found = "no value (NaN)" if np.isnan(value) else f"{value:g}"
        missing = " (a code for a missing value?)" if value <= -99 else ""
        more = f" ({bad.size} months are so)" if bad.size > 1 else ""
        raise InputError(
            f"{where.month(index, column.official)}: found {found}{missing}, expected {expected}"
            f"{' ' + column.units if column.units else ''}; {column.advice}{more}"
        )


def _interval(low: float, high: float) -> str:
    if 0 < low < 1e-3:
        return f"a number above 0, up to {high:g}"
    return f"a number from {low:g} to {high:g}"


def _check_temperature_units(columns: Mapping[str, Array], where: Where) -> None:
    unit = temperature_unit(columns["temperature"], columns["evaporation"])
    if unit is None:
        return
    values = columns["temperature"]
    celsius = values - 273.15 if unit == "kelvin" else values / 10
    index = int(np.argmax(np.abs(values)))
    how = "subtract 273.15" if unit == "kelvin" else "divide by 10"
    raise InputError(
        f"{where.month(index, 'Tmp')}: temperatures from {values.min():g} to {values.max():g} "
        f"look like {unit}, not °C; {how} (that gives {celsius.min():.1f} to "
        f"{celsius.max():.1f} °C)"
    )


def temperature_unit(values: Array, evaporation: Array | None = None) -> str | None:
    """Say "kelvin" or "°C × 10" where temperatures are recognised as such by their range.

    Tropical temperatures times ten (250-280) are also temperate ones in kelvin; there evaporation
    decides: near freezing no pan loses 80 mm a month. None where they may be °C, or where they
    are neither (single wrong values).

    >>> temperature_unit(np.array([276.5, 289.1])), temperature_unit(np.array([34.0, 160.0]))
    ('kelvin', '°C × 10')
    """
    known = values[np.isfinite(values)]
    if not known.size or not ((known < COLDEST) | (known > WARMEST)).any():
        return None
    kelvin = bool((known > 180).all() and (known < 333).all())
    if kelvin and evaporation is not None and float(np.nanmean(evaporation)) > 80:
        kelvin = float(known.mean()) - 273.15 > 8
    if kelvin:
        return "kelvin"
    outside = float(np.mean((known < COLDEST) | (known > WARMEST)))
    tenfold = (known >= 10 * -60).all() and (known <= 10 * 45).all()
    return "°C × 10" if tenfold and outside >= 0.2 else None


def check_calendar(year: Array, month: Array, where: Where) -> None:
    """Refuse months that are missing, doubled or unsorted, and years that do not follow."""
    if month.size < SPIN_UP_MONTHS:
        raise InputError(
            f"{where.source}: {month.size} months; at least the {SPIN_UP_MONTHS} months of the "
            "spin-up year are needed"
        )
    before: int | None = None
    seen: set[int] = set()
    for count, (start, stop) in enumerate(_years(year, month)):
        this = int(year[start])
        _check_year(this, month[start:stop], start, where)
        if count > 1 and before is not None and this != before + 1:
            raise InputError(f"{where.month(start, 'year')}: {_years_wrong(this, before, seen)}")
        if count:
            before = this
            seen.add(this)


def _years_wrong(this: int, before: int, seen: set[int]) -> str:
    if this in seen:
        return f"year {this} comes twice; keep one"
    if this < before:
        return f"year {this} follows {before}; sort the years, oldest first"
    gap = f"{before + 1}" if this == before + 2 else f"{before + 1} to {this - 1}"
    return f"year {this} follows {before}; add the missing {gap}"


def _years(year: Array, month: Array) -> Iterable[tuple[int, int]]:
    """Yield (first, last + 1) of each run of rows of one year; the first twelve rows are one."""
    cuts = {0, *(np.flatnonzero(np.diff(year)) + 1).tolist(), len(year)}
    if len(year) > SPIN_UP_MONTHS and month[SPIN_UP_MONTHS] == 1:
        cuts.add(SPIN_UP_MONTHS)  # a run that starts in the year the spin-up is labelled with
    return pairwise(sorted(cuts))


def _check_year(year: int, months: Array, start: int, where: Where) -> None:
    found = [int(m) for m in months]
    if found == list(range(1, SPIN_UP_MONTHS + 1)):
        return
    wrong = next(
        (i for i, m in enumerate(found) if i >= SPIN_UP_MONTHS or m != i + 1), len(found) - 1
    )
    place = where.month(start + wrong, "month")
    doubled = sorted({m for m in found if found.count(m) > 1})
    missing = sorted(set(range(1, SPIN_UP_MONTHS + 1)) - set(found))
    if not doubled and not missing:
        raise InputError(
            f"{place}: the months of year {year} are not in order ({found[wrong]} where "
            f"{wrong + 1} is expected); sort them"
        )
    faults = [f"month {_listed(missing)} missing"] if missing else []
    faults += [f"month {_listed(doubled)} more than once"] if doubled else []
    raise InputError(
        f"{place}: year {year} has {len(found)} months, {' and '.join(faults)}; "
        "each year needs its twelve months, in order"
    )


def _listed(months: list[int]) -> str:
    return ", ".join(map(str, months))
