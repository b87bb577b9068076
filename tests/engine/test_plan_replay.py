"""The replay against closed forms, and against what no run can beat."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edaphos.engine.plan_replay import (
    Site,
    Work,
    bounds,
    draw_work,
    limit,
    wall_seconds,
    workers_until,
)


def make_work(tiles: int = 40, *, io: float = 0.1, size: float = 1e6, seed: int = 0) -> Work:
    """Tiles of about a second."""
    rng = np.random.default_rng(seed)
    return Work(
        read=io * rng.uniform(0.5, 1.5, tiles),
        predict=rng.uniform(0.2, 2.0, tiles),
        write=io * rng.uniform(0.5, 1.5, tiles),
        read_bytes=np.full(tiles, size),
        write_bytes=np.full(tiles, size),
    )


def test_one_worker_with_one_tile_at_once_takes_the_sum() -> None:
    work = make_work()
    assert wall_seconds(work, Site(1)) == pytest.approx(work.seconds.sum())


def test_a_worker_for_each_tile_takes_the_longest() -> None:
    work = make_work()
    assert wall_seconds(work, Site(1000)) == pytest.approx(work.seconds.max())
    assert limit(work, Site(1000)) == "longest tile"


def test_two_tiles_at_once_hide_reading_and_writing_behind_computing() -> None:
    work = make_work(io=0.05)
    hidden = work.read[0] + work.predict.sum() + work.write[-1]
    assert wall_seconds(work, Site(1, 2)) == pytest.approx(hidden, rel=0.01)


def test_equal_tiles_go_round_in_turns() -> None:
    tiles = 20
    one = np.ones(tiles)
    work = Work(0 * one, one, 0 * one, one, one)
    for workers in (1, 3, 7, 20):
        assert wall_seconds(work, Site(workers)) == pytest.approx(math.ceil(tiles / workers))


def test_a_slow_store_takes_bytes_over_rate() -> None:
    work = make_work(tiles=200, size=5e6)
    site = Site(1000, store_bytes_s=1e7)
    assert limit(work, site) == "store"
    # all read first, one after another, while computing; the writes follow
    assert wall_seconds(work, site) == pytest.approx(work.total_bytes / 1e7, rel=0.02)


def test_a_slow_scheduler_takes_its_time_for_each_tile() -> None:
    work = make_work(tiles=500)
    site = Site(10_000, scheduler_seconds=0.5)
    assert limit(work, site) == "scheduler"
    assert wall_seconds(work, site) == pytest.approx(500 * 0.5 + work.seconds[-1], rel=0.01)


@pytest.mark.parametrize("workers", [1, 4, 16, 64, 300])
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_no_replay_beats_a_bound_or_wastes_more_than_a_few_tiles(
    workers: int, at_once: int
) -> None:
    work = make_work(tiles=300)
    site = Site(workers, at_once, scheduler_seconds=0.002, store_bytes_s=2e8)
    least = bounds(work, site)
    found = wall_seconds(work, site)
    assert found >= max(least.values()) - 1e-9
    # list scheduling: no more than all bounds together and two longest tiles
    assert found <= sum(least.values()) + 2 * at_once * least["longest tile"]


def test_workers_start_before_their_first_tile() -> None:
    work = make_work()
    late = wall_seconds(work, Site(4, start_seconds=10.0))
    assert late == pytest.approx(10 + wall_seconds(work, Site(4)))


def test_nothing_takes_no_time() -> None:
    nothing = make_work(tiles=0)
    assert wall_seconds(nothing, Site(4, start_seconds=1.0)) == 0


def test_the_workers_from_which_the_store_limits() -> None:
    work = make_work(tiles=300, size=1e6)
    site = Site(1, store_bytes_s=1e8)
    edge = workers_until(work, site, "store")
    assert edge == pytest.approx(work.seconds.sum() / (work.total_bytes / 1e8))
    assert limit(work, Site(math.floor(edge), store_bytes_s=1e8)) == "workers"
    assert limit(work, Site(math.ceil(edge), store_bytes_s=1e8)) == "store"
    assert workers_until(work, Site(1), "store") == math.inf


def test_drawn_work_keeps_measured_tiles_and_the_cost_of_cells() -> None:
    rng = np.random.default_rng(3)
    cells = rng.integers(100, 1000, 400)
    seconds = 0.1 + 1e-3 * cells
    truth = Work(0 * seconds, seconds, 0 * seconds, 8.0 * cells, 2.0 * cells)
    chosen = np.arange(0, 400, 40)
    measured = Work(*(getattr(truth, name)[chosen] for name in vars(truth)))
    drawn = draw_work(cells, np.zeros(400, np.int64), chosen, measured)
    np.testing.assert_allclose(drawn.predict, truth.predict)
    np.testing.assert_allclose(drawn.read_bytes, truth.read_bytes)
    assert drawn.predict[chosen] == pytest.approx(measured.predict)
