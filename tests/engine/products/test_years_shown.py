"""Maps of many years: what is read of them, moving pictures, values packed for a page."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from edaphos.engine.grid import Grid
from edaphos.engine.products.animation import LAST_PAUSE, PAUSE, STEPS, animate
from edaphos.engine.products.canvas import picture_labels
from edaphos.engine.products.slider import MISSING, Packed, make_slider, pack
from edaphos.engine.products.yearly_maps import (
    LAND,
    MOST_YEARS,
    OUTSIDE,
    SEA,
    YearlyMaps,
    read_yearly_maps,
)
from edaphos.engine.status import Status

from ..maps import fake_arms, fake_map, fake_scenarios
from .test_report import Page, text_of

ARMS = ["forest alone (ML)", "process alone (PO)", "hybrid (POML)"]
YEARS = (1990, 1991, 1992, 1993, 1994)


def land(degrees: float) -> Grid:
    return Grid.from_bounds("EPSG:4326", (100, 20, 116, 30), degrees)


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return fake_arms(land(0.1), years=YEARS, begun=1)


@pytest.fixture(scope="module")
def maps(ds: xr.Dataset) -> YearlyMaps:
    found = read_yearly_maps(ds)
    assert found is not None
    return found


def unpacked(packed: Packed, label: str, years: int) -> np.ndarray:
    """Undo what `pack` says it does, number by number: ``(years, pixels of land)``."""
    raw = zlib.decompress(base64.b64decode(packed.panels[label]))
    count = int((packed.ground == LAND).sum())
    numbers: list[list[int]] = []
    for t in range(years):
        low, high = (raw[(2 * t + half) * count : (2 * t + half + 1) * count] for half in (0, 1))
        year: list[int] = []
        for i in range(count):
            folded = low[i] + 256 * high[i]
            difference = folded // 2 if folded % 2 == 0 else -(folded + 1) // 2
            before = numbers[-1][i] if numbers else (year[-1] if year else 0)
            year.append((before + difference + 32768) % 65536 - 32768)
        numbers.append(year)
    held = np.array(numbers)
    return np.where(held == MISSING, np.nan, packed.offset + packed.step * held)


# -- what is read ----------------------------------------------------------------------------------


def test_small_maps_are_read_as_they_are(ds: xr.Dataset, maps: YearlyMaps) -> None:
    assert list(maps.panels) == ARMS
    assert maps.years == YEARS
    assert maps.title == "Soil carbon stock, 0–20 cm"
    for label, name in zip(ARMS, ("ml", "po", "poml"), strict=True):
        np.testing.assert_array_equal(maps.panels[label], ds[f"stock_{name}_mean"].values[0])
    sea = (ds["status"].values == Status.SEA) & ~np.isfinite(maps.panels[ARMS[0]]).any(axis=0)
    np.testing.assert_array_equal(maps.ground == LAND, ~sea)
    assert maps.extent == (100, 116, 20, 30)
    assert maps.begins == {ARMS[0]: 0, ARMS[1]: 1, ARMS[2]: 0}
    process = ds["stock_po_mean"].values[0]
    np.testing.assert_array_equal(maps.changes(ARMS[1], 4), process[4] - process[1])


def test_large_maps_are_means_within_the_pixels_asked_for(ds: xr.Dataset) -> None:
    found = read_yearly_maps(ds, most_pixels=len(YEARS) * 3 * 1100)
    assert found is not None
    shape = found.ground.shape
    assert shape == (25, 40)
    hybrid = ds["stock_poml_mean"].values[0].astype(float)
    blocks = hybrid.reshape(len(YEARS), 25, 4, 40, 4)
    with np.errstate(invalid="ignore"):
        wanted = np.nansum(blocks, axis=(2, 4)) / np.isfinite(blocks).sum(axis=(2, 4))
    np.testing.assert_allclose(found.panels[ARMS[2]], wanted, rtol=1e-6)
    halved = found.coarser()
    assert halved.ground.shape == (13, 20)
    assert halved.extent == pytest.approx((100, 116, 30 - 26 * 0.4, 30))


def test_a_globe_is_laid_on_paper_and_has_an_outside() -> None:
    found = read_yearly_maps(fake_arms(years=YEARS), most_pixels=15 * 40_000)
    assert found is not None
    rows, cols = found.ground.shape
    assert 30_000 < rows * cols <= 42_000
    assert {OUTSIDE, SEA, LAND} <= set(np.unique(found.ground))
    assert not np.isfinite(found.panels[ARMS[0]][:, found.ground != LAND]).any()
    assert not found.geographic


def test_of_many_years_some_are_shown_the_first_and_last_among_them() -> None:
    years = tuple(range(1900, 2031))
    found = read_yearly_maps(fake_arms(land(2.0), years=years))
    assert found is not None
    assert len(found.years) == MOST_YEARS
    assert (found.years[0], found.years[-1]) == (1900, 2030)
    assert found.left_out == 131 - MOST_YEARS
    assert set(np.diff(found.years)) == {2, 3}


def test_maps_of_two_years_do_not_move() -> None:
    assert read_yearly_maps(fake_arms(land(2.0), years=(1990, 2000))) is None


def test_scales_hold_for_all_years_and_panels(maps: YearlyMaps) -> None:
    every = np.concatenate([v[np.isfinite(v)] for v in maps.panels.values()])
    scale = maps.scale()
    assert (scale.low, scale.high) == pytest.approx(np.percentile(every, [2, 98]), rel=1e-5)
    change = maps.change_scale()
    last = np.concatenate([maps.changes(label, 4).ravel() for label in ARMS])
    assert change.high == pytest.approx(np.nanpercentile(np.abs(last), 98), rel=1e-5)


# -- the moving picture ----------------------------------------------------------------------------


def frames(gif: bytes) -> list[np.ndarray]:
    image = Image.open(io.BytesIO(gif))
    found = []
    for position in range(image.n_frames):
        image.seek(position)
        found.append(np.asarray(image.convert("RGB")).astype(int))
    return found


@pytest.mark.parametrize("shown", ["value", "change"])
def test_each_frame_shows_its_year_in_the_colours_of_the_scale(maps: YearlyMaps, shown) -> None:
    labels = picture_labels(fake_arms(land(2.0)))
    made = animate(maps, shown, labels)
    pictures = frames(made.gif)
    assert len(pictures) == len(YEARS)
    scale = maps.scale() if shown == "value" else maps.change_scale()
    colours = np.asarray(scale.colours(np.linspace(0, 1, STEPS), bytes=True), int)[:, :3]
    # Cells of the last panel, in the middle of their squares of pixels: as wide as the picture
    # says, from its right edge.
    rows, cols = maps.ground.shape
    wide = (1200 - 4 * 18) / 3
    tall = round(wide * rows / cols)
    top, left = 94 + 34, 1200 - 18 - round(wide)
    for t, picture in enumerate(pictures):
        values = maps.panels[ARMS[2]][t] if shown == "value" else maps.changes(ARMS[2], t)
        for row, col in [(50, 60), (30, 100), (70, 20), (20, 80)]:
            here = picture[
                top + int((row + 0.5) * tall / rows), left + int((col + 0.5) * wide / cols)
            ]
            if np.isfinite(values[row, col]):
                level = float(scale.norm(max(values[row, col], scale.low)))
                np.testing.assert_array_equal(here, colours[round(level * (STEPS - 1))])
    assert (pictures[0] != pictures[-1]).any()
    assert "VIRTUAL SOIL" in made.alt


def test_it_keeps_to_its_bytes_pauses_and_palette(maps: YearlyMaps) -> None:
    labels = picture_labels(fake_arms(land(2.0)))
    large = animate(maps, "value", labels)
    image = Image.open(io.BytesIO(large.gif))
    pauses = []
    for position in range(image.n_frames):
        image.seek(position)
        pauses.append(image.info["duration"])
    assert pauses == [PAUSE] * (len(YEARS) - 1) + [LAST_PAUSE]
    assert image.info["loop"] == 0
    small = animate(maps, "value", labels, most_bytes=len(large.gif) // 2)
    assert len(small.gif) <= len(large.gif) // 2
    assert Image.open(io.BytesIO(small.gif)).size[0] < image.size[0] == 1200
    assert animate(maps, "value", labels).gif == large.gif


def test_the_banner_is_drawn_where_there_is_one(maps: YearlyMaps) -> None:
    labels = picture_labels(fake_arms(land(2.0)))
    heads = [
        frames(animate(maps, "value", replace(labels, banner=banner)).gif)[-1][40:72, :600]
        for banner in ("VIRTUAL SOIL", "")
    ]
    rust = [(np.abs(head - [0x9C, 0x4F, 0x1C]).sum(axis=2) < 30).sum() for head in heads]
    assert rust[0] > 200
    assert rust[1] == 0


# -- values in a page ------------------------------------------------------------------------------


def test_packed_values_are_the_values(maps: YearlyMaps) -> None:
    packed = pack(maps)
    assert packed.step <= 0.005
    for label, values in maps.panels.items():
        wanted = values[:, packed.ground == LAND]
        found = unpacked(packed, label, len(YEARS))
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
        assert np.nanmax(np.abs(found - wanted)) <= packed.step / 2 * 1.001


def data_of(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def test_the_page_is_whole_and_says_what_it_shows(maps: YearlyMaps) -> None:
    ds = fake_arms(land(2.0))
    made = make_slider(maps, picture_labels(ds), {ARMS[2]: {1990: 5.0, 1994: 6.0}})
    page = Page(made.page)
    assert page.open == []
    assert not [link for link in page.links if not link.startswith("#")]
    assert len(page.ids) == len(set(page.ids))
    text = text_of(made.page)
    for words in ("VIRTUAL SOIL – not a real map", "Soil carbon stock, 0–20 cm", "1990 to 1994"):
        assert words in text
    data = data_of(made.fragment)
    assert data["years"] == list(YEARS)
    assert [view["label"] for view in data["views"]] == ["Soil carbon stock", "Change since 1990"]
    process, hybrid = data["panels"][1:]
    assert process["since"] == 1
    assert process["mean"][0] is None
    assert hybrid["mean"][0] == 5.0
    values = maps.panels[ARMS[2]][1]
    assert hybrid["mean"][1] == pytest.approx(np.nanmean(values), abs=1e-5)
    assert data["place"] == pytest.approx([100, 30, 0.1, 0.1])


def test_the_page_keeps_to_its_bytes(maps: YearlyMaps) -> None:
    labels = picture_labels(fake_arms(land(2.0)))
    size = pack(maps).size
    made = make_slider(maps, labels, most_bytes=size // 3)
    data = data_of(made.fragment)
    assert (data["rows"], data["cols"]) == (50, 80)
    assert sum(len(panel["values"]) for panel in data["panels"]) <= size // 3
    assert data["place"] == pytest.approx([100, 30, 0.2, 0.2])


@pytest.mark.parametrize(
    ("made", "panels", "name"),
    [
        (fake_map(land(2.0), years=(1990, 2000, 2010)), ["Soil organic carbon"], "soc"),
        (fake_scenarios(land(2.0)), ["business as usual", "input +10 %"], "stock"),
    ],
)
def test_any_map_of_three_years_moves(made: xr.Dataset, panels: list[str], name: str) -> None:
    found = read_yearly_maps(made)
    assert found is not None
    assert list(found.panels) == panels
    slider = make_slider(found, picture_labels(made))
    assert slider.name == animate(found, "value", picture_labels(made)).name == f"{name}_by_year"
