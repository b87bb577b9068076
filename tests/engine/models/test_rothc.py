"""RothC as a model of the engine: closure, ensemble, clay forest, tiles, files, memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models import rothc
from edaphos.engine.models.protocol import Model, TileInputs, model_class
from edaphos.engine.models.rothc import RothCModel
from edaphos.engine.samples import Samples
from edaphos.engine.status import Status

from .rothc_land import SHAPE, Land, make_land, make_model, predicted

CHANGE = {"temperature_per_decade": 0.3, "rain_percent_per_decade": -2.0}
EVERYTHING = {"emit": ("pools", "co2", "input"), "change": CHANGE, "driver": {"kind": "miami"}}
ENSEMBLE = {"members": 8}


# -- closure --------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"change": CHANGE}, {"ensemble": ENSEMBLE}])
@pytest.mark.parametrize("units", ["t ha-1", "kg m-2"])
def test_the_start_is_the_initial_stock_map(changes: dict, units: str) -> None:
    land = make_land()
    if units == "kg m-2":
        land.values["stock"] = land.values["stock"] / 10
    found = predicted(make_model({**changes, "stock": {"units": units}}), land)
    initial = make_land().values["stock"] / 10
    for name in ("bau", "plus20"):
        np.testing.assert_allclose(found[f"stock_{name}_mean"][0], initial, rtol=1e-6)
    total, held = initial.sum(dtype=float), found["stock_bau_mean"][0].sum(dtype=float)
    assert held == pytest.approx(total, rel=1e-7)
    assert (found["status"] == 0).all()


def test_business_as_usual_under_one_climate_changes_nothing() -> None:
    found = predicted(make_model({"years": (2000, 2001, 2030, 2090)}), make_land())
    start = found["stock_bau_mean"][0]
    np.testing.assert_allclose(found["stock_bau_mean"], start[None].repeat(4, 0), rtol=1e-6)
    assert (found["stock_plus20_mean"][2:] > 1.001 * start).all()
    np.testing.assert_allclose(found["stock_plus20_mean"][1], start, rtol=1e-6)  # still warming up


def test_what_is_emitted_adds_up() -> None:
    years = (2000, *range(2036, 2041))
    found = predicted(make_model({**EVERYTHING, "years": years}), make_land())
    for name in ("bau", "plus20"):
        pools = [found[f"{p}_{name}_mean"] for p in ("dpm", "rpm", "bio", "hum", "iom")]
        stock = found[f"stock_{name}_mean"]
        np.testing.assert_allclose(np.sum(pools, axis=0), stock, rtol=1e-5)
        assert min(p.min() for p in pools) > 0
        iom = 0.049 * make_land().values["stock"].astype(float) ** 1.139 / 10
        np.testing.assert_allclose(pools[-1], iom[None].repeat(6, 0), rtol=1e-4)
        gain = found[f"input_{name}_mean"][2:] - found[f"co2_{name}_mean"][2:]
        np.testing.assert_allclose(np.diff(stock[1:], axis=0), gain, atol=5e-6)


def test_outputs_are_those_declared() -> None:
    model = make_model({**EVERYTHING, "ensemble": ENSEMBLE})
    made = model.predict(make_land().inputs(model.told.years))
    names = [o.name for o in model.emits.outputs]
    assert set(made) == {*names, "status"}
    assert len(names) == 2 * (1 + 2 + 5 + 2)
    for output in model.emits.outputs:
        assert made[output.name].shape == (1, 3, *SHAPE)
        assert made[output.name].dtype == np.float32
        flux = output.name.startswith(("co2", "input"))
        assert output.units == ("kg m-2 yr-1" if flux else "kg m-2")
    assert made["status"].dtype == np.uint8
    assert model.emits.depths == ((0.0, 30.0),)
    plain = make_model()
    assert [o.name for o in plain.emits.outputs] == ["stock_bau_mean", "stock_plus20_mean"]
    assert isinstance(model, Model)
    assert model_class("rothc") is RothCModel


def test_what_it_reads_it_declares() -> None:
    """A model handed only what it declared runs; and it says which years of a driver it wants."""
    model = make_model(
        {
            "domain": {"wetland": {"peat": (1,)}, "paddy": {"landcover": (12,)}},
            "driver": {"kind": "variable", "variable": "npp"},
            "evaporation": {"method": "given", "variable": "pet"},
        }
    )
    expected = {"temperature", "rain", "pet", "landcover", "stock", "peat", "clay", "npp"}
    assert set(model.reads.variables) == expected
    assert len(model.reads.variables) == len(expected)
    assert model.reads.years == tuple(range(2000, 2041))
    assert model.reads.judges_missing
    assert not model.needs_samples
    assert model.learns_from == ()
    with pytest.raises(InputError, match="nothing to validate"):
        model.predict_rows(Samples(pd.DataFrame(), ()))


def test_it_describes_a_scenario_and_no_forecast() -> None:
    words = make_model({"change": CHANGE, "driver": {"kind": "miami"}}).describe()["scenario"]
    for part in ("no hindcast", "2000 equals the initial stock map", "begin after 2020"):
        assert part in words
    for part in ("plus20 (input x 1.2)", "+0.3 °C", "-2 % rain", "miami"):
        assert part in words
    assert "0-30 cm" in make_model().describe()["summary"]
    still = make_model({"driver": {"kind": "miami"}}).describe()["scenario"]
    assert "miami, which is the same every year under one climate" in still


# -- ensemble -------------------------------------------------------------------------------------


def test_the_interval_holds_the_mean_and_widens_with_time() -> None:
    found = predicted(make_model({**EVERYTHING, "ensemble": {"members": 20}}), make_land())
    for name in ("bau", "plus20"):
        low, mean, high = (found[f"stock_{name}_{s}"] for s in ("q05", "mean", "q95"))
        assert (low < mean).all()
        assert (mean < high).all()
    np.testing.assert_allclose(found["stock_bau_mean"][0], make_land().values["stock"] / 10, 1e-6)


@pytest.mark.parametrize("source", ["temperature", "rain", "clay", "stock"])
def test_the_interval_widens_with_each_source(source: str) -> None:
    """One source at a time: by scenarios of climate change where it is no matter of the start."""
    none = {"members": 8, "temperature": 0, "rain": 0, "clay": 0, "stock": 0}
    widths = []
    for sd in (0.0, 0.5, 1.0) if source == "temperature" else (0.0, 10.0, 20.0):
        changes = {"ensemble": {**none, source: sd}, "scenarios": {"plus50": 1.5}}
        found = predicted(make_model(changes), make_land())
        widths.append((found["stock_plus50_q95"] - found["stock_plus50_q05"])[-1].mean())
    assert widths[0] == pytest.approx(0, abs=1e-6)
    assert 1e-5 < widths[1] < widths[2]
    assert widths[2] == pytest.approx(2 * widths[1], rel=0.25)


def test_the_stocks_interval_at_the_start_is_that_of_a_normal() -> None:
    ensemble = {"members": 200, "stock": 20.0}
    model = make_model({"ensemble": ensemble, "years": (2000,), "warm_up": None})
    found = predicted(model, make_land())
    width = found["stock_bau_q95"][0] - found["stock_bau_q05"][0]
    np.testing.assert_allclose(width, 2 * 1.645 * 0.2 * found["stock_bau_mean"][0], rtol=0.03)


def test_few_members_give_no_narrower_an_interval() -> None:
    """As wide as a normal's, on average over seeds, with the eight members of a world map."""
    changes = {"ensemble": {"members": 8, "stock": 20.0}, "years": (2000,), "warm_up": None}
    widths = []
    for seed in range(40):
        found = predicted(make_model(changes, seed=seed), make_land())
        low, mean, high = (found[f"stock_bau_{s}"][0] for s in ("q05", "mean", "q95"))
        widths.append(((high - low) / (2 * 1.645 * 0.2 * mean)).mean())
    assert np.mean(widths) == pytest.approx(1, abs=0.1)


def test_the_seed_decides() -> None:
    changes = {"ensemble": ENSEMBLE}
    one, same, other = (predicted(make_model(changes, seed=s), make_land()) for s in (3, 3, 4))
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
    assert not np.array_equal(one["stock_bau_q05"], other["stock_bau_q05"])


def test_without_an_ensemble_the_seed_does_not_matter() -> None:
    one, other = (predicted(make_model(seed=s), make_land()) for s in (3, 4))
    np.testing.assert_array_equal(one["stock_bau_mean"], other["stock_bau_mean"])
    assert not any("q05" in name for name in one)


# -- clay from a forest ---------------------------------------------------------------------------

COVARIATES = ("relief", "ndvi")
FOREST = {"clay": {"covariates": COVARIATES, "trees": 20, "min_samples_leaf": 2}}


def clay_land() -> Land:
    """Relief tells clay in the south, and nothing in the north: there it is 10 or 50 %."""
    land = make_land()
    del land.values["clay"]
    rng = np.random.default_rng(1)
    land.values["relief"] = rng.uniform(0, 100, SHAPE).astype(np.float32)
    land.values["ndvi"] = rng.uniform(0, 1, SHAPE).astype(np.float32)
    land.values["relief"][:6] += 1000
    return land


def clay_samples(gaps: bool = False) -> Samples:
    rng = np.random.default_rng(2)
    n = 400
    relief = rng.uniform(0, 100, n) + np.where(np.arange(n) < 200, 1000, 0)
    clay = np.where(relief > 500, rng.choice([10.0, 50.0], n), 10 + relief / 2)
    ndvi = rng.uniform(0, 1, n)
    if gaps:
        ndvi[::7] = np.nan
    table = pd.DataFrame({"y": clay, "weight": 1.0, "top_cm": 0.0, "bottom_cm": 30.0})
    table["relief"], table["ndvi"] = relief.astype("f4"), ndvi.astype("f4")
    return Samples(table, COVARIATES, ("clay", "%"))


def test_a_clay_forest_brings_its_own_spread() -> None:
    changes = {**FOREST, "scenarios": {"plus50": 1.5}, "ensemble": {"members": 8, "stock": 0}}
    changes["ensemble"] |= {"rain": 0, "temperature": 0, "clay": 0}  # that of a given clay
    model = make_model(changes)
    assert model.needs_samples
    assert model.learns_from == COVARIATES
    model.fit(clay_samples())
    found = predicted(model, clay_land())
    assert (found["status"] == 0).all()
    width = (found["stock_plus50_q95"] - found["stock_plus50_q05"])[-1]
    share = width / found["stock_plus50_mean"][-1]
    assert np.median(share[:6]) > 3 * np.median(share[6:]) > 0
    rows = model.predict_rows(clay_samples())
    assert np.corrcoef(rows["clay_mean"][200:], clay_samples().y[200:])[0, 1] > 0.9


def test_a_clay_forest_gives_what_its_clay_does() -> None:
    model = make_model(FOREST).fit(clay_samples())
    land = clay_land()
    clay = model._forest.predict(land.inputs((2000,)))["clay_mean"][0, 0]
    given = clay_land()
    given.values["clay"] = clay
    for ours, theirs in zip(
        predicted(model, land).values(), predicted(make_model(), given).values(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_gaps_that_the_forest_knows_are_flagged_and_others_invalid() -> None:
    land = clay_land()
    land.put("ndvi", (2, 2), np.nan)
    land.put("relief", (3, 3), np.nan)
    strict = predicted(make_model(FOREST).fit(clay_samples()), land)
    assert strict["status"][2, 2] == strict["status"][3, 3] == Status.INVALID_CLAY
    lenient = make_model(FOREST).fit(clay_samples(gaps=True))
    found = predicted(lenient, land)
    assert found["status"][2, 2] == Status.IMPUTED_INPUT
    assert np.isfinite(found["stock_bau_mean"][:, 2, 2]).all()
    assert found["status"][3, 3] == Status.INVALID_CLAY
    assert (found["status"] > 0).sum() == 2


# -- tiles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [9, 4096])
def test_cells_do_not_know_their_tile(chunk: int, monkeypatch) -> None:
    model = make_model({**EVERYTHING, "ensemble": ENSEMBLE})
    whole = predicted(model, make_land())
    monkeypatch.setattr(rothc, "CHUNK_CELLS", chunk)
    wanted = np.random.default_rng(0).random(SHAPE) < 0.6
    for rows in (slice(0, 1), slice(1, 6), slice(6, 12)):
        part = predicted(model, make_land(), wanted=wanted, rows=rows)
        for name, values in part.items():
            here = whole[name][..., rows, :]
            np.testing.assert_array_equal(values[..., wanted[rows]], here[..., wanted[rows]])
            if name != "status":
                assert np.isnan(values[..., ~wanted[rows]]).all()


def test_a_tile_without_wanted_cells() -> None:
    found = predicted(make_model(), make_land(), wanted=np.zeros(SHAPE, bool))
    assert np.isnan(found["stock_bau_mean"]).all()
    assert (found["status"] == 0).all()


# -- files ----------------------------------------------------------------------------------------


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    changes = {
        **EVERYTHING,
        **FOREST,
        "ensemble": ENSEMBLE,
        "domain": {"wetland": {"landcover": (11, 7)}, "organic_above": 140.0},
        "cover": {"dpm_rpm": {"10": 1.0}, "bare": (16, 9)},
    }
    model = make_model(changes).fit(clay_samples(gaps=True))
    land = clay_land()
    land.put("ndvi", (5, 5), np.nan)
    model.save(tmp_path / "model")
    files = [p for p in (tmp_path / "model").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".json", ".npy"}
    for path in files:
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)
    again = RothCModel.load(tmp_path / "model")
    assert again.told == model.told
    assert json.loads((tmp_path / "model" / "model.json").read_text())["kind"] == "rothc"
    ours, theirs = predicted(model, land), predicted(again, land)
    assert list(ours) == list(theirs)
    assert set(np.unique(ours["status"])) >= {Status.WETLAND, Status.ORGANIC_OUTSIDE}
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no saved RothC model"):
        RothCModel.load(tmp_path)


# -- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"years": (2000, 2021)},
        {"ensemble": {"members": 12}, "emit": ("pools", "co2", "input")},
        {**EVERYTHING, "years": (2000, 2025, 2040, 2080)},
        {**EVERYTHING, "years": tuple(range(2000, 2041)), "ensemble": {"members": 4}},
        {"driver": {"kind": "variable", "variable": "npp"}, "years": (2000, 2100)},
    ],
)
def test_memory_stays_below_what_is_planned(changes: dict) -> None:
    model = make_model(changes)
    side = 96  # more than a chunk
    land = make_land()
    land.values["npp"] = np.full((1 + len(model.told.run_years), *SHAPE), 300.0, np.float32)
    values = {k: np.tile(v, (8, 10))[..., :side] for k, v in land.values.items()}
    grid = Grid.from_bounds("EPSG:4326", (0, 40, 9.6, 49.6), 0.1)
    inputs = TileInputs(grid.whole, values, np.ones((side, side), bool), model.told.years)
    model.predict(inputs)  # compiled, imported
    tracemalloc.start()
    model.predict(inputs)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    planned = model.memory_bytes(side * side, len(model.told.years))
    assert used < planned
    assert planned < 8 * used  # of some tens of MiB
