"""Workers started by ``srun`` inside the Slurm job that this process runs in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dask
from dask.utils import parse_bytes
from distributed import Client, LocalCluster, Security

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

#: Seconds within which the first worker must come.
STARTS_WITHIN = 300.0


def step_command(spec: ClusterSpec, scheduler: str, environ: Mapping[str, str]) -> list[str]:
    """Return the ``srun`` command that starts the workers of every node of this job.

    Raises
    ------
    InputError
        This process is in no Slurm job, or there is no ``srun``.
    """
    slurm = spec.slurm
    nodes = environ.get("SLURM_JOB_NUM_NODES")
    if nodes is None:
        raise InputError(
            "cluster.slurm.nested = false starts the workers inside a Slurm job, and this process "
            "is in none; submit it with `edaphos submit`"
        )
    if shutil.which("srun") is None:
        raise InputError(
            "cluster.slurm.nested = false needs the program `srun`, which is not on this node"
        )
    memory = parse_bytes(slurm.memory) // slurm.processes
    worker = [slurm.python or sys.executable, "-m", "distributed.cli.dask_worker", scheduler]
    worker += ["--nworkers", str(slurm.processes), "--nthreads", str(spec.tiles_at_once)]
    worker += ["--memory-limit", str(memory), "--nanny", "--death-timeout", "120"]
    worker += ["--local-directory", environ.get("TMPDIR", "/tmp"), *PRELOAD_OPTIONS]
    worker += ["--interface", slurm.interface] if slurm.interface else []
    worker += ["--no-dashboard"]
    step = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    step += [f"--cpus-per-task={slurm.cores}", "--overlap", "--mem=0", "--export=ALL"]
    step += [option for option in slurm.options if option.startswith(("--gres", "--gpus"))]
    # srun copies variables verbatim, so what has to be run first is run on each node
    lines = [*exports(worker_environment()), *slurm.prologue, 'exec "$@"']
    return [*step, "bash", "-c", "\n".join(lines), "worker", *worker]


def tls_variables(security: Security) -> dict[str, str]:
    """Return the variables by which a worker gets its keys, which then lie in no file."""
    found = security.get_tls_config_for_role("worker")
    names = {"ca_file": "CA_FILE", "cert": "WORKER__CERT", "key": "WORKER__KEY"}
    return {f"DASK_DISTRIBUTED__COMM__TLS__{names[key]}": found[key] for key in names}


@contextmanager
def allocation(spec: ClusterSpec) -> Iterator[tuple[Client, str]]:
    """Yield a client of a scheduler in this process, with workers on every node of the job."""
    check_interface(spec.slurm.interface)
    step_command(spec, "", os.environ)  # what is missing is said before anything starts
    options: dict[str, Any] = {"interface": spec.slurm.interface} if spec.slurm.interface else {}
    environment = dict(os.environ)
    if not options:
        options = {"host": "0.0.0.0"}  # all interfaces; its address is that of the outward one
    if spec.tls:
        security = temporary_security()
        options |= {"security": security, "protocol": "tls://"}
        environment |= tls_variables(security)
    with (
        dask.config.set(CONFIG),
        LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=40, **options) as cluster,
        Client(cluster) as client,
    ):
        command = step_command(spec, cluster.scheduler_address, os.environ)
        step = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        try:
            _wait(client, step)
            workers = len(client.nthreads())
            yield client, f"{workers} worker(s) of Slurm job {os.environ['SLURM_JOB_ID']}"
        finally:
            _end(step)


def _wait(client: Client, step: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while not client.nthreads():
        if step.poll() is not None:
            raise RunError(
                f"srun ended with {step.returncode} before a worker came; its reason stands above "
                "in this job's output"
            )
        if time.monotonic() > until:
            raise RunError(
                f"no worker came within {STARTS_WITHIN:.0f} s; see whether the nodes reach this "
                "one by cluster.slurm.interface"
            )
        time.sleep(0.2)


def _end(step: subprocess.Popen[bytes]) -> None:
    """End the step: workers go when asked, and are killed where they do not."""
    step.terminate()
    try:
        step.wait(30)
    except subprocess.TimeoutExpired:
        step.kill()
        step.wait()
