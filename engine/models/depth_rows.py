"""Which mapped depth interval each soil layer belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .protocol import Depth


def depth_rows(
    top: NDArray[np.float64], bottom: NDArray[np.float64], depths: Sequence[Depth]
) -> NDArray[np.int64]:
    """Return the position in `depths` of each layer, ``(n,)``.

    That is the interval that holds the layer's midpoint, its lower bound included (two intervals
    that meet share no layer), or the nearest one where none does.

    >>> depth_rows(np.array([0.0, 2.0, 90.0]), np.array([5.0, 20.0, 300.0]), ((0, 5), (5, 15)))
    array([0, 1, 1])
    """
    middle = (np.asarray(top, np.float64) + np.asarray(bottom, np.float64)) / 2
    above, below = np.array(depths, np.float64).T
    outside = np.maximum(above - middle[:, None], 0) + np.maximum(middle[:, None] - below, 0)
    # of intervals that meet at the midpoint the deeper one begins there
    ends_there = (middle[:, None] == below) & (above < below)
    return np.argmin(outside + np.where(ends_there, 1e-9, 0.0), axis=1).astype(np.int64)
