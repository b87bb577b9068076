"""Layers of a profile that overlap, made into layers that do not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .depth import Floats, Offsets
from .jit import kernel

#: Decimals of a centimetre to which depths are taken: finer differences are no layers.
DECIMALS = 2


class Separate(NamedTuple):
    """Layers that do not overlap, as flat arrays.

    Parameters
    ----------
    top, bottom, value
        Of layers, ``(n,)``.
    offsets
        Where profiles begin, ``(profiles + 1,)``.
    overlapping
        Which profiles had layers that overlap, ``(profiles,)``.
    """

    top: Floats
    bottom: Floats
    value: Floats
    offsets: Offsets
    overlapping: NDArray[np.bool_]


def separate(top: Floats, bottom: Floats, value: Floats, offsets: Offsets) -> Separate:
    """Cut overlapping layers where others begin and end, and average what then coincides.

    Depths are rounded to :data:`DECIMALS` decimals of a centimetre; layers without thickness are
    left out. Profiles whose layers do not overlap keep them as they are.

    Parameters
    ----------
    top, bottom, value
        Of layers, ``(n,)`` cm and finite, ascending by top within each profile.
    offsets
        Where profiles begin, ``(profiles + 1,)``.
    """
    top, bottom = np.round(top, DECIMALS), np.round(bottom, DECIMALS)
    new_top, new_bottom, new_value = np.empty((3, 2 * len(top)))
    found, overlapping = np.zeros(len(offsets), np.int64), np.zeros(len(offsets) - 1, np.bool_)
    _separate(top, bottom, value, offsets, new_top, new_bottom, new_value, found, overlapping)
    n = found[-1]
    return Separate(new_top[:n], new_bottom[:n], new_value[:n], found, overlapping)


@kernel()
def _separate(
    top: Floats,
    bottom: Floats,
    value: Floats,
    offsets: Offsets,
    new_top: Floats,
    new_bottom: Floats,
    new_value: Floats,
    found: Offsets,
    overlapping: NDArray[np.bool_],
) -> None:
    n = 0
    for p in range(len(offsets) - 1):
        a, z = offsets[p], offsets[p + 1]
        deepest = -np.inf
        for i in range(a, z):
            if top[i] < deepest and bottom[i] > top[i]:
                overlapping[p] = True
            deepest = max(deepest, bottom[i])
        if not overlapping[p]:
            for i in range(a, z):
                if bottom[i] > top[i]:
                    new_top[n], new_bottom[n], new_value[n] = top[i], bottom[i], value[i]
                    n += 1
        else:
            edges = np.unique(np.concatenate((top[a:z], bottom[a:z])))
            for k in range(len(edges) - 1):
                total, count = 0.0, 0
                for i in range(a, z):
                    if top[i] <= edges[k] and bottom[i] >= edges[k + 1]:
                        total += value[i]
                        count += 1
                if count > 0:
                    new_top[n], new_bottom[n] = edges[k], edges[k + 1]
                    new_value[n] = total / count
                    n += 1
        found[p + 1] = n
