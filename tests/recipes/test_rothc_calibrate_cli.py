"""``edaphos rothc calibrate``: from files to files, and clear refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from edaphos.engine.rothc_input import write_site_input
from edaphos.recipes.cli import app

from ..rothc_cases import golden

RUNNER = CliRunner()
RATES = ("--fit", "mu_max=0.1:10", "--fit", "km=0.01:10")


def calibrate(*words: object):
    return RUNNER.invoke(app, ["rothc", "calibrate", *map(str, words)])


def files(folder: Path, name: str = "g02_hoosfield_fym") -> tuple[Path, Path]:
    """A golden case as an input file, and stocks of the official program as measured."""
    case = golden(name)
    paths = folder / f"{name}.dat", folder / f"{name}.csv"
    write_site_input(case.site(), paths[0])
    ends = case.monthly[case.monthly["month"] == 12].iloc[[0, 5, 30, 60, 100]]
    rows = zip(ends["year"], ends["SOC"], strict=True)
    paths[1].write_text("year,soc\n" + "".join(f"{y},{c}\n" for y, c in rows))
    return paths


def test_the_official_program_is_recovered_from_its_stocks(tmp_path: Path) -> None:
    file, stocks = files(tmp_path)
    done = calibrate(
        file, "--measured", stocks, "--fit", "input-factor=0.2:5", "--start", "equilibrium",
        "--starts", 2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "searches: 2/2" in done.output
    assert "RothC as it is, nothing fitted" in done.output
    found = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert found["parameters"][0]["value"] == pytest.approx(1, abs=1e-4)
    assert found["identifiable"]
    table = pd.read_csv(tmp_path / "out" / "stocks.csv")
    official = golden("g02_hoosfield_fym").monthly
    official = official[official["month"] == 12]["SOC"]
    np.testing.assert_allclose(table["simulated_t_C_ha"], official, atol=1e-2)
    assert (tmp_path / "out" / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_several_sites_with_fixed_rates_as_json(tmp_path: Path) -> None:
    pairs = [files(tmp_path, name) for name in ("g01_hoosfield_unmanured", "g02_hoosfield_fym")]
    sites = [f"--site=s{i}={file},{stocks}" for i, (file, stocks) in enumerate(pairs)]
    done = calibrate(
        *sites, "--fit", "mu_max=0.1:10", "--fixed", "km=0.1", "--error", 1, "--starts", 2,
        "--json", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert [site["name"] for site in found["sites"]] == ["s0", "s1"]
    assert found["fixed"] == {"km": 0.1}
    assert "as given" in found["likelihood"]
    assert 1 < found["parameters"][0]["value"] < 1.5  # mu is near 1 where BIO is far above km
    assert [Path(path).name for path in found["files"]] == [
        "calibration.json", "stocks.csv", "calibration.png",
    ]  # fmt: skip


def test_hoosfield_does_not_determine_microbial_rates(shared_data: Path, tmp_path: Path) -> None:
    from benchmarks.hoosfield import PLOTS, measured, site

    truth = measured(shared_data)
    words = []
    for plot in PLOTS:
        write_site_input(site(plot), tmp_path / f"{plot.number}.dat")
        with (tmp_path / f"{plot.number}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [("year", "soc"), *((y, v[plot.column - 2]) for y, v in truth.items())]
            )
        words.append(f"--site={plot.number}={tmp_path}/{plot.number}.dat,{file.name}")
    done = calibrate(*words, *RATES, "--starts", 3, "--quiet", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "from the stock of 1852" in done.output
    assert "NOT IDENTIFIABLE" in done.output
    assert "the likelihood of km is flat downwards" in done.output
    alone = calibrate(words[0], *RATES, "--starts", 3, "--quiet", "--out", tmp_path / "alone")
    assert "mu_max and km cannot be told apart" in alone.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--fit", "mumax=1:2"], 'no parameter "mumax" to fit; did you mean "mu_max"?'),
        (["--fit", "mu_max"], "expected NAME=LOW:HIGH, such as mu_max=0.1:10"),
        (["--fit", "mu_max=1"], "expected NAME=LOW:HIGH, such as mu_max=0.1:10"),
        (["--fit", "mu_max=a:1"], 'found "a", expected a number'),
        (["--fit", "mu_max=0:1"], "found 0, expected a number above 0"),
        (["--fit", "mu_max=2:1"], "the lower bound, 2, is not below the upper, 1"),
        (["--fit", "k_hum=1:2", "--fit", "k-hum=1:2"], "k_hum is given twice"),
        (["--fit", "mu_max=1:2"], "mu_max and km belong together"),
        (["--fit", "mu_max=1:2", "--fixed", "km"], "expected NAME=VALUE, such as km=0.5"),
        (["--fit", "mu_max=1:2", "--fixed", "km=1", "--fixed", "km=1"], "km is given twice"),
        ([*RATES, "--fixed", "km=1"], "km is given twice: either fit it or fix it"),
        ([*RATES, "--error", "0"], "--error 0: expected a number of t C/ha above 0"),
        ([*RATES, "--site", "a=b,c"], "give FILE and --measured for one site, or --site for each"),
    ],
)
def test_refusals_end_with_two_and_write_nothing(
    tmp_path: Path, words: list[str], says: str
) -> None:
    file, stocks = files(tmp_path)
    done = calibrate(file, "--measured", stocks, *words, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert says in done.output
    assert not (tmp_path / "out").exists()


def test_sites_and_folders_are_checked(tmp_path: Path) -> None:
    file, stocks = files(tmp_path)
    one = f"--site=a={file},{stocks}"
    cases = [
        ([f"--site=a={file}"], "expected NAME=INPUT,MEASURED"),
        ([one, one], "a site a is given already"),
        ([], "no site to calibrate at"),
        ([f"--site=a={file},{tmp_path}/no.csv"], "no.csv: no such file"),
    ]
    for words, says in cases:
        done = calibrate(*words, *RATES, "--out", tmp_path / "out")
        assert done.exit_code == 2
        assert says in done.output
    done = calibrate(one, *RATES, "--out", stocks / "deeper")
    assert done.exit_code == 2
    assert f"{stocks} is a file; name a folder" in done.output
