"""Windows of decoded and filled values do not depend on how they are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edaphos.engine.build.block_plan import open_plan
from edaphos.engine.build.fields import Field
from edaphos.engine.build.native import Rect
from edaphos.engine.build.spec import CubeSpec, LayerSpec
from edaphos.engine.errors import InputError

from ..build_sources import globe, write_tif


def field(folder: Path, values: np.ndarray, transform: Affine | None = None, **known) -> Field:
    write_tif(folder / "a.tif", values.astype("f4"), transform)
    layer = LayerSpec("a", "a.tif", known.pop("kind", "amount"), **known)
    return open_plan(CubeSpec((layer,), base=folder)).fields["a"]


def whole(one: Field, step: int = 0) -> np.ndarray:
    return one.read(step, Rect(0, one.geobox.shape[0], 0, one.geobox.shape[1]))


def test_nodata_then_scale_then_range(tmp_path: Path) -> None:
    stored = np.array([[-99, 0, 50, 100, 250, np.nan]] * 2)
    one = field(
        tmp_path, stored, Affine(1, 0, 10, 0, -1, 5),
        nodata=(-99.0, 0.0), scale=0.1, offset=5.0, valid_min=0.0, valid_max=20.0,
    )  # fmt: skip
    rect = Rect(0, 2, 0, 6)
    values = one.read(0, rect)
    np.testing.assert_allclose(values[0], [np.nan, np.nan, 10, 15, np.nan, np.nan])
    assert one.counts(0, rect, values).out_of_range == 2  # 250 * 0.1 + 5 = 30, in both rows


def test_daily_rates_become_totals_of_a_mean_year(tmp_path: Path) -> None:
    rates = np.arange(24.0).reshape(12, 1, 2).repeat(2, axis=1)
    known = {"time": "monthly", "per_day": True, "scale": 0.5, "valid_max": 345.0}
    one = field(tmp_path, rates, Affine(1, 0, 10, 0, -1, 5), **known)
    totals = np.stack([whole(one, month) for month in range(12)])
    days = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    assert days.sum() == 365.25
    expected = 0.5 * rates * days[:, None, None]
    np.testing.assert_array_equal(totals, np.where(expected > 345, np.nan, expected))
    assert np.isnan(totals).sum() == 2  # the range is of the totals: 23 a day in December, halved


def test_a_mark_becomes_a_class(tmp_path: Path) -> None:
    stored = np.array([[-4, 0, 57, 998.9, 999.9, np.nan]] * 2)
    one = field(tmp_path, stored, Affine(1, 0, 10, 0, -1, 5), kind="class", at_least=999.0)
    np.testing.assert_array_equal(whole(one)[0], [0, 0, 0, 0, 1, np.nan])


def test_windows_leave_a_region_and_go_around_a_globe(tmp_path: Path) -> None:
    values = globe()
    around = field(tmp_path, values)
    np.testing.assert_array_equal(
        around.read(0, Rect(0, 18, -5, 40)), values[:, np.arange(-5, 40) % 36]
    )
    assert np.isnan(around.read(0, Rect(-2, 0, 0, 36))).all()
    (tmp_path / "r").mkdir()
    region = field(tmp_path / "r", values, Affine(1, 0, 10, 0, -1, 50))
    window = region.read(0, Rect(-1, 19, -2, 38))
    np.testing.assert_array_equal(window[1:-1, 2:-2], values)
    assert np.isnan(window[:, :2]).all()
    assert np.isnan(window[:, -2:]).all()
    assert np.isnan(region.read(0, Rect(30, 35, 0, 5))).all()


@pytest.mark.parametrize("kind", ["amount", "class"])
def test_filled_windows_are_parts_of_the_whole(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (36, 72)).astype("f4")
    values[rng.random(values.shape) < 0.7] = np.nan
    values[10:20, :9] = np.nan
    one = field(tmp_path, values, kind=kind, fill_radius_deg=16.0)
    full = whole(one)
    np.testing.assert_array_equal(full[~np.isnan(values)], values[~np.isnan(values)])

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 35), st.integers(1, 36), st.integers(-30, 71), st.integers(1, 60))
    def check(row: int, height: int, col: int, width: int) -> None:
        rect = Rect(row, min(row + height, 36), col, col + width)
        expected = full[rect.row0 : rect.row1][:, np.arange(col, col + width) % 72]
        np.testing.assert_array_equal(one.read(0, rect), expected)

    check()
    on_grid = Rect(3, 30, 0, 50)
    before = np.isnan(values[3:30, :50])
    part = one.read(0, on_grid)
    assert one.counts(0, on_grid, part).filled == (before & ~np.isnan(part)).sum() > 0


def test_gaps_are_filled_across_the_dateline(tmp_path: Path) -> None:
    values = np.full((18, 36), np.nan)
    values[:, 0] = 7
    full = whole(field(tmp_path, values, fill_radius_deg=10.0))
    assert (full[:, [0, 1, 35]] == 7).all()
    assert np.isnan(full[:, 2:35]).all()


def missing_with(folder: Path, name: str = "land", steps: int = 1, step: float = 10.0) -> Field:
    folder.mkdir(exist_ok=True)
    sun = np.zeros((12, 18, 36), "f4")
    sun[:, 5:9, 5:9] = 60
    land = globe(step, months=steps)
    land[:, :5] = np.nan
    write_tif(folder / "sun.tif", sun)
    write_tif(folder / "land.tif", land)
    time = "monthly" if steps == 12 else "yearly" if steps > 1 else "static"
    layers = (
        LayerSpec("land", "land.tif", "amount", time, (2000, 2001) if steps == 2 else ()),
        LayerSpec("sun", "sun.tif", "amount", "monthly", missing_with=name, fill_radius_deg=10.0),
    )
    return open_plan(CubeSpec(layers, base=folder)).fields["sun"]


@pytest.mark.parametrize("steps", [1, 12])
def test_a_layer_is_missing_where_another_is_before_it_is_filled(tmp_path, steps) -> None:
    sun = whole(missing_with(tmp_path, steps=steps), 3)
    assert np.isnan(sun[:4]).all()
    assert (sun[5:9, 5:9] == 60).all()
    np.testing.assert_array_equal(sun[4], sun[5])  # the last missing row takes the next one's


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"name": "lan"}, 'missing_with = "lan" is no layer above it: did you mean "land"'),
        ({"name": "sun"}, "is no layer above it"),
        ({"steps": 2}, "another grid or time axis"),
        ({"step": 5.0}, "another grid or time axis"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(tmp_path: Path, known, message: str) -> None:
    with pytest.raises(InputError, match=message):
        missing_with(tmp_path, **known)
