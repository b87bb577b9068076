"""Training sets: the squares that single stores hold, whatever the shards and who cuts them."""

from __future__ import annotations

import json
import shutil
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from edaphos.engine.branches.group_set import GroupSet, draw_set
from edaphos.engine.conv.patches import PatchStore, extract
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.samples import Samples
from edaphos.engine.sampling import draw_samples

from ..conv_world import COVARIATES, profiles, world_grid

WINDOWS = {1: ("wet",), 5: ("relief",), 3: ("cover",)}


@pytest.fixture(scope="module")
def samples(cube: Cube) -> Samples:
    return draw_samples(profiles(60), cube, world_grid(), COVARIATES)[0]


def test_each_window_is_the_middle_of_a_store_cut_alone(cube, samples, tmp_path: Path) -> None:
    made = draw_set(samples, cube, world_grid(), WINDOWS, tmp_path / "set", shard=16)
    held = GroupSet.open(tmp_path / "set")
    assert len(list((tmp_path / "set").glob("shard-*"))) == -(-len(held) // 16) > 2
    alone = extract(samples, cube, world_grid(), COVARIATES, 7, tmp_path / "store")
    store = PatchStore.open(tmp_path / "store")
    mine, theirs = (s.table["patch"].to_numpy() for s in (made, alone))
    for size, (name,) in WINDOWS.items():
        of, k, cut = held.of(size), COVARIATES.index(name), (7 - size) // 2
        every = slice(0, size)
        got = of.values[mine[:, None], np.array([[0]]), every, every][:, 0]
        np.testing.assert_array_equal(got, store.values[theirs, k, cut : 7 - cut, cut : 7 - cut])
        assert of.kinds == (cube.variable(name).kind,)
    assert held.nbytes == len(held) * (1 + 9 + 25) * 4
    with pytest.raises(InputError, match="holds windows of 1, 5, 3 cells, 9 was asked for"):
        held.of(9)


def test_it_travels_as_its_path_and_is_not_cut_twice(cube, samples, tmp_path: Path) -> None:
    draw_set(samples, cube, world_grid(), WINDOWS, tmp_path / "set", shard=16)
    of = GroupSet.open(tmp_path / "set").of(3)
    again = copy(of)  # as pickling does, by what __reduce__ tells
    np.testing.assert_array_equal(
        again.values[np.arange(5)[:, None], np.array([[0]]), slice(0, 3), slice(0, 3)],
        of.values[np.arange(5)[:, None], np.array([[0]]), slice(0, 3), slice(0, 3)],
    )
    before = (tmp_path / "set" / "shard-00001" / "window-3.npy").stat().st_mtime_ns
    draw_set(samples, cube, world_grid(), WINDOWS, tmp_path / "set", shard=16)
    assert (tmp_path / "set" / "shard-00001" / "window-3.npy").stat().st_mtime_ns == before
    other = {**WINDOWS, 3: (), 7: ("cover",)}
    del other[3]
    draw_set(samples, cube, world_grid(), other, tmp_path / "set", shard=16)
    assert set(GroupSet.open(tmp_path / "set").stores) == {1, 5, 7}


def test_a_set_that_was_cut_off_goes_on(cube, samples, tmp_path: Path, monkeypatch) -> None:
    whole = draw_set(samples, cube, world_grid(), WINDOWS, tmp_path / "set", shard=16)
    (tmp_path / "set" / "statistics.json").unlink()
    (tmp_path / "set").rename(tmp_path / "set.begun")
    shutil.rmtree(tmp_path / "set.begun" / "shard-00002")
    kept = (tmp_path / "set.begun" / "shard-00000" / "window-1.npy").stat().st_mtime_ns
    draw_set(samples, cube, world_grid(), WINDOWS, tmp_path / "set", shard=16)
    assert (tmp_path / "set" / "shard-00000" / "window-1.npy").stat().st_mtime_ns == kept
    assert not (tmp_path / "set.begun").exists()
    rows = whole.table["patch"].to_numpy()
    values = GroupSet.open(tmp_path / "set").of(1).values[rows[:, None], np.array([[0]])]
    np.testing.assert_array_equal(values[:, 0, 0, 0], samples.matrix(("wet",))[:, 0])


def test_tasks_of_a_cluster_cut_the_same(cube, samples, tmp_path: Path) -> None:
    draw_set(samples, cube, world_grid(), WINDOWS, tmp_path / "here", shard=16)
    with Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as own:
        draw_set(samples, cube, world_grid(), WINDOWS, tmp_path / "there", shard=16, client=own)
    files = sorted(p.relative_to(tmp_path / "here") for p in (tmp_path / "here").rglob("*.npy"))
    assert len(files) == 3 * 4
    for file in files:
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "there" / file).read_bytes()


def test_its_statistics_are_those_of_its_values(cube, samples, tmp_path: Path) -> None:
    draw_set(samples, cube, world_grid(), WINDOWS, tmp_path / "set")
    told = json.loads((tmp_path / "set" / "statistics.json").read_text())
    every = slice(0, 5)
    held = GroupSet.open(tmp_path / "set").of(5)
    rows = np.arange(len(held))
    values = held.values[rows[:, None], np.array([[0]]), every, every].astype(np.float64)
    assert np.isclose(told["relief"]["mean"], np.nanmean(values))
    assert np.isclose(told["relief"]["deviation"], np.nanstd(values))
    assert told["relief"]["missing"] == np.isnan(values).sum()


def test_a_folder_that_is_no_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not readable as a training set"):
        GroupSet.open(tmp_path)
