"""One training over several workers: what one process learns, also where a worker is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine import training_launch
from edaphos.engine.branches.group_set import GroupSet
from edaphos.engine.branches.groups import Group as Covariates
from edaphos.engine.branches.groups import GroupChannels
from edaphos.engine.branches.source import GroupSource
from edaphos.engine.conv.jobs import Job, run_jobs
from edaphos.engine.errors import InputError, RunError, Stopped
from edaphos.engine.progress import QUIET, Interruptible, Reporter
from edaphos.engine.training import TrainSpec
from edaphos.engine.training_group import Group

from .branch_world import GROUPS, make_model, make_samples
from .conv_world import make_cube
from .together_jobs import SPEC, failing, in_task, learn

pytest.importorskip("torch")

#: Where worker processes find this module, whose functions go to them by name.
ROOT = str(Path(__file__).resolve().parents[2])
#: float32 sums in another order, over the steps of a training.
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def two() -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


def trained(
    folder: Path, client: Client | None = None, reporter: Reporter = QUIET, **task: Any
) -> Any:
    """Return the weights, the curve, and the lines that the source left."""
    told = {"log": str(folder.with_suffix(".log")), **task}
    (place,) = run_jobs(
        [Job({"net": 1}, told)], learn, folder,
        client=client, processes=1 if client is None else 2, reporter=reporter,
    )  # fmt: skip
    with np.load(place / "weights.npz") as held:
        weights = {k: held[k] for k in held}
    curve = json.loads((place / "curve.json").read_text())
    log = [[int(v) for v in line.split()] for line in Path(told["log"]).read_text().splitlines()]
    return weights, curve, log


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Any:
    return trained(tmp_path_factory.mktemp("alone") / "jobs")


def check_same(found: Any, wanted: Any) -> None:
    for name, values in wanted[0].items():
        np.testing.assert_allclose(found[0][name], values, rtol=TOLERANCE, atol=TOLERANCE)
    for name in ("train", "validation"):
        np.testing.assert_allclose(found[1][name], wanted[1][name], rtol=TOLERANCE)
    assert found[1]["best"] == wanted[1]["best"]


def test_two_processes_learn_what_one_does(tmp_path, two, alone) -> None:
    said: list[str] = []
    reporter = Reporter(every=0.0)
    reporter.say = said.append  # type: ignore[method-assign]
    found = trained(tmp_path / "jobs", two, reporter, sleep=0.04)
    check_same(found, alone)
    assert found[0].keys() == alone[0].keys()
    batches = SPEC.epochs * 5
    assert [line[1] for line in alone[2]] == [30] * batches
    assert [line[1] for line in found[2]] == [15] * 2 * batches
    assert len({line[0] for line in found[2]}) == 2
    assert [p.name for p in tmp_path.joinpath("jobs").iterdir()] == ["net-1"]
    assert any("training: net 1: " in line and "ETA" in line for line in said), said


@pytest.mark.parametrize("second", [False, True])
def test_a_training_whose_worker_is_killed_goes_on_from_its_checkpoint(
    second, tmp_path, two, alone
) -> None:
    said: list[str] = []
    reporter = Reporter()
    reporter.say = said.append  # type: ignore[method-assign]
    found = trained(tmp_path / "jobs", two, reporter, kill=5 * 3 + 2, second=second)
    check_same(found, alone)
    assert (tmp_path / "jobs.killed").exists()
    assert any("goes on from its last checkpoint" in line for line in said)
    # the epoch in which it was killed is learned again, and no other
    assert 2 * SPEC.epochs * 5 < len(found[2]) < 2 * (SPEC.epochs + 1) * 5
    assert len({line[0] for line in found[2]}) == 3


def test_a_training_that_is_asked_to_stop_keeps_what_it_learned(tmp_path, two, alone) -> None:
    checkpoint = tmp_path / "jobs" / "net-1.begun" / "checkpoint.safetensors"
    reporter = Interruptible(QUIET, lambda: "time is up" if checkpoint.exists() else None)
    log = tmp_path / "jobs.log"
    with pytest.raises(Stopped, match="time is up"):
        trained(tmp_path / "jobs", two, reporter, sleep=0.06)
    before = len(log.read_text().splitlines())
    assert 0 < before < 2 * SPEC.epochs * 5
    time.sleep(0.5)
    assert len(log.read_text().splitlines()) == before  # nobody goes on
    again = trained(tmp_path / "jobs", two)
    check_same(again, alone)
    assert len(again[2]) == 2 * SPEC.epochs * 5  # all epochs once


def test_what_cannot_be_is_refused_by_name(tmp_path, two, monkeypatch) -> None:
    monkeypatch.setattr(training_launch, "WAIT_SECONDS", 0.0)
    job = [Job({"net": 1}, {"log": str(tmp_path / "log"), "normalised": True})]
    with pytest.raises(InputError, match=r"processes = 3, and the cluster has 2 worker"):
        run_jobs(job, learn, tmp_path, client=two, processes=3)
    with pytest.raises(InputError, match=r"processes = 2 needs a cluster"):
        run_jobs(job, learn, tmp_path, processes=2)
    with pytest.raises(InputError, match=r"net 1: training.processes.*batch_norm = false"):
        run_jobs(job, learn, tmp_path, client=two, processes=2)
    with pytest.raises(InputError, match="processes must be 1 or more"):
        TrainSpec(processes=0)


def test_what_went_wrong_in_one_process_is_told(tmp_path, two) -> None:
    started = time.monotonic()
    with pytest.raises(RunError, match="net 1: 'no such column'"):
        run_jobs([Job({"net": 1}, None)], failing, tmp_path, client=two, processes=2)
    assert time.monotonic() - started < 10


def test_a_fold_trains_in_its_own_process(tmp_path, two) -> None:
    assert two.submit(in_task, str(tmp_path), pure=False).result() == 1


def test_parts_of_a_batch_are_the_batch(tmp_path) -> None:
    """Squares are turned as one process would turn them."""
    model = make_model()
    samples = make_samples(make_cube(tmp_path / "cube"), tmp_path / "set", model)
    held = GroupSet.open(samples.patches)  # type: ignore[arg-type]
    groups = tuple(Covariates(**told) for told in GROUPS)
    rows = np.arange(21)
    channels = GroupChannels.fit(held, rows, groups, plain=False)
    one = np.ones((21, 1))
    source = GroupSource(held, channels, rows, one, one, np.ones((21, 1, 2)), augment=True)

    def batch(rows: Any, *first: int) -> Any:
        return source.batch(rows, np.random.default_rng(4), *first).inputs

    whole = batch(rows)
    parts = [Group(rank, 4).part(rows) for rank in range(4)]
    assert [len(part) for part, _ in parts] == [5, 5, 5, 6]
    for k, tensor in enumerate(whole):
        joined = np.concatenate([batch(part, first)[k].numpy() for part, first in parts])
        assert np.array_equal(joined, tensor.numpy())
    assert not np.array_equal(batch(parts[1][0])[1], batch(*parts[1])[1])


def test_a_model_of_the_world_is_pre_trained_by_two_workers(tmp_path, two) -> None:
    cube = make_cube(tmp_path / "cube")
    told = {"dropout": (0.0, 0.0), "group_dropout": 0.0, "training": {"epochs": 4}}
    samples = make_samples(cube, tmp_path / "set", make_model())
    one = make_model(**told).fit(samples)
    model = make_model(**{**told, "training": {"epochs": 4, "processes": 2}})
    model.client = two
    model.fit(samples)
    assert replace(model.told, training=one.told.training) == one.told
    for name, values in one.predict_rows(samples).items():
        np.testing.assert_allclose(model.predict_rows(samples)[name], values, rtol=TOLERANCE)
    before, after = (m.fitted.nets.nets[0].state_dict() for m in (one, model))
    assert before.keys() == after.keys()
    assert not all(np.array_equal(before[k], after[k]) for k in before)  # sums in another order


class Told:
    """A client of workers that say this of themselves."""

    def __init__(self, *workers: tuple[str, str, int, float]) -> None:
        self.told = {address: ((host, pid), gpus) for address, host, pid, gpus in workers}

    def run(self, function: Any, on_error: str) -> Any:
        assert on_error == "ignore"
        return self.told


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        # two workers that are threads of one process share torch's random state
        ([("tcp://a:1", "a", 7, 0.0), ("tcp://a:2", "a", 7, 0.0)], r"has 1 worker process\(es\);"),
        ([("tcp://a:1", "a", 7, 1.0), ("tcp://b:1", "b", 7, 0.0)], "has 1 .* with a GPU"),
        ([("tls://a:1", "a", 7, 0.0), ("tls://b:1", "b", 7, 0.0)], "unencrypted"),
    ],
)
def test_workers_that_cannot_train_together_are_refused(workers, words, monkeypatch) -> None:
    monkeypatch.setattr(training_launch, "WAIT_SECONDS", 0.0)
    with pytest.raises(InputError, match=words):
        training_launch.over_workers(print, 2, Told(*workers), QUIET, "")  # type: ignore[arg-type]
