from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.grid import Grid
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.products.cog import export_cogs
from edaphos.engine.products.report import ReportInputs, Truth, render, write_report
from edaphos.engine.products.report_pictures import ReportPictures
from edaphos.engine.products.report_tables import main_split
from edaphos.engine.products.stac import write_stac
from edaphos.engine.products.totals import map_totals

from ..assess_world import make_samples
from ..maps import DEPTHS, fake_map

TWO = DEPTHS[:2]
RECIPE = 'title = "A <map> & more"\n[map]\ngrid = "global-1deg"\n'
SECTIONS = {
    "maps": "Maps by depth",
    "validation": "How far to trust it",
    "truth": "Against the truth",
    "where": "Where there are values",
    "totals": "Area-weighted",
    "profiles": "Quality of the profiles",
    "sources": "Sources, licences",
    "time": "How long it took",
    "recipe": "The recipe",
    "open": "Open it elsewhere",
}


class Page(HTMLParser):
    """Collects what a browser would: ids, links, text by section, unclosed elements."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input", "path", "use", "image", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(found["id"] or "")
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


@pytest.fixture(scope="module")
def inputs() -> ReportInputs:
    ds = fake_map(Grid.preset("global-1deg"), depths=TWO)
    found = assess(
        make_samples(),
        ModelSpec("test-linear", {"covariates": ("wet",)}),
        AssessSpec(bootstrap=50, seed=1),
    )
    truth_rows = [
        {
            "target": target,
            "scale": scale,
            "weighting": weighting,
            "depth": depth,
            "group": "all",
            "n": 4000,
            "ME": -0.25,
            "RMSE": 9.0,
            "R2": 0.61,
            "PICP90": 0.91,
            "MPIW": 40.0,
        }
        for target in ("cell mean", "fresh sample")
        for scale in ("g/kg", "log1p")
        for weighting in ("cells", "area")
        for depth in ("0-5", "5-15")
    ]
    image = ds["soc_mean"].values[:, 0].reshape(2, 90, 2, 180, 2)[:, :, 0, :, 0]
    truth = Truth(
        pd.DataFrame(truth_rows),
        {"truth": image, "error": image * 0.1, "covered_fresh": np.where(image > 0, 0.9, np.nan)},
        TWO,
        block=2,
        note="A stated process.\n\nSecond paragraph.",
    )
    qa = {
        "files": [],
        "sources": [
            {
                "source": "north",
                "rows_in": 1500,
                "rows_kept": 1200,
                "profiles_kept": 240,
                "undated_rows": 12,
                "median_soc_g_kg": 8.25,
            }
        ],
        "lines": [
            {
                "rule": "soc_zero",
                "source": name,
                "action": "dropped",
                "rows": 100,
                "profiles": 7,
                "why": "carbon of zero",
            }
            for name in ("north", "south")
        ],
    }
    manifest = {
        "identity": {"recipe": 1},
        "provenance": {
            "stage_seconds": {"cube": 20.0, "assess": 61.0, "map": 40.0},
            "production": {
                "cells": 40_000,
                "seconds": 40.0,
                "workers": 2,
                "peak_memory": 512 * 2**20,
            },
        },
    }
    places = pd.DataFrame({"lon": [0.0, 10.0, 10.0], "lat": [5.0, 50.0, 50.0], "source": "north"})
    return ReportInputs(
        ds, found, qa, manifest, RECIPE, map_totals(ds), places, truth, Path("products")
    )


@pytest.fixture(scope="module")
def report(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("my-run"), inputs)


@pytest.fixture(scope="module")
def html(report: Path) -> str:
    return report.read_text(encoding="utf-8")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Page(html).text))


def test_every_part_is_there(html: str) -> None:
    page, text = Page(html), text_of(html)
    assert set(SECTIONS) <= set(page.ids)
    for heading in SECTIONS.values():
        assert heading in text
    assert page.open == []


def test_nothing_is_fetched(html: str) -> None:
    for link in Page(html).links:
        assert link.startswith(("#", "data:image/png;base64,")), link[:60]
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in html[html.index("<script>") :]


def test_links_lead_somewhere(html: str) -> None:
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    targets = {link[1:] for link in page.links if link.startswith("#")}
    assert targets <= set(page.ids)


def test_virtual_is_said_first_and_on_every_picture(html: str) -> None:
    assert text_of(html).index("VIRTUAL SOIL") < text_of(html).index("Soil map report")
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        assert "VIRTUAL SOIL" in svg


def test_headline_numbers_are_the_assessments(html: str, inputs: ReportInputs) -> None:
    assert inputs.assessment is not None
    row = inputs.assessment.table(main_split(inputs.assessment)).iloc[0]
    text = text_of(html)
    head = text[: text.index("Maps by depth One colour")]
    assert f"{row['R2']:.2f}" in head
    assert f"[{row['R2_low']:.2f}, {row['R2_high']:.2f}]".replace("-", "−") in head
    assert f"{100 * row['PICP']:.0f} %" in head
    assert "1 degree" in head
    assert "5 arc-minutes to 0.75 degree" in head
    assert "2 min 01 s" in head


def test_totals_and_qa_are_told(html: str, inputs: ReportInputs) -> None:
    assert inputs.totals is not None
    text = text_of(html)
    whole = inputs.totals.select("all")[0]
    assert f"{whole.cells:,}" in text
    assert f"{whole.mean:.1f}" in text
    assert "soc zero dropped north, south 200 14 carbon of zero" in text
    assert "CC BY 4.0" in text
    assert "Nobody (2024) Climate of nowhere" in text


def test_speed_is_told(html: str) -> None:
    text = text_of(html)
    assert "1,000 land cells a second" in text
    assert "512 MiB" in text


def test_user_text_is_escaped(html: str) -> None:
    assert "A &lt;map&gt; &amp; more" in html
    assert "made-up &lt;relief&gt;" in html
    assert "<map>" not in html


def test_pictures_lie_beside_the_report(report: Path) -> None:
    names = {p.stem for p in (report.parent / "pictures").iterdir()}
    assert {"overview", "mean_0-5cm", "width_5-15cm", "relative_width_0-5cm", "status"} <= names
    assert {"observed_predicted_block", "coverage_by_depth", "error_0-5cm", "profiles"} <= names


@pytest.mark.parametrize(
    ("field", "empty", "says", "section"),
    [
        ("assessment", None, "has not been validated", "validation"),
        ("qa", None, "no report on the quality", "profiles"),
        ("manifest", None, "holds no times", "time"),
        ("recipe", "", "no copy of its recipe", "recipe"),
        ("locations", None, "no table of profile locations", "where"),
    ],
)
def test_what_is_missing_is_said(inputs, field, empty, says, section):
    html = render("run", replace(inputs, **{field: empty}), ReportPictures())
    assert says in text_of(html)
    assert section in Page(html).ids


def test_what_does_not_apply_is_left_out(inputs: ReportInputs, tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=TWO, banner="")
    html = write_report(tmp_path, ReportInputs(ds)).read_text()
    ids = Page(html).ids
    assert "truth" not in ids
    assert "totals" not in ids
    assert "VIRTUAL" not in html


def test_a_map_without_quantiles_says_so(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=TWO[:1]).drop_vars(["soc_q05", "soc_q95"])
    assert "no quantiles" in text_of(write_report(tmp_path, ReportInputs(ds)).read_text())


def test_an_unfinished_map_says_so(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=TWO[:1])
    ds.attrs["complete"] = False
    html = write_report(tmp_path, ReportInputs(ds)).read_text()
    assert "not complete" in text_of(html)
    assert "INCOMPLETE" in html


def test_the_catalogue_is_mentioned_where_there_is_one(inputs, tmp_path: Path) -> None:
    products = tmp_path / "products"
    write_stac(inputs.dataset, export_cogs(inputs.dataset, products), products)
    html = render("run", replace(inputs, products=products), ReportPictures())
    assert "static STAC collection" in text_of(html)
    assert "static STAC collection" not in text_of(render("run", inputs, ReportPictures()))
