"""``edaphos rothc``: tables that equal the official program's, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from edaphos.engine.rothc_input import read_site_input, write_site_input
from edaphos.recipes.cli import app

from ..rothc_cases import CASES, POOLS, golden

RUNNER = CliRunner()


def invoke(*words: object):
    return RUNNER.invoke(app, ["rothc", *map(str, words)])


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_each_golden_case(name: str, tmp_path: Path) -> None:
    case = golden(name)
    write_site_input(case.site(), tmp_path / "RothC_input.dat")
    done = invoke("site", tmp_path / "RothC_input.dat", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    months = pd.read_csv(tmp_path / "out" / "month_results.csv")
    years = pd.read_csv(tmp_path / "out" / "year_results.csv")
    wanted = case.monthly[["year", "month", *POOLS, "IOM", "SOC", "deltaC"]]
    np.testing.assert_allclose(months, wanted, atol=1e-8)
    np.testing.assert_allclose(months.iloc[:, :8], wanted.iloc[:, :8], atol=1e-9)
    first = [1, case.start["months"], *(case.start[p] for p in (*POOLS, "IOM", "SOC", "deltaC"))]
    np.testing.assert_allclose(years.iloc[0], first, atol=1e-8)
    np.testing.assert_allclose(years.iloc[1:], wanted[wanted["month"] == 12], atol=1e-8)


def test_the_official_example_as_it_is(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "golden" / "rothc" / "official_format"
    done = invoke("site", folder / "RothC_input.dat", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert done.output.count("evaporation is below 0 in 11 months") == 1
    for name in ("month_results.csv", "year_results.csv"):
        ours, theirs = pd.read_csv(tmp_path / name), pd.read_csv(folder / name)
        assert list(ours) == list(theirs)
        assert list(ours.dtypes) == list(theirs.dtypes)
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_the_printed_example_runs(tmp_path: Path) -> None:
    printed = invoke("example")
    path = tmp_path / "RothC_input.dat"
    path.write_text(printed.output)
    site = read_site_input(path)
    assert site.months == 252
    assert site.notes == ()
    (tmp_path / "measured.csv").write_text("year,soc\n2001.5,30.5\n2020.5,38\n")
    done = invoke(
        "site", path, "--out", tmp_path, "--measured", tmp_path / "measured.csv", "--drivers",
        "--spin-up", "exact", "--json",
    )  # fmt: skip
    found = json.loads(done.output)
    assert found["spin_up_months"] == 0
    assert found["soc_end_t_C_ha"] > found["start"]["SOC"] + 5  # manure
    assert {Path(p).name for p in found["files"]} == {
        "month_results.csv", "year_results.csv", "drivers.csv", "pools.png",
    }  # fmt: skip
    assert (tmp_path / "pools.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(tmp_path / "drivers.csv")) == 240


def test_microbial_rates_change_the_run(tmp_path: Path) -> None:
    path = tmp_path / "in.dat"
    path.write_text(invoke("example").output)

    def end(*options: str) -> float:
        done = invoke("site", path, "--out", tmp_path, "--json", *options)
        return json.loads(done.output)["soc_end_t_C_ha"]

    assert end("--mu-max", "2", "--km", "0.1") < end() < end("--mu-max", "0.5", "--km", "0.1")


def test_a_start_from_a_stock(tmp_path: Path) -> None:
    path = tmp_path / "in.dat"
    path.write_text(invoke("example").output)
    site = read_site_input(path)
    words = ("site", path, "--out", tmp_path / "out", "--stock", 30.7)
    told = json.loads(invoke(*words, "--json").output)
    held = told["held"]
    assert (held["stock_t_C_ha"], held["IOM_t_C_ha"], held["inert"]) == (30.7, site.iom, "file")
    entering = site.plant_input[:12].sum()
    assert held["plant_input_t_C_ha_yr"] == pytest.approx(held["factor"] * entering, rel=1e-12)
    assert held["manure_t_C_ha_yr"] == 0
    assert told["spin_up_months"] == 0
    years = pd.read_csv(tmp_path / "out" / "year_results.csv")
    assert years["SOC_t_C_ha"][0] == pytest.approx(30.7, abs=1e-9)
    assert len(years) == 21
    done = invoke(*words, "--inert", "falloon")
    assert done.exit_code == 0, done.output
    assert "carbon of year 1 times 1.04078 holds 30.7 t C/ha" in done.output
    assert "(IOM 2.4213 t C/ha, 0.049 stock^1.139)" in done.output  # Falloon et al. 1998
    years = pd.read_csv(tmp_path / "out" / "year_results.csv")
    assert years["SOC_t_C_ha"][0] == pytest.approx(30.7, abs=1e-9)
    np.testing.assert_allclose(years["IOM_t_C_ha"], 2.4213, atol=5e-5)
    plain = json.loads(invoke("site", path, "--out", tmp_path / "out", "--json").output)
    assert plain["held"] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--stock", "3"), "--stock: found 3, not above the site's inert organic matter of 3.1"),
        (("--stock", "0"), "--stock: found 0, expected a number above 0"),
        (("--stock", "nan"), "--stock: found nan, expected a number above 0"),
        (("--stock", "20000"), "up to 10000; give soil organic carbon in t C/ha"),
        (("--stock", "30", "--mu-max", "1", "--km", "1"), "stocks are not linear in the input"),
        (("--stock", "30", "--spin-up", "official"), "--stock implies --spin-up exact"),
        (("--inert", "falloon"), "give --stock"),
    ],
)
def test_stocks_to_begin_with_that_are_refused(
    options: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.dat"
    path.write_text(invoke("example").output)
    done = invoke("site", path, "--out", tmp_path / "out", *options)
    assert done.exit_code == 2
    assert says in done.output
    assert not (tmp_path / "out").exists()


def test_refusals_end_with_two_and_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bad.dat"
    lines = invoke("example").output.splitlines()
    del lines[27]
    path.write_text("\n".join(lines))
    done = invoke("site", path, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert f"error: {path}, line 28, column month: year 2001 has 11 months, month 9 " in done.output
    assert not (tmp_path / "out").exists()
    path.write_text(invoke("example").output)
    done = invoke("site", path, "--out", tmp_path / "out", "--mu-max", "1")
    assert done.exit_code == 2
    assert "give both" in done.output
    done = invoke("site", path, "--out", tmp_path / "out", "--measured", tmp_path / "none.csv")
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_what_is_not_drawn_is_said_and_folders_are_checked(tmp_path: Path) -> None:
    path, measured = tmp_path / "in.dat", tmp_path / "measured.csv"
    path.write_text(invoke("example").output)
    measured.write_text("year,soc\n1990,30\n2005,31\n2021,32\n")
    done = invoke("site", path, "--out", tmp_path / "out", "--measured", measured)
    assert done.exit_code == 0
    assert f"note: {measured}: 1990 outside the run, 2001 to 2020; not drawn" in done.output
    done = invoke("site", path, "--out", measured)
    assert done.exit_code == 2
    assert f"{measured} is a file; name a folder" in done.output
