"""Clustering against SciPy's, distances against all pairs on the sphere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.stats import wasserstein_distance

from edaphos.kernels.knndm import (
    KEPT_NEIGHBOURS,
    Neighbourhood,
    cut,
    merge_into_folds,
    nearest_km,
    unit_vectors,
    ward,
    wasserstein,
)


def sphere(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def great_circles(lon, lat) -> np.ndarray:
    """All distances by another library, km."""
    ball = Geod(a=6371008.8, b=6371008.8)
    n = len(lon)
    one, other = (np.repeat(np.arange(n), n), np.tile(np.arange(n), n))
    return ball.inv(lon[one], lat[one], lon[other], lat[other])[2].reshape(n, n) / 1000


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two partitions are the same whatever their numbers."""
    pairs = np.unique(np.stack([one, other]), axis=1)
    return pairs.shape[1] == len(np.unique(one)) == len(np.unique(other))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(3, 80))
def test_clusters_are_those_of_scipy(seed, n):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    merged, added = ward(points, np.ones(n))
    theirs = linkage(points, "ward")
    np.testing.assert_allclose(np.sqrt(2 * added), theirs[:, 2], rtol=1e-9)
    numbers = np.unique(np.geomspace(1, n, 6).round().astype(int))[::-1]
    for number, clusters in zip(numbers, cut(merged, numbers), strict=True):
        assert same(clusters, cut_tree(theirs, number)[:, 0])


def test_a_point_for_many_counts_as_many():
    """Merging equal points beforehand changes no cluster above them."""
    rng = np.random.default_rng(2)
    points, copies = rng.normal(size=(30, 3)), rng.integers(1, 6, 30)
    many = np.repeat(points, copies, axis=0)
    _, one_by_one = ward(many, np.ones(len(many)))
    merged, added = ward(points, copies.astype(float))
    np.testing.assert_allclose(added, one_by_one[len(many) - 30 :], rtol=1e-9)
    few = cut(merged, np.array([4]))[0]
    assert same(np.repeat(few, copies), cut(ward(many, np.ones(len(many)))[0], np.array([4]))[0])


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_distances_are_great_circles_to_another_fold(seed, folds):
    n = 2 * KEPT_NEIGHBOURS + 20  # so that all neighbours kept may be of one fold
    lon, lat = sphere(seed, n)
    rng = np.random.default_rng(seed)
    of_fold = (lon > 0).astype(np.int64) if folds == 2 else rng.integers(0, folds, n)
    apart = great_circles(lon, lat)
    around = Neighbourhood(unit_vectors(lon, lat))
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_allclose(around.nearest_km(), apart.min(1), rtol=1e-6, atol=1e-3)
    apart[of_fold[:, None] == of_fold] = np.inf
    np.testing.assert_allclose(
        around.nearest_of_other_folds_km(of_fold), apart.min(1), rtol=1e-6, atol=1e-3
    )


def test_the_antimeridian_and_the_pole_are_no_edge():
    near = nearest_km(unit_vectors(np.array([179.9]), np.array([0.0])), unit_vectors(
        np.array([-179.9]), np.array([0.0])))  # fmt: skip
    assert near[0] == pytest.approx(0.2 * np.pi / 180 * 6371.0088, rel=1e-9)
    pole = nearest_km(unit_vectors(np.array([0.0]), np.array([89.9])), unit_vectors(
        np.array([180.0]), np.array([89.9])))  # fmt: skip
    assert pole[0] == pytest.approx(near[0], rel=1e-9)


@given(
    st.lists(st.floats(0, 1e4), min_size=1, max_size=30),
    st.lists(st.floats(0, 1e4), min_size=1, max_size=30),
)
def test_wasserstein_is_that_of_scipy(one, other):
    found = wasserstein(np.array(one), np.array(other))
    assert found == pytest.approx(wasserstein_distance(one, other), rel=1e-9, abs=1e-9)


def test_clusters_stay_whole_and_folds_are_even():
    points = unit_vectors(*sphere(5, 600))
    sizes = np.random.default_rng(1).integers(1, 5, 600).astype(float)
    clusters = cut(ward(points, sizes)[0], np.array([90]))[0]
    folds = merge_into_folds(points, clusters, sizes, 5)
    assert all(len(set(folds[clusters == c])) == 1 for c in range(90))
    held = np.bincount(folds, sizes)
    assert len(held) == 5
    assert held.max() < 1.5 * held.min()
