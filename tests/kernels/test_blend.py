"""Blending of maps: weights without a kink, values between cells against SciPy."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from edaphos.kernels.blend import bilinear, border_weight


def test_weights_rise_from_the_border_without_a_kink() -> None:
    weight = border_weight(np.arange(60), 80, 60, 10.0)
    assert weight.min() < 0.01
    assert (weight[10:50, 10:70] == 1).all()
    np.testing.assert_array_equal(weight, weight[::-1, ::-1])
    line = weight[30, :12]
    assert (np.diff(line) >= 0).all()
    slope = np.diff(line)
    assert slope[0] < 0.5 * slope.max()
    assert slope[-2] < 0.5 * slope.max()
    assert np.isclose(border_weight(np.array([5]), 11, 11, 11.0)[0, 5], 0.5)  # half way in
    assert (border_weight(np.arange(3), 3, 3, 0.0) == 1).all()
    np.testing.assert_array_equal(border_weight(np.arange(20, 30), 80, 60, 10.0), weight[20:30])


def test_values_between_cells_are_scipys_and_gaps_are_left_out() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(12, 15))
    y, x = rng.uniform(0, 11, 500), rng.uniform(0, 14, 500)
    wanted = map_coordinates(values, [y, x], order=1)
    np.testing.assert_allclose(bilinear(values, y, x), wanted, atol=1e-12)
    constant = np.full((12, 15), 7.0)
    constant[rng.random((12, 15)) < 0.5] = np.nan
    found = bilinear(constant, y, x)
    assert set(np.unique(found[np.isfinite(found)]).round(12)) == {7.0}
    assert np.isnan(found).any()
    assert np.isnan(bilinear(values, np.array([-0.6, 3.0]), np.array([3.0, 14.6]))).all()
    edge = bilinear(values, np.array([-0.4]), np.array([14.4]))
    assert edge[0] == values[0, 14]
