"""Features that do not tell two domains apart: a classifier behind a reversed gradient.

Ganin et al. 2016 (Domain-adversarial training of neural networks, JMLR 17(59), 1-35): a classifier
learns to tell the domain of a row from its features, and what makes the features is moved against
the classifier's gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: Units of the classifier's hidden layer.
UNITS = 32


class Reversed(torch.autograd.Function):  # type: ignore[misc]
    """The identity, whose gradient is turned about (Ganin et al. 2016, eq. 16 and 17)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        """Return `x` as it is."""
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient times -strength."""
        return -ctx.strength * gradient, None


class Domains(nn.Module):  # type: ignore[misc]
    """A classifier of two domains with one hidden layer, drawn by NumPy.

    Parameters
    ----------
    features
        Numbers that it reads.
    speed
        How many times faster its weights change than others at one rate of Adam: they are stored
        divided by it. A net that is fine-tuned changes slowly, and a classifier that is new must
        not.
    seed
        Of its first weights, normal with variance 2 / inputs (He et al. 2015).
    """

    def __init__(self, features: int, *, speed: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.speed = speed
        self.hidden = nn.Parameter(_drawn(rng, UNITS, features, speed))
        self.bias = nn.Parameter(torch.zeros(UNITS))
        self.last = nn.Parameter(_drawn(rng, 1, UNITS, speed))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logit of the second domain, ``(n,)``."""
        found = torch.relu(features @ (self.speed * self.hidden).T + self.speed * self.bias)
        logit: Tensor = found @ (self.speed * self.last)[0]
        return logit


def _drawn(rng: np.random.Generator, outputs: int, inputs: int, speed: float) -> Tensor:
    drawn = rng.normal(size=(outputs, inputs)) * np.sqrt(2 / inputs) / speed
    return torch.from_numpy(drawn).float()


class Adversary:
    """What features of the last batch give away of their domain, as a penalty that reverses.

    The cross-entropy of a classifier over the batch and as many rows of the other domain, drawn
    anew each time with torch's generator and seen by the same net, as it is now. The classifier's
    gradient is that of the penalty, that of the features is turned about and times `strength`, so
    that one sum of losses trains both.

    While it is there, the classifier is part of the net (``net.domains``): trained, kept in
    checkpoints, and gone with :meth:`remove`.

    Parameters
    ----------
    net, layer
        The net, and the layer of it whose inputs, ``(n, d)``, are the features.
    others
        What the net is called with for rows of the other domain, each ``(m, ...)``.
    strength
        Of the reversed gradient.
    speed, seed
        Of :class:`Domains`.
    """

    def __init__(
        self,
        net: nn.Module,
        layer: nn.Linear,
        others: Sequence[Tensor],
        strength: float,
        *,
        speed: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.net, self.others, self.strength = net, tuple(others), strength
        self.features = torch.zeros(0, 0)
        net.domains = Domains(layer.in_features, speed=speed, seed=seed)
        self._hook = layer.register_forward_pre_hook(self._see)

    def _see(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        del layer
        self.features = inputs[0]

    def __call__(self) -> Tensor:
        """Return the penalty of the last batch."""
        here = self.features
        rows = torch.randint(len(self.others[0]), (len(here),))
        self.net(*(x[rows].to(here.device) for x in self.others))
        there, self.features = self.features, here
        both = torch.cat([there.float(), here.float()])
        domain = torch.cat([both.new_zeros(len(there)), both.new_ones(len(here))])
        said = self.net.domains(Reversed.apply(both, self.strength))
        found: Tensor = nn.functional.binary_cross_entropy_with_logits(said, domain)
        return found

    def remove(self) -> None:
        """Leave the net as it was, but for its weights."""
        self._hook.remove()
        del self.net.domains

    def __repr__(self) -> str:
        return f"Adversary({self.strength:g})"
