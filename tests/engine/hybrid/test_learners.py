"""The forest as a learner: both meanings of weight are what they are said to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.learners import ForestLearner, Learner

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(160, 4)).astype(np.float32)
    y = rows[:, 0] ** 2 + rows[:, 1] + 0.2 * rng.normal(size=160)
    return rows, y, rng.choice([0.1, 0.7, 2.0], 160)


def test_drawing_by_weight_is_scikit_learns_forest_to_the_last_bits(data: Data) -> None:
    rows, y, weight = data
    ours = ForestLearner(trees=20, seed=7).fit(rows, y, weight)
    theirs = RandomForestRegressor(20, max_features="sqrt", random_state=7)
    theirs.fit(rows, y, sample_weight=weight)
    np.testing.assert_allclose(ours.predict(rows), theirs.predict(rows), rtol=1e-12)


def test_weights_in_impurity_are_those_of_trees_made_by_hand(data: Data) -> None:
    rows, y, weight = data
    ours = ForestLearner(trees=12, weight_mode="impurity", seed=5).fit(rows, y, weight)
    stream, hand = np.random.RandomState(5), []
    for _ in range(12):
        seed = stream.randint(2**31 - 1)
        drawn = np.random.RandomState(seed).randint(0, 160, 160)
        # A row drawn k times stands k times with its weight: no counts, no products.
        tree = DecisionTreeRegressor(max_features="sqrt", random_state=seed, min_samples_leaf=1)
        counts = np.array([(drawn == i).sum() for i in range(160)])
        hand.append(tree.fit(rows, y, sample_weight=counts * weight).predict(rows))
    np.testing.assert_allclose(ours.predict(rows), np.mean(hand, axis=0), rtol=1e-12)
    drawn_by_weight = ForestLearner(trees=12, seed=5).fit(rows, y, weight)
    assert not np.allclose(ours.predict(rows), drawn_by_weight.predict(rows))


def test_leaves_average_by_weight_only_where_weights_enter_impurity() -> None:
    """Two rows that no split can part, one with nine times the weight of the other."""
    rows = np.zeros((2, 1), np.float32)
    y, weight = np.array([0.0, 1.0]), np.array([1.0, 9.0])
    point = rows[:1]
    impurity = ForestLearner(trees=1000, weight_mode="impurity").fit(rows, y, weight)
    draw = ForestLearner(trees=1000).fit(rows, y, weight)
    # Bootstrap of two rows: both alike (1/4 each), or one of each: mean 0.9 with weight 9 to 1.
    assert impurity.predict(point)[0] == pytest.approx(0.25 + 0.5 * 0.9, abs=0.02)
    assert draw.predict(point)[0] == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("mode", ["draw", "impurity"])
def test_equal_weights_are_no_weights_and_size_does_not_matter(data: Data, mode: str) -> None:
    rows, y, weight = data
    learner = ForestLearner(trees=8, weight_mode=mode)  # type: ignore[arg-type]
    plain = RandomForestRegressor(8, max_features="sqrt", random_state=0).fit(rows, y)
    same = learner.fit(rows, y, np.full(160, 0.3)).predict(rows)
    np.testing.assert_allclose(same, plain.predict(rows), rtol=1e-12)
    small = learner.fit(rows, y, weight).predict(rows)
    large = learner.fit(rows, y, 8 * weight).predict(rows)
    np.testing.assert_allclose(large, small, rtol=1e-9)


@pytest.mark.parametrize("mode", ["draw", "impurity"])
def test_rows_of_no_weight_are_as_absent(data: Data, mode: str) -> None:
    rows, y, weight = data
    weight = np.where(np.arange(160) % 3 == 0, 0.0, weight)
    wild = np.where(weight == 0, 1e6, y)
    learner = ForestLearner(trees=15, weight_mode=mode)  # type: ignore[arg-type]
    mean, quantiles = learner.fit(rows, wild, weight).quantiles(rows, (0.0, 1.0))
    assert mean.max() <= y.max()
    assert quantiles.max() <= y.max()


def test_a_forest_comes_back_from_its_files(data: Data, tmp_path: Path) -> None:
    rows, y, weight = data
    learner = ForestLearner(trees=5, weight_mode="impurity", min_samples_leaf=3).fit(
        rows, y, weight
    )
    learner.save(tmp_path)
    again = ForestLearner.load(tmp_path)
    assert again == learner
    np.testing.assert_array_equal(again.predict(rows), learner.predict(rows))
    described = learner.to_json()
    assert described["settings"]["weight_mode"] == "impurity"
    assert described["scikit_learn"].split(".")[0].isdigit()
    assert ForestLearner.from_json(described) == learner


def test_scikit_learns_regressors_are_learners() -> None:
    assert isinstance(Ridge(), Learner)
    assert isinstance(ForestLearner(), Learner)


def test_wrong_settings_and_weights_are_refused(data: Data) -> None:
    rows, y, weight = data
    with pytest.raises(InputError, match="weight_mode"):
        ForestLearner(weight_mode="both")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not fitted"):
        ForestLearner().predict(rows)
    with pytest.raises(InputError, match="at least 20 rows"):
        ForestLearner(min_samples_leaf=10).fit(rows[:12], y[:12], weight[:12])
    with pytest.raises(InputError, match="not all zero"):
        ForestLearner().fit(rows, y, np.zeros(160))
    with pytest.raises(InputError, match="missing"):
        ForestLearner.load(Path("nowhere"))
