"""Losses of nets: means over the targets that are there, each by its weight.

``prediction``, ``target`` and ``weight`` are float tensors ``(n, k)``; a weight of 0 marks a
target that is missing, whose value may be anything, NaN included, and which has no influence on
the loss or on its gradient. A batch without any target has the loss 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Tensor = Any
#: A mean over a batch, weighted by the last argument.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def _mean(errors: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum()
    # where nothing is there the numerator is 0, and so is the gradient
    return (errors * weight).sum() / torch.where(total > 0, total, torch.ones_like(total))


def _difference(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Target minus prediction, 0 where the target is missing: NaN times 0 would be NaN."""
    return torch.where(weight > 0, target - prediction, torch.zeros_like(prediction))


def weighted_mse(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of squared errors."""
    return _mean(_difference(prediction, target, weight) ** 2, weight)


@dataclass(frozen=True)
class Pinball:
    """The quantile loss: ``max(q e, (q - 1) e)`` of the error ``e``, target minus prediction.

    Its minimum is the quantile at the level ``q`` (Koenker and Bassett 1978, Econometrica 46,
    33-50). The mean over levels is taken.

    Parameters
    ----------
    levels
        Between 0 and 1. The net gives the quantiles of each target side by side: ``prediction``
        is ``(n, k * len(levels))`` for a target of ``(n, k)``.
    """

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.levels or not all(0 < q < 1 for q in self.levels):
            raise ValueError(f"levels of quantiles must lie between 0 and 1, found {self.levels}")

    def __call__(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean over targets and levels."""
        n, k = target.shape
        given = prediction.reshape(n, k, len(self.levels))
        there = weight[:, :, None].expand_as(given)
        e = _difference(given, target[:, :, None].expand_as(given), there)
        q = torch.tensor(self.levels, dtype=given.dtype, device=given.device)
        return _mean(torch.maximum(q * e, (q - 1) * e), there)


@dataclass(frozen=True)
class MeanAndQuantiles:
    """Squared error of a mean, plus the quantile loss of quantiles beside it.

    Both are means over the targets, the second also over levels. The net gives, for each target,
    the mean and then the quantiles: ``prediction`` is ``(n, k * (1 + len(levels)))``.

    Parameters
    ----------
    levels
        As for :class:`Pinball`.
    """

    levels: tuple[float, ...]

    def __call__(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the sum of both losses."""
        n, k = target.shape
        given = prediction.reshape(n, k, 1 + len(self.levels))
        of_mean = weighted_mse(given[:, :, 0], target, weight)
        return of_mean + Pinball(self.levels)(given[:, :, 1:].reshape(n, -1), target, weight)


def gaussian(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of negative log likelihoods of normals, less a constant.

    Parameters
    ----------
    prediction
        For each target its mean and the logarithm of its variance, ``(n, 2 k)``; the logarithm is
        kept within -7 to 7.
    """
    n, k = target.shape
    given = prediction.reshape(n, k, 2)
    logarithm = given[:, :, 1].clamp(-7.0, 7.0)
    error = _difference(given[:, :, 0], target, weight)
    return _mean(0.5 * (logarithm + error**2 * torch.exp(-logarithm)), weight)


@dataclass(frozen=True)
class Reconstruction:
    """How badly covariates are told that were hidden: 1 in each for what knows nothing of them.

    The squared error of a standardised amount; the cross-entropy of a class, as a share of that of
    equal odds, log(codes).

    Parameters
    ----------
    codes
        For each target how many classes there are, 1 for an amount. ``prediction`` is
        ``(n, sum(codes))``, logits of classes side by side; the ``target`` of a class, ``(n, k)``,
        is the position of its code.
    """

    codes: tuple[int, ...]

    def __call__(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean over targets."""
        parts = prediction.split(self.codes, 1)
        errors = [
            _difference(part[:, 0], target[:, k], weight[:, k]) ** 2
            if count == 1
            else _of_class(part, target[:, k], weight[:, k]) / math.log(count)
            for k, (part, count) in enumerate(zip(parts, self.codes, strict=True))
        ]
        return _mean(torch.stack(errors, 1), weight)


def _of_class(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy of each row, 0 where the class is missing."""
    code = torch.where(weight > 0, target, torch.zeros_like(target)).long()
    found = torch.nn.functional.cross_entropy(logits, code, reduction="none")
    return torch.where(weight > 0, found, torch.zeros_like(found))
