"""Workers as Slurm jobs of their own, submitted and kept up while the run lasts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Security

from .cluster_spec import ClusterSpec
from .cluster_worker import CONFIG, PRELOAD, exports, temporary_security, worker_environment
from .errors import InputError, RunError


def job_settings(spec: ClusterSpec) -> dict[str, Any]:
    """Return what ``dask_jobqueue.SLURMCluster`` is told.

    Each process of a job has ``tiles_at_once`` threads, which share its core or GPU: what Slurm
    books (``job_cpu``) are the cores that were asked for, not the threads.
    """
    slurm = spec.slurm
    directives = list(slurm.directives)
    if slurm.gpus:
        directives.insert(0, f"--gres=gpu:{slurm.gpus}")
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
        "job_name": "edaphos-worker",
        "log_directory": str(Path(slurm.logs).absolute()),
        "local_directory": os.environ.get("TMPDIR", "/tmp"),
        "job_extra_directives": directives,
        "job_script_prologue": [*exports(worker_environment()), *slurm.prologue],
        "worker_extra_args": ["--preload", PRELOAD],
        "death_timeout": 120,
        "scheduler_options": {"dashboard_address": ":0"},
    }


@contextmanager
def jobs(spec: ClusterSpec) -> Iterator[tuple[Client, str]]:
    """Yield a client of a scheduler in this process, whose workers are Slurm jobs.

    Jobs that end (their walltime is over, a node fails) are submitted again.
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
    logs = Path(spec.slurm.logs).absolute()
    logs.mkdir(parents=True, exist_ok=True)
    settings = job_settings(spec)
    least, most = spec.jobs
    with dask.config.set(CONFIG), tempfile.TemporaryDirectory(prefix=".tls-", dir=logs) as keys:
        if spec.tls:
            settings["security"] = _in_files(temporary_security(), Path(keys))
        try:
            cluster = SLURMCluster(**settings)
        except (ValueError, TypeError, RuntimeError) as error:
            raise RunError(f"no scheduler could be started for Slurm's workers: {error}") from error
        with cluster, Client(cluster) as client:
            cluster.adapt(minimum_jobs=least, maximum_jobs=most, interval="2s", wait_count=15)
            span = f"{least} to {most}" if most > least else str(least)
            yield client, f"{span} Slurm job(s) of {spec.slurm.processes} worker(s)"


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
