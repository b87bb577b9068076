"""The official input file of RothC-26.3, ``RothC_input.dat``: read, checked and written.

The layout is that of the programs which Rothamsted Research distributes: three lines of comment,
the names and then the values of clay, depth, IOM and the number of months, a line of units, a
line of column names, and one line for each month. The first twelve months are the year that is
repeated until the soil is at equilibrium; the others are run once, in order. The Fortran program
of 2024 puts two switches for other soil-moisture functions before them; its files are read too,
as long as they ask for the standard functions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .rothc_checks import COLUMNS, SOIL, SPIN_UP_MONTHS, Where, check_monthly, check_soil
from .store import write_atomically
from .text_files import numbered_lines

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The exponent of a double of Fortran.
_FORTRAN = re.compile(r"^([+-]?[\d.]+)[dD]([+-]?\d+)$")
_SWITCHES = ("opt_rmmoist", "opt_smdbare")
_LAYOUT = (
    "the official layout is three lines of comment, a line with the names clay depth iom nsteps, "
    "their values, a line of units, a line of column names, then a line for each month; "
    "`edaphos rothc example` prints one"
)


@dataclass(frozen=True, eq=False)
class SiteInput:
    """One site: its soil, and what drives it month by month.

    Parameters
    ----------
    clay, depth, iom
        Clay content in %, depth of the layer in cm, inert organic matter in t C/ha.
    year, month
        The calendar, shape (months,). The first twelve rows are the year of the spin-up, whose
        `year` is a label; the others are consecutive years.
    modern
        Radiocarbon of new carbon, % modern.
    temperature, rain, evaporation
        Mean air temperature in °C; rain and open-pan evaporation in mm a month.
    plant_input, manure
        Carbon that enters the soil, t C/ha a month.
    cover
        1 where the soil is covered by plants, 0 where it is bare.
    dpm_rpm
        Ratio of decomposable to resistant plant material of the plant input.
    notes
        What is unusual in the source, though accepted.
    """

    clay: float
    depth: float
    iom: float
    year: Ints
    month: Ints
    modern: Floats
    temperature: Floats
    rain: Floats
    evaporation: Floats
    plant_input: Floats
    manure: Floats
    cover: Floats
    dpm_rpm: Floats
    notes: tuple[str, ...] = field(default=())

    @property
    def months(self) -> int:
        """Months in all, the spin-up year included: ``nsteps`` of the file."""
        return len(self.month)

    def checked(self, where: Where | None = None) -> SiteInput:
        """Return the site with what is unusual noted, or refuse it.

        Raises
        ------
        InputError
            At the first value that cannot be: a month that is missing, doubled or out of order,
            clay outside 0-100, rain below 0, kelvin, NaN and the like.
        """
        where = where or Where()
        soil = check_soil({name: getattr(self, name) for name in SOIL}, where)
        columns = {c.field: np.asarray(getattr(self, c.field)) for c in COLUMNS}
        notes = (*self.notes, *self._new(check_monthly(columns, where)))
        whole = ("year", "month")
        typed: dict[str, Any] = {
            n: v.astype(np.int64 if n in whole else np.float64) for n, v in columns.items()
        }
        return replace(self, **soil, **typed, notes=notes)

    def _new(self, found: Sequence[str]) -> list[str]:
        """Return notes not made before; a site checked twice would name its rows otherwise."""
        made = {note.partition(" (")[0] for note in self.notes}
        return [note for note in found if note.partition(" (")[0] not in made]


def read_site_input(path: Path) -> SiteInput:
    """Read and check an official input file.

    Raises
    ------
    InputError
        With the file, the line, the column, what was found and what to do.
    """
    lines = numbered_lines(path, wanted="a RothC_input.dat", layout=_LAYOUT)
    at = _soil_header(path, lines)
    soil, steps = _soil_values(path, lines, at)
    first = _first_month(path, lines, at + 2)
    if steps % SPIN_UP_MONTHS and len(lines) - first > steps:
        raise InputError(
            f"{path}, line {lines[at + 1][0]}, column nsteps: {steps} is not a multiple of 12, and "
            f"{len(lines) - first} lines follow; count the months, the spin-up year included"
        )
    rows = [_row(path, number, text) for number, text in lines[first : first + steps]]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS))
    numbers = tuple(number for number, _ in lines[first : first + steps])
    monthly: dict[str, Any] = {c.field: table[:, i] for i, c in enumerate(COLUMNS)}
    site = SiteInput(**soil, **monthly)
    where = Where(str(path), numbers, soil_line=lines[at + 1][0])
    site = site.checked(where)
    if len(rows) < steps:
        raise InputError(
            f"{path}, line {lines[at + 1][0]}, column nsteps: {steps} months are promised and "
            f"{len(rows)} follow (the last is line {numbers[-1]}); correct nsteps, or complete "
            "the file"
        )
    spare = len(lines) - first - steps
    if spare:
        note = f"{spare} lines after the {steps} months that nsteps promises were not read"
        return replace(site, notes=(*site.notes, note))
    return site


def site_input_text(site: SiteInput, comments: Sequence[str] = ()) -> str:
    """Return a site in the official layout; numbers come back exactly as they are."""
    given = [line for text in comments for line in text.splitlines()][:3]
    given += ["", "", ""][: 3 - len(given)]
    head = [c.official for c in COLUMNS]
    units = [f"({c.units or '-'})" for c in COLUMNS]
    lines = [line or "# RothC-26.3" for line in given]
    lines += ["clay\tdepth\tiom\tnsteps"]
    lines += [f"{site.clay!r}\t{site.depth!r}\t{site.iom!r}\t{site.months}"]
    lines += ["\t".join(units), "\t".join(head)]
    columns = [np.asarray(getattr(site, c.field)).tolist() for c in COLUMNS]
    lines += ["\t".join(_shortest(x) for x in row) for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


def write_site_input(site: SiteInput, path: Path, comments: Sequence[str] = ()) -> None:
    """Write a site in the official layout, whole or not at all."""
    write_atomically(path, site_input_text(site, comments))


def _shortest(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _names(line: str) -> list[str]:
    return [word.strip(",;").lower().replace("/", "_") for word in line.split()]


def _soil_header(path: Path, lines: list[tuple[int, str]]) -> int:
    """Return where the line with the names clay, depth, iom and nsteps stands."""
    wanted = {*SOIL, "nsteps"}
    for i, (_, text) in enumerate(lines):
        names = _names(text)
        if names[:2] == list(_SWITCHES) and i + 1 < len(lines):
            _check_switches(path, *lines[i + 1])
        if wanted <= set(names):  # a comment may hold these words, too
            if i + 1 == len(lines):
                break
            if _value(lines[i + 1][1].split()[0]) is not None:
                return i
    near = f", line {lines[3][0]}" if len(lines) > 3 else ""
    if len(lines) > 3 and "," in lines[3][1]:
        raise InputError(f"{path}{near}: separate columns by spaces or tabs, not commas")
    raise InputError(f"{path}{near}: no line names clay, depth, iom and nsteps; {_LAYOUT}")


def _check_switches(path: Path, number: int, text: str) -> None:
    if text.split()[:2] != ["1", "1"]:
        raise InputError(
            f"{path}, line {number}: opt_RMmoist and opt_SMDbare are {text.split()[:2]}; only the "
            "standard moisture functions of RothC-26.3 are computed here: write 1 1"
        )


def _soil_values(path: Path, lines: list[tuple[int, str]], at: int) -> tuple[dict[str, Any], int]:
    names, (number, text) = _names(lines[at][1]), lines[at + 1]
    words = text.split()
    if len(words) < len(names):
        raise InputError(
            f"{path}, line {number}: {len(words)} values for the {len(names)} names of line "
            f"{lines[at][0]} ({', '.join(names)}); give one value for each"
        )
    found = dict(zip(names, words, strict=False))
    soil = {name: _number(path, number, name, found[name]) for name in SOIL}
    steps = _number(path, number, "nsteps", found["nsteps"])
    if not (math.isfinite(steps) and steps.is_integer() and steps >= SPIN_UP_MONTHS):
        raise InputError(
            f"{path}, line {number}, column nsteps: found {found['nsteps']}; expected the number "
            f"of months in the file, a whole number of at least {SPIN_UP_MONTHS}"
        )
    return soil, int(steps)


def _first_month(path: Path, lines: list[tuple[int, str]], after: int) -> int:
    """Return where the first month stands, after checking the names of the columns."""
    official = [c.official.lower() for c in COLUMNS]
    heads = [
        i for i in range(after, min(after + 6, len(lines))) if _names(lines[i][1])[0] == "year"
    ]
    head = heads[0] if heads else after + 1  # names are free in the official program
    if head >= len(lines):
        raise InputError(f"{path}: it ends before the first month; {_LAYOUT}")
    number, text = lines[head]
    names = _names(text)
    if set(names) == set(official) and names != official:
        raise InputError(
            f"{path}, line {number}: the columns are {' '.join(names)}; the official program "
            f"takes them by position: put them in the order {' '.join(c.official for c in COLUMNS)}"
        )
    if not heads and all(_value(word) is not None for word in text.split()):
        raise InputError(f"{path}, line {number}: expected the names of the columns; {_LAYOUT}")
    return head + 1


def _row(path: Path, number: int, text: str) -> list[float]:
    words = text.split()
    if len(words) != len(COLUMNS):
        hint = "; columns are separated by spaces or tabs, not commas" if "," in text else ""
        raise InputError(
            f"{path}, line {number}: found {len(words)} columns, expected {len(COLUMNS)} "
            f"({' '.join(c.official for c in COLUMNS)}){hint or '; complete or correct the line'}"
        )
    return [_number(path, number, c.official, word) for c, word in zip(COLUMNS, words, strict=True)]


def _value(word: str) -> float | None:
    """Return a number as Python or Fortran writes it (1.5, 1., .5, 1.5D0), or None."""
    if "_" in word:
        return None
    try:
        return float(_FORTRAN.sub(r"\1e\2", word))
    except ValueError:
        return None


def _number(path: Path, number: int, column: str, word: str) -> float:
    value = _value(word)
    if value is None:
        hint = "write decimals with a point" if "," in word else "correct it"
        raise InputError(
            f'{path}, line {number}, column {column}: found "{word}", expected a number; {hint}'
        )
    return value
