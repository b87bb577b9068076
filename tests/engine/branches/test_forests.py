"""Forests beside the nets of a region: what they see, how they are weighed, and what is mapped."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.branches.kept_rows import KEPT_ROWS, KeptRows
from edaphos.engine.branches.model_file import digest_of_model
from edaphos.engine.branches.regions_out import codes_of_rows
from edaphos.engine.errors import InputError
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.models.gsoilcpm_forests import BOTH, NETS, REGION, REGION_WEIGHT
from edaphos.kernels.stack_weights import mean_weights

from ..branch_world import check_map, make_model

WAYS = {"ways": ("zero_shot", "head"), "forests": 20}


@pytest.fixture(scope="module")
def kept(world, tmp_path_factory):
    """The model of the world with 300 of its training rows."""
    folder = tmp_path_factory.mktemp("kept") / "model"
    shutil.copytree(world[2], folder)
    rows = KeptRows.draw(world[1], 300, seed=1)
    rows.save(folder / KEPT_ROWS)
    return folder, rows


@pytest.fixture(scope="module")
def tuned(kept, region) -> GsoilcpmModel:
    return make_model(start=str(kept[0]), fine_tuning=WAYS).fit(region)


def test_rows_of_the_world_go_without_coordinates_and_the_regions_own_places(
    kept, world, region
) -> None:
    folder, rows = kept
    again = KeptRows.load(folder / KEPT_ROWS)
    assert not {"lon", "lat", "profile_id", "cell"} & set(again.columns)
    assert len(again.codes) == 300
    for name, values in rows.columns.items():
        np.testing.assert_array_equal(again.columns[name], values)
    features = region.features
    both = again.beside(region, features, 4.0)
    assert len(both) == len(region) + 300
    weight = both.weight
    assert np.isclose(weight[: len(region)].mean(), 4 * weight[len(region) :].mean())
    own = world[1].take(np.arange(90))
    part = again.beside(own.take(np.arange(10)), features, 1.0, but=own)
    without = again.beside(own, features, 1.0)
    assert len(part) - 10 == len(without) - len(own)
    shared = np.isin(again.codes, codes_of_rows(own))
    assert 0 < shared.sum() < 300
    assert len(without) == len(own) + (~shared).sum()
    assert digest_of_model(folder) != digest_of_model(world[2])


def test_what_is_mapped_is_the_weighted_mean_of_all(tuned, region, cube) -> None:
    beside = tuned.forests
    assert beside is not None
    assert set(beside.weights) == {NETS, REGION, BOTH}
    assert np.isclose(sum(beside.weights.values()), 1)
    said = beside.apart(region, tuned.of_nets(region))
    found = tuned.predict_rows(region)
    mean = sum(w * said[name]["soc_mean"] for name, w in beside.weights.items())
    np.testing.assert_allclose(found["soc_mean"], mean)
    middle = sum(w * np.log1p(said[name]["soc_q50"]) for name, w in beside.weights.items())
    np.testing.assert_allclose(found["soc_q50"], np.expm1(middle))
    assert (found["soc_q05"] <= found["soc_q50"]).all()
    assert (found["soc_q50"] <= found["soc_q95"]).all()
    assert "Mapped is the mean of" in " ".join(tuned.notes)
    check_map(tuned, cube, region)


def test_weights_and_margins_come_from_rows_held_out(tuned, kept, region) -> None:
    """By hand: a forest for each part, grown without it."""
    beside, held = tuned.forests, tuned.fitted.held_out
    assert beside is not None
    predictive = tuned.fitted.predictive
    nets = predictive.median(held.said, held.rows.depth)
    columns = {NETS: np.log1p(nets)}
    for name in (REGION, BOTH):
        said = np.full(len(region), np.nan)
        for part in range(5):
            out = held.part == part
            mine = region.take(~out)
            if name == BOTH:
                mine = kept[1].beside(mine, region.features, REGION_WEIGHT)
            forest = replace(beside.forests[name], trees=20).fit(mine)
            said[out] = np.log1p(forest.predict_rows(region.take(out))["soc_q50"])
        columns[name] = said
    by_hand = mean_weights(np.stack(list(columns.values()), 1), held.rows.target, held.rows.weight)
    np.testing.assert_allclose(list(beside.weights.values()), by_hand, atol=1e-6)
    assert len(beside.conformal) == 1
    assert beside.conformal[0].level == 0.9


def test_files_hold_forests_and_a_model_without_them_maps_nets_alone(
    tuned, region, tmp_path
) -> None:
    tuned.save(tmp_path / "model")
    again = GsoilcpmModel.load(tmp_path / "model")
    for name, values in tuned.predict_rows(region).items():
        np.testing.assert_array_equal(again.predict_rows(region)[name], values)
    assert again.resident_bytes() > 2 * again.fitted.nets.nbytes()
    before = digest_of_model(tmp_path / "model")
    told = tmp_path / "model" / "forests" / "forests.json"
    told.write_text(told.read_text().replace("0.", "0.0", 1))
    assert digest_of_model(tmp_path / "model") != before
    shutil.rmtree(tmp_path / "model" / "forests")
    alone = GsoilcpmModel.load(tmp_path / "model")
    for name, values in alone.predict_rows(region).items():
        np.testing.assert_array_equal(values, tuned.of_nets(region)[name])


def test_nets_stand_alone_where_that_is_wanted(kept, region) -> None:
    model = make_model(start=str(kept[0]), fine_tuning={**WAYS, "forests": 0}).fit(region)
    assert model.forests is None
    assert "Mapped is the mean of" not in " ".join(model.notes)
    with pytest.raises(InputError, match=r"fine_tuning\.forests must be 0 or more trees, found -1"):
        make_model(fine_tuning={"forests": -1})


def test_a_region_of_ten_places_has_forests(kept, region) -> None:
    who = region.table["profile_id"].to_numpy()
    few = region.take(np.isin(who, np.unique(who)[:10]))
    told = {"ways": ("zero_shot",), "trust_units": True, "forests": 20}
    model = make_model(start=str(kept[0]), fine_tuning=told).fit(few)
    assert model.forests is not None
    assert np.isfinite(model.predict_rows(region)["soc_q95"]).all()


def test_bounds_that_too_few_blocks_cannot_calibrate_are_the_outermost(tuned, region) -> None:
    said = tuned.forests.apart(region, tuned.of_nets(region))
    found = replace(tuned.forests, conformal=()).join(said, region.top, region.bottom)
    for name, outermost in (("soc_q05", np.minimum), ("soc_q95", np.maximum)):
        every = outermost.reduce([one[name] for one in said.values()])
        np.testing.assert_array_equal(found[name], outermost(every, found["soc_q50"]))
