"""The demo in time: what it makes, that it is judged rightly, and that it can be run again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.map_view import open_map
from edaphos.recipes.changing_demo import run_changing_demo
from edaphos.recipes.changing_truth import judge
from edaphos.recipes.changing_world import ChangingWorld
from edaphos.recipes.cli import app
from edaphos.recipes.templates import builtin_path

pytestmark = pytest.mark.usefixtures("one_worker_here")


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """The built-in demo, coarse and with few trees."""
    folder = tmp_path_factory.mktemp("demo")
    text = builtin_path("poml_demo").read_text()
    for old, new in (
        ("trees = 100", "trees = 12\n\n[model.process]\ncalibrate = false"),
        ("trees = 60", "trees = 6\nfolds = 3\nbootstrap = 20"),
        ("tile_size = 80", "tile_size = 32"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "coarse.toml").write_text(text)
    run_changing_demo(folder / "out", 0.5, 1, recipe=folder / "coarse.toml")
    return folder / "out"


def test_every_year_is_mapped_and_judged_in_every_cell(demo: Path) -> None:
    ds = open_map(demo / "run")
    assert ds["year"].values.tolist() == list(range(1980, 2001))
    assert ds.attrs["virtual"] == "yes"
    errors = pd.read_csv(demo / "run" / "truth" / "arms.csv", dtype={"year": str})
    cells = int(np.isfinite(ds["stock_poml_mean"].values[0, 0]).sum())
    assert 700 < cells < 1024
    overall = errors[errors["year"] == "all"].set_index("arm")
    assert len(overall) == 3
    assert (overall["n"] == 21 * cells).all()
    assert (errors.loc[errors["year"] == "1990", "n"] == cells).all()
    # better than a map of one number, whose error is the spread of the truth
    assert (overall["CCC"] > 0.4).all()
    assert (overall["RMSE"] < 0.9).all()
    text = (demo / "run" / "report.html").read_text()
    for words in ("Against the truth, all years", "hybrid (POML)", "As published", "drift that no"):
        assert words in text


def test_the_cube_holds_the_files_by_month_and_year(demo: Path) -> None:
    cube = Cube.open(demo / "cube.zarr")
    assert cube.variable("temperature_07").years == tuple(range(1980, 2001))
    assert cube.variable("rain_12").units == "mm"
    assert cube.variable("rain_12").long_name == "rain, December"
    with xr.open_dataset(demo / "weather.nc") as weather:
        wanted = float(weather["rain"].sel(year=1993, month=4, x=110.125, y=30.125))
    grid = Grid.from_bounds("EPSG:4326", (104, 22, 120, 38), 0.25, 64)
    lon, lat = np.array([110.125]), np.array([30.125])
    found = cube.at(lon, lat, grid, ["rain_04"], (1993,))["rain_04"]
    assert found[0, 0] == pytest.approx(wanted, rel=1e-6)


def test_a_report_is_written_again_and_a_demo_continued(demo: Path) -> None:
    before = (demo / "run" / "truth" / "arms.csv").read_text()
    (demo / "run" / "report.html").unlink()
    made = CliRunner().invoke(app, ["report", str(demo / "run"), "--quiet"])
    assert made.exit_code == 0, made.output
    assert "Against the truth, all years" in (demo / "run" / "report.html").read_text()
    profiles = (demo / "profiles.csv").read_bytes()
    run_changing_demo(demo, 0.5, 1, recipe=demo.parent / "coarse.toml")
    assert (demo / "profiles.csv").read_bytes() == profiles
    assert (demo / "run" / "truth" / "arms.csv").read_text() == before
    made_now = json.loads((demo / "run" / "manifest.json").read_text())["provenance"]
    assert made_now["production"]["tiles"] == 1  # of the first time: none was made again


def test_errors_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(2, 6, (3, 4, 5))
    stock = truth + np.array([0.0, 0.1, 0.3])[:, None, None]
    stock[:, 0, 0] = np.nan
    truth[:, 3, 3] = np.nan
    years = xr.DataArray(stock[None], dims=("depth", "year", "y", "x"), coords={"year": [1, 2, 3]})
    found = judge(xr.Dataset({"m": years}), truth, {"m": "map"}).set_index("year")
    assert found["n"].tolist() == [18, 18, 18, 54]
    np.testing.assert_allclose(found["ME"][:3].to_numpy(float), [0, 0.1, 0.3], atol=1e-9)
    np.testing.assert_allclose(found["RMSE"][:3].to_numpy(float), [0, 0.1, 0.3], atol=1e-9)
    np.testing.assert_allclose(found["change_RMSE"][1:3].to_numpy(float), [0.1, 0.3])
    size = np.sqrt((0.1**2 + 0.3**2) / 3)
    assert found.loc["all", "trend_RMSE"] == pytest.approx(size)
    assert found.loc["all", "change_RMSE"] == pytest.approx(np.sqrt((0.1**2 + 0.3**2) / 2))


def test_shares_inside_intervals_are_counted_by_year() -> None:
    truth = np.full((2, 1, 4), 3.0)
    truth[1] = 4.0
    stock = {
        "stock_m_mean": [3.0, 4.0], "stock_m_q05": [2.5, 4.5], "stock_m_q95": [3.5, 5.0],
        "change_m_q05": [0.0, 0.5], "change_m_q95": [0.0, 1.5],
    }  # fmt: skip
    held = {
        name: (("depth", "year", "y", "x"), np.broadcast_to(
            np.array(values)[None, :, None, None], (1, 2, 1, 4)
        ))
        for name, values in stock.items()
    }  # fmt: skip
    mapped = xr.Dataset(held, coords={"year": [1, 2]})
    found = judge(mapped, truth, {"stock_m_mean": "m"}).set_index("year")
    assert found["inside"].tolist() == [1.0, 0.0, 0.5]
    assert found["change_inside"].tolist()[1:] == [1.0, 1.0]


def test_worlds_repeat_and_differ_by_seed() -> None:
    lon, lat = np.meshgrid(np.linspace(105, 119, 8), np.linspace(23, 37, 8))
    one, same, other = (ChangingWorld((1980, 1981, 1982), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.fertiliser(lon, lat), same.fertiliser(lon, lat))
    assert not np.allclose(one.fertiliser(lon, lat), other.fertiliser(lon, lat))
    weather = one.weather(lon, lat)
    assert weather["rain"].shape == (3, 12, 8, 8)
    assert weather["rain"].min() > 0
    # a part of the region is as it is in the whole
    part = one.weather(lon[2:5, 3:6], lat[2:5, 3:6])
    np.testing.assert_allclose(part["temperature"], weather["temperature"][..., 2:5, 3:6])
