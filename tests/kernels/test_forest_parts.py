"""Parts of a forest against scikit-learn's own trees."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from edaphos.engine.models.forest_arrays import pack
from edaphos.kernels.forest import predict
from edaphos.kernels.forest_parts import group_means, join_trees, take_trees


def grown(trees: int = 12) -> tuple:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((300, 4)).astype(np.float32)
    y = x[:, 0] ** 2 + rng.standard_normal(300)
    model = RandomForestRegressor(trees, min_samples_leaf=3, random_state=1).fit(x, y)
    return model, pack(model, x, y), rng.standard_normal((80, 4)).astype(np.float32)


@pytest.mark.parametrize("span", [(0, 12), (0, 1), (3, 7), (11, 12)])
def test_part_predicts_what_its_trees_predict(span: tuple[int, int]) -> None:
    model, packed, new = grown()
    mean, quantiles = predict(take_trees(packed, *span), new, np.array([0.1, 0.5]))
    trees = model.estimators_[slice(*span)]
    np.testing.assert_allclose(mean, np.mean([t.predict(new) for t in trees], axis=0), rtol=1e-12)
    if span == (0, 12):
        np.testing.assert_array_equal(quantiles, predict(packed, new, np.array([0.1, 0.5]))[1])
    assert (quantiles[:, 0] <= quantiles[:, 1]).all()


def test_means_of_groups_are_those_of_their_trees() -> None:
    model, packed, new = grown()
    for groups in (1, 3, 12):
        found = group_means(packed, new, groups)
        trees = np.stack([t.predict(new) for t in model.estimators_]).reshape(groups, -1, len(new))
        np.testing.assert_allclose(found, trees.mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(
        group_means(packed, new[7:8], 3), group_means(packed, new, 3)[:, 7:8]
    )


def test_joined_forests_predict_as_they_did() -> None:
    _, packed, new = grown()
    pieces = [take_trees(packed, 0, 4), take_trees(packed, 8, 12), take_trees(packed, 4, 8)]
    found = group_means(join_trees(pieces), new, 3)
    for mean, piece in zip(found, pieces, strict=True):
        np.testing.assert_allclose(mean, predict(piece, new, np.empty(0))[0], rtol=1e-12)


def test_refuses_trees_that_are_not_there() -> None:
    _, packed, _ = grown(4)
    for span in ((0, 5), (2, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no trees"):
            take_trees(packed, *span)
    with pytest.raises(ValueError, match="do not divide"):
        group_means(packed, np.empty((0, 4), np.float32), 3)
