from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.profiles.declustering import cell_index, decluster_weights


def test_weights_are_inverse_crowding_with_mean_one():
    # Three profiles in one cell, one of them with two layers; one alone far away.
    lon = np.array([10.1, 10.1, 10.2, 10.3, 50.0])
    lat = np.array([5.1, 5.1, 5.2, 5.3, 5.0])
    profile = np.array(["a", "a", "b", "c", "d"])
    weight = decluster_weights(lon, lat, 2.0, profile=profile)
    assert weight.mean() == pytest.approx(1.0)
    assert weight[:4] == pytest.approx(weight[4] / 3)


def test_replicates_share_one_weight():
    lon, lat = np.full(5, 10.0), np.full(5, 5.0)
    profile = np.array(["a"] * 4 + ["b"])
    weight = decluster_weights(lon, lat, 1.0, profile=profile, replicates=[4, 4, 4, 4, 1])
    assert weight[:4].sum() == pytest.approx(weight[4])


def test_total_weight_of_cells_does_not_depend_on_crowding():
    rng = np.random.default_rng(1)
    lon = np.concatenate([rng.uniform(0.01, 1.99, 200), rng.uniform(20.01, 21.99, 3)])
    lat = np.full(203, 1.0)
    weight = decluster_weights(lon, lat, 2.0)
    assert weight[:200].sum() == pytest.approx(weight[200:].sum())


@pytest.mark.parametrize("cell_deg", [0.5, 2.0, 7.0])
def test_cells_have_nearly_equal_area(cell_deg):
    # Points spread evenly over the sphere fall into cells in equal numbers, away from the poles.
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(-0.9, 0.9, 1_000_000)))
    lon = rng.uniform(-180, 180, lat.size)
    index = cell_index(lon, lat, cell_deg)
    expected = np.square(np.radians(cell_deg)) / (4 * np.pi) * lat.size / 0.9
    count = np.bincount(index)
    count = count[count > 0]
    assert np.median(count) == pytest.approx(expected, rel=0.05 + 2 / np.sqrt(expected))


def test_the_ends_of_the_earth_have_cells():
    index = cell_index(np.array([-180.0, 180.0, 0.0, 0.0]), np.array([0.0, 0.0, -90.0, 90.0]), 2.0)
    assert index[0] == index[1]
    assert index[2] == 0
    assert (index >= 0).all()


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="cell_deg"):
        decluster_weights([0.0], [0.0], 0.0)
    with pytest.raises(InputError, match="finite"):
        decluster_weights([np.nan], [0.0], 1.0)
    assert decluster_weights([], [], 1.0).shape == (0,)
