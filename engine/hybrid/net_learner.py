"""A small net as a learner. On rows of a hybrid its loss is an observation and a process loss.

The mean square error over weighted rows, with ``1 - w_p`` of the weight on observations and ``w_p``
on simulations, is the loss of process-guided nets: ``(1 - w_p) x`` the error against observations
``+ w_p x`` that against the process (Daw et al. 2017, arXiv:1710.11431; Read et al. 2019, Water
Resour. Res. 55, 9173-9190).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import InputError
from ..need_torch import need_torch, torch_threads
from .learners import Rows
from .site_years import Floats


@dataclass
class NetLearner:
    """A multilayer perceptron on standardised covariates, trained by full-batch AdamW.

    Needs torch, but to predict. One thread and weights drawn by NumPy make it repeatable.

    Parameters
    ----------
    hidden
        Units of each hidden layer (tanh).
    steps, rate, decay
        Steps, their rate at the start (it falls to 0 along a cosine), and weight decay.
    seed
        Of the first weights.
    """

    hidden: tuple[int, ...] = (32, 32)
    steps: int = 400
    rate: float = 0.01
    decay: float = 1.0
    seed: int = 0

    kind: ClassVar[str] = "net"

    def __post_init__(self) -> None:
        self.hidden = tuple(self.hidden)
        self.layers: list[tuple[Floats, Floats]] = []
        self.scales: tuple[Floats, Floats, float, float] | None = None

    def fit(self, rows: Rows, y: Floats, weight: Floats, /) -> Self:
        """Train on all rows; the error of each counts by its weight.

        Raises
        ------
        InputError
            If torch is not installed, or a weight is not usable.
        """
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
            raise InputError("weights of rows must be finite, not negative, and not all zero")
        share = weight / weight.sum()
        given = np.asarray(rows, np.float64)
        middle = share @ given
        spread = np.sqrt(share @ (given - middle) ** 2)
        spread = np.where(spread > 0, spread, 1.0)
        level = float(share @ y)
        height = float(np.sqrt(share @ (y - level) ** 2)) or 1.0
        self.scales = (middle, spread, level, height)
        self.layers = self._train((given - middle) / spread, (y - level) / height, share)
        return self

    def _train(self, x: Floats, y: Floats, share: Floats) -> list[tuple[Floats, Floats]]:
        torch = need_torch()
        rng = np.random.default_rng(self.seed)
        sizes = (x.shape[1], *self.hidden, 1)
        first = [(rng.normal(size=(a, b)) / np.sqrt(a), np.zeros(b)) for a, b in pairwise(sizes)]
        with torch_threads(1):
            layers = [[torch.tensor(p, requires_grad=True) for p in pair] for pair in first]
            inputs, wanted, weight = torch.tensor(x), torch.tensor(y), torch.tensor(share)
            optimizer = torch.optim.AdamW(
                [
                    {"params": [matrix for matrix, _ in layers], "weight_decay": self.decay},
                    {"params": [bias for _, bias in layers], "weight_decay": 0.0},
                ],
                lr=self.rate,
            )
            falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.steps, 1))
            for _ in range(self.steps):
                optimizer.zero_grad()
                z = inputs
                for place, (matrix, bias) in enumerate(layers):
                    z = z @ matrix + bias
                    z = torch.tanh(z) if place + 1 < len(layers) else z
                (weight * (z[:, 0] - wanted) ** 2).sum().backward()
                optimizer.step()
                falling.step()
            return [(matrix.detach().numpy(), bias.detach().numpy()) for matrix, bias in layers]

    def predict(self, rows: Rows, /) -> Floats:
        """Return what the net says of each row, ``(n,)``."""
        if self.scales is None:
            raise InputError("the net is not fitted yet; call fit()")
        middle, spread, level, height = self.scales
        z = (np.asarray(rows, np.float64) - middle) / spread
        for place, (matrix, bias) in enumerate(self.layers):
            z = z @ matrix + bias
            z = np.tanh(z) if place + 1 < len(self.layers) else z
        return np.asarray(level + height * z[:, 0])

    def to_json(self) -> dict[str, Any]:
        """Return the settings."""
        return {"kind": self.kind, "settings": asdict(self)}
