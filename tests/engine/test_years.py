"""Yearly covariates: each profile's own year, and a stated policy for the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.sampling import draw_samples
from edaphos.engine.years import YearPolicy, climatology, values_at

from .cubes import Layer, write_cube

YEARS = (2000, 2005, 2010)
GRID = Grid.from_bounds("EPSG:4326", (0, 0, 8, 8), 1.0, 16)


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Cube:
    ndvi = np.stack([np.full((8, 8), year, np.float32) for year in YEARS])
    cover = np.stack([np.full((8, 8), code, np.int16) for code in (3, 7, 7)])
    slope = np.arange(64, dtype=np.float32).reshape(8, 8)
    return Cube.open(
        write_cube(
            tmp_path_factory.mktemp("years") / "c.zarr",
            [
                Layer({"ndvi": ndvi}, (0, 8), (1, 1), time="yearly", years=YEARS),
                Layer({"cover": cover}, (0, 8), (1, 1), kind="class", time="yearly", years=YEARS),
                Layer({"slope": slope}, (0, 8), (1, 1)),
            ],
        )
    )


def at(cube: Cube, policy: YearPolicy):
    year = np.array([2005.0, 2006.0, 1960.0, np.nan])
    lon, lat = np.full(4, 2.5), np.full(4, 3.5)
    return values_at(cube, lon, lat, GRID, ["slope", "ndvi", "cover"], year, policy)


def test_each_row_gets_its_own_year_the_nearest_or_the_climatology(cube: Cube) -> None:
    values, counts = at(cube, YearPolicy())
    np.testing.assert_array_equal(values["ndvi"], [2005, 2005, 2000, 2005])
    np.testing.assert_array_equal(values["cover"], [7, 7, 3, 7])
    np.testing.assert_array_equal(values["slope"], [34] * 4)
    assert (counts.outside, counts.undated) == (2, 1)


def test_dropped_rows_are_missing(cube: Cube) -> None:
    values, _ = at(cube, YearPolicy(outside="drop", undated="drop"))
    np.testing.assert_array_equal(values["ndvi"], [2005, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(values["slope"], [34] * 4)


@pytest.mark.filterwarnings("ignore:After omitting NaNs")
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 9)),
        elements=st.sampled_from([0, 1, 2, 7, np.nan]),
    )
)
def test_the_climatology_of_classes_is_scipys_mode(series: np.ndarray) -> None:
    wanted = stats.mode(series, axis=1, nan_policy="omit").mode
    np.testing.assert_array_equal(climatology(series, "class"), wanted)


@given(hnp.arrays(np.float32, (9, 23), elements=st.floats(-1e6, 1e6, width=32)))
def test_a_cells_climatology_does_not_depend_on_others(series: np.ndarray) -> None:
    whole = climatology(series, "amount")
    for k in range(9):
        np.testing.assert_array_equal(
            climatology(series[k : k + 1].copy(), "amount"), whole[k : k + 1]
        )


def test_samples_take_the_year_of_their_row_and_count_the_rest(cube: Cube) -> None:
    table = pd.DataFrame(
        {
            "profile_id": list("abcd"),
            "source": "s",
            "lon": 2.5,
            "lat": 3.5,
            "year": [2005.0, 2006.0, 1960.0, np.nan],
            "top_cm": 0.0,
            "bottom_cm": 10.0,
            "soc_g_kg": 20.0,
        }
    )
    samples, report = draw_samples(table, cube, GRID, ("ndvi", "slope"))
    np.testing.assert_array_equal(samples.table["ndvi"], [2005, 2005, 2000, 2005])
    assert (report.years_outside, report.years_undated) == (2, 1)
    assert "2 layers lie in years they lack, 1 are undated" in report.to_text()
