"""Parts of a forest against scikit-learn's own trees."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from edaphos.engine.models.forest_arrays import pack
from edaphos.kernels.forest import predict
from edaphos.kernels.forest_parts import split_trees, take_trees


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


def test_parts_average_to_the_whole() -> None:
    _, packed, new = grown()
    means = [predict(part, new, np.empty(0))[0] for part in split_trees(packed, 4)]
    np.testing.assert_allclose(np.mean(means, axis=0), predict(packed, new, np.empty(0))[0])


def test_refuses_trees_that_are_not_there() -> None:
    _, packed, _ = grown(4)
    for span in ((0, 5), (2, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no trees"):
            take_trees(packed, *span)
    with pytest.raises(ValueError, match="parts"):
        split_trees(packed, 5)
