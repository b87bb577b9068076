"""Training: the loop against closed forms and other libraries."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from itertools import chain, pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_equal

from edaphos.engine.errors import InputError, RunError, Stopped
from edaphos.engine.progress import QUIET, Interruptible
from edaphos.engine.training import Curve, TrainSpec, predict, rate_of, train

from .small_nets import HELD, ROWS, SPEC, Table, curved, frozen_net, same, small_net, weights

torch = pytest.importorskip("torch")

from edaphos.kernels.losses import Pinball  # noqa: E402


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


def test_the_best_epoch_is_kept_and_patience_ends_it(tmp_path) -> None:
    rng = np.random.default_rng(3)
    table = Table(rng.normal(size=(200, 4)), rng.normal(size=200))  # nothing to learn
    net = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    other = deepcopy(net)
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

    # the best epoch is remembered by a training that stops after it
    cut = deepcopy(other)
    asked = iter([None] * (curve.best + 2))
    stopping = Interruptible(QUIET, lambda: next(asked, "stop"))
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        train(cut, table, ROWS, HELD, spec, checkpoint=path, reporter=stopping)
    resumed = train(other, table, ROWS, HELD, spec, checkpoint=path)
    assert resumed.best == curve.best
    assert same(weights(other), weights(net))


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
