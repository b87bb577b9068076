"""The page of yearly maps as a browser runs it: values, keys, playing, a point, no motion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.grid import Grid
from edaphos.engine.products.canvas import picture_labels
from edaphos.engine.products.slider import make_slider
from edaphos.engine.products.yearly_maps import YearlyMaps, read_yearly_maps

from ..maps import fake_arms
from .browser import CHROMIUM, Browser, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser Chromium")

YEARS = tuple(range(1990, 1997))
LABELS = ("forest alone (ML)", "process alone (PO)", "hybrid (POML)")
#: Rows and columns are 50 by 80.
GRID = Grid.from_bounds("EPSG:4326", (100, 20, 116, 30), 0.2)


@pytest.fixture(scope="module")
def maps() -> YearlyMaps:
    found = read_yearly_maps(fake_arms(GRID, years=YEARS, begun=2))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def window(tmp_path_factory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(window: Browser, maps: YearlyMaps, tmp_path: Path) -> Browser:
    path = tmp_path / "page.html"
    path.write_text(make_slider(maps, picture_labels(fake_arms(GRID))).page, encoding="utf-8")
    window.send("Emulation.setEmulatedMedia", features=[])
    window.open(path)
    window.wait("document.querySelector('.years.ready') !== null")
    return window


def year(page: Browser) -> int:
    return int(page.run("document.querySelector('.years-now').textContent"))


def numbers(page: Browser) -> list[str]:
    return page.run("[...document.querySelectorAll('.years-maps b')].map((b) => b.textContent)")


def test_it_opens_on_the_last_year_and_says_the_means(page: Browser, maps: YearlyMaps) -> None:
    assert year(page) == YEARS[-1]
    means = [float(np.nanmean(maps.panels[label][-1])) for label in LABELS]
    found = numbers(page)
    digits = {len(text.partition(".")[2]) for text in found}
    assert digits <= {2, 3}
    assert [float(text) for text in found] == pytest.approx(means, abs=0.006)
    assert page.run("document.querySelector('.years-without').offsetHeight") == 0


def test_pixels_have_the_colours_of_their_values(page: Browser, maps: YearlyMaps) -> None:
    page.run("document.querySelector('input[type=range]').focus()")
    page.press("Home")
    assert year(page) == YEARS[0]
    scale = maps.scale()
    for panel, label in ((0, LABELS[0]), (2, LABELS[2])):
        values = maps.panels[label][0]
        drawn = np.array(
            page.run(
                f"[...document.querySelectorAll('.years-maps canvas')[{panel}]"
                ".getContext('2d').getImageData(0, 0, 80, 50).data]"
            )
        ).reshape(50, 80, 4)
        held = np.isfinite(values)
        level = np.asarray(scale.norm(np.maximum(values[held], scale.low)), float)
        wanted = np.asarray(scale.colours(level, bytes=True), int)[:, :3]
        # One step of the colour scale, as values are rounded.
        assert np.abs(drawn[held][:, :3] - wanted).max() <= 6
        assert (drawn[held][:, 3] == 255).all()
    # The process has not begun.
    assert numbers(page)[1] == "–"


def test_keys_move_through_the_years(page: Browser) -> None:
    page.run("document.querySelector('input[type=range]').focus()")
    page.press("ArrowLeft")
    assert year(page) == YEARS[-2]
    assert page.run("document.querySelector('[type=range]').ariaValueText") == "1995"
    page.run("document.querySelector('.years-play').focus()")
    page.press("Home")
    page.press("ArrowRight")
    assert year(page) == YEARS[1]
    page.press("End")
    assert year(page) == YEARS[-1]


def test_a_point_shows_its_values_and_changes(page: Browser, maps: YearlyMaps) -> None:
    row, col = 20, 44
    courses = {label: maps.panels[label][:, row, col].astype(float) for label in LABELS}
    assert np.isfinite(courses[LABELS[2]]).all()
    x, y = page.run(
        "(() => { const r = document.querySelector('.years-maps canvas').getBoundingClientRect();"
        f"return [r.x + r.width * {(col + 0.5) / 80}, r.y + r.height * {(row + 0.5) / 50}]; }})()"
    )
    page.click(x, y)
    step = 0.006
    found = [float(text) for text in numbers(page)]
    assert found == pytest.approx([courses[label][-1] for label in LABELS], abs=step)
    words = page.run("document.querySelector('.years-point span').textContent")
    assert words.startswith("At 25.90° N, 108.90° E")
    page.run("document.querySelectorAll('.years-views input')[1].click()")
    begins = (0, 2, 0)
    wanted = [
        courses[label][-1] - courses[label][b] for label, b in zip(LABELS, begins, strict=True)
    ]
    found = [float(text.replace("−", "-")) for text in numbers(page)]
    assert found == pytest.approx(wanted, abs=2 * step)
    label = page.run("document.querySelector('.years-chart').getAttribute('aria-label')")
    assert "1996" in label
    assert LABELS[2] in label
    page.run("document.querySelectorAll('.years-maps canvas')[1].focus()")
    page.press("ArrowUp")
    assert "26.10° N" in page.run("document.querySelector('.years-point span').textContent")
    page.press("Escape")
    assert "whole map" in page.run("document.querySelector('.years-point span').textContent")


def test_it_plays_on_request_and_stops(page: Browser) -> None:
    page.run("new Promise((done) => setTimeout(done, 900))")
    assert year(page) == YEARS[-1]  # nothing moves unasked
    page.run("document.querySelector('.years-play').click()")
    assert page.run("document.querySelector('.years-play').textContent") == "Pause"
    assert year(page) == YEARS[0]
    page.wait(f"document.querySelector('.years-now').textContent === '{YEARS[2]}'")
    page.run("document.querySelector('.years-play').click()")
    assert page.run("document.querySelector('.years-play').textContent") == "Play"
    held = year(page)
    page.run("new Promise((done) => setTimeout(done, 900))")
    assert year(page) == held


def test_it_fits_a_phone_and_fetches_nothing(page: Browser) -> None:
    page.send(
        "Emulation.setDeviceMetricsOverride",
        width=390,
        height=800,
        deviceScaleFactor=2,
        mobile=True,
    )
    page.wait("document.documentElement.clientWidth === 390")
    assert page.run("document.documentElement.scrollWidth") == 390
    assert page.run("performance.getEntriesByType('resource').length") == 0
    small = page.run(
        "[...document.querySelectorAll('.years-play, .years-views label, input[type=range]')]"
        ".map((e) => e.getBoundingClientRect().height)"
    )
    assert min(small) >= 30  # large enough for a finger
    page.send(
        "Emulation.setDeviceMetricsOverride",
        width=1200, height=900, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip


def test_the_calm_play_more_slowly_and_once(page: Browser) -> None:
    page.send(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-reduced-motion", "value": "reduce"}],
    )
    page.run(
        "window.held = []; window.setTimeout = (f, ms) => { held.push(ms); "
        "Promise.resolve().then(f); return 1; }; document.querySelector('.years-play').click()"
    )
    page.wait("document.querySelector('.years-play').textContent === 'Play'")
    assert year(page) == YEARS[-1]
    assert min(page.run("held")) >= 1500
