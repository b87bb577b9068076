"""Many trainings: the same here, on a cluster and from inside its tasks, and none done twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, LocalCluster

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.conv.jobs import Job, run_jobs
from edaphos.engine.errors import InputError, RunError, Stopped
from edaphos.engine.progress import QUIET, Interruptible

pytest.importorskip("torch")


#: Where worker processes find this module, whose functions go to them by name.
ROOT = str(Path(__file__).resolve().parents[3])


@pytest.fixture(scope="module")
def one_thread() -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        with (
            LocalCluster(
                n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


def jobs_of(folds: int = 2, seeds: int = 2, **task: Any) -> list[Job]:
    return [
        Job({"fold": f, "depth": "0-5 cm", "seed": s}, {"fold": f, "seed": s, **task}, "abc")
        for f in range(folds)
        for s in range(seeds)
    ]


def learn(task: dict[str, Any], out: Path, begun: Any) -> None:
    """Train a tiny net and leave what it says; count the attempt."""
    import torch

    from edaphos.engine.training import Batch, TrainSpec, predict, train
    from edaphos.kernels.conv_net import ConvShape, build

    rng = np.random.default_rng(task["fold"])
    x = rng.normal(size=(40, 3, 5, 5)).astype(np.float32)
    y = x[:, :1, 2, 2] * 2

    class Patches:
        def batch(self, rows: Any, rng: Any) -> Batch:
            target = torch.from_numpy(y[rows])
            return Batch((torch.from_numpy(x[rows]),), target, torch.ones_like(target))

    spec = TrainSpec(epochs=4, batch=10, seed=task["seed"])
    net = build(ConvShape(5, (4,), (3,), pool_after=(), dense=(4,)), 3, seed=task["seed"])
    curve = train(net, Patches(), np.arange(30), np.arange(30, 40), spec)
    np.save(out / "said.npy", predict(net, Patches(), np.arange(40), spec))
    (out / "curve.json").write_text(json.dumps(curve.to_json()))


def note(task: dict[str, Any], out: Path, begun: Any) -> None:
    """Leave a line for each attempt; fail where the task says so and no one has mended it."""
    with Path(task["log"]).open("a") as log:
        log.write(f"{task['fold']} {task['seed']}\n")
    if (task["fold"], task["seed"]) == task.get("bad"):
        raise task["error"]
    (out / "done").write_text("yes")


def attempts(log: Path) -> list[str]:
    return log.read_text().split("\n")[:-1] if log.exists() else []


def said(places: list[Any]) -> np.ndarray:
    return np.stack([np.load(place / "said.npy") for place in places])


def test_jobs_are_done_in_order_and_once(tmp_path) -> None:
    log = tmp_path / "log"
    jobs = jobs_of(log=str(log))
    places = run_jobs(jobs[:3], note, tmp_path / "jobs")
    assert [p.name for p in places][:2] == [
        "fold-0_depth-0-5-cm_seed-0_abc",
        "fold-0_depth-0-5-cm_seed-1_abc",
    ]
    assert attempts(log) == ["0 0", "0 1", "1 0"]
    assert run_jobs(jobs, note, tmp_path / "jobs")[:3] == places
    assert attempts(log) == ["0 0", "0 1", "1 0", "1 1"]
    run_jobs([Job(jobs[0].of, jobs[0].task, "other")], note, tmp_path / "jobs")
    assert attempts(log)[4:] == ["0 0"]
    with pytest.raises(ValueError, match="2 jobs share 1 names"):
        run_jobs([jobs[0], jobs[0]], note, tmp_path / "jobs")


@pytest.mark.parametrize("where", ["here", "cluster"])
@pytest.mark.parametrize(
    ("error", "family"), [(InputError("no rows"), InputError), (KeyError("x"), RunError)]
)
def test_a_failed_job_is_named_and_the_others_are_kept(
    where, error, family, tmp_path, request
) -> None:
    client = request.getfixturevalue("one_thread") if where == "cluster" else None
    log = tmp_path / "log"
    jobs = jobs_of(log=str(log), bad=(1, 0), error=error)
    words = f"^fold 1, depth 0-5 cm, seed 0: .*{error.args[0]}"
    with pytest.raises(family, match=words):
        run_jobs(jobs, note, tmp_path / "jobs", client=client)
    assert set(attempts(log)) >= {"0 0", "0 1", "1 0"}
    for job in jobs:
        job.task["bad"] = None
    places = run_jobs(jobs, note, tmp_path / "jobs", client=client)
    assert all((place / "done").exists() for place in places)
    # a task that was under way when the first error stopped the others may have been done, too
    assert sorted(attempts(log)) == ["0 0", "0 1", "1 0", "1 0", "1 1"]


def fold_in_task(fold: int, folder: str) -> list[str]:
    """What a fold of a cross-validation does: it trains members of its own."""
    jobs = [job for job in jobs_of(3) if job.of["fold"] == fold]
    return [str(place) for place in run_jobs(jobs, learn, Path(folder))]


def test_here_on_a_cluster_and_inside_its_tasks_the_results_are_the_same(
    tmp_path, one_thread
) -> None:
    here = said(run_jobs(jobs_of(3), learn, tmp_path / "here"))
    there = said(run_jobs(jobs_of(3), learn, tmp_path / "there", client=one_thread))
    # all folds wait at once for trainings on the only thread that there is
    futures = one_thread.map(fold_in_task, range(3), folder=str(tmp_path / "inside"), pure=False)
    inside = one_thread.gather(futures, errors="raise")
    assert np.array_equal(here, there)
    assert np.array_equal(here, said([Path(p) for places in inside for p in places]))
    assert not np.array_equal(here[0], here[1])
    assert len(list((tmp_path / "inside").iterdir())) == 6


def slow(task: Any, out: Path, begun: Any) -> None:
    with Path(task).open("a") as log:
        log.write("begun\n")
    time.sleep(0.5)
    (out / "done").write_text("")


def test_two_who_need_the_same_training_at_once_get_one(tmp_path) -> None:
    log, jobs = tmp_path / "log", tmp_path / "jobs"
    work = partial(run_jobs, [Job({"fold": 0}, str(log))], slow, jobs)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.read_text() == "begun\n"
    assert [path.name for path in jobs.iterdir()] == ["fold-0"]


def test_what_is_done_needs_no_cluster(tmp_path) -> None:
    run_jobs(jobs_of(1), learn, tmp_path)
    assert len(run_jobs(jobs_of(1), learn, tmp_path, client=object())) == 2


def dying(task: dict[str, Any], out: Path, begun: Path) -> None:
    """Be killed at the first attempt, after leaving something to go on from."""
    begun.mkdir(parents=True, exist_ok=True)
    if not (begun / "checkpoint").exists():
        (begun / "checkpoint").write_text(str(os.getpid()))
        (out / "half").write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    (out / "from").write_text((begun / "checkpoint").read_text())


def test_a_killed_training_goes_on_from_what_it_left(tmp_path, one_thread) -> None:
    place = run_jobs([Job({"fold": 0}, None)], dying, tmp_path, client=one_thread)[0]
    assert int((place / "from").read_text()) > 0
    assert [p.name for p in tmp_path.rglob("*")] == ["fold-0", "from"]


def test_a_run_asked_to_stop_ends_between_jobs(tmp_path) -> None:
    log = tmp_path / "log"
    asked = iter([None])
    reporter = Interruptible(QUIET, lambda: next(asked, "time is up"))
    with pytest.raises(Stopped, match="time is up"):
        run_jobs(jobs_of(log=str(log)), note, tmp_path / "jobs", reporter=reporter)
    assert attempts(log) == ["0 0", "0 1"]


def long(task: Any, out: Path, begun: Path) -> None:
    begun.mkdir(exist_ok=True)
    until = time.monotonic() + 8
    while time.monotonic() < until and not Path(task).exists():
        time.sleep(0.05)


def test_a_run_asked_to_stop_does_not_wait_for_a_job(tmp_path, one_thread) -> None:
    """Those begun on the cluster are let go; what they left is gone on from."""
    begun = tmp_path / "jobs" / "fold-0.begun"
    reporter = Interruptible(QUIET, lambda: "time is up" if begun.exists() else None)
    started = time.monotonic()
    jobs = [Job({"fold": fold}, str(tmp_path / "enough")) for fold in range(3)]
    with pytest.raises(Stopped, match="time is up"):
        run_jobs(jobs, long, tmp_path / "jobs", client=one_thread, reporter=reporter)
    assert time.monotonic() - started < 6
    (tmp_path / "enough").touch()


def device(task: Any, out: Path, begun: Any) -> None:
    time.sleep(0.05)
    (out / "device").write_text(os.environ["CUDA_VISIBLE_DEVICES"])


def place_of_thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def device_and_thread(task: Any, out: Path, begun: Any) -> None:
    device(task, out, begun)
    (out / "thread").write_text(json.dumps(place_of_thread()))


def threads_of(folder: str) -> tuple[tuple[int, int], set[tuple[int, int]]]:
    """Return the thread of a task, and those of its jobs."""
    places = run_jobs(jobs_of(2), device_and_thread, Path(folder), hand_on="gpu")
    return place_of_thread(), {tuple(json.loads((p / "thread").read_text())) for p in places}


@pytest.mark.parametrize("devices", ["7", ""])
def test_trainings_go_to_the_worker_with_a_gpu_where_there_is_one(
    devices, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.syspath_prepend(ROOT)
    with connect(ClusterSpec(workers=2, tiles_at_once=2)) as client:
        places = run_jobs(jobs_of(4), device, tmp_path / "jobs", client=client)
        assert {(p / "device").read_text() for p in places} == {devices}
        # a task hands its own on to the GPU, and without one keeps them
        mine, theirs = client.submit(threads_of, str(tmp_path / "inside"), pure=False).result()
        assert ({mine} == theirs) == (devices == "")
        assert {(p / "device").read_text() for p in (tmp_path / "inside").iterdir()} == {devices}
