"""Gaps take the nearest valid cell's value, up to the radius and never beyond."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from edaphos.kernels.fill import fill_from_nearest


def by_tree(values: np.ndarray, dy: float, dx: float, radius: float, classes: bool) -> np.ndarray:
    """The same by SciPy's k-d tree."""
    out = values.copy()
    valid = ~np.isnan(values)
    if not valid.any():
        return out
    scale = np.array([dy, dx])
    tree = cKDTree(np.argwhere(valid) * scale)
    known = values[valid]
    for place in np.argwhere(~valid):
        distance, _ = tree.query(place * scale)
        if distance <= radius * (1 + 1e-9):
            ties = known[tree.query_ball_point(place * scale, distance * (1 + 1e-6) + 1e-12)]
            out[tuple(place)] = ties.min() if classes else ties.astype(float).mean()
    return out


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0.0, 1.0),
    st.sampled_from([(1.0, 1.0), (0.5, 0.25), (0.1, 0.3)]),
    st.sampled_from([0.0, 0.3, 0.5, 1.0, 1.5, 2.1]),
    st.booleans(),
)
def test_equal_to_a_tree(seed, share, steps, radius, classes) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, (13, 17)).astype(np.float32)
    values[rng.random(values.shape) < share] = np.nan
    given_values = values.copy()
    filled = fill_from_nearest(values, *steps, radius, classes)
    np.testing.assert_array_equal(values, given_values)
    np.testing.assert_allclose(filled, by_tree(values, *steps, radius, classes), rtol=1e-6)


def test_never_beyond_the_radius_nor_from_filled_cells() -> None:
    values = np.full((1, 12), np.nan, np.float32)
    values[0, 0] = 5
    filled = fill_from_nearest(values, 0.5, 0.5, 1.5, False)
    np.testing.assert_array_equal(filled[0], [5] * 4 + [np.nan] * 8)
    assert np.isnan(fill_from_nearest(values, 0.5, 0.5, 0.49, False)[0, 1:]).all()


def test_ties_are_averaged_for_amounts_and_the_lowest_for_classes() -> None:
    values = np.array([[7, np.nan, 4]], np.float32)
    assert fill_from_nearest(values, 1, 1, 1, False)[0, 1] == pytest.approx(5.5)
    assert fill_from_nearest(values, 1, 1, 1, True)[0, 1] == 4


def test_valid_cells_are_kept_and_all_missing_stays_missing() -> None:
    values = np.array([[1, np.nan], [np.nan, 2]], np.float32)
    filled = fill_from_nearest(values, 1, 1, 5, False)
    assert (filled[0, 0], filled[1, 1]) == (1, 2)
    assert np.isnan(fill_from_nearest(np.full((4, 4), np.nan, np.float32), 1, 1, 5, False)).all()
