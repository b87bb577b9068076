"""Where a run computes: what is refused, what workers are told, and what a real Slurm makes."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest

from edaphos.engine.cluster import ClusterSpec, SlurmSpec, connect
from edaphos.engine.cluster_srun import step_command, tls_variables
from edaphos.engine.cluster_worker import worker_environment
from edaphos.engine.errors import InputError, RunError
from edaphos.engine.ledger import Ledger
from edaphos.engine.produce import produce
from edaphos.engine.run import Run

from .worlds import make_cube, make_run, world_grid

needs_jobqueue = pytest.mark.skipif(
    importlib.util.find_spec("dask_jobqueue") is None,
    reason="needs dask-jobqueue; `pip install 'edaphos[cluster]'`",
)
needs_keys = pytest.mark.skipif(
    importlib.util.find_spec("cryptography") is None,
    reason="needs cryptography; `pip install cryptography`",
)


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Path:
    return make_cube(tmp_path_factory.mktemp("cube") / "world.zarr")


def made(folder: Path, cube: Path, spec: ClusterSpec) -> dict[str, tuple]:
    """Make the small world there, and return what the ledger says of each tile's objects."""
    run = make_run(folder, world_grid(256), cube)
    with connect(spec) as client:
        assert produce(run, client).tiles == 6
    return digests(run)


def digests(run: Run) -> dict[str, tuple]:
    return {
        record.tile: tuple(sorted((o.key, o.crc32c) for o in record.objects))
        for record in Ledger(run.path).records()
    }


@pytest.fixture(scope="module")
def locally(tmp_path_factory, cube: Path) -> dict[str, tuple]:
    return made(tmp_path_factory.mktemp("local") / "run", cube, ClusterSpec(workers=1))


def in_jobs(folder: Path, **changes: object) -> SlurmSpec:
    told = {"queue": "main", "cores": 1, "memory": "2GB", "walltime": "00:10:00"}
    return SlurmSpec(**{**told, "interface": "lo", "logs": str(folder / "jobs"), **changes})


def settings_there() -> tuple:
    """Return what a worker computes with, and whether it keeps samples of its own stack."""
    import os

    import dask

    memory = dask.config.get("distributed.worker.memory")
    threads = os.environ["NUMBA_NUM_THREADS"]
    profiled = dask.config.get("distributed.worker.profile.enabled")
    return (threads, memory["target"], memory["spill"], memory["pause"], profiled)


@needs_jobqueue
def test_two_slurm_jobs_make_the_same_bytes(slurm, locally, cube, tmp_path) -> None:
    spec = ClusterSpec("slurm", workers=2, slurm=in_jobs(tmp_path))
    run = make_run(tmp_path / "run", world_grid(256), cube)
    with connect(spec) as client:
        client.wait_for_workers(2, timeout=60)
        assert slurm.call("squeue", "--noheader", "--format=%j").split() == ["edaphos-worker"] * 2
        produce(run, client)
        told = client.run(settings_there)
    assert digests(run) == locally
    assert not slurm.call("squeue", "--noheader", "--states=PENDING,RUNNING"), "jobs are left"
    assert list(told.values()) == [("1", False, False, False, False)] * 2


@needs_jobqueue
def test_a_job_of_several_workers_that_ends_is_submitted_again(
    slurm, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("edaphos.engine.cluster_slurm.LOOK_EVERY", 0.5)
    spec = ClusterSpec("slurm", workers=2, slurm=in_jobs(tmp_path, cores=2))
    with connect(spec) as client:
        client.wait_for_workers(2, timeout=60)
        (first,) = slurm.call("squeue", "--noheader", "--format=%i").split()
        slurm.call("scancel", first)
        until = time.monotonic() + 60
        while len(client.nthreads()) == 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        client.wait_for_workers(2, timeout=60)
        assert slurm.call("squeue", "--noheader", "--format=%i").split() != [first]


@needs_jobqueue
def test_what_slurm_refuses_is_told(slurm, tmp_path) -> None:
    spec = ClusterSpec("slurm", slurm=in_jobs(tmp_path, queue="nowhere"))
    with (
        pytest.raises(RunError, match=r"(?s)refuses jobs of workers.*invalid partition"),
        connect(spec),
    ):
        pass


def test_an_interface_that_is_not_there_is_named(monkeypatch) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    spec = ClusterSpec("slurm", slurm=SlurmSpec(interface="ib7"))
    with pytest.raises(InputError, match=r'interface is "ib7", .* it has: .*lo'), connect(spec):
        pass


def test_the_kind_is_named_when_it_is_unknown() -> None:
    with (
        pytest.raises(InputError, match=r'cluster "pbs": expected "local", "slurm"'),
        connect(ClusterSpec("pbs")),
    ):
        pass


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (ClusterSpec("local", max_workers=4), 'max_workers is 4, which only kind = "slurm"'),
        (ClusterSpec("slurm", 8, max_workers=4), r"max_workers is 4, below cluster.workers \(8\)"),
        (
            ClusterSpec("slurm", max_workers=4, slurm=SlurmSpec(nested=False)),
            "max_workers cannot be kept with cluster.slurm.nested = false",
        ),
    ],
)
def test_contradictions_are_named(spec: ClusterSpec, told: str) -> None:
    with pytest.raises(InputError, match=told):
        spec.check()


def test_workers_are_rounded_up_to_whole_jobs() -> None:
    four = SlurmSpec(cores=4)
    assert ClusterSpec("slurm", slurm=four).jobs == (1, 1)
    assert ClusterSpec("slurm", 9, slurm=four).jobs == (3, 3)
    assert ClusterSpec("slurm", 4, max_workers=10, slurm=four).jobs == (1, 3)
    assert ClusterSpec("slurm", 9, slurm=SlurmSpec(cores=16, gpus=2)).jobs == (5, 5)


def test_no_sbatch_is_told(monkeypatch) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", "/nowhere")
    with (
        pytest.raises(InputError, match="no `sbatch` on this machine"),
        connect(ClusterSpec("slurm")),
    ):
        pass


def test_dask_jobqueue_missing_is_told(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue.slurm", None)
    with pytest.raises(InputError, match=r"edaphos\[cluster\]"), connect(ClusterSpec("slurm")):
        pass


def test_no_scheduler_at_the_address_is_told() -> None:
    with (
        pytest.raises(RunError, match=r"tls://127.0.0.1:1 .*distributed\.comm\.tls"),
        connect(ClusterSpec("tls://127.0.0.1:1")),
    ):
        pass


def test_outside_a_job_no_step_can_be_started(monkeypatch) -> None:
    monkeypatch.delenv("SLURM_JOB_NUM_NODES", raising=False)
    spec = ClusterSpec("slurm", slurm=SlurmSpec(nested=False))
    with pytest.raises(InputError, match="submit it with `edaphos submit`"), connect(spec):
        pass


def test_a_step_asks_for_the_whole_of_the_job(monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    slurm = SlurmSpec(nested=False, cores=8, gpus=2, memory="10GB", prologue=("module load x",))
    command = step_command(
        ClusterSpec("slurm", slurm=slurm), "tcp://a:1", {"SLURM_JOB_NUM_NODES": "3"}
    )
    assert {"--ntasks=3", "--cpus-per-task=8", "--gres=gpu:2"} <= set(command)
    assert command[command.index("--nworkers") + 1] == "2"
    assert command[command.index("--memory-limit") + 1] == "5000000000"
    script = command[command.index("-c") + 1]
    assert script.index("export NUMBA_NUM_THREADS=1") < script.index("module load x")


def test_workers_get_dasks_settings_by_their_environment(monkeypatch) -> None:
    import dask

    monkeypatch.setenv("PYTHONPATH", "/models of mine")
    variables = worker_environment()
    assert variables["PYTHONPATH"] == "/models of mine"
    read = dask.config.collect_env(variables)
    memory = read["distributed"]["worker"]["memory"]
    assert memory == {"target": False, "spill": False, "pause": False}
    assert read["distributed"]["worker"]["profile"] == {"enabled": False}
    assert read["distributed"]["comm"]["timeouts"]["connect"] == "60s"


@needs_keys
def test_what_local_processes_send_is_encrypted(locally, cube, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    with connect(ClusterSpec(workers=1, tls=True)) as client:
        assert client.scheduler.address.startswith("tls://")
        assert all(address.startswith("tls://") for address in client.nthreads())
        produce(run, client)
    assert digests(run) == locally


@needs_keys
@needs_jobqueue
def test_what_slurm_jobs_send_is_encrypted(slurm, locally, cube, tmp_path) -> None:
    run = make_run(tmp_path / "run", world_grid(256), cube)
    spec = ClusterSpec("slurm", workers=1, tls=True, slurm=in_jobs(tmp_path))
    with connect(spec) as client:
        client.wait_for_workers(1, timeout=60)
        assert all(address.startswith("tls://") for address in client.nthreads())
        (folder,) = {file.parent for file in (tmp_path / "jobs").rglob("*.pem")}
        assert folder.stat().st_mode & 0o777 == 0o700
        produce(run, client)
    assert digests(run) == locally
    assert not list((tmp_path / "jobs").rglob("*.pem"))


@needs_keys
def test_workers_of_a_step_get_their_keys_without_a_file() -> None:
    import dask
    from distributed import Security

    made_now = Security.temporary()
    read = dask.config.collect_env(tls_variables(made_now))
    tls = read["distributed"]["comm"]["tls"]
    config = dask.config.merge(dask.config.config, {"distributed": {"comm": {"tls": tls}}})
    with dask.config.set(config):
        ours = made_now.get_tls_config_for_role("worker")
        assert Security().get_tls_config_for_role("worker") == ours
