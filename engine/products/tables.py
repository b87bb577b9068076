"""Tables as text, and numbers as people read them, formatted in one place so that all agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = str
DASH = "–"


@dataclass(frozen=True)
class Table:
    """A table to show.

    Parameters
    ----------
    title
        Above it.
    columns
        Headings; a column whose heading starts with ``<`` holds text and is left-aligned.
    rows
        Cells as text.
    note
        Below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    @property
    def ranged(self) -> list[bool]:
        """Whether a column's numbers have intervals behind them, so that they can be aligned."""
        width = range(len(self.columns))
        return [any(" [" in row[i] for row in self.rows) for i in width]

    @property
    def heads(self) -> list[tuple[str, bool]]:
        """Headings, and whether the column is of numbers."""
        return [(c.removeprefix("<"), not c.startswith("<")) for c in self.columns]


def fixed(value: Any, digits: int = 2) -> str:
    """Return a number with this many decimals, a true minus, or a dash where there is none.

    >>> fixed(-0.126), fixed(float("nan")), fixed(1234.5, 0)
    ('−0.13', '–', '1,234')
    """
    if value in (None, "") or not math.isfinite(float(value)):
        return DASH
    text = f"{float(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: Any, digits: int = 2) -> str:
    """Return a number with its sign.

    >>> signed(0.1), signed(-0.1)
    ('+0.10', '−0.10')
    """
    text = fixed(value, digits)
    plain = text in (DASH, fixed(0.0, digits)) or text.startswith("−")
    return text if plain else f"+{text}"


def interval(low: Any, high: Any, digits: int = 2) -> str:
    """Return ``[0.39, 0.48]``, or nothing where there is no interval."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{fixed(low, digits)}, {fixed(high, digits)}]"


def estimate(row: Mapping[str, Any], metric: str, digits: int = 2) -> str:
    """Return an estimate and its 95 % interval."""
    bounds = interval(row.get(f"{metric}_low"), row.get(f"{metric}_high"), digits)
    return f"{fixed(row.get(metric), digits)} {bounds}".strip()


def digits_for(values: Sequence[float | None]) -> int:
    """Return the decimals with which the largest value has about four digits.

    >>> digits_for([1510.2, 33.0]), digits_for([0.0213])
    (1, 5)
    """
    largest = max((abs(v) for v in values if v), default=0.0)
    return min(6, max(1, 3 - math.floor(math.log10(largest)))) if largest else 1


def count(value: Any) -> str:
    """Return a whole number with thousands separated."""
    return fixed(value, 0)


def areas(km2: Sequence[float], digits: int = 2) -> tuple[str, list[str]]:
    """Return the unit that suits the largest of areas, and all of them in it.

    Parameters
    ----------
    km2
        The areas.
    digits
        Decimals, where the unit is a million km².

    >>> areas([133.25e6, 20_000.0]), areas([8100.4, 9.0])
    (('million km²', ['133.25', '0.02']), ('km²', ['8,100', '9']))
    """
    largest = max(km2, default=0.0)
    if largest >= 1e6:
        return "million km²", [fixed(one / 1e6, digits) for one in km2]
    if largest >= 1:
        return "km²", [fixed(one, 0 if largest >= 1000 else 1) for one in km2]
    return "ha", [fixed(one * 100, 1) for one in km2]


def area(km2: float) -> str:
    """Return an area with a unit that suits it.

    >>> area(133.25e6), area(8100.4), area(12.34), area(0.034)
    ('133.2 million km²', '8,100 km²', '12.3 km²', '3.4 ha')
    """
    unit, (text,) = areas([km2], 1)
    return f"{text} {unit}"


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(5.25), duration(75), duration(3720)
    ('5.2 s', '1 min 15 s', '1 h 02 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
