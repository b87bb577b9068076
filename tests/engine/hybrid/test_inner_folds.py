"""Inner folds keep places and blocks together and use every site once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.assess.block_ids import block_ids
from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.inner_folds import inner_folds, place_groups

from .worlds import site_years


def test_each_site_is_held_out_once_and_never_beside_its_own_block() -> None:
    data = site_years(300)
    folds = inner_folds(data, 5, seed=3)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(300))
    block = block_ids(data.lon, data.lat, 2.0)
    for seen, held in folds:
        assert set(seen).isdisjoint(held)
        assert set(block[seen]).isdisjoint(block[held])
        assert 0.1 < len(held) / 300 < 0.3
    again = inner_folds(data, 5, seed=3)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))
    assert any(
        not np.array_equal(a[1], b[1])
        for a, b in zip(folds, inner_folds(data, 5, seed=4), strict=True)
    )


def test_sites_at_one_place_stay_together_where_blocks_are_few() -> None:
    data = site_years(12)
    where = np.arange(12) // 2
    data = replace(data, lon=10 + 0.01 * where, lat=50 + 0.01 * where)
    groups = place_groups(data, 5)
    assert len(np.unique(groups)) == 6
    for _, held in inner_folds(data, 3):
        assert set(where[held] * 2) <= set(held - held % 2)
        assert all(len(np.flatnonzero(where[held] == w)) == 2 for w in where[held])


def test_one_place_alone_cannot_be_split() -> None:
    data = site_years(5)
    with pytest.raises(InputError, match="two places"):
        inner_folds(replace(data, lon=np.full(5, 1.0), lat=np.full(5, 2.0)))
