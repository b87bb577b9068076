"""What training patches hold: moments, extremes and gaps of amounts, the codes of classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.channels import moments

from ..errors import InputError
from .patches import PatchStore

#: Bytes of patches read at once.
_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Seen:
    """What the cells of one plane hold in some patches.

    Parameters
    ----------
    count, missing
        Cells with a value, and without.
    mean, deviation
        Arithmetic mean and population standard deviation; NaN without a value.
    low, high
        The extremes; inf and -inf without a value.
    codes
        The codes of a class, ascending; empty for an amount.
    """

    count: int
    missing: int
    mean: float
    deviation: float
    low: float
    high: float
    codes: tuple[int, ...]


def raw_patches(
    store: PatchStore, patches: NDArray[np.int64], planes: NDArray[np.int64], size: int
) -> NDArray[np.float32]:
    """Return the middle of stored patches in some planes, ``(n, planes, size, size)``."""
    margin = (store.size - size) // 2
    if margin < 0 or size < 1 or size % 2 == 0:
        raise InputError(
            f"{store.folder}: the patches are {store.size} cells wide, {size} were asked for; give "
            "an odd number that is not larger"
        )
    middle = slice(margin, margin + size)
    values = store.values[patches[:, None], planes[None, :], middle, middle]
    return np.asarray(values)


def seen_in(
    store: PatchStore, patches: NDArray[np.int64], planes: NDArray[np.int64], size: int
) -> list[Seen]:
    """Return what each plane holds in these patches, read in pieces from the disk.

    Raises
    ------
    InputError
        There are no patches.
    """
    if patches.size == 0:
        raise InputError("no training patches: there is nothing to learn the scaling from")
    sums = np.tile(np.array([0.0, 0.0, 0.0, np.inf, -np.inf]), (planes.size, 1))
    origins = np.full(planes.size, np.nan)
    codes: list[NDArray[np.float32]] = [np.empty(0, np.float32) for _ in planes]
    cells = 0
    for piece in _pieces(store, patches, planes, size):
        cells += piece.shape[0] * piece.shape[2]
        for k, position in enumerate(planes):
            values = piece[:, k]
            if store.kinds[position] == "class":
                codes[k] = np.union1d(codes[k], values[~np.isnan(values)])
            if np.isnan(origins[k]) and not np.isnan(values).all():
                origins[k] = np.nanmean(values, dtype=np.float64)
            if not np.isnan(origins[k]):
                moments(values, origins[k], sums[k])
    return [
        _seen(row, origin, cells, found)
        for row, origin, found in zip(sums, origins, codes, strict=True)
    ]


def _pieces(
    store: PatchStore, patches: NDArray[np.int64], planes: NDArray[np.int64], size: int
) -> Iterator[NDArray[np.float32]]:
    """Yield ``(patches, planes, cells)``."""
    step = max(1, _BYTES // (4 * planes.size * size**2))
    for start in range(0, patches.size, step):
        some = patches[start : start + step]
        yield raw_patches(store, some, planes, size).reshape(some.size, planes.size, size**2)


def _seen(sums: NDArray[np.float64], origin: float, cells: int, codes: NDArray[np.float32]) -> Seen:
    count, total, squares, low, high = (float(value) for value in sums)
    away = total / count if count else math.nan
    variance = squares / count - away**2 if count else math.nan
    deviation = math.sqrt(max(variance, 0.0)) if count else math.nan
    whole = tuple(int(code) for code in codes)
    return Seen(int(count), cells - int(count), origin + away, deviation, low, high, whole)
