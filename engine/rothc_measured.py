"""Stocks measured at a site, read from a CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .text_files import numbered_lines

Floats = NDArray[np.float64]

#: Names, in small letters and without units in brackets, that a column may have.
_NAMES = {
    "year": ("year",),
    "soc": ("soc", "soc_t_c_ha"),
    "error": ("error", "sd", "error_t_c_ha", "sd_t_c_ha"),
}
_LAYOUT = "give year and soc (t C/ha), and error (standard deviation, t C/ha) if it is known"


@dataclass(frozen=True, eq=False)
class Measured:
    """Stocks measured at a site.

    Parameters
    ----------
    year, soc
        Decimal years, and t C/ha, shape (k,).
    error
        Standard deviations, t C/ha, shape (k,); None where unknown.
    source, lines
        The file, and the line of each stock, for errors.
    """

    year: Floats
    soc: Floats
    error: Floats | None = None
    source: str = "measured"
    lines: tuple[int, ...] = field(default=())

    def at(self, index: int, column: str) -> str:
        """Name a value."""
        place = f"line {self.lines[index]}" if self.lines else f"row {index}"
        return f"{self.source}, {place}, column {column}"


def read_measured(path: Path) -> Measured:
    """Read measured stocks from a CSV with the columns ``year`` and ``soc`` (t C/ha).

    A column ``error`` (or ``sd``), the standard deviation of each stock in t C/ha, is read if it
    is there; other columns are not. Columns may be separated by commas, semicolons or tabs, with
    decimal commas in the latter two. Blank lines and lines that begin with ``#`` are skipped.

    Raises
    ------
    InputError
        With the file, line and column: a column is missing, or a value is no number or below 0.
    """
    lines = numbered_lines(path, wanted="a CSV with the columns year and soc")
    lines = [(number, text) for number, text in lines if not text.lstrip().startswith("#")]
    if not lines:
        raise InputError(f"{path}: it is empty; {_LAYOUT}")
    head = lines[0][1]
    mark = max(",;\t", key=head.count)
    rows = list(csv.reader([text for _, text in lines], delimiter=mark, skipinitialspace=True))
    numbers = [number for number, _ in lines[1:]]
    places = _places(f"{path}, line {lines[0][0]}", rows[0])
    if not numbers:
        raise InputError(f"{path}: no line follows the names of the columns; {_LAYOUT}")
    columns: dict[str, list[float]] = {name: [] for name in places}
    for number, row in zip(numbers, rows[1:], strict=True):
        if len(row) != len(rows[0]):
            raise InputError(
                f"{path}, line {number}: found {len(row)} columns, expected {len(rows[0])} "
                f"({', '.join(rows[0])}); write decimals with a point, and complete the line"
            )
        for name, place in places.items():
            columns[name].append(_number(f"{path}, line {number}, column {name}", row[place], mark))
    found = {name: np.array(values) for name, values in columns.items()}
    return Measured(**found, source=str(path), lines=tuple(numbers))


def _places(at: str, names: Sequence[str]) -> dict[str, int]:
    plain = [name.partition("(")[0].strip().lower() for name in names]
    places = {}
    for name, known in _NAMES.items():
        where = [i for i, word in enumerate(plain) if word in known]
        if where:
            places[name] = where[0]
        elif name != "error":
            found = ", ".join(word.strip().lower() for word in names)
            raise InputError(f"{at}: no column {name}, found {found}; {_LAYOUT}")
    return places


def _number(at: str, word: str, mark: str) -> float:
    text = word.strip()
    try:
        value = float(text if mark == "," else text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not (0 <= value < math.inf):
        missing = text.lower() in ("", "na", "nan", "-", "n/a", "none")
        advice = "leave the line out where nothing was measured" if missing else "correct it"
        raise InputError(f"{at}: found {text or 'nothing'}, expected a number, 0 or more; {advice}")
    return value
