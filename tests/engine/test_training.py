"""Training: the loop against closed forms and against itself, cut off anywhere."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from itertools import chain, pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_equal

from edaphos.engine.errors import EdaphosError, InputError, RunError, Stopped
from edaphos.engine.progress import QUIET, Interruptible
from edaphos.engine.training import Batch, Curve, TrainSpec, predict, rate_of, train

torch = pytest.importorskip("torch")

from edaphos.kernels.conv_net import ConvShape, build  # noqa: E402
from edaphos.kernels.losses import Pinball  # noqa: E402


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


def frozen_net():
    net = small_net()
    for layer in net[:2]:
        layer.requires_grad_(False)
    return net


def test_what_is_frozen_stays_as_it_was() -> None:
    net = frozen_net()
    net[1].running_mean += 0.3
    before = weights(net)
    train(net, curved(), ROWS, HELD, SPEC)
    after = weights(net)
    changed = {k for k in before if not np.array_equal(before[k], after[k])}
    assert changed == {"4.weight", "4.bias"}
    net.requires_grad_(True)
    train(net, curved(), ROWS, HELD, SPEC)
    trained = weights(net)
    assert all(not np.array_equal(after[k], trained[k]) for k in after)
    net.requires_grad_(False)
    with pytest.raises(InputError, match="nothing to train"):
        train(net, curved(), ROWS, HELD, SPEC)


def test_a_linear_net_finds_weighted_least_squares_with_missing_targets() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 4))
    y = x @ rng.normal(size=(4, 2)) + rng.normal(0, 1, (300, 2))
    weight = rng.uniform(0.1, 4, (300, 2)) * (rng.random((300, 2)) > 0.5)
    table = Table(x, np.where(weight > 0, y, np.nan), weight)
    net = torch.nn.Linear(4, 2)
    spec = TrainSpec(epochs=600, batch=300, rate=0.05, schedule="cosine")
    train(net, table, np.arange(300), np.arange(0), spec)
    design = np.column_stack([x, np.ones(300)])
    for k in range(2):
        root = np.sqrt(weight[:, k])
        expected = np.linalg.lstsq(design * root[:, None], y[:, k] * root, rcond=None)[0]
        found = [*net.weight[k].tolist(), net.bias[k].item()]
        assert_allclose(found, expected, atol=2e-3)


def test_the_pinball_loss_finds_quantiles() -> None:
    y = np.random.default_rng(2).gamma(2, 3, 4001)
    table = Table(np.zeros((len(y), 1)), y)
    levels = (0.1, 0.5, 0.9)
    net = torch.nn.Linear(1, 3)
    spec = TrainSpec(epochs=400, batch=4001, rate=0.3)
    train(net, table, np.arange(len(y)), np.arange(0), spec, loss=Pinball(levels))
    assert_allclose(net.bias.tolist(), np.quantile(y, levels), rtol=0.01)


def test_the_best_epoch_is_kept_and_patience_ends_it() -> None:
    rng = np.random.default_rng(3)
    table = Table(rng.normal(size=(200, 4)), rng.normal(size=200))  # nothing to learn
    net = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    spec = TrainSpec(epochs=400, batch=50, rate=0.01, patience=7, schedule="constant")
    curve = train(net, table, ROWS, HELD, spec)
    assert curve.stopped == "patience"
    assert len(curve.validation) == curve.best + 7 < 400
    assert curve.best_validation == min(curve.validation)
    assert curve.validation[-1] > curve.best_validation
    said = predict(net, table, HELD, spec)
    error = float(np.mean((said - table.y[HELD]) ** 2))
    assert error == pytest.approx(curve.best_validation, rel=1e-5)
    assert curve.train[-1] < curve.train[0]


def test_without_validation_rows_all_epochs_are_run_and_the_last_is_kept() -> None:
    net = small_net()
    spec = replace(SPEC, epochs=5, patience=1)
    curve = train(net, curved(), ROWS, np.arange(0), spec)
    assert (curve.best, curve.stopped) == (5, "epochs")
    assert np.isnan(curve.validation).all()


def test_each_epoch_is_a_new_order_of_all_rows_drawn_from_the_seed() -> None:
    def order(**changes) -> list[list[int]]:
        table = curved()
        train(small_net(), table, ROWS, HELD, replace(SPEC, epochs=3, batch=37, **changes))
        return table.asked

    asked = order()
    assert [len(a) for a in asked] == [30] * 15  # not 4 times 37 and a rest of 2
    epochs = [list(chain(*asked[i : i + 5])) for i in (0, 5, 10)]
    assert all(sorted(e) == ROWS.tolist() for e in epochs)
    assert all(a != b for a, b in pairwise([ROWS.tolist(), *epochs]))
    assert order(threads=2) == asked
    assert order(seed=1) != asked


def test_no_batch_is_left_with_a_single_row() -> None:
    table = curved()
    train(small_net(), table, np.arange(65), HELD[15:], replace(SPEC, epochs=1, batch=32))
    assert sorted(len(a) for a in table.asked) == [21, 22, 22]
    with pytest.raises(InputError, match="at least 2 rows, found 1"):
        train(small_net(), curved(), np.arange(1), HELD, SPEC)


def test_threads_that_train_at_once_do_not_disturb_each_other() -> None:
    def go(net, seed: int) -> dict[str, np.ndarray]:
        train(net, curved(), ROWS, HELD, replace(SPEC, seed=seed))
        return weights(net)

    alone = [go(small_net(seed), seed) for seed in range(4)]
    nets = [small_net(seed) for seed in range(4)]  # drawn here: torch's state is the process's
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(go, nets, range(4)))
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    assert not same(alone[0], alone[1])


def test_torch_is_left_as_it_was_found() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    train(small_net(), curved(), ROWS, HELD, replace(SPEC, threads=threads + 1))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loss_that_is_no_number_names_the_epoch_and_the_cause() -> None:
    table = curved()
    table.x[17] = np.nan
    with pytest.raises(RunError, match="training loss is not a number in epoch 1: row 17 holds"):
        train(small_net(), table, ROWS, HELD, SPEC)
    table = curved()
    table.y[160] = np.inf
    with pytest.raises(RunError, match="validation loss is not a number in epoch 1: row 160"):
        train(small_net(), table, ROWS, HELD, SPEC)

    def diverging(prediction, target, weight):
        return (prediction * torch.nan if next(calls) > 13 else prediction).mean()

    calls = iter(range(99))  # seven calls an epoch
    with pytest.raises(RunError, match="training loss is not a number in epoch 3: its rows are"):
        train(small_net(), curved(), ROWS, HELD, SPEC, loss=diverging)


def test_rows_that_cannot_be_learned_from_are_refused() -> None:
    with pytest.raises(InputError, match=r"3 row\(s\) .* the first is 147"):
        train(small_net(), curved(), ROWS, np.arange(147, 180), SPEC)
    table = curved()
    table.weight[HELD] = 0
    with pytest.raises(InputError, match="no validation row has a target"):
        train(small_net(), table, ROWS, HELD, SPEC)


def test_gradients_are_clipped() -> None:
    def norm(clip: float | None) -> float:
        net = small_net()
        train(net, curved(), ROWS, HELD, replace(SPEC, epochs=1, clip=clip))
        return float(torch.stack([p.grad.norm() for p in net.parameters()]).norm())

    assert norm(None) > 0.1
    assert norm(0.01) == pytest.approx(0.01, rel=1e-3)


def test_bfloat16_learns_nearly_the_same() -> None:
    net, rough = small_net(), small_net()
    curve = train(net, curved(), ROWS, HELD, SPEC)
    near = train(rough, curved(), ROWS, HELD, replace(SPEC, precision="bf16"))
    assert not same(weights(net), weights(rough))
    assert all(p.dtype == torch.float32 for p in rough.parameters())
    assert near.best_validation == pytest.approx(curve.best_validation, rel=0.1)


def test_predictions_do_not_depend_on_batches() -> None:
    net, table = small_net(), curved()
    rows = np.array([5, 3, 180, 3, 77])
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(table.x[rows])).numpy()
    for batch in (1, 2, 5, 99):
        assert_allclose(predict(net, table, rows, replace(SPEC, batch=batch)), expected, rtol=1e-5)
    assert not table.asked


def test_cosine_and_plateau_are_those_of_torch() -> None:
    losses = np.random.default_rng(0).uniform(size=40) + np.linspace(1, 0.5, 40)
    schedulers = torch.optim.lr_scheduler
    theirs = {
        "cosine": partial(schedulers.CosineAnnealingLR, T_max=40),
        # it waits for one epoch more than its patience
        "plateau": partial(schedulers.ReduceLROnPlateau, factor=0.5, patience=2, threshold=0),
        "constant": partial(schedulers.ConstantLR, factor=1.0),
    }
    for schedule, make in theirs.items():
        spec = TrainSpec(epochs=40, rate=0.02, schedule=schedule, patience=6)
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=spec.rate)
        scheduler, rates = make(optimizer), []
        for epoch in range(40):
            rates.append(optimizer.param_groups[0]["lr"])
            assert rate_of(spec, epoch, losses[:epoch]) == pytest.approx(rates[-1], abs=1e-12)
            optimizer.step()
            scheduler.step(*([losses[epoch]] if schedule == "plateau" else []))
        assert (len(set(rates)) > 1) == (schedule != "constant")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_missed() -> None:
    with pytest.raises(InputError, match="torch sees no GPU here"):
        train(small_net(), curved(), ROWS, HELD, replace(SPEC, device="cuda"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs must be 1 or more, is 0"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"schedule": "step"}, 'schedule "step" is not known; known: cosine, plateau, constant'),
        ({"precision": "fp16"}, 'precision "fp16" is not known; known: float32, bf16'),
    ],
)
def test_settings_are_checked(changes, words) -> None:
    with pytest.raises(InputError, match=words):
        TrainSpec(**changes)


def test_curves_survive_json() -> None:
    for held in (HELD, np.arange(0)):
        curve = train(small_net(), curved(), ROWS, held, replace(SPEC, epochs=3))
        again = Curve.from_json(json.loads(json.dumps(curve.to_json(), allow_nan=False)))
        assert_equal(asdict(again), asdict(curve))


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
