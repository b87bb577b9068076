"""Groups of rows that share a patch: every row once, none mixed, none too many."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edaphos.engine.conv.learning_rows import by_depth, by_patch

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=60)


@given(ROWS, st.integers(1, 5))
def test_groups_hold_every_row_once_and_one_patch_each(rows, most):
    patch = np.array(rows)[:, 0]
    groups = by_patch(patch, most)
    assert sorted(groups[groups >= 0]) == list(range(len(rows)))
    for group in groups:
        mine = group[group >= 0]
        assert len(set(patch[mine])) == 1
        assert (group[: len(mine)] >= 0).all()  # none missing before the last
    sizes = np.bincount(patch)
    assert len(groups) == (-(-sizes // most)).sum()  # as few as there can be


@given(ROWS)
def test_groups_by_depth_have_each_depth_at_its_place(rows):
    patch, depth = np.array(rows).T
    groups = by_depth(patch, depth, 4)
    assert sorted(groups[groups >= 0]) == list(range(len(rows)))
    for group in groups:
        there = np.flatnonzero(group >= 0)
        assert (depth[group[there]] == there).all()
        assert len(set(patch[group[there]])) == 1
    most = max(
        np.bincount(depth[patch == p], minlength=4).max() if (patch == p).any() else 0
        for p in range(7)
    )
    assert len(groups) <= len(set(patch)) * most
