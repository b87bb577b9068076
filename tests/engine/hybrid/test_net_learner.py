"""A net as a learner: weights are weights, runs repeat, and torch is asked for in words."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.hybrid.couplings import ProcessNet, make_arm
from edaphos.engine.hybrid.learners import ForestLearner, Learner
from edaphos.engine.hybrid.net_learner import NetLearner

from .stand_ins import PowerProcess
from .worlds import site_years


def rows(count: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    x = (rng.normal(size=(count, 3)) * [1, 50, 0.01] + [0, 900, 3]).astype(np.float32)
    return x, 4 + np.sin(x[:, 0].astype(float)) + 0.01 * (x[:, 1].astype(float) - 900)


def test_a_net_learns_what_is_smooth() -> None:
    pytest.importorskip("torch")
    x, y = rows(400)
    net = NetLearner(decay=0.01).fit(x[:300], y[:300], np.ones(300))
    left = net.predict(x[300:]) - y[300:]
    assert left.std() < 0.2 * y.std()
    assert isinstance(net, Learner)


def test_a_row_of_twice_the_weight_is_two_rows_and_one_of_none_is_absent() -> None:
    pytest.importorskip("torch")
    x, y = rows()
    net = NetLearner(hidden=(8,), steps=50)
    weight = np.array([1.0, 2.0, 0.0] * 50)
    wild = np.where(weight == 0, 1e3, y)
    one = net.fit(x, wild, weight).predict(x)
    times = weight.astype(int)
    two = net.fit(np.repeat(x, times, axis=0), np.repeat(y, times), np.ones(times.sum())).predict(x)
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_the_same_seed_gives_the_same_net_whatever_torch_draws_elsewhere() -> None:
    torch = pytest.importorskip("torch")
    x, y = rows()
    first = NetLearner(steps=20, seed=3).fit(x, y, np.ones(len(y))).predict(x)
    torch.manual_seed(99)
    torch.rand(5)
    np.testing.assert_array_equal(
        NetLearner(steps=20, seed=3).fit(x, y, np.ones(len(y))).predict(x), first
    )
    other = NetLearner(steps=20, seed=4).fit(x, y, np.ones(len(y))).predict(x)
    assert not np.allclose(other, first)


def test_a_net_is_pulled_to_the_process_by_its_weight() -> None:
    """A process that says twice as much as observed: the heavier it weighs, the more is said."""
    pytest.importorskip("torch")
    data = site_years(60)
    means = []
    for w_p in (0.0, 0.5, 0.95):
        arm = make_arm("net", PowerProcess(2.5), ForestLearner(), w_p=w_p)
        assert isinstance(arm, ProcessNet)
        means.append(arm.fit(data).predict(data.without_stock())[:, 15].mean())
    assert means[0] < means[1] < means[2]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = rows()
    with pytest.raises(InputError, match="not fitted"):
        NetLearner().predict(x)
    with pytest.raises(InputError, match="not all zero"):
        NetLearner().fit(x, y, np.zeros(len(y)))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"edaphos\[nets\]"):
        NetLearner().fit(x, y, np.ones(len(y)))
