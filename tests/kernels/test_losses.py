"""Losses against scikit-learn's, and what missing targets do: nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, mean_pinball_loss, mean_squared_error

torch = pytest.importorskip("torch")

from edaphos.kernels.losses import (  # noqa: E402
    MeanAndQuantiles,
    Pinball,
    Reconstruction,
    weighted_mse,
)

LEVELS = (0.05, 0.5, 0.95)


def case(seed: int = 0, n: int = 40, k: int = 3, outputs: int = 1):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(n, k))
    weight = rng.uniform(0.2, 3, (n, k)) * (rng.random((n, k)) > 0.4)
    prediction = rng.normal(size=(n, k * outputs))
    return prediction, target, weight


def value(loss, prediction, target, weight) -> float:
    return float(loss(*(torch.from_numpy(a) for a in (prediction, target, weight))))


def test_squared_error_as_in_scikit_learn() -> None:
    prediction, target, weight = case()
    expected = mean_squared_error(target.ravel(), prediction.ravel(), sample_weight=weight.ravel())
    assert value(weighted_mse, prediction, target, weight) == pytest.approx(expected, rel=1e-12)


def test_pinball_as_in_scikit_learn() -> None:
    prediction, target, weight = case(outputs=len(LEVELS))
    by_level = prediction.reshape(*target.shape, len(LEVELS))
    expected = np.mean(
        [
            mean_pinball_loss(
                target.ravel(), by_level[..., i].ravel(), sample_weight=weight.ravel(), alpha=q
            )
            for i, q in enumerate(LEVELS)
        ]
    )
    found = value(Pinball(LEVELS), prediction, target, weight)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("loss", "outputs"), [(weighted_mse, 1), (Pinball(LEVELS), 3)])
@pytest.mark.parametrize("hole", [np.nan, np.inf, 1e30])
def test_what_is_missing_changes_neither_loss_nor_gradient(loss, outputs, hole) -> None:
    prediction, target, weight = case(outputs=outputs)

    def with_gradient(target):
        said = torch.from_numpy(prediction).requires_grad_()
        found = loss(said, torch.from_numpy(target), torch.from_numpy(weight))
        found.backward()
        return float(found), said.grad.numpy()

    plain, gradient = with_gradient(target)
    holed, same = with_gradient(np.where(weight > 0, target, hole))
    assert holed == plain
    assert np.array_equal(gradient, same)
    assert not gradient.reshape(*target.shape, outputs)[weight == 0].any()
    assert gradient.reshape(*target.shape, outputs)[weight > 0].all()


@pytest.mark.parametrize(("loss", "outputs"), [(weighted_mse, 1), (Pinball(LEVELS), 3)])
def test_a_batch_without_targets_teaches_nothing(loss, outputs) -> None:
    prediction, target, weight = case(outputs=outputs)
    said = torch.from_numpy(prediction).requires_grad_()
    found = loss(said, torch.from_numpy(target * np.nan), torch.from_numpy(weight * 0))
    found.backward()
    assert float(found) == 0
    assert not said.grad.any()


def test_a_mean_beside_quantiles_has_the_loss_of_both() -> None:
    prediction, target, weight = case(outputs=4)
    each = prediction.reshape(*target.shape, 4)
    mean, quantiles = each[..., 0], each[..., 1:].reshape(len(target), -1)
    expected = value(weighted_mse, mean, target, weight)
    expected += value(Pinball(LEVELS), quantiles, target, weight)
    found = value(MeanAndQuantiles(LEVELS), prediction, target, weight)
    assert found == pytest.approx(expected, rel=1e-12)


def test_levels_of_quantiles_are_checked() -> None:
    for levels in ((), (0.5, 1.0), (0.0,)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            Pinball(levels)


def test_reconstruction_is_squared_errors_and_shares_of_the_cross_entropy_of_equal_odds() -> None:
    rng = np.random.default_rng(2)
    said, weight = rng.normal(size=(30, 5)), rng.integers(0, 2, (30, 3)).astype(float)
    target = np.stack([rng.normal(size=30), rng.integers(0, 3, 30), rng.normal(size=30)], 1)
    odds = np.exp(said[:, 1:4]) / np.exp(said[:, 1:4]).sum(1, keepdims=True)
    seen = weight[:, 1] > 0
    classes = log_loss(target[seen, 1], odds[seen], labels=[0, 1, 2]) / np.log(3)
    amounts = (said[:, [0, 4]] - target[:, [0, 2]]) ** 2 * weight[:, [0, 2]]
    expected = (amounts.sum() + classes * seen.sum()) / weight.sum()
    found = value(Reconstruction((1, 3, 1)), said, target, weight)
    assert found == pytest.approx(expected, rel=1e-12)
    nothing = Reconstruction((3,))(torch.zeros(4, 3), torch.zeros(4, 1), torch.ones(4, 1))
    assert float(nothing) == pytest.approx(1.0)


def test_what_was_not_hidden_does_not_count_in_a_reconstruction() -> None:
    said = torch.randn(6, 4, requires_grad=True)
    target, weight = torch.full((6, 2), torch.nan), torch.zeros(6, 2)
    target[0] = torch.tensor([2.0, 0.5])
    weight[0, 1] = 1.0
    Reconstruction((3, 1))(said, target, weight).backward()
    assert torch.isfinite(said.grad).all()
    assert said.grad[0, 3] != 0
    assert said.grad.count_nonzero() == 1
