"""Folds inside a training set: whole places, in whole spatial blocks where there are enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..assess.block_ids import block_ids
from ..errors import InputError
from .site_years import SiteYears

#: Sides of spatial blocks that are tried, degrees, and the blocks there should be in a fold.
SIDES, BLOCKS_IN_FOLD = (5.0, 2.0, 1.0, 0.5), 4


def place_groups(data: SiteYears, folds: int) -> NDArray[np.int64]:
    """Return a number for the group of each site that stays together, ``(S,)``.

    Spatial blocks, the largest of which every fold gets :data:`BLOCKS_IN_FOLD`; else places: sites
    with the same coordinates.
    """
    for side in SIDES:
        blocks = np.unique(block_ids(data.lon, data.lat, side), return_inverse=True)[1]
        if blocks.max(initial=-1) + 1 >= BLOCKS_IN_FOLD * folds:
            return np.asarray(blocks, np.int64)
    places = np.unique(np.stack([data.lon, data.lat], axis=1), axis=0, return_inverse=True)[1]
    return np.asarray(places, np.int64).reshape(-1)


def inner_folds(
    data: SiteYears, folds: int = 5, seed: int = 0
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return positions of sites to learn from and of sites held out, for each fold.

    Groups of sites (see :func:`place_groups`) go one by one, in a random order, to the fold that
    holds fewest sites.

    Raises
    ------
    InputError
        If all sites are at one place.
    """
    groups = place_groups(data, folds)
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        raise InputError(
            f"inner folds need sites at two places or more, found {len(groups)} sites at one"
        )
    count = min(folds, len(sizes))
    held, fold = np.zeros(count, np.int64), np.empty(len(sizes), np.int64)
    for group in np.random.default_rng([seed, 0xF01D]).permutation(len(sizes)):
        fold[group] = np.argmin(held)
        held[fold[group]] += sizes[group]
    of_site = fold[groups]
    return [(np.flatnonzero(of_site != k), np.flatnonzero(of_site == k)) for k in range(count)]
