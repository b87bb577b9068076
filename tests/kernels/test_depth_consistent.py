"""Layers scaled to integrate to given stocks: exactly, shapes kept, contradictions told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edaphos.kernels.depth_consistent import factors, segments

GSM = ((0, 5), (5, 15), (15, 30), (30, 60), (60, 100), (100, 200))


def test_layers_of_segments_and_gaps_that_are_refused():
    assert segments(GSM, (30, 100)) == [[0, 1, 2], [3, 4]]
    with pytest.raises(ValueError, match="0 to 30 cm"):
        segments(((0, 20), (20, 40), (40, 100)), (30, 100))
    with pytest.raises(ValueError, match="30 to 100 cm"):
        segments(((0, 30), (30, 60), (80, 100)), (30, 100))


@given(
    st.lists(st.floats(0.01, 50), min_size=6, max_size=6),
    st.floats(0.1, 30),
    st.floats(0, 30),
    st.booleans(),
)
def test_layers_integrate_to_what_is_wanted_and_keep_their_shape(layers, first, second, stocks):
    held = np.array(layers)[:, None]
    weights = [1.0] * 6 if stocks else [b - a for a, b in GSM]
    parts = segments(GSM, (30, 100))
    scaled = held * factors(held, weights, parts, np.array([[first], [second]]))
    w = np.array(weights)[:, None]
    assert (scaled * w)[:3].sum() == pytest.approx(first, rel=1e-12)
    assert (scaled * w)[3:5].sum() == pytest.approx(second, rel=1e-12)
    assert scaled[5] == held[5]
    np.testing.assert_allclose(scaled[0] * held[2], scaled[2] * held[0], rtol=1e-12)


def test_what_cannot_be_is_nan():
    held = np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    found = factors(held, (1, 1), [[0], [1]], np.array([[2.0, 2.0, 0.0], [1.0, -1.0, 1.0]]))
    np.testing.assert_array_equal(found, [[np.nan, 2.0, 1.0], [1.0, np.nan, 1.0]])
