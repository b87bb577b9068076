"""Hybrid maps through the command: every year, by any workers and tiles, judged, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from typer.testing import CliRunner, Result

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.cube.stack_reader import StackReader
from edaphos.engine.map_view import open_map
from edaphos.engine.run import Run
from edaphos.engine.status import Status
from edaphos.engine.tiles import RunContext, make_tile
from edaphos.recipes.cli import app
from edaphos.recipes.finish import KOEPPEN_LEGENDS, climate_groups, finish

from ..engine.changing_land import YEARS, survey, values
from .changing_country import ChangingLand, make_changing_land

pytestmark = pytest.mark.usefixtures("one_worker_here")

MEANS = ("stock_ml_mean", "stock_po_mean", "stock_poml_mean")
SURE = ("stock_poml_q05", "stock_poml_q95", "change_poml_mean", "change_poml_q05",
        "change_poml_q95", "change_poml_p")  # fmt: skip


def edaphos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def mapped(land: ChangingLand, name: str = "run", *more: object) -> xr.Dataset:
    out = land.folder / name
    made = edaphos("run", land.recipe, "--out", out, "--quiet", *(more or ("--workers", 1)))
    assert made.exit_code == 0, made.output
    return open_map(out)


def chunks(run: Path) -> dict[str, bytes]:
    folder = run / "map.zarr"
    files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if "/c/" in name}


def variant(land: ChangingLand, folder: Path, *changes: tuple[str, str]) -> ChangingLand:
    """Return the recipe, changed, elsewhere; neither validated nor reported."""
    made = ChangingLand(folder)
    made.recipe.write_text(land.recipe.read_text())
    (folder / "profiles.csv").write_bytes((land.folder / "profiles.csv").read_bytes())
    for old, new in (
        ("enabled = true", "enabled = false"),
        ("report = true", "report = false"),
        *changes,
    ):
        made.replace(old, new)
    return made


@pytest.fixture(scope="module")
def land(tmp_path_factory) -> ChangingLand:
    return make_changing_land(tmp_path_factory.mktemp("changing"), assess=True)


@pytest.fixture(scope="module")
def one(land: ChangingLand) -> xr.Dataset:
    return mapped(land, "one", "--workers", 1)


def test_every_year_of_forest_process_and_hybrid(land: ChangingLand, one: xr.Dataset) -> None:
    assert one["year"].values.tolist() == list(YEARS)
    sea = one["status"].values == Status.SEA
    assert sea.sum() == 4
    for name in MEANS:
        stock = one[name].values[0]
        assert (np.isfinite(stock) == ~sea).all(), name
        assert one[name].attrs["units"] == "kg m-2"
        assert one[name].attrs["cell_methods"].endswith("depth: sum")
    ml, po = one["stock_ml_mean"].values[0, 0], one["stock_po_mean"].values[0, 0]
    np.testing.assert_array_equal(ml, po)
    assert "w_p 0.5" in one.attrs["method"]
    counts = json.loads((land.folder / "one" / "manifest.json").read_text())["provenance"]
    assert counts["samples"]["sites"] == 60
    assert "60 sites train the model (1980: 60, 1986: 60)" in counts["sampling"]


def test_the_hybrid_says_how_sure_it_is_of_stocks_and_changes(land, one: xr.Dataset) -> None:
    held = one["status"].values == Status.SOIL
    low, mean, high = (one[f"stock_poml_{s}"].values[0][:, held] for s in ("q05", "mean", "q95"))
    assert (low < mean).all()
    assert (mean < high).all()
    change, p = (one[f"change_poml_{s}"].values[0][:, held] for s in ("mean", "p"))
    np.testing.assert_allclose(change, mean - mean[0], atol=0.0025)  # stocks are kept in steps
    assert (change[0] == 0).all()
    assert (p[0] == 1).all()
    assert ((p > 0) & (p <= 1)).all()
    lower, upper = (one[f"change_poml_{s}"].values[0][:, held] for s in ("q05", "q95"))
    # an interval of 90 % that leaves zero out is one with p below 0.1
    outside = (lower > 0) | (upper < 0)
    assert ((p < 0.1) == outside)[1:].mean() > 0.99
    assert one["change_poml_p"].attrs["units"] == "1"
    found = Assessment.load(land.folder / "one" / "assessment").table("profile").iloc[0]
    assert 0.6 < found["PICP"] <= 1.0


def test_where_changes_are_significant_is_noted_and_mapped(land, one: xr.Dataset) -> None:
    run = Run.open(land.folder / "one")
    noted = run.manifest()["provenance"]["significance"]
    assert [found["year"] for found in noted] == list(YEARS)[1:]
    p, change = (one[f"change_poml_{s}"].values[0] for s in ("p", "mean"))
    assert {found["tests"] for found in noted} == {int(np.isfinite(p[0]).sum())}
    wanted = run.manifest()["provenance"]["products"]
    asked = {"cog": True, "report": False, "false_discovery": 0.9}
    run.note(products={**wanted, **asked})
    finish(run)
    last = run.manifest()["provenance"]["significance"][-1]
    assert (last["q"], last["method"], last["since"]) == (0.9, "bh", 1980)
    name = "change_poml_0-20cm_significant_1986.tif"
    with rasterio.open(land.folder / "one" / "products" / name) as file:
        found = file.read(1)
    sure = p[-1] <= last["threshold"]
    expected = np.where(sure, np.where(change[-1] > 0, 2, 0), np.where(np.isnan(p[-1]), 255, 1))
    np.testing.assert_array_equal(found, expected)


def test_arms_are_compared_under_the_same_folds(land: ChangingLand, one: xr.Dataset) -> None:
    del one
    folder = land.folder / "one" / "assessment"
    arms = pd.read_csv(folder / "arms.csv")
    assert set(arms["split"]) == {"block", "profile"}
    assert len(set(arms["arm"])) == 4
    found = Assessment.load(folder)
    assert len(found.rows) == 120
    assert np.isfinite(found.rows["obs"]).all()
    out = found.out_of_fold("profile")
    late = out[out["year"] == 1986]
    wanted = np.sqrt(((late["mean"] - late["obs"]) ** 2).mean())
    chosen = arms[(arms["split"] == "profile") & (arms["rows"] == "1986")].set_index("arm")
    assert chosen.loc["hybrid (POML)", "RMSE"] == pytest.approx(wanted, rel=1e-9)
    x, y = late["mean"].to_numpy(), late["obs"].to_numpy()
    ccc = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert chosen.loc["hybrid (POML)", "CCC"] == pytest.approx(ccc, rel=1e-9)
    own = arms[arms["arm"] == "process, own start (PO)"]
    assert "1980" not in set(own["rows"])
    assert set(own["n"]) == {60}
    rows = found.arm_rows[found.arm_rows["split"] == "profile"]
    assert len(rows) == 60 * len(YEARS)
    assert rows["observed"].notna().sum() == 120
    predicted = rows.set_index(["site", "year"])["hybrid (POML)"]
    assert predicted.notna().all()  # in unsampled years, too
    assert predicted[list(zip(late["profile_id"], late["year"], strict=True))].to_numpy() == (
        pytest.approx(x)
    )
    text = (land.folder / "one" / "report.html").read_text()
    assert "As published (Zhang et al. 2024)" in text
    assert "60 sites train the model" in text


def test_its_report_shows_change_through_time(land: ChangingLand, one: xr.Dataset) -> None:
    folder = land.folder / "one"
    text = (folder / "report.html").read_text()
    assert '<section id="years">' in text
    assert "Each point is a sample of a place that the model had not seen" in text
    assert (folder / "stock_by_year.html").is_file()
    assert (folder / "pictures" / "stock_by_year.gif").read_bytes()[:6] == b"GIF89a"
    table = (
        pd.read_csv(folder / "trends.csv")
        .set_index(["quantity", "model", "year"])["mean"]
        .sort_index()
    )
    stock = one["stock_po_mean"].values[0]
    areas = np.cos(np.radians(one["y"].values))[:, None] * np.isfinite(stock[0])
    wanted = np.nansum(stock * areas, axis=(1, 2)) / areas.sum()
    np.testing.assert_allclose(table["stock", "po"].loc[list(YEARS)], wanted, rtol=1e-4)
    assert table["change", "po", YEARS[-1]] == pytest.approx(wanted[-1] - wanted[0], abs=1e-3)


def test_every_class_of_a_legend_is_in_its_group() -> None:
    for legend in KOEPPEN_LEGENDS.values():
        groups = climate_groups(legend)
        assert set(groups) == set(legend.values()) - {"Ocean"}
        assert len(set(groups.values())) == 5
        assert all(group[-2] == name[0] for name, group in groups.items())


def test_two_workers_in_two_runs_write_the_same_bytes(land: ChangingLand, one, tmp_path) -> None:
    del one
    two = variant(land, tmp_path)
    part = mapped(two, "run", "--workers", 2, "--region", "100,26,102,34")
    assert not part.attrs["complete"]
    whole = mapped(two, "run", "--workers", 2)
    assert whole.attrs["complete"]
    ours, theirs = chunks(land.folder / "one"), chunks(tmp_path / "run")
    assert len(ours) > 3 * 7
    assert ours == theirs


def test_tiles_of_another_size_hold_the_same_values(land: ChangingLand, one, tmp_path) -> None:
    other = mapped(variant(land, tmp_path, ("tile_size = 16", "tile_size = 32")))
    for name in (*MEANS, *SURE, "status"):
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


def test_a_tile_reads_each_year_once_and_the_rest_once_for_all(land, one, monkeypatch) -> None:
    del one
    read: list[tuple[int, tuple[int, ...]]] = []
    window = StackReader.window

    def counted(self, where, planes):
        read.append((len(planes.bands), planes.times))
        return window(self, where, planes)

    context = RunContext.open(str(land.folder / "one"))
    monkeypatch.setattr(StackReader, "window", counted)
    make_tile(context, context.grid.tile(0, 0))
    every = tuple(range(len(YEARS)))
    # the soil mask; clay and elevation; fertiliser, temperature and rain by month
    assert sorted(read) == [(1, ()), (2, ()), (25, every)]


def test_fewer_years_are_mapped_of_the_same_span(land: ChangingLand, one, tmp_path) -> None:
    every, few = "years = [1980, 1981, 1982, 1983, 1984, 1985, 1986]", [1980, 1983, 1986]
    found = mapped(variant(land, tmp_path, (every, f"years = {few}")))
    for name in (*MEANS, *SURE):
        wanted = one[name].sel(year=few).values
        np.testing.assert_array_equal(found[name].values, wanted, err_msg=name)


def test_it_is_planned(land: ChangingLand) -> None:
    planned = edaphos("plan", land.recipe, "--workers", 1, "--json")
    assert planned.exit_code == 0, planned.output
    found = json.loads(planned.stdout)
    assert found["cells"] == 316
    assert found["bytes_written"] == 2 * 16 * 10 * (7 * (5 * 2 + 4 * 4) + 1)


def _one_date(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["year"] == 1980]


def _no_density(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="bulk_density_g_cm3")


def _undated(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(year=np.nan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_one_date, ("of one year, 1980", "two dates or more")),
        (_no_density, ("lack bulk density", "profiles.files.columns")),
        (_undated, ("are undated, and cannot train yearly maps",)),
    ],
)
def test_a_survey_that_will_not_do(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], words: tuple[str, ...]
) -> None:
    land = make_changing_land(tmp_path, table=change(survey()))
    result = edaphos("run", land.recipe, "--out", tmp_path / "run", "--quiet", "--workers", 1)
    assert result.exit_code == 2, result.output
    for word in words:
        assert word in result.stderr


def test_a_cube_without_all_months_or_years(tmp_path: Path) -> None:
    land = make_changing_land(tmp_path / "a", {"rain_03": None})
    result = edaphos("run", land.recipe, "--out", tmp_path / "run", "--quiet", "--workers", 1)
    assert result.exit_code == 2
    assert "rain_03" in result.stderr
    short = make_changing_land(tmp_path / "b", {"fertiliser": values()["fertiliser"][:5]})
    result = edaphos("run", short.recipe, "--out", tmp_path / "run", "--quiet", "--workers", 1)
    assert result.exit_code == 2
    assert '"fertiliser" holds 1980 to 1984 and lacks 1985, 1986' in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("folds = 3", 'folds = 3\nsplits = ["random"]', 'leave "random" out of assess.splits'),
        ("depths = [[0, 20]]", "depths = [[0, 20], [20, 40]]", "one layer from the surface down"),
        ("depths = [[0, 20]]", "depths = [[0, 20]]\nquantiles = [0.5]", "leave map.quantiles out"),
        ('static = ["clay", "elevation"]', 'static = ["fertiliser"]', "under static and under"),
        ("calibrate = false", 'kind = "century"', "model.process.kind"),
        ('kind = "poml"', 'kind = "poml"\nw_p = 2', "model.w_p"),
        ('kind = "poml"', 'kind = "poml"\ncoupling = "residual"', "uncertainty.members = 0"),
        ("years = [1980, 1981, 1982, 1983, 1984, 1985, 1986]", "year = 1980", "a span of years"),
    ],
)
def test_recipes_that_make_no_sense(tmp_path: Path, land, old: str, new: str, words: str) -> None:
    wrong = variant(land, tmp_path, (old, new))
    result = edaphos("run", wrong.recipe, "--out", tmp_path / "run", "--quiet", "--workers", 1)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
