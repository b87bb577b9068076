"""Measured stocks: what is read, and how what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.rothc_measured import Measured, read_measured


def read(tmp_path: Path, text: str | bytes) -> Measured:
    path = tmp_path / "measured.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_measured(path)


@pytest.mark.parametrize(
    "text",
    [
        "Year, SOC\n1990.5, 31\n2000, 33.5\n",
        "site,SOC (t C/ha),year\na,31.,1990.5\n\nb,33.5,2000\n",
        b"\xef\xbb\xbf# measured by hand\r\nyear;soc\r\n1990,5;31\r\n2000;33,5\r\n\r\n",
        "year\tSOC_t_C_ha\n1990.5\t31\n2000\t3.35e1\n".encode("utf-16"),
        "year,soc,note\n1990.5,31,\n2000,33.5,\u00b1 1\n".encode("latin-1"),
    ],
)
def test_stocks_as_people_keep_them(tmp_path: Path, text: str | bytes) -> None:
    found = read(tmp_path, text)
    assert found.year.tolist() == [1990.5, 2000]
    assert found.soc.tolist() == [31.0, 33.5]
    assert found.error is None


def test_errors_of_measurement_and_lines_are_kept(tmp_path: Path) -> None:
    found = read(tmp_path, "year,soc,sd\n\n1990,31,1.5\n# no\n2000,33.5,2\n")
    assert found.error is not None
    assert found.error.tolist() == [1.5, 2.0]
    assert found.lines == (3, 5)
    assert found.at(1, "soc") == f"{tmp_path / 'measured.csv'}, line 5, column soc"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("year,carbon\n1990,31\n", "line 1: no column soc, found year, carbon; give year and soc"),
        ("", "it is empty"),
        ("year,soc\n\n", "no line follows the names"),
        ("year,soc\n1990,31\n\n2000,much\n", "line 4, column soc: found much, expected a number"),
        ("year,soc\n1990,-31\n", "line 2, column soc: found -31, expected a number, 0 or more"),
        ("year,soc\n1990,NA\n", "found NA, expected a number, 0 or more; leave the line out"),
        ("year,soc\n1990,\n", "found nothing, expected a number, 0 or more; leave the line out"),
        ("year,soc\n1990,inf\n", "found inf"),
        ("year,soc\n1990,33,1\n", "line 2: found 3 columns, expected 2"),
        ("year,soc,error\n1990,33,x\n", "line 2, column error: found x"),
        (b"\x89PNG\0\0", "no plain text"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=r"measured\.csv") as caught:
        read(tmp_path, text)
    assert says in str(caught.value)


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; give the path of a CSV"):
        read_measured(tmp_path / "absent.csv")
