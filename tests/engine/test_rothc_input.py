"""The official input file: what is read, and how what is wrong is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.rothc_checks import COLUMNS, temperature_unit
from edaphos.engine.rothc_input import SiteInput, read_site_input, site_input_text, write_site_input

from ..rothc_cases import CASES, golden

NAMES = [c.official for c in COLUMNS]
HEAD = 7  # lines before the first month
Lines = list[str]


@pytest.fixture
def lines() -> Lines:
    """The bomb-carbon case: a spin-up year and 2001-2020."""
    return site_input_text(golden("g11_bomb_c14").site()).splitlines()


def read(tmp_path: Path, lines: Lines, encoding: str = "utf-8") -> SiteInput:
    path = tmp_path / "RothC_input.dat"
    path.write_text("\n".join(lines), encoding=encoding)
    return read_site_input(path)


def refusal(tmp_path: Path, lines: Lines) -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, lines)
    message = str(caught.value)
    assert str(tmp_path / "RothC_input.dat") in message
    return message


def put(lines: Lines, line: int, column: str, value: str) -> Lines:
    """Return the lines with one value changed; `line` counts from 1."""
    names = lines[3].split() if line == 5 else NAMES
    words = lines[line - 1].split()
    words[names.index(column)] = value
    return [*lines[: line - 1], "\t".join(words), *lines[line:]]


def through(lines: Lines, column: str, change: Callable[[float], float]) -> Lines:
    at = NAMES.index(column)
    rows = [line.split() for line in lines[HEAD:]]
    return lines[:HEAD] + [
        "\t".join([*row[:at], repr(change(float(row[at]))), *row[at + 1 :]]) for row in rows
    ]


def equal(a: SiteInput, b: SiteInput) -> bool:
    soil = (a.clay, a.depth, a.iom) == (b.clay, b.depth, b.iom)
    return soil and all(np.array_equal(getattr(a, c.field), getattr(b, c.field)) for c in COLUMNS)


@pytest.mark.parametrize("name", CASES)
def test_written_and_read_again(name: str, tmp_path: Path) -> None:
    site = golden(name).site()
    write_site_input(site, tmp_path / "x.dat", ["one comment"])
    assert equal(read_site_input(tmp_path / "x.dat"), site)


def test_the_file_that_comes_with_the_official_program(shared_data: Path) -> None:
    site = read_site_input(shared_data / "golden/rothc/official_format/RothC_input.dat")
    assert (site.clay, site.depth, site.iom, site.months) == (13.0, 25.0, 3.0041, 840)
    assert (site.year[0], site.year[12], site.year[-1]) == (1, 1939, 2007)
    assert site.plant_input[7] == 1.74
    assert "-20.7" in site.notes[0]  # its evaporation falls below 0 in some winters


def test_as_tolerant_as_the_official_reader(tmp_path: Path, lines: Lines) -> None:
    site = read(tmp_path, lines)
    spaced = [line.replace("\t", "    ") + "  " for line in lines]
    loose = [*spaced[:20], "", *spaced[20:], "   ", ""]
    renamed = [*lines[:6], " ".join(f"t_{name}" for name in NAMES), *lines[7:]]
    shuffled = [*lines[:3], "iom nsteps clay depth", "2.7 252 23.4 23", *lines[5:]]
    capital = [*lines[:3], lines[3].upper(), *lines[4:]]
    fortran = [*lines[:2], "(-) (-)", " opt_RMmoist  opt_SMDbare", "  1   1", "(%) (cm)"]
    fortran += ["clay depth iom nsteps siltper BD OC minRM_Moist", lines[4] + " 58.6 1.27 0.94 0.2"]
    fortran += lines[5:]
    for variant in (loose, renamed, shuffled, capital, fortran, lines[2:]):
        assert equal(read(tmp_path, variant), site)
    windows = [*lines[:5], "(%) (°C)", *lines[6:]]
    assert equal(read(tmp_path, windows, "latin-1"), site)
    assert equal(read(tmp_path, ["\ufeff" + lines[0], *lines[1:]]), site)
    whole = [*lines[:HEAD], *(re.sub(r"^(\d+)\t(\d+)", r"\1.0\t\2.0", x) for x in lines[HEAD:])]
    assert equal(read(tmp_path, whole), site)


def test_files_of_other_systems_and_numbers_of_fortran(tmp_path: Path, lines: Lines) -> None:
    site = read(tmp_path, lines)
    text = "\n".join(lines)
    path = tmp_path / "other.dat"
    for data in (
        text.replace("\n", "\r\n").encode() + b"\r\n \t\r\n\x1a",
        text.replace("\n", "\r").encode(),
        text.encode("utf-16"),
    ):
        path.write_bytes(data)
        assert equal(read_site_input(path), site)
    soil = [*lines[:4], "2.34D1 +23. .27d+01 252", *lines[5:]]
    rows = [line.replace("1.44", "0.144D+01").replace("\t0\t", "\t.0\t") for line in soil[HEAD:]]
    assert equal(read(tmp_path, [*soil[:HEAD], *rows]), site)
    assert 'found "1D", expected a number' in refusal(tmp_path, put(lines, 30, "Tmp", "1D"))


def test_what_is_unusual_is_noted_once(tmp_path: Path, lines: Lines) -> None:
    site = read(tmp_path, put(lines, 30, "Evap", "-1"))
    assert len(site.notes) == 1
    assert "line 30, column Evap" in site.notes[0]
    assert site.checked().notes == site.notes


def test_a_run_may_begin_in_the_year_that_the_spin_up_is_labelled_with(
    tmp_path: Path, lines: Lines
) -> None:
    site = read(tmp_path, through(lines, "year", lambda year: max(year - 2000, 1)))
    assert site.year.tolist()[:25] == [1] * 24 + [2]


def test_only_the_spin_up(tmp_path: Path, lines: Lines) -> None:
    assert read(tmp_path, put(lines[: HEAD + 12], 5, "nsteps", "12")).months == 12


def test_months_beyond_nsteps_are_noted(tmp_path: Path, lines: Lines) -> None:
    site = read(tmp_path, put(lines, 5, "nsteps", "240"))
    assert site.months == 240
    assert site.notes == ("12 lines after the 240 months that nsteps promises were not read",)


@pytest.mark.parametrize(
    ("line", "column", "value", "says"),
    [
        (5, "clay", "101", "0 to 100"),
        (5, "clay", "-1", "0 to 100"),
        (5, "clay", "nan", "found nan"),
        (5, "depth", "0", "above 0"),
        (5, "iom", "-0.1", "t C/ha"),
        (5, "nsteps", "252.5", "a whole number"),
        (5, "nsteps", "11", "at least 12"),
        (5, "nsteps", "264", "264 months are promised and 252 follow"),
        (5, "nsteps", "250", "not a multiple of 12"),
        (30, "Tmp", "warm", 'found "warm", expected a number'),
        (30, "Tmp", "3,5", "write decimals with a point"),
        (30, "Tmp", "1_0", "expected a number"),
        (30, "Tmp", "NaN", "no value (NaN)"),
        (30, "Tmp", "-9999", "missing value?"),
        (30, "Tmp", "280", "-90 to 60"),
        (30, "Rain", "-0.1", "0 to"),
        (30, "Rain", "inf", "found inf"),
        (30, "Evap", "-31", "-30 to"),
        (30, "C_inp", "-0.1", "t C/ha"),
        (30, "FYM", "-0.1", "t C/ha"),
        (30, "PC", "0.5", "0 or 1"),
        (30, "PC", "2", "0 or 1"),
        (30, "DPM_RPM", "0", "above 0"),
        (30, "modern", "0", "% modern"),
        (30, "month", "13", "1 to 12"),
        (30, "month", "11.5", "whole number"),
        (30, "year", "2001.5", "whole number"),
    ],
)
def test_a_wrong_value_is_named(
    tmp_path: Path, lines: Lines, line: int, column: str, value: str, says: str
) -> None:
    message = refusal(tmp_path, put(lines, line, column, value))
    assert f"line {line}, column {column}: " in message
    assert says in message


def test_temperatures_in_kelvin_or_tenfold_are_recognised(tmp_path: Path, lines: Lines) -> None:
    message = refusal(tmp_path, through(lines, "Tmp", lambda t: t + 273.15))
    assert "column Tmp: temperatures from 276.55 to 289.15 look like kelvin" in message
    assert "subtract 273.15 (that gives 3.4 to 16.0 °C)" in message
    message = refusal(tmp_path, through(lines, "Tmp", lambda t: round(10 * t)))
    assert "look like °C × 10" in message
    assert "divide by 10 (that gives 3.4 to 16.0 °C)" in message


@pytest.mark.parametrize("name", CASES)
def test_no_climate_is_taken_for_another_unit(name: str) -> None:
    site = golden(name).site()
    celsius, pan = site.temperature, site.evaporation
    assert temperature_unit(celsius, pan) is None
    assert temperature_unit(celsius + 273.15, pan) == "kelvin"
    assert temperature_unit(celsius * 10, pan) == "°C × 10"  # the tropics, too: 253 to 277


def test_the_layout_is_explained(tmp_path: Path, lines: Lines) -> None:
    assert "found 9 columns, expected 10" in refusal(
        tmp_path, [*lines[:29], lines[29].rsplit("\t", 1)[0], *lines[30:]]
    )
    assert "line 30: found 11 columns" in refusal(
        tmp_path, [*lines[:29], lines[29] + "\t1", *lines[30:]]
    )
    assert "not commas" in refusal(tmp_path, [line.replace("\t", ",") for line in lines])
    assert "not commas" in refusal(
        tmp_path, lines[:HEAD] + [line.replace("\t", ",") for line in lines[HEAD:]]
    )
    assert "no line names clay" in refusal(tmp_path, lines[HEAD:])
    assert "no line names clay" in refusal(tmp_path, [])
    assert "ends before the first month" in refusal(tmp_path, lines[:5])
    assert "names of the columns" in refusal(tmp_path, [*lines[:6], *lines[7:]])
    assert "by position" in refusal(tmp_path, [*lines[:6], " ".join(reversed(NAMES)), *lines[7:]])
    assert "3 values for the 4 names" in refusal(tmp_path, [*lines[:4], "23.4 23 2.7", *lines[5:]])
    other = [*lines[:3], "opt_RMmoist opt_SMDbare", "2 1", *lines[3:]]
    assert "line 5: opt_RMmoist" in refusal(tmp_path, other)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_site_input(tmp_path / "absent.dat")
    with pytest.raises(InputError, match="cannot be read"):
        read_site_input(tmp_path)
    (tmp_path / "picture.dat").write_bytes(b"\x89PNG\0\0")
    with pytest.raises(InputError, match="no plain text"):
        read_site_input(tmp_path / "picture.dat")


def test_the_calendar_is_checked(tmp_path: Path, lines: Lines) -> None:
    first = HEAD + 12  # index of January 2001
    eleven = lines[: first + 4] + lines[first + 5 :]
    assert "line 24, column month: year 2001 has 11 months, month 5 missing" in refusal(
        tmp_path, put(eleven, 5, "nsteps", "251")
    )
    assert "year 1 has 11 months, month 3 missing" in refusal(
        tmp_path, lines[: HEAD + 2] + lines[HEAD + 3 :]
    )
    doubled = [*lines[: first + 5], *lines[first + 4 :]]
    assert "line 25, column month: year 2001 has 13 months, month 5 more than once" in refusal(
        tmp_path, put(doubled, 5, "nsteps", "253")
    )
    swapped = [*lines[:first], lines[first + 1], lines[first], *lines[first + 2 :]]
    assert "line 20, column month: the months of year 2001 are not in order" in refusal(
        tmp_path, swapped
    )
    years = [lines[first + 12 * i : first + 12 * i + 12] for i in range(20)]
    unsorted = [*lines[:first], *years[1], *years[0], *chain(*years[2:])]
    assert "year 2001 follows 2002; sort the years" in refusal(tmp_path, unsorted)
    gap = put([*lines[:first], *years[0], *chain(*years[3:])], 5, "nsteps", "228")
    assert "year 2004 follows 2001; add the missing 2002 to 2003" in refusal(tmp_path, gap)
    twice = put([*lines[:first], *years[0], *years[1], *years[0]], 5, "nsteps", "48")
    assert "year 2001 comes twice" in refusal(tmp_path, twice)
    cut = put(lines[: first + 7], 5, "nsteps", "19")
    assert "year 2001 has 7 months, month 8, 9, 10, 11, 12 missing" in refusal(tmp_path, cut)


def test_arrays_are_checked_like_files() -> None:
    site = golden("g11_bomb_c14").site()
    rain = site.rain.copy()
    rain[20] = -1
    columns = {c.field: getattr(site, c.field) for c in COLUMNS}
    with pytest.raises(InputError, match="site, row 20, column Rain: found -1"):
        SiteInput(site.clay, site.depth, site.iom, **{**columns, "rain": rain}).checked()
    with pytest.raises(InputError, match="one value for each month"):
        SiteInput(site.clay, site.depth, site.iom, **{**columns, "rain": rain[:5]}).checked()
