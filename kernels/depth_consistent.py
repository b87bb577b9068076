"""Layers of a profile scaled so that they integrate to given stocks of thicker layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]


def segments(depths: Sequence[Interval], bottoms: Sequence[float]) -> list[list[int]]:
    """Return which layers make up 0 to the first bottom, the first to the second, and so on.

    Parameters
    ----------
    depths
        Layers from the surface down, cm.
    bottoms
        Lower ends of what layers are to integrate to, ascending, cm.

    Raises
    ------
    ValueError
        The layers do not make one of them up without a gap.

    Examples
    --------
    >>> segments(((0, 5), (5, 30), (30, 100), (100, 200)), (30, 100))
    [[0, 1], [2]]
    """
    found, top = [], 0.0
    for bottom in bottoms:
        inside = [i for i, (a, b) in enumerate(depths) if a >= top and b <= bottom]
        starts = [depths[i][0] for i in inside]
        ends = [depths[i][1] for i in inside]
        if not inside or [*starts, bottom] != [top, *ends]:
            raise ValueError(f"no layers make up {top:g} to {bottom:g} cm")
        found.append(inside)
        top = float(bottom)
    return found


def factors(
    layers: Floats, weights: Sequence[float], parts: Sequence[Sequence[int]], wanted: Floats
) -> Floats:
    """Return what each layer is to be multiplied by.

    One factor for all layers of a segment: the shape within it stays, its sum becomes what is
    wanted. Of all changes that do so this one moves the layers least in relative entropy
    (Deming & Stephan 1940, *Ann. Math. Stat.* 11, 427-444, for one margin).

    Parameters
    ----------
    layers
        Stock, or content, of each layer, not below 0, ``(layers, n)``.
    weights
        1 for each layer of stocks; its thickness for contents.
    parts
        Layers of each segment, as :func:`segments` gives them.
    wanted
        Weighted sum of each segment, ``(segments, n)``.

    Returns
    -------
    numpy.ndarray
        ``(layers, n)``; 1 for layers of no segment; NaN where something is wanted of layers that
        hold nothing, or less than nothing is wanted.
    """
    out = np.ones_like(layers)
    w = np.asarray(weights, np.float64)[:, None]
    for part, goal in zip(parts, wanted, strict=True):
        rows = list(part)
        held = (layers[rows] * w[rows]).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(held > 0, goal / held, np.where(goal == 0, 1.0, np.nan))
        out[rows] = np.where(goal >= 0, factor, np.nan)
    return out
