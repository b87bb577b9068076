"""The benchmark of speed measures what it says: all squares, all chunks, the recipe's net."""

from __future__ import annotations

import numpy as np

from edaphos.engine.branches.group_set import GroupSet


def test_squares_and_trainings_are_measured(benchmark_module, tmp_path) -> None:
    speed = benchmark_module("gsoilcpm_speed")
    cut = speed.cutting(tmp_path, 512, 600)
    held = GroupSet.open(tmp_path / "set")
    assert {size: store.values.shape[1:] for size, store in held.stores.items()} == {
        1: (4, 1, 1),
        5: (2, 5, 5),
        3: (1, 3, 3),
    }
    # places lie in all of 2 x 2 chunks of three fine bands, and in the one of four coarse ones
    assert cut.details["chunks"] == 3 * 4 + 4
    assert 590 < cut.details["places"] == len(held) <= 600
    trained = list(speed.learning(tmp_path / "set", 1))
    assert [result.details["places"] for result in trained] == [len(held)] * 2
    assert all(result.value > 0 and np.isfinite(result.ratio) for result in trained)
    batches, device = (
        result.details[f"places_per_second_of_{peer}_alone"]
        for result, peer in zip(trained, ("batches", "the_device"), strict=True)
    )
    assert abs(trained[0].ratio - trained[0].value / batches) < 0.01
    assert abs(trained[1].ratio - trained[1].value / device) < 0.01
