"""Models compared through time: against samples held out, side by side, and their changes."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.grid import Grid
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.products.canvas import Canvas, picture_labels
from edaphos.engine.products.figures import draw_multiples
from edaphos.engine.products.frame import frame_of
from edaphos.engine.products.preview import make_preview
from edaphos.engine.products.report import ReportInputs, write_report
from edaphos.engine.products.scales import signed_scale
from edaphos.engine.products.significance import find_discoveries
from edaphos.engine.products.spacetime_figures import (
    MOST_GROUPS,
    mean_through_time,
    observed_means,
    predicted_observed,
    same_sites,
    whole_means,
)
from edaphos.engine.products.spacetime_maps import (
    changes,
    chosen_years,
    of_last_year,
    read_arm_maps,
    side_by_side,
    significant,
)
from edaphos.engine.products.through_time import draw_through_time
from edaphos.engine.products.totals import map_totals
from edaphos.engine.products.trends import Trends, find_trends, trend_layers

from ..assess_world import make_samples
from ..maps import fake_arms, fake_map, fake_scenarios
from .test_report import Page, text_of

OWN, ML, POML = "process, own start (PO)", "forest alone (ML)", "hybrid (POML)"
YEARS = tuple(range(1990, 1997))


def land(degrees: float) -> Grid:
    return Grid.from_bounds("EPSG:4326", (100, 20, 116, 30), degrees)


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return fake_arms(land(0.1), years=YEARS, begun=2)


@pytest.fixture(scope="module")
def canvas(ds: xr.Dataset) -> Canvas:
    return canvas_of(ds)


def trends_of(ds: xr.Dataset) -> Trends | None:
    return find_trends(ds, map_totals(ds, wanted=trend_layers(ds)))


def canvas_of(ds: xr.Dataset) -> Canvas:
    preview = make_preview(ds)
    frame = frame_of(preview.grid, preview.status)
    return Canvas(preview, frame, picture_labels(ds), "stock_poml", "kg/m²", ((0.0, 20.0),))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Sixty sites, sampled in the first and last year; the process knows the first."""
    rng = np.random.default_rng(1)
    base = rng.lognormal(1.4, 0.4, 60)
    found = []
    for year in YEARS:
        observed = base * (1 + 0.02 * (year - 1990)) + rng.normal(0, 0.2, 60)
        sampled = year in (YEARS[0], YEARS[-1])
        found.append(
            pd.DataFrame(
                {
                    "split": "block",
                    "site": [f"s{i}" for i in range(60)],
                    "lon": 0.0,
                    "lat": 0.0,
                    "year": float(year),
                    "fold": 0,
                    "observed": observed if sampled else np.nan,
                    OWN: base + rng.normal(0, 0.3, 60) if year > 1990 else np.nan,
                    ML: base + rng.normal(0, 0.5, 60),
                    POML: observed + rng.normal(0, 0.2, 60),
                }
            )
        )
    return pd.concat(found, ignore_index=True)


# -- against samples -------------------------------------------------------------------------------


def concordance(x: np.ndarray, y: np.ndarray) -> float:
    """Lin (1989), with population moments."""
    return float(
        2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    )


def test_scores_on_the_pictures_are_those_of_the_points(rows: pd.DataFrame, ds) -> None:
    pictures = predicted_observed(rows, "kg/m²", picture_labels(ds))
    assert [p.title for p in pictures] == [a[:1].upper() + a[1:] for a in (OWN, ML, POML)]
    for picture, arm in zip(pictures, (OWN, ML, POML), strict=True):
        held = rows[rows["observed"].notna() & rows[arm].notna()]
        groups = [held, *(part for _, part in held.groupby("year"))]
        wanted = [
            (np.sqrt(((g[arm] - g["observed"]) ** 2).mean()), g["observed"].to_numpy(), g[arm])
            for g in groups
        ]
        found = re.findall(r"RMSE ([\d.]+) kg/m², CCC ([\d.−]+), n (\d+)", picture.alt)
        assert len(found) == len(wanted) == (2 if arm == OWN else 3)
        for (rmse, ccc, n), (error, x, y) in zip(found, wanted, strict=True):
            assert float(rmse) == pytest.approx(error, abs=0.0051)
            assert float(ccc) == pytest.approx(concordance(x, y.to_numpy()), abs=0.0051)
            assert int(n) == len(x)
        assert "VIRTUAL SOIL" in picture.svg


def test_many_years_share_colours(rows: pd.DataFrame, ds: xr.Dataset) -> None:
    many = rows.assign(observed=rows[POML] + 0.1)
    years = np.concatenate([many["year"] + 7 * i for i in range(3)])
    many = pd.concat([many] * 3).assign(year=years)
    (picture,) = predicted_observed(many[["year", "observed", ML]], "kg/m²", picture_labels(ds))
    spans = re.findall(r"(\d{4})–(\d{4}): RMSE [\d.]+ kg/m², CCC [\d.−]+, n ([\d,]+)", picture.alt)
    assert len(spans) == MOST_GROUPS
    assert (spans[0][0], spans[-1][1]) == ("1990", "2010")
    assert all(int(a[1]) + 1 == int(b[0]) for a, b in pairwise(spans))
    assert sum(int(n.replace(",", "")) for *_, n in spans) == len(many)


def test_means_are_of_the_same_places(rows: pd.DataFrame) -> None:
    means = whole_means(rows, ML)
    assert list(means) == list(YEARS)
    assert means[1993] == pytest.approx(rows.loc[rows["year"] == 1993, ML].mean())
    assert list(whole_means(rows, OWN)) == list(YEARS[1:])
    gap = rows.copy()
    gap.loc[gap.index[3 * 60], ML] = np.nan
    assert 1993 not in whole_means(gap, ML)
    assert same_sites(rows)
    gap.loc[gap.index[0], "observed"] = np.nan
    assert not same_sites(gap)


def test_the_samples_have_the_interval_of_their_mean(rows: pd.DataFrame, ds) -> None:
    mean, low, high = observed_means(rows)
    first = rows.loc[rows["year"] == 1990, "observed"].to_numpy()
    assert list(mean) == [1990, 1996]
    assert mean[1990] == pytest.approx(first.mean())
    wide = 1.96 * first.std(ddof=1) / np.sqrt(60)
    assert (high[1990] - low[1990]) / 2 == pytest.approx(wide)
    alone = rows.copy()
    alone.loc[(alone["year"] == 1996) & (alone["site"] != "s0"), "observed"] = np.nan
    mean, low, _ = observed_means(alone)
    assert 1996 in mean
    assert 1996 not in low
    picture = mean_through_time(rows, "kg/m²", picture_labels(ds))
    assert f"{ML}: 1990 {rows.loc[rows['year'] == 1990, ML].mean():.4g}" in picture.alt
    assert "samples, mean and 95 % interval: 1990" in picture.alt


# -- side by side ----------------------------------------------------------------------------------


def test_maps_are_read_in_the_years_shown_and_where_a_model_begins(ds, canvas: Canvas) -> None:
    years = chosen_years(ds)
    assert years == [1990, 1993, 1996]
    maps = read_arm_maps(ds, canvas, years, {"po": 1992})
    assert {arm: sorted(by) for arm, by in maps.values.items()} == {
        "ml": years,
        "po": [1992, 1993, 1996],
        "poml": years,
    }
    assert maps.since == {"ml": 1990, "po": 1992, "poml": 1990}
    for arm in ("po", "poml"):
        wanted = ds[f"stock_{arm}_mean"].sel(year=1993).values[0]
        np.testing.assert_array_equal(maps.values[arm][1993], wanted)
    picture = side_by_side(maps, canvas, years)
    said = float(np.nanmedian(ds["stock_ml_mean"].sel(year=1993).values))
    assert f"1993: {ML}: median {said:.4g}" in picture.alt
    changed = changes(maps, canvas, 1996, {})
    po = ds["stock_po_mean"].values[0]
    assert f"process alone (PO), 1992 to 1996: median {np.nanmedian(po[6] - po[2]):.4g}" in (
        changed.alt
    )


def test_what_is_significant_is_marked(ds: xr.Dataset, canvas: Canvas) -> None:
    noted = [one.to_json() for one in find_discoveries(ds)]
    assert len(noted) == len(YEARS) - 1
    found = of_last_year(ds, noted)
    assert list(found) == ["poml"]
    assert found["poml"]["year"] == YEARS[-1]
    assert 0.001 <= found["poml"]["threshold"] < 0.5
    shares = significant(ds, canvas, found)["poml"]
    p = ds["change_poml_p"].values[0, -1]
    np.testing.assert_array_equal(shares, np.where(np.isnan(p), np.nan, p < 0.01))


def dark(picture, canvas: Canvas) -> int:
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")).astype(int)
    return int((np.abs(pixels - [29, 39, 49]).sum(axis=2) < 12).sum())


def test_dots_lie_only_where_most_is_marked(ds: xr.Dataset, canvas: Canvas) -> None:
    change = ds["change_poml_mean"].values[0, -1]
    nowhere = np.where(np.isfinite(change), 0, np.nan).astype(np.float32)

    def drawn(shares: np.ndarray | None):
        return draw_multiples(
            canvas.preview,
            canvas.frame,
            {"a": change},
            signed_scale([change], "kg/m²"),
            name="m",
            title="M",
            labels=canvas.labels,
            marked=None if shares is None else {"a": shares},
        )

    plain = drawn(None)
    assert drawn(nowhere).png == plain.png
    assert drawn(nowhere * np.nan).png == plain.png
    assert drawn(nowhere + np.float32(0.4)).png == plain.png
    half = np.where(np.arange(change.shape[1]) < change.shape[1] // 2, nowhere + 1, nowhere)
    counted = [dark(drawn(shares), canvas) for shares in (nowhere, half, nowhere + 1)]
    assert counted[0] < counted[1] < counted[2]


# -- the report ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(ds: xr.Dataset, rows: pd.DataFrame, tmp_path_factory) -> Path:
    spec = ModelSpec("test-linear", {"covariates": ("wet",)})
    found = assess(make_samples(), spec, AssessSpec(bootstrap=0, splits=("block",)))
    object.__setattr__(found, "arm_rows", rows)
    noted = [one.to_json() for one in find_discoveries(ds)]
    manifest = {"identity": {"recipe": {}}, "provenance": {"significance": noted}}
    inputs = ReportInputs(ds, found, manifest=manifest, totals=map_totals(ds), trends=trends_of(ds))
    return write_report(tmp_path_factory.mktemp("poml-run"), inputs)


def test_a_report_shows_change_through_time(report: Path, ds: xr.Dataset) -> None:
    html = report.read_text(encoding="utf-8")
    page, text = Page(html), text_of(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert "years" in page.ids
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert not [link for link in page.links if re.match(r"(?!data:)\w+:|//", link)]
    for words in (
        "Change through time",
        "Maps by model and year",
        "3 models: forest alone (ML), process alone (PO) and hybrid (POML). Each with mean.",
        "By region",
        "as wide as the interval of the mean would be if the errors of all cells were the same",
        "Predicted against observed",
        "is no peer of the others",
        "Every place was sampled in each of these years",
        "Process alone (PO) begins in 1992.",
        "Hybrid (POML): dots lie where the change of most cells is distinguishable from none",
        "Forest alone (ML) and process alone (PO): not tested.",
        "pictures/stock_by_year.gif",
    ):
        assert words in text, words
    svg = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(svg) > 15
    assert all("VIRTUAL SOIL" in one for one in svg)


def test_its_files(report: Path) -> None:
    folder = report.parent
    names = {p.name for p in (folder / "pictures").iterdir()}
    assert {
        "stock_by_year.gif",
        "stock_change_by_year.gif",
        "trends.png",
        "arms_by_year.png",
        "arms_change.png",
        "arms_scatter_0.png",
        "arms_through_time.png",
    } <= names
    assert not {name for name in names if name.startswith("change_")}
    table = pd.read_csv(folder / "trends.csv")
    assert set(table["model"]) == {"ml", "po", "poml"}
    assert "VIRTUAL SOIL" in (folder / "stock_by_year.html").read_text()


def test_maps_of_other_recipes_move_or_have_no_such_part(tmp_path: Path) -> None:
    scenarios = fake_scenarios(land(1.0), scenarios=("bau",))
    text = text_of(write_report(tmp_path / "a", ReportInputs(scenarios)).read_text())
    assert "Change through time" in text
    assert "By region" not in text
    assert (tmp_path / "a" / "stock_by_year.html").exists()
    for years in ((1990,), (1990, 2000)):
        made = fake_map(land(1.0), depths=((0, 30),), years=years)
        assert draw_through_time(made, canvas_of(made)) is None
        folder = tmp_path / str(made.sizes["year"])
        html = write_report(folder, ReportInputs(made)).read_text()
        assert "years" not in Page(html).ids
        assert "DecompressionStream" not in html
        assert not (folder / "trends.csv").exists()


def test_two_years_of_models_are_compared_without_moving(tmp_path: Path) -> None:
    ds = fake_arms(land(1.0), years=(1990, 2000)).drop_vars("change_poml_p")
    html = write_report(tmp_path, ReportInputs(ds, trends=trends_of(ds))).read_text()
    text = text_of(html)
    assert "DecompressionStream" not in html
    assert "By region" in text
    assert "The map holds no test of the change" in text
