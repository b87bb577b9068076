"""Weights of a mean of predictions."""

import numpy as np
import pytest
from scipy.optimize import minimize

from edaphos.kernels.stack_weights import mean_weights


def noisy(seed: int, size: int = 3, n: int = 400):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    shared = rng.normal(size=(n, 1))
    scale = rng.uniform(0.3, 1.5, size)
    said = y[:, None] + 0.5 * shared + scale * rng.normal(size=(n, size))
    return said, y, rng.uniform(0.2, 2, n)


@pytest.mark.parametrize("to_equal", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_no_other_weights_are_better(seed: int, to_equal: float) -> None:
    """Against SciPy's constrained minimiser."""
    said, y, rows = noisy(seed, 4)
    least = np.average((said - y[:, None]) ** 2, axis=0, weights=rows).min()

    def loss(w: np.ndarray) -> float:
        square = np.average((said @ w - y) ** 2, weights=rows)
        return float(square + to_equal * least * ((w - 1 / 4) ** 2).sum())

    found = mean_weights(said, y, rows, to_equal=to_equal)
    assert np.isclose(found.sum(), 1)
    assert (found >= 0).all()
    peer = minimize(
        loss,
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    )
    assert loss(found) <= peer.fun + 1e-9
    np.testing.assert_allclose(found, peer.x, atol=1e-3)


def test_alike_predictions_weigh_alike_and_a_hopeless_one_nothing() -> None:
    said, y, _ = noisy(1, 2)
    bad = 50 * np.random.default_rng(9).normal(size=len(y))
    equal = said[:, :1] + 1e-3 * np.random.default_rng(8).normal(size=(len(y), 2))
    found = mean_weights(np.column_stack([equal, bad]), y)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.0], atol=0.01)


def test_predictions_that_are_the_same_have_weights_too() -> None:
    y = np.arange(5.0)
    np.testing.assert_allclose(mean_weights(np.stack([y + 1, y + 1], 1), y), [0.5, 0.5])
    np.testing.assert_allclose(mean_weights(np.stack([y, y], 1), y), [0.5, 0.5])
    exact = mean_weights([[1, 9], [2, 9.5], [3, 7]], [1, 2, 3])
    np.testing.assert_allclose(exact, [1.0, 0.0], atol=1e-6)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="found"):
        mean_weights(np.ones((3, 2)), np.ones(4))
