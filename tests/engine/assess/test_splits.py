from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edaphos.engine.assess.block_ids import block_ids
from edaphos.engine.assess.splits import KNNDM, SPLIT_KINDS, make_split, split_table
from edaphos.engine.errors import InputError
from edaphos.engine.grid import zone_area
from edaphos.engine.samples import Samples


def make_samples(profiles: int = 300, seed: int = 1) -> Samples:
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, profiles), np.degrees(np.arcsin(rng.uniform(-1, 1, profiles)))
    layers = rng.integers(1, 5, profiles)
    who = np.repeat(np.arange(profiles), layers)
    top = np.concatenate([np.arange(k) * 20.0 for k in layers])
    table = pd.DataFrame(
        {
            "profile_id": [f"p{i:04d}" for i in who],
            "source": np.array(["A", "B", "C"])[who % 3],
            "lon": lon[who],
            "lat": lat[who],
            "year": np.nan,
            "top_cm": top,
            "bottom_cm": top + 20,
            "y": rng.lognormal(2, 1, len(who)),
            "weight": 1.0,
        }
    )
    return Samples(table, ())


SAMPLES = make_samples()


@pytest.mark.parametrize("kind", [kind for kind in SPLIT_KINDS if kind != KNNDM])
def test_order_of_rows_does_not_matter(kind):
    order = np.random.default_rng(5).permutation(len(SAMPLES))
    split, shuffled = (make_split(s, kind, seed=3) for s in (SAMPLES, SAMPLES.take(order)))
    np.testing.assert_array_equal(split.folds[order], shuffled.folds)
    np.testing.assert_array_equal(split.blocks[order], shuffled.blocks)
    pd.testing.assert_frame_equal(split.table(SAMPLES), shuffled.table(SAMPLES.take(order)))


@pytest.mark.parametrize("kind", ["random", "profile", "block"])
def test_the_seed_decides(kind):
    one, again, other = (make_split(SAMPLES, kind, seed=s).folds for s in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.mean(one == other) < 0.5


@pytest.mark.parametrize(("kind", "slack"), [("random", 1), ("profile", 4), ("block", 20)])
def test_folds_hold_about_equal_numbers_of_rows(kind, slack):
    sizes = np.bincount(make_split(SAMPLES, kind, folds=5, seed=2).folds, minlength=5)
    assert sizes.sum() == len(SAMPLES)
    assert np.ptp(sizes) <= slack


@pytest.mark.parametrize("kind", ["profile", "block", "source"])
def test_a_profile_lies_in_one_fold(kind):
    folds = make_split(SAMPLES, kind).folds
    assert SAMPLES.table.assign(fold=folds).groupby("profile_id")["fold"].nunique().max() == 1


def test_a_block_lies_in_one_fold_and_a_random_split_cuts_profiles():
    split = make_split(SAMPLES, "block", block_deg=10)
    frame = pd.DataFrame({"block": split.blocks, "fold": split.folds})
    assert frame.groupby("block")["fold"].nunique().max() == 1
    folds = make_split(SAMPLES, "random").folds
    assert SAMPLES.table.assign(fold=folds).groupby("profile_id")["fold"].nunique().max() > 1


def test_a_location_is_kept_together_even_across_a_block_edge():
    samples = make_samples()
    table = samples.table.copy()
    # Two profiles some metres apart, on either side of the edge between two blocks.
    pair = table["profile_id"].isin(["p0000", "p0001"])
    table["location_id"] = table["profile_id"].where(~pair, "together")
    table.loc[table["profile_id"] == "p0000", ["lon", "lat"]] = 10.0, -0.0001
    table.loc[table["profile_id"] == "p0001", ["lon", "lat"]] = 10.0, 0.0001
    assert len(set(block_ids(table.loc[pair, "lon"], table.loc[pair, "lat"], 5))) == 2
    for kind in ("profile", "block"):
        split = make_split(Samples(table, ()), kind)
        assert len(set(split.folds[pair])) == len(set(split.blocks[pair])) == 1


def test_leave_one_source_out():
    split = make_split(SAMPLES, "source")
    assert split.fold_names == ("A", "B", "C")
    for fold, source in enumerate(split.fold_names):
        assert set(SAMPLES.table["source"][split.held_out(fold)]) == {source}


@given(st.floats(-180, 540), st.floats(-90, 90), st.sampled_from([0.5, 2.0, 5.0, 7.0, 30.0]))
@settings(max_examples=300, deadline=None)
def test_blocks_are_small_and_know_the_dateline(lon, lat, degrees):
    near = lon + np.array([0.0, 360.0, -360.0])
    assert len(set(block_ids(np.round(near, 6), np.full(3, lat), degrees))) == 1


@pytest.mark.parametrize("degrees", [2.0, 5.0])
def test_blocks_have_roughly_equal_areas_and_are_compact(degrees):
    lon, lat = np.meshgrid(np.arange(-179.95, 180, 0.1), np.arange(-89.95, 90, 0.1))
    ids = block_ids(lon.ravel(), lat.ravel(), degrees)
    areas = np.bincount(ids, weights=np.repeat(zone_area(lat[:, 0] - 0.05, lat[:, 0] + 0.05), 3600))
    areas = areas[areas > 0]
    assert np.percentile(areas, 95) / np.percentile(areas, 5) < 1.25
    # About as many blocks as fit on the sphere: 41,253 square degrees.
    assert len(areas) == pytest.approx(41_253 / degrees**2, rel=0.03)
    frame = pd.DataFrame({"id": ids, "lat": lat.ravel()}).groupby("id")["lat"]
    assert (frame.max() - frame.min()).max() <= degrees + 1e-9


def test_the_split_table_has_one_row_for_each_profile_or_layer():
    table = split_table([make_split(SAMPLES, kind) for kind in ("profile", "random")], SAMPLES)
    assert list(table.columns) == ["split", "profile_id", "top_cm", "bottom_cm", "block", "fold"]
    rows = table.groupby("split").size()
    assert rows["profile"] == SAMPLES.table["profile_id"].nunique()
    assert rows["random"] == len(SAMPLES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "blok"}, 'did you mean "block"'),
        ({"kind": "profile", "folds": 1}, "at least 2 folds"),
        ({"kind": "block", "folds": 9, "block_deg": 90}, "smaller blocks"),
        ({"kind": "block", "block_deg": -1.0}, "more than 0"),
    ],
)
def test_wrong_input_is_named(options, message):
    with pytest.raises(InputError, match=message):
        make_split(SAMPLES, **options)


def test_one_source_cannot_be_left_out():
    one = SAMPLES.take((SAMPLES.table["source"] == "A").to_numpy())
    with pytest.raises(InputError, match="two sources"):
        make_split(one, "source")


@pytest.mark.parametrize("column", ["profile_id", "source"])
def test_a_missing_name_is_named(column):
    table = SAMPLES.table.copy()
    table.loc[[3, 4], column] = None
    with pytest.raises(InputError, match=f'"{column}".*2 of {len(table)} without'):
        make_split(Samples(table, ()), "random")


def test_coordinates_are_needed():
    with pytest.raises(InputError, match="longitude and a latitude"):
        block_ids(np.array([np.nan]), np.array([1.0]), 5)
