"""Trainings that were cut off end as if they never had been."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.errors import EdaphosError, InputError, Stopped
from edaphos.engine.progress import QUIET, Interruptible
from edaphos.engine.training import Batch, TrainSpec, train

from .small_nets import HELD, ROWS, SPEC, Table, curved, frozen_net, same, small_net, weights

torch = pytest.importorskip("torch")

from edaphos.kernels.conv_net import ConvShape, build  # noqa: E402


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


def test_a_training_asked_to_stop_goes_on_later(tmp_path) -> None:
    whole = small_net()
    course = train(whole, curved(), ROWS, HELD, SPEC)
    asked = iter([None] * 4)
    stopping = Interruptible(QUIET, lambda: next(asked, "stop"))
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        train(small_net(), curved(), ROWS, HELD, SPEC, checkpoint=path, reporter=stopping)
    net, table = small_net(), curved()
    resumed = train(net, table, ROWS, HELD, SPEC, checkpoint=path)
    assert len(table.asked) == 5 * (SPEC.epochs - 5)
    assert same(weights(net), weights(whole))
    assert replace(resumed, seconds=0) == replace(course, seconds=0)


def test_a_training_of_convolutions_cut_off_ends_the_same(tmp_path) -> None:
    """Kernels lie otherwise in memory than in files."""
    shape = ConvShape(5, (8, 16), (3, 2), pool_after=(), dense=(8,))
    x = np.random.default_rng(0).normal(size=(60, 7, 5, 5))
    table = Table(x, x[:, 0, 2, 2] * x[:, 1, 1, 1])
    spec = TrainSpec(epochs=6, batch=20, clip=0.5, patience=9)
    rows, held = np.arange(40), np.arange(40, 60)
    asked = iter([None] * 2)
    stopping = Interruptible(QUIET, lambda: next(asked, "stop"))
    path = tmp_path / "checkpoint.safetensors"
    whole, cut = build(shape, 7, seed=0), build(shape, 7, seed=0)
    train(whole, table, rows, held, spec)
    with pytest.raises(Stopped):
        train(cut, table, rows, held, spec, checkpoint=path, reporter=stopping)
    again = build(shape, 7, seed=0)
    train(again, table, rows, held, spec, checkpoint=path)
    assert same(weights(again), weights(whole))
    assert all(p.is_contiguous() for p in again.parameters())
    assert not same(weights(cut), weights(whole))


def test_the_checkpoint_of_another_training_is_refused(tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    base = replace(SPEC, epochs=1)

    def go(spec=base, net=None, rows=ROWS, held=HELD, loss=None, **identity) -> None:
        found = {"fold": 1, **identity}
        net = net or small_net()
        train(net, curved(), rows, held, spec, loss=loss, checkpoint=path, identity=found)

    go()
    go(replace(base, threads=2, device="cpu"))  # nothing that a result is made of
    for words, changes in (
        ("rate is 0.01 there and 0.5 here", {"spec": replace(base, rate=0.5)}),
        ("seed is 0 there and 1 here", {"spec": replace(base, seed=1)}),
        ("fold is 1 there and 2 here", {"fold": 2}),
        ("depth is None there and 30 here", {"depth": 30}),
        (r"rows is 150 \(.*\) there and 149 \(", {"rows": ROWS[1:]}),
        (r"validation rows is 50 \(", {"held": HELD[::-1]}),
        ("first weights is", {"net": small_net(seed=1)}),
        (r"trained parameters is \['0.weight', .*there and \['4.weight'", {"net": frozen_net()}),
        ("loss is weighted_mse there and absolute here", {"loss": absolute}),
    ):
        with pytest.raises(InputError, match=words) as refused:
            go(**changes)
        assert str(path) in str(refused.value)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(EdaphosError, match="delete it to train from the start"):
        go()


def absolute(prediction, target, weight):
    return ((prediction - target).abs() * weight).sum() / weight.sum()
