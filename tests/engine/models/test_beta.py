"""The beta model: profiles of known beta, arms by closed form, tiles, files, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.beta import BetaModel
from edaphos.engine.models.beta_forests import measured
from edaphos.engine.models.beta_profiles import falling, whole_profiles
from edaphos.engine.models.beta_settings import FIT_DEPTHS, BetaSettings, Ecosystems, Topsoil
from edaphos.engine.models.protocol import TileInputs
from edaphos.engine.samples import Samples
from edaphos.engine.status import Status
from edaphos.kernels.beta import layer_stock

TRUE = {"cropland": 0.985, "grassland": 0.975, "forest": 0.96}
CLASS = {"cropland": 12, "grassland": 10, "forest": 4}
SETTINGS = BetaSettings(
    covariates=("rain",), beta_covariates=("rain",), soil=("clay",), trees=5, min_samples_leaf=3
)


def make_profiles(each: int = 25, seed: int = 3) -> Samples:
    """Profiles of three ecosystems, each of one beta; topsoil stock rises with rain."""
    rng = np.random.default_rng(seed)
    rows = []
    for e, (name, beta) in enumerate(TRUE.items()):
        for i in range(each):
            rain, clay = rng.uniform(200, 2000), rng.uniform(5, 60)
            lon, lat = rng.uniform(-20, 40, 2)
            top = 2 + rain / 500
            for upper, lower in FIT_DEPTHS:
                rows.append(
                    {
                        "profile_id": f"{name}{i}",
                        "location_id": f"{name}{i}",
                        "source": "made",
                        "lon": lon,
                        "lat": lat,
                        "year": np.nan if i % 2 else 2000.0 + e,
                        "top_cm": float(upper),
                        "bottom_cm": float(lower),
                        "clay_pct": clay,
                        "y": float(layer_stock(top, 20, beta, upper, lower)),
                        "weight": 1.0,
                        "cell": i,
                        "rain": np.float32(rain),
                        "landcover": np.float32(CLASS[name]),
                        "published": np.float32(10 * top),
                    }
                )
    table = pd.DataFrame(rows)
    return Samples(table, ("rain", "landcover", "published"), ("stock", "kg m-2"))


SAMPLES = make_profiles()


def tile() -> TileInputs:
    """Return a tile: a row of each ecosystem, the last of barren land."""
    grid = Grid.from_bounds("EPSG:4326", (0, 0, 3, 4), 1.0, 16, "little")
    classes = np.repeat(np.array([12, 10, 4, 16], np.float32)[:, None], 3, axis=1)
    rain = np.tile(np.array([400, 1000, 1600], np.float32), (4, 1))
    wanted = np.ones((4, 3), bool)
    wanted[0, 0] = False
    values = {"rain": rain, "landcover": classes, "published": 10 * (2 + rain / 500)}
    return TileInputs(grid.window(0, 0, 4, 3), values, wanted, (2010,))


def test_beta_of_each_profile_is_found_and_raw_shares_make_it_too_small():
    profiles = whole_profiles(SAMPLES)
    assert profiles.complete.all()
    names = SAMPLES.table["profile_id"].iloc[profiles.first].str.rstrip("0123456789")
    truth = names.map(TRUE).to_numpy()
    beta, flags = profiles.beta("normalised")
    np.testing.assert_allclose(beta, truth, atol=1e-9)
    assert falling(beta, flags).all()
    raw, _ = profiles.beta("raw")
    assert (raw < truth - 5e-4).all()


def test_profiles_that_gain_carbon_or_lack_a_layer_teach_no_beta():
    table = SAMPLES.table.copy()
    rises = table["profile_id"] == "forest0"
    table.loc[rises, "y"] = [1.0, 1.1, 1.2, 1.3, 1.4]
    table = table[~((table["profile_id"] == "forest1") & (table["top_cm"] == 40))]
    profiles = whole_profiles(replace(SAMPLES, table=table))
    beta, flags = profiles.beta("normalised")
    names = table["profile_id"].iloc[profiles.first].to_numpy(object)
    left_out = set(names[~falling(beta, flags)])
    assert left_out == {"forest0", "forest1"}


def test_the_subsoil_of_a_profile_without_topsoil_is_no_topsoil():
    table = SAMPLES.table
    headless = (table["profile_id"] == "forest3") & (table["top_cm"] == 0)
    samples = SAMPLES.take(~headless.to_numpy())
    first = samples.take(whole_profiles(samples).first)
    told = measured(first, "clay")
    assert (np.isnan(told) == (first.table["profile_id"] == "forest3")).all()


def test_tiles_spread_a_given_topsoil_by_the_beta_of_their_ecosystem(tmp_path: Path):
    given = replace(SETTINGS, topsoil=Topsoil("published", 0.1, 20.0))
    model = BetaModel(given, depths=((0, 20), (20, 100), (100, 150))).fit(SAMPLES)
    found = model.predict(tile())
    mean = found["stock_mean"][:, 0]
    top = 2 + tile().values["rain"] / 500
    for row, beta in enumerate(TRUE.values()):
        for d, (a, b) in enumerate(model.depths):
            truth = layer_stock(top[row].astype(float), 20, beta, a, b)
            wanted = tile().wanted[row]
            np.testing.assert_allclose(mean[d, row, wanted], truth[wanted], rtol=1e-4)
    assert np.isnan(mean[:, 3]).all()
    assert np.isnan(mean[:, 0, 0]).all()
    assert (found["status"][3] == Status.NO_ECOSYSTEM).all()
    assert (found["status"][:3] == 0).all()
    assert "topsoil stock as exact" in model.describe()["method"]
    assert "as independent" in BetaModel(SETTINGS).describe()["method"]
    model.save(tmp_path)
    again = BetaModel.load(tmp_path)
    assert again.settings == given
    assert again.emits == model.emits
    for name, values in again.predict(tile()).items():
        np.testing.assert_array_equal(values, found[name])


def test_layers_of_the_models_own_topsoil_add_up():
    model = BetaModel(SETTINGS, depths=((0, 20), (20, 40), (40, 100))).fit(SAMPLES)
    whole = BetaModel(SETTINGS, depths=((0, 100),)).fit(SAMPLES)
    parts, one = model.predict(tile())["stock_mean"], whole.predict(tile())["stock_mean"]
    np.testing.assert_allclose(parts.sum(axis=0), one[0], rtol=1e-5)
    assert (np.diff(parts[0, 0, 1]) > 0).all()  # more rain, more carbon
    assert "cropland 25 (mean 0.9850)" in model.notes[0]


def test_arms_begin_with_the_profiles_own_topsoil_and_are_silent_within_it():
    model = BetaModel(SETTINGS).fit(SAMPLES)
    said = model.predict_rows(SAMPLES)
    below = SAMPLES.top >= 20
    for name in model.beside:
        assert np.isnan(said[name][~below]).all()
    top = np.repeat(SAMPLES.y[~below], 5)[below]
    truth = layer_stock(top, 20, 0.9786, SAMPLES.top[below], SAMPLES.bottom[below])
    np.testing.assert_allclose(said["stock_constant"][below], truth, rtol=1e-12)
    np.testing.assert_allclose(said["stock_mapped"][below], SAMPLES.y[below], rtol=1e-4)
    assert (said["stock_q05"] <= said["stock_mean"] * 1.0001).all()


def test_refusals_say_what_is_missing():
    few = replace(SETTINGS, min_samples_leaf=20)
    with pytest.raises(InputError, match=r"40 profiles or more with a beta, in cropland, found 25"):
        BetaModel(few).fit(SAMPLES)
    shallow = SAMPLES.take(SAMPLES.bottom <= 60)
    with pytest.raises(InputError, match=r"profiles\.harmonise"):
        BetaModel(SETTINGS).fit(shallow)
    with pytest.raises(InputError, match="class 12 is both"):
        Ecosystems(classes={"cropland": (12,), "forest": (12,)})
    with pytest.raises(InputError, match="add up to more than 1"):
        Ecosystems(shares={14: {"cropland": 0.8, "grassland": 0.5}})
    with pytest.raises(InputError, match='soil property "nitrogen"'):
        replace(SETTINGS, soil=("nitrogen",))
