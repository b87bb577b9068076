from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from edaphos.engine.grid import Grid
from edaphos.engine.products.charts import Series, depth_chart, observed_predicted
from edaphos.engine.products.colours import CARBON
from edaphos.engine.products.figures import draw_map, draw_multiples, draw_profiles, draw_status
from edaphos.engine.products.frame import frame_of
from edaphos.engine.products.pictures import Labels, Picture, smaller_png
from edaphos.engine.products.preview import Preview, make_preview
from edaphos.engine.products.scales import (
    ColourScale,
    carbon_scale,
    nice_ticks,
    robust_scale,
    signed_scale,
)

from ..maps import DEPTHS, fake_map, homolosine_patch

BANNER, CAPTION = "VIRTUAL SOIL – not a real map", "cells 1 degree · covariates 0.5 degree"
LABELS = Labels(BANNER, CAPTION)


@pytest.fixture(scope="module")
def preview() -> Preview:
    return make_preview(fake_map(Grid.preset("global-1deg"), depths=DEPTHS[:2]))


def text_of(picture: Picture) -> str:
    tree = ElementTree.fromstring(picture.svg)
    return " ".join(t.text or "" for t in tree.iter("{http://www.w3.org/2000/svg}text"))


@pytest.fixture(scope="module")
def pictures(preview: Preview) -> list[Picture]:
    frame = frame_of(preview.grid, preview.status)
    first = preview.of("soc", "mean", (0.0, 5.0))
    scale = carbon_scale([first], "g/kg")
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 500), rng.uniform(-60, 70, 500)
    observed = rng.lognormal(2, 1, 400)
    series = Series("blocks", ("0-5 cm", "5-15 cm"), (0.9, 0.8), (0.85, np.nan), (0.95, np.nan))
    return [
        draw_map(preview, frame, first, scale, name="one", title="Carbon", labels=LABELS),
        draw_multiples(
            preview,
            frame,
            {"0–5 cm": first, "5–15 cm": preview.of("soc", "mean", (5.0, 15.0))},
            scale,
            name="two",
            title="By depth",
            labels=LABELS,
        ),
        draw_status(preview, frame, labels=LABELS),
        draw_profiles(preview, frame, lon, lat, labels=LABELS),
        observed_predicted(
            observed,
            observed * 1.1,
            name="scatter",
            title="Blocks",
            note="R² 0.9",
            units="g/kg",
            labels=LABELS,
        ),
        depth_chart(
            [series],
            name="coverage",
            title="Coverage",
            axis="share",
            labels=LABELS,
            target=(0.9, 0.87, 0.93),
        ),
    ]


def test_profiles_elsewhere_are_not_counted() -> None:
    grid = Grid.from_bounds("EPSG:4326", (10, 40, 30, 50), 0.5)
    small = make_preview(fake_map(grid, depths=DEPTHS[:2]))
    lon, lat = np.array([12.0, 20.0, 100.0]), np.array([45.0, 46.0, 0.0])
    picture = draw_profiles(small, frame_of(small.grid, small.status), lon, lat, labels=LABELS)
    assert "Where the 2 profiles are" in text_of(picture)


def test_every_picture_says_virtual_and_its_resolutions(pictures: list[Picture]) -> None:
    for picture in pictures:
        text = text_of(picture)
        assert BANNER in text, picture.name
        assert CAPTION in text, picture.name
        assert picture.title in text, picture.name


def test_a_real_map_has_no_banner(preview: Preview) -> None:
    frame = frame_of(preview.grid, preview.status)
    assert "VIRTUAL" not in draw_status(preview, frame, labels=Labels("", CAPTION)).svg


def test_pictures_are_legible_pngs(pictures: list[Picture], tmp_path: Path) -> None:
    for picture in pictures:
        picture.save(tmp_path)
        image = Image.open(tmp_path / f"{picture.name}.png")
        assert image.width >= 700
        assert len(image.convert("RGB").resize((64, 64)).getcolors(4096) or []) > 5
        assert image.info["Description"] == picture.alt


def test_svg_can_share_a_page(pictures: list[Picture]) -> None:
    ids = [i for p in pictures for i in re.findall(r'\bid="([^"]+)"', p.svg)]
    assert len(ids) == len(set(ids))
    for picture in pictures:
        used = re.findall(r'(?:url\(#|xlink:href="#)([^)"]+)', picture.svg)
        assert set(used) <= set(re.findall(r'\bid="([^"]+)"', picture.svg))
        assert "var(--ink" in picture.svg
        assert "DejaVu" not in picture.svg


def test_svg_asks_for_nothing_outside(pictures: list[Picture]) -> None:
    for picture in pictures:
        links = re.findall(r'(?:href|src)="([^"]{0,30})', picture.svg)
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)


def test_pictures_have_words_for_those_who_cannot_see_them(pictures: list[Picture]) -> None:
    for picture in pictures:
        assert len(picture.alt) > 30
        root = ElementTree.fromstring(picture.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == picture.alt


def test_pictures_are_the_same_each_time(preview: Preview) -> None:
    frame = frame_of(preview.grid, preview.status)
    one, two = (draw_status(preview, frame, labels=LABELS) for _ in range(2))
    assert one == two


def test_the_globe_is_equal_area_and_points_the_right_way() -> None:
    grid = Grid.preset("global-1deg")
    frame = frame_of(grid)
    lat = np.broadcast_to(grid.whole.y[:, None], grid.shape)
    lon = np.broadcast_to(grid.whole.x[None, :], grid.shape)
    laid = frame.lay(lat)
    middle = laid[:, laid.shape[1] // 2]
    assert middle[0] > 80
    assert middle[-1] < -55
    row = laid.shape[0] // 2
    east = frame.lay(lon)[row][frame.inside[row]]
    assert (np.diff(east) >= 0).all()
    # Equal area: pixels north of 60° are the share of that zone between the frame's parallels.
    counted = ((laid > 60) & frame.inside).sum() / frame.inside.sum()
    zone = (np.sin(np.radians(85)) - np.sin(np.radians(60))) / (
        np.sin(np.radians(85)) - np.sin(np.radians(-60))
    )
    assert counted == pytest.approx(zone, rel=0.05)
    assert not frame.inside[0, 0]


def test_a_region_is_drawn_in_its_own_projection() -> None:
    grid = homolosine_patch()
    frame = frame_of(grid)
    assert not frame.world
    values = np.arange(grid.shape[0] * grid.shape[1]).reshape(grid.shape)
    np.testing.assert_array_equal(frame_of(grid, least=1).lay(values), values)
    # A small grid has as many pixels for every cell.
    np.testing.assert_array_equal(frame.lay(values)[::2, 1::2], values)
    assert frame.rows.shape == (2 * grid.shape[0], 2 * grid.shape[1])
    assert frame.extent == frame_of(grid, least=1).extent
    ds = fake_map(grid, depths=DEPTHS[:1])
    small = make_preview(ds)
    first = small.of("soc", "mean", (0.0, 5.0))
    picture = draw_map(
        small, frame, first, carbon_scale([first], "g/kg"), name="r", title="R", labels=LABELS
    )
    assert BANNER in text_of(picture)


def test_scales_are_robust_to_a_few_wild_values() -> None:
    values = np.geomspace(1, 100, 10_000).astype(np.float32)
    values[:5], values[5:8] = 1e6, 0.0
    scale = carbon_scale([values], "g/kg")
    assert 1.0 <= scale.low < 1.2
    assert 85 < scale.high <= 100
    signed = signed_scale([np.array([-3.0, 1.0, np.nan])], "g/kg")
    assert signed.low == -signed.high


@pytest.mark.parametrize("kind", ["log", "linear", "signed"])
@pytest.mark.parametrize("values", [[], [5.0], [0.0, 0.0], [np.nan]])
def test_scales_of_degenerate_maps(kind, values) -> None:
    scale = robust_scale([np.array(values, np.float32)], kind, CARBON, "")
    assert scale.low < scale.high
    assert nice_ticks(scale)
    assert np.isfinite(scale.norm(scale.high))


def test_ticks_are_round() -> None:
    assert nice_ticks(ColourScale(1.7, 82.0, "log", CARBON, "")) == [2, 5, 10, 20, 50]
    assert nice_ticks(ColourScale(2.1, 6.2, "log", CARBON, "")) == [3, 4, 5, 6]
    assert nice_ticks(ColourScale(0.0, 1.0, "linear", CARBON, "")) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_palette_images_are_exact() -> None:
    rng = np.random.default_rng(1)
    palette = rng.integers(0, 256, (40, 4)).astype(np.uint8)
    pixels = palette[rng.integers(0, 40, (120, 90))]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    small = smaller_png(buffer.getvalue())
    assert len(small) < len(buffer.getvalue())
    back = np.asarray(Image.open(io.BytesIO(small)).convert("RGBA"))
    np.testing.assert_array_equal(back, pixels)
