"""Small nets, and tables for them to learn."""

from __future__ import annotations

import numpy as np

from edaphos.engine.training import Batch, TrainSpec

ROWS, HELD = np.arange(150), np.arange(150, 200)
SPEC = TrainSpec(epochs=12, batch=32, rate=0.01, patience=50, clip=1.0, weight_decay=0.01)


class Table:
    """Rows of a table; `noise` is added to the inputs of training rows."""

    def __init__(self, x, y, weight=None, noise: float = 0.0) -> None:
        self.x, self.y = np.asarray(x, np.float32), np.asarray(y, np.float32).reshape(len(x), -1)
        self.weight = np.ones_like(self.y) if weight is None else np.asarray(weight, np.float32)
        self.noise = noise
        self.asked: list[list[int]] = []

    def batch(self, rows, rng, first=0) -> Batch:
        x = self.x[rows]
        if rng is not None:
            self.asked.append(rows.tolist())
            drawn = rng.normal(size=(first + len(x), *x.shape[1:]))[first:]
            x = x + np.float32(self.noise) * drawn.astype(np.float32)
        import torch

        held = (x, self.y[rows], self.weight[rows])
        x, y, weight = (torch.from_numpy(np.ascontiguousarray(v)) for v in held)
        return Batch((x,), y, weight)


def curved(n: int = 200, noise: float = 0.05) -> Table:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 4))
    return Table(x, x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(0, 0.3, n), noise=noise)


def small_net(seed: int = 0):
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(4, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(16, 1),
        )


def frozen_net():
    net = small_net()
    for layer in net[:2]:
        layer.requires_grad_(False)
    return net


def weights(net) -> dict[str, np.ndarray]:
    return {k: v.numpy().copy() for k, v in net.state_dict().items()}


def same(a, b) -> bool:
    return all(np.array_equal(a[k], b[k]) for k in {*a, *b})
