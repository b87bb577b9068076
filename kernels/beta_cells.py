"""Stocks of layers from uncertain topsoil stock and uncertain beta, for many cells at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .beta import layer_stock

#: Cells whose combinations are held at once.
_CHUNK = 4096

Floats = NDArray[np.float64]


def layer_stocks(
    top_mean: Floats,
    top: Floats,
    beta: Floats,
    ref_bottom_cm: float,
    depths: Sequence[tuple[float, float]],
    quantiles: Sequence[float],
) -> tuple[Floats, Floats]:
    """Return mean and quantiles of the stock of each layer of each cell.

    Topsoil stock and beta are taken as independent: every value of one meets every value of the
    other, all alike likely. The mean is the mean of the topsoil times the mean share, so that the
    means of layers that touch add up to that of the whole.

    Parameters
    ----------
    top_mean
        Mean of the stock of 0 to `ref_bottom_cm`, ``(n,)``.
    top, beta
        Values of equal probability of that stock, ``(n, j)``, and of beta, ``(n, k)``: quantiles
        at the middles of j, or k, equal classes.
    ref_bottom_cm
        Lower end of the layer whose stock is known, cm.
    depths
        Upper and lower end of each layer, cm.
    quantiles
        Levels wanted.

    Returns
    -------
    mean, quantile
        Shapes ``(layers, n)`` and ``(levels, layers, n)``, in units of `top_mean`.
    """
    shares = np.stack([layer_stock(1.0, ref_bottom_cm, beta, a, b) for a, b in depths])
    mean = top_mean * shares.mean(axis=2)
    found = np.empty((len(quantiles), len(depths), len(top_mean)))
    for first in range(0, len(top_mean), _CHUNK):
        part = slice(first, first + _CHUNK)
        for d in range(len(depths)):
            both = top[part, :, None] * shares[d, part, None, :]
            found[:, d, part] = _quantiles(both.reshape(len(both), -1), quantiles)
    return mean, found


def _quantiles(values: Floats, levels: Sequence[float]) -> Floats:
    """Return quantiles of rows, each value standing for the middle of its class."""
    ordered = np.sort(values, axis=1)
    count = ordered.shape[1]
    out = np.empty((len(levels), len(ordered)))
    for i, level in enumerate(levels):
        at = min(max(level * count - 0.5, 0.0), count - 1.0)
        low = int(at)
        high = min(low + 1, count - 1)
        out[i] = ordered[:, low] + (at - low) * (ordered[:, high] - ordered[:, low])
    return out
