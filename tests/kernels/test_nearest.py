"""The tree against all distances, in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edaphos.kernels.nearest import LEAF, PACKET, build_tree, nearest


def brute(points, codes, penalties, amounts, classes, extra):
    """All squared distances in float64."""
    gaps = amounts.T[:, None].astype(np.float64) - points[None]
    apart = (classes.T[:, None] != codes[None]) * np.asarray(penalties, np.float64)
    return np.sqrt(((gaps**2).sum(-1) + apart.sum(-1)).min(axis=1) + extra)


def made(seed: int, n: int, rows: int, amounts: int, classes: int):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, amounts)).astype(np.float32).round(int(rng.integers(0, 3)))
    codes = rng.integers(0, 90, (n, classes)).astype(np.int32)
    near = points[rng.integers(0, n, rows)].T + rng.normal(0, rng.choice([0, 0.1, 3]), rows)
    kinds = codes[rng.integers(0, n, rows)].T.copy()
    kinds[:, rng.random(rows) < 0.2] = 200  # a class of no point
    extra = rng.choice([0, 0, 0.5], rows).astype(np.float32)
    return points, codes, rng.gamma(1.0, 1.0, classes), near.astype(np.float32), kinds, extra


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, LEAF, LEAF + 1, 100, 1000]),
    st.sampled_from([1, PACKET - 1, PACKET, 3 * PACKET + 5]),
    st.integers(0, 6),
    st.integers(0, 3),
)
def test_the_nearest_is_as_near_as_all_distances_say(seed, n, rows, amounts, classes):
    amounts = max(amounts, 1 - classes)  # of no columns there is nothing to tell
    points, codes, penalties, near, kinds, extra = made(seed, n, rows, amounts, classes)
    tree = build_tree(points, codes, penalties)
    expected = brute(points, codes, penalties, near, kinds, extra)
    np.testing.assert_allclose(nearest(tree, near, kinds, extra), expected, rtol=2e-6, atol=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_bit_depends_on_the_order_of_rows_or_points(seed):
    points, codes, penalties, near, kinds, extra = made(seed, 700, 400, 4, 2)
    found = nearest(build_tree(points, codes, penalties), near, kinds, extra)
    rng = np.random.default_rng(seed)
    rows, order = rng.permutation(400), rng.permutation(700)
    again = nearest(
        build_tree(points[order], codes[order], penalties), near[:, rows], kinds[:, rows],
        extra[rows],
    )  # fmt: skip
    np.testing.assert_array_equal(again, found[rows])
    one = [
        nearest(build_tree(points, codes, penalties), near[:, i : i + 1], kinds[:, i : i + 1],
                extra[i : i + 1])[0]
        for i in range(20)
    ]  # fmt: skip
    np.testing.assert_array_equal(one, found[:20])


def test_a_point_is_its_own_nearest_and_no_points_are_refused():
    points, codes, penalties, *_ = made(1, 500, 1, 3, 1)
    tree = build_tree(points, codes, penalties)
    assert (nearest(tree, points.T, codes.T) == 0).all()
    with pytest.raises(ValueError, match="no points"):
        build_tree(points[:0], codes[:0], penalties)


def test_amounts_are_found_as_scipy_finds_them():
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(3)
    points, rows = (rng.normal(size=(n, 9)).astype(np.float32) for n in (4000, 3000))
    none = np.empty((4000, 0), np.int32)
    found = nearest(build_tree(points, none, ()), rows.T, np.empty((0, 3000), np.int32))
    np.testing.assert_allclose(found, cKDTree(points).query(rows)[0], rtol=2e-6)
