"""Dissimilarity worked out by hand, and against every pair in plain NumPy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

from edaphos.kernels.applicability import (
    CovariateSpace,
    distances,
    distances_to_other_folds,
    mean_distance,
    plant,
    threshold_of,
)

NAN = np.nan


def f32(values) -> np.ndarray:
    return np.array(values, np.float32)


def test_two_covariates_by_hand():
    """Means 2 and 30, standard deviations sqrt(2) and sqrt(200), the second of no importance."""
    places = f32([[0, 20], [2, 50], [2, 30], [4, 20]])
    space = CovariateSpace.of(places, (1.0, -3.0))
    assert space.amounts == (0,)
    sd = 2**0.5
    # pairs of 0, 2, 2, 4: apart by 2, 2, 4, 0, 2, 2
    assert mean_distance(space, places) == pytest.approx(2 / sd)
    found = distances(space, plant(space, places), f32([[1, 7, -2], [0, 0, 0]]))
    np.testing.assert_allclose(found, [1 / sd, 3 / sd, 2 / sd], rtol=1e-6)
    between = distances_to_other_folds(space, places, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(between, [2 / sd, 0, 0, 2 / sd], atol=1e-7)


def test_the_threshold_is_a_whisker_or_the_largest():
    # Quartiles of 1..5 are 2 and 4: 4 + 1.5 * 2 is above all
    assert threshold_of(np.arange(1.0, 6.0)) == 5
    # of 1, 1, 2, 2, 10: 1 and 2, so 3.5
    assert threshold_of(np.array([1.0, 1, 2, 2, 10])) == 3.5


def test_importance_weighs_and_its_scale_does_not_matter():
    rng = np.random.default_rng(1)
    places, cells = f32(rng.normal(5, 3, (200, 4))), f32(rng.normal(5, 3, (4, 50)))
    weights = np.array([0.5, 0.0, 2.0, 1.0])
    index = []
    for factor in (1.0, 7.0):
        space = CovariateSpace.of(places, factor * weights)
        index.append(distances(space, plant(space, places), cells) / mean_distance(space, places))
    np.testing.assert_allclose(index[0], index[1], rtol=1e-5)
    z = (places - places.mean(0)) / places.std(0) * weights
    own = (cells.T - places.mean(0)) / places.std(0) * weights
    np.testing.assert_allclose(index[0], cdist(own, z).min(1) / pdist(z).mean(), rtol=1e-4)


def test_a_class_weighs_as_an_amount_whatever_the_number_of_classes():
    rng = np.random.default_rng(2)
    for classes in (2, 5, 30):
        places = f32(rng.integers(0, classes, (400, 1)) * 10)
        space = CovariateSpace.of(places, (1.5,), classes=(0,))
        (apart,) = space.penalties
        pairs = pdist(places) > 0
        assert np.mean(pairs * apart) == pytest.approx(2 * 1.5**2, rel=0.01)
        found = distances(space, plant(space, places), f32([[0, 10, 15, -10]]))
        np.testing.assert_allclose(found, [0, 0, apart**0.5, apart**0.5], rtol=1e-6)


def test_missing_is_no_average_value():
    rng = np.random.default_rng(3)
    places = f32(rng.normal(3, 2, (500, 1)))
    gapped = places.copy()
    gapped[:100] = NAN
    space = CovariateSpace.of(gapped, (2.0,))
    tree = plant(space, gapped)
    # alike to other gaps; to places that all know it, as far as an average pair
    assert distances(space, tree, f32([[NAN]]))[0] == 0
    known = plant(space, gapped[100:])
    assert distances(space, known, f32([[NAN]]))[0] >= 2
    z = (gapped[100:].astype(float) - space.mean[0]) * space.scale[0]
    assert np.mean(z**2 + 2.0**2) == pytest.approx(2 * 2.0**2)
    # nor where training knew no gap
    whole = CovariateSpace.of(places, (2.0,))
    assert not whole.gaps
    assert distances(whole, plant(whole, places), f32([[NAN]]))[0] >= 2


def test_a_missing_class_is_a_class():
    places = f32([[1], [2], [NAN], [2]])
    space = CovariateSpace.of(places, (1.0,), classes=(0,))
    tree = plant(space, places)
    np.testing.assert_array_equal(distances(space, tree, f32([[NAN, 2, 3]])) == 0, [1, 1, 0])
    again = CovariateSpace.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False)))
    np.testing.assert_array_equal(again.legends, space.legends)


def test_what_never_varies_does_not_count():
    places = f32([[1, 0, 7], [1, 2, 7], [1, 3, 7]])
    space = CovariateSpace.of(places, (1.0, 1.0, 1.0), classes=(2,))
    assert (space.amounts, space.classes) == ((1,), ())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_training_places_are_compared_between_folds_alone(seed, folds):
    rng = np.random.default_rng(seed)
    places = f32(rng.normal(size=(80, 3)))
    of_fold = np.concatenate([np.arange(folds), rng.integers(0, folds, 80 - folds)])
    space = CovariateSpace.of(places, (1.0, 0.3, 2.0))
    z = (places - places.mean(0, dtype=float)) * space.scale
    apart = cdist(z, z)
    apart[of_fold[:, None] == of_fold] = np.inf
    found = distances_to_other_folds(space, places, of_fold)
    np.testing.assert_allclose(found, apart.min(1), rtol=1e-5)
    assert mean_distance(space, places) == pytest.approx(pdist(z).mean(), rel=1e-6)


def test_of_many_places_some_tell_the_mean(monkeypatch):
    places = f32(np.random.default_rng(4).normal(size=(3000, 5)))
    space = CovariateSpace.of(places, (1.0,) * 5)
    exact = mean_distance(space, places)
    monkeypatch.setattr("edaphos.kernels.applicability.MOST_PLACES", 1000)
    drawn = mean_distance(space, places)
    assert drawn != exact
    assert drawn == pytest.approx(exact, rel=0.02)
