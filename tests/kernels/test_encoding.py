"""Packing: rounding, missing values, and values that do not fit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edaphos.kernels.encoding import quantise

FILL, LARGEST, SCALE = 65_535, 65_534, 0.01


@given(arrays(np.float32, array_shapes(max_dims=3), elements=st.floats(0, 655.0, width=32)))
def test_decoding_returns_the_value_within_half_a_step(values: np.ndarray) -> None:
    codes, below, above = quantise(values, SCALE, FILL, LARGEST)
    assert (below, above) == (0, 0)
    assert codes.shape == values.shape
    np.testing.assert_allclose(codes * SCALE, values, atol=SCALE / 2 + 1e-4)


def test_missing_is_fill_and_what_does_not_fit_is_counted_not_wrapped() -> None:
    values = np.array([np.nan, -0.004, -3.0, 0.0, 655.34, 700.0, 1e30, np.inf])
    codes, below, above = quantise(values, SCALE, FILL, LARGEST)
    np.testing.assert_array_equal(codes, [FILL, 0, 0, 0, LARGEST, LARGEST, LARGEST, LARGEST])
    assert (below, above) == (1, 3)
