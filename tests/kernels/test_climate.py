"""Köppen classes of well-known places (rounded climate normals), symmetry, and a published map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edaphos.kernels import climate
from edaphos.kernels.climate import KOEPPEN_GROUPS, KOEPPEN_NAMES, KOEPPEN_NAMES_32, koeppen

# Place: class, monthly mean temperature (°C), monthly precipitation (mm), January first.
PLACES: dict[str, tuple[str, list[float], list[float]]] = {
    "Singapore": (
        "Af",
        [26.5, 27.1, 27.5, 28.0, 28.3, 28.3, 27.9, 27.9, 27.6, 27.6, 27.0, 26.4],
        [235, 113, 170, 155, 171, 131, 155, 149, 157, 168, 253, 334],
    ),
    "Miami": (
        "Am",
        [20.1, 21.2, 22.6, 24.6, 26.8, 28.2, 28.8, 28.9, 28.3, 26.5, 23.7, 21.5],
        [46, 55, 61, 85, 161, 267, 187, 243, 261, 193, 90, 62],
    ),
    "Bangkok": (
        "Aw",
        [27.6, 28.7, 29.8, 30.8, 30.5, 29.8, 29.3, 29.1, 28.7, 28.5, 28.1, 27.0],
        [13, 20, 42, 91, 248, 157, 175, 219, 334, 292, 49, 6],
    ),
    "Cairo": (
        "BWh",
        [14.0, 15.1, 17.6, 21.5, 24.9, 27.4, 28.0, 28.2, 26.6, 24.0, 19.2, 15.1],
        [5, 4, 4, 1, 0.5, 0, 0, 0, 0, 1, 4, 6],
    ),
    "Turpan": (
        "BWk",
        [-7.6, -0.5, 9.4, 19.0, 25.9, 30.9, 32.7, 30.4, 23.6, 13.0, 2.5, -5.6],
        [1, 0.5, 0.6, 0.9, 1, 2.7, 2, 2, 1.5, 1.3, 0.5, 1],
    ),
    "Niamey": (
        "BSh",
        [24.3, 27.3, 30.9, 33.8, 34.0, 31.5, 29.0, 27.9, 29.0, 30.8, 27.9, 25.0],
        [0, 0, 3.9, 5.7, 34.7, 68.8, 154.3, 170.8, 92.2, 9.7, 0.7, 0],
    ),
    "Denver": (
        "BSk",
        [-0.4, 0.6, 5.2, 8.9, 14.1, 19.8, 23.4, 22.4, 17.7, 10.6, 4.2, -0.7],
        [10, 11, 33, 44, 54, 50, 55, 43, 32, 26, 15, 9],
    ),
    "Rome": (
        "Csa",
        [7.5, 8.2, 10.2, 12.6, 17.2, 21.1, 24.1, 24.5, 20.8, 16.4, 11.4, 8.4],
        [67, 73, 58, 81, 53, 34, 19, 37, 73, 113, 115, 81],
    ),
    "San Francisco": (
        "Csb",
        [10.4, 11.8, 12.6, 13.2, 14.1, 15.3, 15.8, 16.4, 16.8, 16.2, 13.4, 10.6],
        [114, 113, 83, 37, 18, 4, 0.1, 1, 5, 29, 80, 116],
    ),
    "Hong Kong": (
        "Cwa",
        [16.3, 16.8, 19.1, 22.6, 25.9, 27.9, 28.8, 28.6, 27.7, 25.5, 21.8, 17.9],
        [25, 54, 82, 175, 305, 456, 377, 432, 328, 101, 38, 27],
    ),
    "Mexico City": (
        "Cwb",
        [14.7, 16.1, 18.3, 19.7, 20.0, 19.5, 18.2, 18.3, 17.9, 17.0, 15.9, 14.9],
        [7, 5, 11, 25, 60, 140, 175, 172, 144, 67, 9, 7],
    ),
    "Buenos Aires": (
        "Cfa",
        [25.0, 23.7, 21.6, 17.9, 14.5, 11.7, 11.0, 12.8, 14.6, 17.8, 20.6, 23.3],
        [139, 127, 140, 119, 93, 60, 60, 71, 71, 115, 110, 110],
    ),
    "London": (
        "Cfb",
        [5.2, 5.3, 7.6, 9.9, 13.3, 16.5, 18.7, 18.5, 15.7, 12.0, 8.0, 5.5],
        [55, 41, 42, 44, 49, 45, 45, 50, 49, 69, 59, 55],
    ),
    "Reykjavik": (
        "Cfc",
        [0.6, 0.8, 1.2, 3.7, 6.8, 9.8, 11.6, 11.0, 8.4, 5.0, 2.4, 1.0],
        [83, 86, 82, 57, 53, 44, 52, 67, 74, 82, 78, 94],
    ),
    "Seoul": (
        "Dwa",
        [-2.0, 0.7, 6.1, 12.6, 18.2, 22.7, 25.3, 26.1, 21.6, 15.0, 7.5, 0.2],
        [17, 28, 37, 73, 104, 130, 414, 348, 142, 52, 51, 23],
    ),
    "Chicago": (
        "Dfa",
        [-3.8, -1.8, 4.0, 10.2, 16.1, 21.9, 24.6, 23.6, 19.6, 12.9, 5.7, -0.9],
        [50, 50, 62, 95, 114, 104, 94, 108, 81, 87, 62, 53],
    ),
    "Moscow": (
        "Dfb",
        [-6.2, -5.9, -0.7, 6.9, 13.6, 17.3, 19.7, 17.6, 11.9, 5.8, -0.5, -4.4],
        [53, 44, 39, 37, 61, 78, 84, 78, 66, 70, 52, 51],
    ),
    "Fairbanks": (
        "Dfc",
        [-22.2, -18.4, -11.0, 0.7, 9.7, 15.9, 17.1, 13.7, 7.1, -4.2, -16.1, -20.0],
        [15, 11, 6, 8, 15, 35, 55, 48, 28, 21, 17, 16],
    ),
    "Yakutsk": (
        "Dfd",
        [-38.6, -33.8, -20.1, -4.8, 7.5, 16.4, 19.5, 15.2, 6.1, -7.8, -27.0, -37.6],
        [9, 8, 7, 8, 20, 35, 39, 37, 31, 18, 16, 10],
    ),
    "Irkutsk": (
        "Dwc",
        [-17.8, -14.4, -6.4, 2.4, 9.6, 15.6, 18.3, 15.9, 9.2, 1.8, -7.7, -15.4],
        [14, 8, 12, 17, 33, 72, 109, 94, 48, 21, 17, 10],
    ),
    "Barrow": (
        "ET",
        [-25.3, -25.7, -24.7, -16.7, -6.2, 1.9, 5.0, 4.0, 0.3, -7.8, -16.8, -22.2],
        [3, 4, 3, 5, 5, 8, 25, 27, 18, 11, 5, 4],
    ),
    "Vostok": (
        "EF",
        [-32, -44, -58, -65, -66, -65, -67, -68, -66, -57, -43, -32],
        [1, 1, 2, 2, 2, 3, 2, 2, 2, 2, 1, 1],
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_well_known_places(place):
    expected, temperature, rain = PLACES[place]
    assert KOEPPEN_NAMES[int(koeppen(temperature, rain))] == expected


def test_the_code_order_is_that_of_beck():
    # Spot checks against the legend published with the maps of Beck et al. 2018.
    legend = {1: "Af", 3: "Aw", 4: "BWh", 7: "BSk", 8: "Csa", 11: "Cwa", 14: "Cfa", 15: "Cfb",
              17: "Dsa", 21: "Dwa", 25: "Dfa", 28: "Dfd", 29: "ET", 30: "EF"}  # fmt: skip
    assert len(KOEPPEN_NAMES) == 30
    assert {code: KOEPPEN_NAMES[code] for code in legend} == legend
    assert {name[0] for name in KOEPPEN_NAMES.values()} == set(KOEPPEN_GROUPS)


def test_without_rain_it_is_desert_unless_too_cold_to_dry_out():
    warm, frozen = np.full(12, 25.0), np.full(12, -30.0)
    assert KOEPPEN_NAMES[int(koeppen(warm, np.zeros(12)))] == "BWh"
    assert KOEPPEN_NAMES[int(koeppen(frozen, np.zeros(12)))] == "EF"


def test_a_missing_month_is_no_class_and_shapes_are_kept():
    temperature = np.full((12, 2, 3), 20.0, np.float32)
    rain = np.full((12, 2, 3), 100.0, np.float32)
    rain[7, 0, 1] = temperature[0, 1, 2] = np.nan
    codes = koeppen(temperature, rain)
    assert codes.dtype == np.int16
    assert codes.shape == (2, 3)
    assert codes[0, 1] == codes[1, 2] == -1
    assert (np.delete(codes.ravel(), [1, 5]) == 1).all()


def test_both_seasons_dry_goes_to_the_wetter_half():
    # Summer has a dry and a very wet month, winter a dry and a wet one: s and w hold at once.
    temperature = np.array([2, 4, 8, 12, 16, 20, 21, 20, 16, 12, 8, 4.0])
    rain = np.array([150, 150, 150, 10, 60, 60, 200, 60, 60, 60, 150, 15.0])
    assert KOEPPEN_NAMES[int(koeppen(temperature, rain))] == "Csb"
    rain[4:9] += 100
    rain[3] = 10
    assert KOEPPEN_NAMES[int(koeppen(temperature, rain))] == "Cwb"


@pytest.mark.parametrize("shape", [(11,), (3, 12)])
def test_months_must_come_first(shape):
    with pytest.raises(ValueError, match="months first"):
        koeppen(np.zeros(shape), np.zeros(shape))


# As thermometers and gauges tell them: what differs in the last bits is in no class for sure.
months = st.tuples(
    arrays(np.float64, 12, elements=st.floats(-60, 40).map(lambda v: round(v, 3))),
    arrays(np.float64, 12, elements=st.floats(0, 800).map(lambda v: round(v, 3))),
)


@given(months)
@settings(max_examples=300, deadline=None)
def test_half_a_year_later_is_the_other_hemisphere(cell):
    temperature, rain = cell
    north, south = temperature[3:9].sum(), temperature.sum() - temperature[3:9].sum()
    if abs(north - south) < 1e-6:  # no warmer half
        return
    if rain.sum() > 0 and abs(2 * rain[3:9].sum() - rain.sum()) < 1e-6:  # no wetter half
        return
    assert koeppen(temperature, rain) == koeppen(np.roll(temperature, 6), np.roll(rain, 6))


@given(months)
@settings(max_examples=300, deadline=None)
def test_each_cell_has_one_class_that_agrees_with_its_temperatures(cell):
    temperature, rain = cell
    code = int(koeppen(temperature, rain))
    name = KOEPPEN_NAMES[code]
    if name[0] == "A":
        assert temperature.min() >= 18
    elif name[0] == "C":
        assert 0 < temperature.min() < 18
    elif name[0] == "D":
        assert temperature.min() <= 0
    elif name[0] == "E":
        assert temperature.max() <= 10
    else:
        assert (name[2] == "h") == (temperature.mean() >= 18)


@given(months)
@settings(max_examples=100, deadline=None)
def test_compiled_and_plain_python_agree(cell):
    temperature, rain = cell
    with_python = climate._koeppen_cell.py_func(temperature, rain)
    assert with_python == int(koeppen(temperature, rain))


def test_agrees_with_a_published_map(shared_data):
    """BIOME4 climate against the 1/12° map: other normals, so near, not equal (measured 0.867)."""
    import netCDF4
    import rasterio

    with netCDF4.Dataset(shared_data / "climate" / "BIOME4_inputdata.nc") as data:
        data.set_auto_mask(False)
        assert data["lat"][0] > data["lat"][-1]
        temperature, rain = data["temp"][:] / 10.0, data["prec"][:].astype(float)
        temperature[data["temp"][:] == -9999] = rain[rain == -9999] = np.nan
    with rasterio.open(shared_data / "koeppen" / "koeppen-geiger.tif") as raster:
        # The cell of 1/12° just south-east of the centre of each half-degree cell.
        published = raster.read(1).astype(int)[3::6, 3::6]
    ours = koeppen(temperature, rain)

    land = ~np.isnan(temperature).any(axis=0) & ~np.isnan(rain).any(axis=0)
    assert ((ours >= 1) == land).all()
    assert (ours[~land] == -1).all()
    both = land & (published < 32)
    assert both.sum() > 60_000
    names = np.array([KOEPPEN_NAMES[code] for code in ours[both]])
    theirs = np.array([KOEPPEN_NAMES_32[code] for code in published[both]])
    groups = names.astype("U1") == theirs.astype("U1")
    assert groups.mean() > 0.86
    assert (names == theirs).mean() > 0.71
    # Were the legend wrong, a class would find another one as its best match.
    for name in ("Af", "Am", "Aw", "BSh", "BSk", "BWh", "BWk", "Cfa", "Cfb", "Cfc", "Csa", "Csb",
                 "Cwa", "Cwb", "Dfa", "Dfb", "Dfc", "Dfd", "Dsa", "Dsb", "Dwa", "Dwb", "Dwc",
                 "Dwd", "EF", "ET"):  # fmt: skip
        matches, counts = np.unique(names[theirs == name], return_counts=True)
        assert matches[counts.argmax()] == name
