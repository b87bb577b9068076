"""The Miami model at values that can be worked out by hand, and its shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edaphos.kernels.productivity import MIAMI_MAXIMUM, miami_npp

HEAT, RAIN = st.floats(-60, 50), st.floats(0, 12000)


@pytest.mark.parametrize(
    ("mat", "map_", "expected"),
    [
        (1.315 / 0.119, 1e6, 1500),  # where the exponent is zero, half of the maximum
        (1e6, np.log(2) / 0.000664, 1500),
        (10, 1e6, 3000 / (1 + np.exp(0.125))),
        (1e6, 1000, 3000 * (1 - np.exp(-0.664))),
        (25, 0, 0),
    ],
)
def test_worked_by_hand(mat: float, map_: float, expected: float) -> None:
    assert miami_npp(mat, map_) == pytest.approx(expected)


@given(HEAT, RAIN)
def test_bounded_and_growing(mat: float, map_: float) -> None:
    npp = miami_npp(mat, map_)
    assert 0 <= npp < MIAMI_MAXIMUM
    assert miami_npp(mat + 1, map_) >= npp
    assert miami_npp(mat, map_ + 10) >= npp


def test_arrays_keep_type_and_gaps() -> None:
    mat = np.array([10, np.nan, 10], np.float32)
    map_ = np.array([800, 800, np.nan], np.float32)
    npp = miami_npp(mat, map_)
    assert npp.dtype == np.float32
    assert np.isnan(npp).tolist() == [False, True, True]
    assert miami_npp(np.float32(10), np.float32(-5)) == 0
