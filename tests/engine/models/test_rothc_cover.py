"""Plant cover and litter quality by land cover class."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.models.rothc_cover import IBIS, IGBP, LEGENDS, legend_of, vegetation
from edaphos.engine.models.rothc_settings import Cover

from .rothc_land import make_land, make_model, predicted

WARM = np.full((12, 1), 20, np.float32)
#: Coleman & Jenkinson 2014: crops and improved grass; unimproved grass and scrub; woodland.
CROP, GRASS, FOREST = 1.44, 0.67, 0.25


def read(cover: Cover, code: float, temperature: np.ndarray = WARM) -> tuple[np.ndarray, float]:
    covered, ratio = vegetation(cover, np.float32([code]), temperature)
    return covered[:, 0], float(ratio[0])


@pytest.mark.parametrize(
    ("legend", "code", "ratio", "months"),
    [
        *[("igbp", code, FOREST, 12) for code in (1, 2, 3, 4, 5)],
        *[("igbp", code, GRASS, 12) for code in (6, 7, 8, 9, 10, 11, 13)],
        ("igbp", 12, CROP, 12),
        ("igbp", 14, CROP, 12),
        ("igbp", 16, GRASS, 0),
        *[("igbp", code, np.nan, 12) for code in (0, 15, 17, 255, -1, np.nan)],
        ("ibis", 1, FOREST, 12),
        ("ibis", 8, FOREST, 12),
        ("ibis", 9, GRASS, 12),
        ("ibis", 14, GRASS, 0),
        ("ibis", 0, np.nan, 12),
    ],
)
def test_classes_of_known_legends(legend: str, code: float, ratio: float, months: int) -> None:
    covered, found = read(Cover(legend=legend), code)
    np.testing.assert_equal(found, ratio)
    if np.isfinite(ratio):
        assert covered.sum() == months


def test_crops_cover_the_soil_in_months_warmer_than_growth() -> None:
    months = np.float32([-3, 0, 4.9, 5.0, 5.1, 12, 18, 17, 11, 7, 5, 1])[:, None]
    covered, _ = read(Cover(), 12, months)
    np.testing.assert_array_equal(covered, months[:, 0] > 5)
    assert covered.dtype == np.uint8
    assert read(Cover(growing_degc=0.0), 12, months)[0].sum() == 10
    assert read(Cover(), 10, months)[0].all()  # grass stands in winter too


def test_a_recipe_changes_a_legend() -> None:
    own = Cover(dpm_rpm={"10": 1.44, "6": 0.0, "40": 0.5}, bare=(7,), seasonal=())
    assert read(own, 10)[1] == 1.44
    assert np.isnan(read(own, 6)[1])
    assert read(own, 40)[1] == 0.5
    assert read(own, 7)[0].sum() == 0
    assert read(own, 16)[0].sum() == 12  # no longer bare
    cold = np.full((12, 1), -1, np.float32)
    assert read(own, 12, cold)[0].sum() == 12
    assert legend_of(Cover()) == IGBP  # left as it is
    assert legend_of(Cover(legend="ibis")) == IBIS


def test_a_legend_of_ones_own() -> None:
    own = Cover(legend="", dpm_rpm={"1": 0.25, "2": 1.44})
    assert (read(own, 1)[1], read(own, 2)[1]) == (0.25, 1.44)
    assert np.isnan(read(own, 3)[1])
    assert set(LEGENDS) == {"igbp", "ibis"}


def test_legends_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match=r'"ibgp": did you mean "igbp"\?'):
        make_model({"cover": {"legend": "ibgp"}})
    with pytest.raises(InputError, match=r"model\.cover: give a legend, or dpm_rpm"):
        make_model({"cover": {"legend": ""}})
    with pytest.raises(InputError, match=r"model\.cover"):
        make_model({"cover": {"legend": "", "dpm_rpm": {"1": 0.0}}})


def test_cover_slows_and_woody_litter_lasts() -> None:
    """By RothC: bare soil decomposes 1/0.6 as fast where it stays moist; forests need less."""
    land = make_land()
    land.values["rain"][:] = 300.0
    land.values["temperature"][:] = 15.0
    inputs = {}
    for code in (1, 10, 12, 16):
        land.values["landcover"][:] = code
        inputs[code] = predicted(make_model({"emit": ("input",)}), land)["input_bau_mean"][0]
    assert (inputs[1] < inputs[10]).all()
    assert (inputs[10] < inputs[12]).all()
    assert (inputs[16] > 1.5 * inputs[10]).all()
