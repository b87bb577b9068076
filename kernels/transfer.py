"""Fine-tuning a net from few samples: what stays near where it was, and by how little it changes.

Three ways to keep a net that is trained further close to what it knows: weights drawn towards
those that it began with (L2-SP: Li, Grandvalet & Davoine 2018, ICML, 2825-2834), changes of low
rank (LoRA: Hu et al. 2022, ICLR), and features whose covariance stays that of the first data
(Deep CORAL: Sun & Saenko 2016, ECCV workshops, 443-450).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .losses import Loss


class LowRank(nn.Module):  # type: ignore[misc]
    """A weight plus a matrix of low rank: ``W + U V``, ``U`` beginning at 0.

    A kernel ``(outputs, inputs, y, x)`` is taken as a matrix of all its inputs.

    Parameters
    ----------
    weight
        What it is added to.
    rank
        Of the change; no more than the matrix can have.
    rng
        Draws `V`, normal with variance 1 / inputs.
    """

    def __init__(self, weight: Tensor, rank: int, rng: np.random.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0], weight[0].numel()
        rank = min(rank, outputs, inputs)
        drawn = rng.normal(size=(rank, inputs)) / np.sqrt(inputs)
        self.u = nn.Parameter(torch.zeros(outputs, rank))
        self.v = nn.Parameter(torch.from_numpy(drawn).float())

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        changed: Tensor = weight + (self.u @ self.v).reshape(weight.shape)
        return changed


def add_adapters(net: nn.Module, rank: int, seed: int) -> None:
    """Freeze a net and give each of its matrices and kernels a change of low rank to learn.

    Biases are learned, too: they are few.
    """
    rng = np.random.default_rng(seed)
    for layer in list(net.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.requires_grad_(False)
            adapter = LowRank(layer.weight, rank, rng)
            parametrize.register_parametrization(layer, "weight", adapter)


def merge_adapters(net: nn.Module) -> None:
    """Make the changes part of the weights, so that the net is again what it was, and trained."""
    for layer in list(net.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


class Anchored:
    """L2-SP: the squared distance of trained weights from those that a training begins with.

    Parameters
    ----------
    net
        Its parameters as they are now are the anchor; frozen ones are left out.
    strength
        Of the penalty, half of it times the sum of squares.
    """

    def __init__(self, net: nn.Module, strength: float) -> None:
        self.strength = strength
        self.pairs = [(p, p.detach().clone()) for p in net.parameters() if p.requires_grad]

    def __call__(self) -> Tensor:
        """Return the penalty now."""
        found = [((p - anchor.to(p.device)) ** 2).sum() for p, anchor in self.pairs]
        return 0.5 * self.strength * torch.stack(found).sum() if found else torch.zeros(())

    def __repr__(self) -> str:
        return f"Anchored({self.strength:g})"


class Aligned:
    """CORAL: how far the covariance of a layer's inputs in a batch is from a given one.

    ``strength |C - G|² / (4 d²)`` with the Frobenius norm, `d` features (Sun & Saenko 2016, eq. 1).

    Parameters
    ----------
    layer
        Its inputs of the last call, ``(n, d)``, are the features.
    covariance
        That they should have, ``(d, d)``.
    strength
        Of the penalty.
    """

    def __init__(self, layer: nn.Module, covariance: Any, strength: float) -> None:
        self.strength, self.features = strength, torch.zeros(0, 0)
        self.wanted = torch.as_tensor(np.asarray(covariance, np.float32))
        self._hook = layer.register_forward_pre_hook(self._see)

    def _see(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        del layer
        self.features = inputs[0]

    def __call__(self) -> Tensor:
        """Return the penalty of the last batch; 0 for fewer than two rows."""
        rows, d = self.features.shape
        if rows < 2:
            return torch.zeros(())
        gap = covariance(self.features) - self.wanted.to(self.features.device)
        return self.strength * (gap**2).sum() / (4 * d**2)

    def remove(self) -> None:
        """Leave the layer as it was."""
        self._hook.remove()

    def __repr__(self) -> str:
        return f"Aligned({self.strength:g})"


def covariance(features: Tensor) -> Tensor:
    """Return the covariance of rows, ``(d, d)``, with n - 1 in the denominator."""
    away = features - features.mean(0)
    found: Tensor = away.T @ away / (len(features) - 1)
    return found


class Penalised:
    """A loss, and penalties beside it while a net learns.

    Where no gradient is asked for, as over validation rows, it is the loss alone.

    Parameters
    ----------
    loss
        As in :mod:`edaphos.kernels.losses`.
    penalties
        Each called without arguments, after the loss.
    """

    def __init__(self, loss: Loss, penalties: Sequence[Callable[[], Tensor]]) -> None:
        self.loss, self.penalties = loss, tuple(penalties)

    def __call__(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the sum."""
        found = self.loss(prediction, target, weight)
        if torch.is_grad_enabled():
            for penalty in self.penalties:
                found = found + penalty().to(found.device)
        return found

    def __repr__(self) -> str:
        name = getattr(self.loss, "__qualname__", None) or repr(self.loss)
        return f"{name}, {self.penalties}" if self.penalties else name
