"""Channels are standardised by training patches alone, and the same in a patch and in a tile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from edaphos.engine.conv import patch_statistics
from edaphos.engine.conv.channels import Channels
from edaphos.engine.conv.patches import PatchStore
from edaphos.engine.conv.planes import planes_of_tile
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.protocol import TileInputs

PLANES = (("slope", None), ("rain", 0), ("rain", 11), ("cover", None), ("flat", None))
KINDS = ("amount", "amount", "amount", "class", "amount")
GRID = Grid.from_bounds("EPSG:4326", (0, 0, 8, 8), 1.0, 16)


def write_store(
    folder: Path, values: np.ndarray, kinds=KINDS, planes=PLANES, directional=None
) -> PatchStore:
    folder.mkdir(exist_ok=True)
    np.save(folder / "values.npy", values.astype(np.float32))
    about = {
        "schema": 1,
        "planes": planes,
        "kinds": kinds,
        "directional": directional or [False] * len(planes),
        "size": values.shape[-1],
        "patches": len(values),
        "digest": "none",
        "variables": {},
        "seen_grid": {"crs": "EPSG:4326", "cell": 1.0},
    }
    (folder / "patches.json").write_text(json.dumps(about))
    return PatchStore.open(folder)


def raw(rng: np.random.Generator, n: int, *cells: int, gaps: float = 0.1) -> np.ndarray:
    values = rng.normal(1000, 30, (n, len(PLANES), *cells)).astype(np.float32)
    values[:, 3] = rng.integers(0, 4, (n, *cells)) * 3
    values[:, 4] = 0.1
    values[:, 1:4][rng.random((n, 3, *cells)) < gaps] = np.nan
    return values


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    return write_store(tmp_path_factory.mktemp("p"), raw(np.random.default_rng(1), 60, 5, 5))


TRAIN = np.arange(5, 45)


@pytest.mark.parametrize("scaling", ["z-score", "min-max"])
def test_amounts_are_scaled_as_scikit_learn_does(store: PatchStore, scaling: str) -> None:
    channels = Channels.fit(store, np.repeat(TRAIN, 3)[::-1], scaling=scaling)
    assert channels.names == (
        *("slope", "rain_01", "rain_12"),
        *("cover=0", "cover=3", "cover=6", "cover=9", "flat", "present"),
    )
    found = channels.of_patches(store, np.arange(60))
    assert found.shape == (60, len(channels), 5, 5)
    scaler = (StandardScaler if scaling == "z-score" else MinMaxScaler)()
    for k in range(3):
        values = np.asarray(store.values[:, k], np.float64)
        scaler.fit(values[TRAIN].reshape(-1, 1))
        wanted = scaler.transform(values.reshape(-1, 1)).reshape(60, 5, 5)
        np.testing.assert_allclose(found[:, k], np.nan_to_num(wanted, nan=0.0), atol=3e-5)
    np.testing.assert_array_equal(found[:, 7], 0)
    present = np.isfinite(store.values).mean(axis=1)
    np.testing.assert_allclose(found[:, 8], present, rtol=1e-6)
    cover = np.asarray(store.values[:, 3])
    for k, code in enumerate((0, 3, 6, 9)):
        np.testing.assert_array_equal(found[:, 3 + k], cover == code)


def test_nothing_is_learned_from_other_patches(store: PatchStore, tmp_path: Path) -> None:
    changed = np.array(store.values)
    changed[:5], changed[45:] = 7e6, np.nan
    other = write_store(tmp_path / "p", changed)
    for mask in ("any", "each"):
        assert Channels.fit(store, TRAIN, mask=mask) == Channels.fit(other, TRAIN, mask=mask)
    with pytest.raises(InputError, match="nothing to learn"):
        Channels.fit(store, TRAIN[:0])


def test_small_pieces_learn_the_same(store: PatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Channels.fit(store, TRAIN)
    monkeypatch.setattr(patch_statistics, "_BYTES", 2000)
    for one, other in zip(whole.bands, Channels.fit(store, TRAIN).bands, strict=True):
        assert (one.codes, one.gaps) == (other.codes, other.gaps)
        np.testing.assert_allclose((one.centre, one.factor), (other.centre, other.factor), 1e-6)


VALUES = hnp.arrays(
    np.float32,
    (1, len(PLANES), 9, 11),
    elements=st.one_of(
        st.just(np.nan), st.sampled_from([0.0, 3.0, 6.0, 9.0]), st.floats(-1e6, 1e6, width=32)
    ),
)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.sampled_from(["any", "each"]), st.sampled_from(["z-score", "min-max"]))
def test_a_patch_of_a_tile_is_the_tile_of_a_patch(
    store: PatchStore, tile: np.ndarray, mask: str, scaling: str
) -> None:
    channels = Channels.fit(store, TRAIN, mask=mask, scaling=scaling)
    whole = channels.assemble(tile)
    for size in (1, 3, 8):
        for i in range(9 - size + 1):
            for j in range(0, 11 - size + 1, 2):
                patch = channels.assemble(tile[:, :, i : i + size, j : j + size])
                cut = np.ascontiguousarray(whole[:, :, i : i + size, j : j + size])
                assert np.array_equal(patch.view(np.int32), cut.view(np.int32))


def test_a_tile_is_what_its_planes_are(store: PatchStore) -> None:
    rng = np.random.default_rng(3)
    values = {
        "slope": rng.normal(1000, 30, (12, 10)),
        "rain": rng.normal(1000, 30, (12, 12, 10)),
        "cover": rng.integers(0, 9, (2, 12, 10)).astype(float),
        "flat": rng.normal(1000, 30, (12, 10)),
    }
    values = {name: array.astype(np.float32) for name, array in values.items()}
    values["cover"][0, 3:5], values["rain"][11, 2] = np.nan, np.nan
    wanted = np.ones((8, 6), bool)
    tile = TileInputs(GRID.window(0, 0, 8, 6), values, wanted, (2000, 2001), halo=2)
    channels = Channels.fit(store, TRAIN)
    for year in (0, 1):
        planes = planes_of_tile(tile, channels.planes, year)
        assert planes.shape == (5, 12, 10)
        np.testing.assert_array_equal(planes[3], values["cover"][year])
        np.testing.assert_array_equal(planes[2], values["rain"][11])
        found = channels.of_tile(tile, year)
        np.testing.assert_array_equal(found, channels.assemble(planes[None])[0])


def test_each_mask_tells_which_band_is_missing(store: PatchStore) -> None:
    channels = Channels.fit(store, TRAIN, mask="each")
    assert channels.names[-4:] == ("present:rain_01", "present:rain_12", "present:cover", "present")
    tile = np.full((1, 5, 2, 2), 5.0, np.float32)
    tile[0, 0, 0, 0] = tile[0, 2, 1, 1] = np.nan  # slope never had a gap in training
    mask = channels.assemble(tile)[0, -4:]
    np.testing.assert_array_equal(mask[:, 0, 0], [1, 1, 1, 0.5])
    np.testing.assert_array_equal(mask[:, 1, 1], [1, 0, 1, 1])
    np.testing.assert_array_equal(mask[:, 0, 1], [1, 1, 1, 1])


def test_a_class_that_no_training_patch_had_is_told(store: PatchStore) -> None:
    channels = Channels.fit(store, TRAIN)
    values = {
        "slope": np.full((4, 5), 3.0, np.float32),
        "rain": np.full((12, 4, 5), 3.0, np.float32),
        "cover": np.full((2, 4, 5), 3.0, np.float32),
        "flat": np.full((4, 5), 3.0, np.float32),
    }
    cover = values["cover"]
    cover[0, 0, 0] = 4.0  # in the halo, which is not mapped
    cover[0, 2, 1] = np.nan
    cover[0, 2, 2], cover[1, 1, 3] = 4.0, 5.0
    wanted = np.ones((2, 3), bool)
    tile = TileInputs(GRID.window(0, 0, 2, 3), values, wanted, (2000, 2001), halo=1)
    first, second = (channels.unknown_class(tile, year) for year in (0, 1))
    np.testing.assert_array_equal(first, [[False, False, False], [False, True, False]])
    np.testing.assert_array_equal(second, [[False, False, True], [False, False, False]])
    found = channels.of_tile(tile)
    np.testing.assert_array_equal(found[3:7, 2, 2], 0)  # of no class
    assert found[-1, 2, 2] == 1  # but there
    assert found[-1, 2, 1] == np.float32(4) / np.float32(5)


def test_without_a_mask_nothing_missing_becomes_a_value(store: PatchStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rain_01, rain_12, cover: a net without a mask"):
        Channels.fit(store, TRAIN, mask="none")
    full = write_store(tmp_path / "p", raw(np.random.default_rng(2), 8, 3, 3, gaps=0.0))
    channels = Channels.fit(full, np.arange(8), mask="none")
    assert len(channels) == 8
    tile = np.array(full.values[:1])
    tile[0, 0, 1, 1] = tile[0, 3, 2, 2] = np.nan
    found = channels.assemble(tile)[0]
    assert np.isnan(found[0, 1, 1])
    assert np.isnan(found[3:7, 2, 2]).all()
    assert np.isnan(found).sum() == 5


def test_bands_that_taught_nothing_say_nothing(tmp_path: Path) -> None:
    values = raw(np.random.default_rng(2), 8, 3, 3)
    values[:, 1] = np.nan
    values[:, 3] = np.nan
    channels = Channels.fit(write_store(tmp_path / "p", values), np.arange(8))
    assert "cover" not in " ".join(channels.names)
    tile = np.full((1, 5, 3, 3), 1e30, np.float32)
    found = dict(zip(channels.names, channels.assemble(tile)[0], strict=True))
    assert not found["flat"].any()
    assert not found["rain_01"].any()
    assert found["slope"].all()


def test_a_smaller_patch_and_fewer_planes_are_the_middle(store: PatchStore) -> None:
    chosen = (("cover", None), ("slope", None))
    channels = Channels.fit(store, TRAIN, planes=chosen, size=3)
    middle = np.asarray(store.values[:, [3, 0], 1:4, 1:4])
    np.testing.assert_array_equal(
        channels.of_patches(store, TRAIN, 3), channels.assemble(middle[TRAIN])
    )
    assert channels.bands[1].centre == np.float32(middle[TRAIN, 1].mean(dtype=float))
    with pytest.raises(InputError, match="have no height"):
        Channels.fit(store, TRAIN, planes=(("height", None),))
    with pytest.raises(InputError, match="5 cells wide, 7 were asked for"):
        channels.of_patches(store, TRAIN, 7)


@pytest.mark.parametrize("mask", ["any", "each"])
def test_channels_survive_json(store: PatchStore, mask: str) -> None:
    channels = Channels.fit(store, TRAIN, mask=mask, scaling="min-max")
    assert Channels.from_json(json.loads(json.dumps(channels.to_json()))) == channels


def test_a_band_that_knows_the_compass_forbids_turning(tmp_path: Path, store: PatchStore) -> None:
    directional = [True, False, False, False, False]
    aspect = write_store(tmp_path / "p", np.array(store.values), directional=directional)
    assert not Channels.fit(aspect, TRAIN).symmetric
    assert Channels.fit(aspect, TRAIN, planes=PLANES[1:]).symmetric
    assert Channels.fit(store, TRAIN).symmetric


def test_amounts_beyond_what_was_learned_count_as_its_extremes(store: PatchStore) -> None:
    free, bounded = (Channels.fit(store, TRAIN, bounded=b) for b in (False, True))
    learned = np.asarray(store.values[TRAIN])
    np.testing.assert_array_equal(bounded.assemble(learned), free.assemble(learned))
    wild = learned.copy()
    wild[:, 0] *= np.where(np.arange(len(wild)) % 2, 100, -100)[:, None, None]
    kept = wild.copy()
    kept[:, 0] = np.clip(wild[:, 0], learned[:, 0].min(), learned[:, 0].max())
    np.testing.assert_array_equal(bounded.assemble(wild), free.assemble(kept))
    assert abs(free.assemble(wild)).max() > 100 > 10 > abs(bounded.assemble(wild)).max()
    assert Channels.from_json(json.loads(json.dumps(bounded.to_json()))) == bounded
