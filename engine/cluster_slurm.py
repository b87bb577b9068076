"""Workers as Slurm jobs of their own, submitted and kept up while the run lasts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Security

from .cluster_spec import ClusterSpec
from .cluster_worker import (
    CONFIG,
    PRELOAD_OPTIONS,
    check_interface,
    exports,
    temporary_security,
    worker_environment,
)
from .errors import InputError, RunError
from .progress import QUIET, Reporter

#: Name of the jobs that hold workers.
JOB_NAME = "edaphos-worker"
#: Seconds between looks at the jobs, and at most where none brings a worker.
LOOK_EVERY = 10.0
LONGEST_PAUSE = 600.0


def job_settings(spec: ClusterSpec) -> dict[str, Any]:
    """Return what ``dask_jobqueue.SLURMCluster`` is told.

    Each process of a job has ``tiles_at_once`` threads, which share its core or GPU: what Slurm
    books (``job_cpu``) are the cores that were asked for, not the threads.
    """
    slurm = spec.slurm
    return {
        "queue": slurm.queue,
        "account": slurm.account,
        "walltime": slurm.walltime,
        "job_cpu": slurm.cores,
        "cores": slurm.processes * spec.tiles_at_once,
        "processes": slurm.processes,
        "memory": slurm.memory,
        "interface": slurm.interface,
        "python": slurm.python,
        "job_name": JOB_NAME,
        "log_directory": str(Path(slurm.logs).absolute()),
        "local_directory": os.environ.get("TMPDIR", "/tmp"),
        "job_extra_directives": list(slurm.options),
        "job_script_prologue": [*exports(worker_environment()), *slurm.prologue],
        "worker_extra_args": list(PRELOAD_OPTIONS),
        "death_timeout": 120,
        "scheduler_options": {"dashboard_address": ":0"},
    }


@contextmanager
def jobs(spec: ClusterSpec, reporter: Reporter = QUIET) -> Iterator[tuple[Client, str]]:
    """Yield a client of a scheduler in this process, whose workers are Slurm jobs.

    Jobs that end (their walltime is over, a node fails) are submitted again.

    Raises
    ------
    InputError
        dask-jobqueue or ``sbatch`` is missing, or the network interface is.
    RunError
        Slurm refuses the jobs.
    """
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise InputError(
            'cluster "slurm" needs the package dask-jobqueue; install it with '
            "`pip install 'edaphos[cluster]'`"
        ) from error
    if shutil.which("sbatch") is None:
        raise InputError(
            'cluster "slurm": there is no `sbatch` on this machine; run where jobs can be '
            "submitted, or set cluster.slurm.nested = false and use `edaphos submit` where jobs "
            "may submit none"
        )
    check_interface(spec.slurm.interface)
    logs = Path(spec.slurm.logs).absolute()
    logs.mkdir(parents=True, exist_ok=True)
    settings = job_settings(spec)
    least, most = spec.jobs
    with dask.config.set(CONFIG), tempfile.TemporaryDirectory(prefix=".tls-", dir=logs) as keys:
        if spec.tls:
            settings["security"] = _in_files(temporary_security(), Path(keys))
        with SLURMCluster(**settings) as cluster, Client(cluster) as client:
            _test(cluster.job_script(), Path(keys))
            cluster.scale(jobs=least)
            if most > least:
                cluster.adapt(minimum_jobs=least, maximum_jobs=most, interval="5s", wait_count=12)
            span = f"{least} to {most}" if most > least else str(least)
            with kept_up(cluster, reporter):
                yield client, f"{span} Slurm job(s) of {spec.slurm.processes} worker(s)"


@contextmanager
def kept_up(cluster: Any, reporter: Reporter) -> Iterator[None]:
    """Submit jobs again that ended, while the block runs.

    Dask does so for jobs of one worker, but loses track of those that hold several.
    """
    ended = threading.Event()

    def look() -> None:
        pause = LOOK_EVERY
        while not ended.wait(pause):
            known = {job.job_id for job in list(cluster.workers.values())}
            live = _live_jobs()
            if live is None:
                continue
            try:
                gone = cluster.sync(_replace, cluster, known - live)
            except RuntimeError as error:  # sbatch failed
                reporter.say(f"no job could be submitted in place of one that ended: {error}")
                gone = 1
            # where no worker ever comes, jobs are not thrown at Slurm without end
            alive = bool(cluster.scheduler_info["workers"])
            pause = LOOK_EVERY if alive or not gone else min(pause * 2, LONGEST_PAUSE)
            if gone and not alive:
                reporter.say(
                    "jobs end before a worker comes; see their output in cluster.slurm.logs"
                )

    thread = threading.Thread(target=look, name="slurm-jobs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)


def _test(script: str, folder: Path) -> None:
    """Have Slurm look at a job without submitting it: what it refuses later is only logged."""
    file = folder / "test.sh"
    file.write_text(script)
    told = subprocess.run(
        ["sbatch", "--test-only", str(file)], capture_output=True, text=True, check=False
    )
    if told.returncode != 0:
        raise RunError(
            f"Slurm refuses jobs of workers ({told.stderr.strip()}); correct the recipe's "
            "[cluster.slurm]"
        )


async def _replace(cluster: Any, gone: set[str]) -> int:
    """Submit jobs in place of those that are gone, and return how many those were."""
    names = [name for name, job in cluster.workers.items() if job.job_id in gone]
    for name in names:
        del cluster.workers[name]
    if names:
        await cluster
    return len(names)


def _live_jobs() -> set[str] | None:
    """Return the jobs of workers that wait or run; None where Slurm does not tell."""
    command = ["squeue", "--noheader", "--format=%A", f"--name={JOB_NAME}", f"--user={os.getuid()}"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(told.stdout.split()) if told.returncode == 0 else None


def _in_files(security: Security, folder: Path) -> Security:
    """Return the same keys as files, by which jobs get them; only this user can read the folder."""
    options: dict[str, Any] = {"require_encryption": True}
    for name, text in security.get_tls_config_for_role("worker").items():
        if text is None:
            continue
        file = folder / f"{name}.pem"
        file.touch(0o600)
        file.write_text(text)
        roles = ("",) if name == "ca_file" else ("client_", "scheduler_", "worker_")
        options |= {f"tls_{role}{name}": str(file) for role in roles}
    return Security(**options)
