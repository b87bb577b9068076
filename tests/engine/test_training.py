"""Training: the loop against closed forms and against itself, cut off anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.training import Batch, TrainSpec, train

torch = pytest.importorskip("torch")


class Table:
    """Rows of a table; `noise` is added to the inputs of training rows."""

    def __init__(self, x, y, weight=None, noise: float = 0.0) -> None:
        self.x, self.y = np.asarray(x, np.float32), np.asarray(y, np.float32).reshape(len(x), -1)
        self.weight = np.ones_like(self.y) if weight is None else np.asarray(weight, np.float32)
        self.noise = noise
        self.asked: list[list[int]] = []

    def batch(self, rows, rng) -> Batch:
        x = self.x[rows]
        if rng is not None:
            self.asked.append(rows.tolist())
            x = x + np.float32(self.noise) * rng.normal(size=x.shape).astype(np.float32)
        held = (x, self.y[rows], self.weight[rows])
        x, y, weight = (torch.from_numpy(np.ascontiguousarray(v)) for v in held)
        return Batch((x,), y, weight)


def curved(n: int = 200, noise: float = 0.05) -> Table:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 4))
    return Table(x, x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(0, 0.3, n), noise=noise)


def small_net(seed: int = 0):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(4, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(16, 1),
        )


def weights(net) -> dict[str, np.ndarray]:
    return {k: v.numpy().copy() for k, v in net.state_dict().items()}


def same(a, b) -> bool:
    return all(np.array_equal(a[k], b[k]) for k in {*a, *b})


ROWS, HELD = np.arange(150), np.arange(150, 200)
SPEC = TrainSpec(epochs=12, batch=32, rate=0.01, patience=50, clip=1.0, weight_decay=0.01)


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_a_training_cut_off_anywhere_ends_the_same(schedule, tmp_path) -> None:
    spec = replace(SPEC, schedule=schedule, patience=2 if schedule == "plateau" else 50)
    whole = small_net()
    course = train(whole, curved(), ROWS, HELD, spec)

    class Killed(Exception):
        pass

    class Dying(Table):
        left = 23  # in the middle of the fifth epoch

        def batch(self, rows, rng) -> Batch:
            self.left -= rng is not None
            if self.left < 0:
                raise Killed
            return super().batch(rows, rng)

    table = curved()
    table.__class__ = Dying
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        train(small_net(), table, ROWS, HELD, spec, checkpoint=path, checkpoint_seconds=0)
    table = curved()
    net = small_net()
    resumed = train(net, table, ROWS, HELD, spec, checkpoint=path)
    assert 0 < len(table.asked) < 5 * (len(course.train) - 3)  # not from the start
    assert replace(resumed, seconds=0) == replace(course, seconds=0)
    assert same(weights(net), weights(whole))

    net = small_net()
    again = train(net, table := curved(), ROWS, HELD, spec, checkpoint=path)
    assert again == resumed
    assert not table.asked
    assert same(weights(net), weights(whole))
