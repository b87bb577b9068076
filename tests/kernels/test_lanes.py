"""64 values at once against NumPy, value by value."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from edaphos.kernels.lanes import LANES, add_lanes, add_where, at_most, at_most_or_nan, lowest

EXTREMES = [0.0, -0.0, 1e-45, -1e-45, 1.0, 3.4028235e38, np.inf, -np.inf, np.nan]
FLOATS = st.one_of(st.sampled_from(EXTREMES), st.floats(width=32))
MASKS = st.integers(0, 2**64 - 1)


@njit
def masks(values, offset, bound):
    return at_most(values, offset, bound), at_most_or_nan(values, offset, bound)


@njit
def added(sums, offset, mask, value):
    add_where(sums, offset, mask, value)


@njit
def added_up(sums, offset, other):
    add_lanes(sums, offset, other)


@njit
def first(mask):
    return lowest(mask)


def bits(mask: int) -> np.ndarray:
    return np.array([mask >> i & 1 for i in range(LANES)], bool)


@given(st.lists(FLOATS, min_size=70, max_size=70), st.integers(0, 6), FLOATS)
def test_comparisons_are_those_of_numpy(values, offset, bound):
    array, bound = np.array(values, np.float32), np.float32(bound)
    part = array[offset : offset + LANES]
    found, with_nan = masks(array, np.uint64(offset), bound)
    np.testing.assert_array_equal(bits(found), part <= bound)
    np.testing.assert_array_equal(
        bits(with_nan), (part <= bound) | np.isnan(part) | np.isnan(bound)
    )


@given(MASKS, st.integers(0, 3), st.sampled_from([np.float64, np.int32, np.int16]))
def test_additions_touch_what_the_mask_says(mask, offset, kind):
    sums = np.arange(LANES + 4).astype(kind)
    expected = sums.copy()
    expected[offset : offset + LANES][bits(mask)] += kind(7)
    added(sums, np.uint64(offset), np.uint64(mask), kind(7))
    np.testing.assert_array_equal(sums, expected)


@given(MASKS.filter(bool))
def test_the_lowest_bit(mask):
    assert first(np.uint64(mask)) == (mask & -mask).bit_length() - 1


@given(st.integers(0, 70), st.integers(0, 70), st.sampled_from([np.float64, np.int32, np.int16]))
def test_lanes_add_up(offset, other, kind):
    sums = np.arange(70 + LANES).astype(kind)
    expected = sums.copy()
    expected[offset : offset + LANES] += sums[other : other + LANES]
    added_up(sums, np.uint64(offset), np.uint64(other))
    np.testing.assert_array_equal(sums, expected)
