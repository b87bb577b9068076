"""One GPU a worker: claimed, given back, declared to Dask, and asked for by tiles."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from edaphos.engine.cluster import ClusterSpec, SlurmSpec, connect
from edaphos.engine.errors import InputError
from edaphos.engine.gpu import require_gpu, tile_resources

CLAIM = """
import os, sys
from edaphos.engine.gpu_claim import claim
print(claim(), os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


class Net:
    needs_gpu = True


class Forest:
    pass


@pytest.fixture(autouse=True)
def two_devices(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7f")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def claimant(**more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CLAIM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **more},
    )


def test_processes_claim_devices_of_their_own_and_a_death_gives_back() -> None:
    held = [claimant()]
    assert held[0].stdout.readline() == "3 3\n"
    held.append(claimant())
    assert held[1].stdout.readline() == "GPU-7f GPU-7f\n"
    held.append(claimant())
    assert held[2].stdout.readline() == "None \n"
    held.append(claimant(SLURM_JOB_ID="9"))  # another job's devices are others
    assert held[3].stdout.readline() == "3 3\n"
    held[1].kill()
    held[1].wait()
    held.append(claimant())
    assert held[4].stdout.readline() == "GPU-7f GPU-7f\n"
    for process in held:
        process.communicate(timeout=30)


def seen() -> str:
    import os

    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_each_worker_of_this_machine_has_one_or_none() -> None:
    with connect(ClusterSpec(workers=3, tiles_at_once=2)) as client:
        assert sorted(client.run(seen).values()) == ["", "3", "GPU-7f"]
        spec = ClusterSpec(workers=3, tiles_at_once=2)
        require_gpu(client, Net(), spec)
        asked = tile_resources(Net(), spec)
        futures = client.map(lambda _: seen(), range(12), resources=asked, pure=False)
        assert set(client.gather(futures)) == {"3", "GPU-7f"}


def test_without_gpus_a_model_that_needs_one_is_refused_at_once(monkeypatch) -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        require_gpu(client, Forest(), ClusterSpec())
        with pytest.raises(InputError, match="set CUDA_VISIBLE_DEVICES to this machine's"):
            require_gpu(client, Net(), ClusterSpec())
        with pytest.raises(InputError, match=r'none of the 1 worker\(s\) of the cluster "tcp://x'):
            require_gpu(client, Net(), ClusterSpec("tcp://x:1"))
        with pytest.raises(InputError, match=r"cluster\.slurm\.gpus is 0"):
            require_gpu(client, Net(), ClusterSpec("slurm"))
        require_gpu(client, Net(), ClusterSpec("slurm", slurm=SlurmSpec(gpus=1)))


@pytest.mark.parametrize("at_once", range(1, 9))
def test_tiles_share_a_gpu_without_rounding(at_once: int) -> None:
    share = tile_resources(Net(), ClusterSpec(tiles_at_once=at_once))["GPU"]
    taken = list(accumulate([1.0] + [-share] * at_once))
    assert 0 <= taken[-1] < share
    assert taken[-1] + at_once * share == 1.0


def test_other_models_ask_for_nothing() -> None:
    assert tile_resources(Forest(), ClusterSpec()) == {}


def test_a_slurm_job_with_two_gpus_starts_a_worker_on_each(slurm, tmp_path, monkeypatch) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    asked = SlurmSpec(
        queue="main",
        cores=2,
        memory="4GB",
        walltime="10",
        gpus=2,
        interface="lo",
        logs=str(tmp_path / "jobs"),
    )
    with connect(ClusterSpec("slurm", 2, slurm=asked)) as client:
        client.wait_for_workers(2, timeout=60)
        assert sorted(client.run(seen).values()) == ["0", "1"]
        require_gpu(client, Net(), ClusterSpec("tcp://x:1"))
        job = slurm.call("squeue", "--noheader", "--format=%i").split()
        assert len(job) == 1
        told = slurm.call("scontrol", "show", "job", job[0], "--oneliner")
        assert "gres:gpu:2" in told or "gres/gpu:2" in told or "gres/gpu=2" in told
        assert "NumCPUs=2" in told
