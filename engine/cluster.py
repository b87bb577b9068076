"""Connecting to where a run computes: this machine, Slurm, or a scheduler that already stands."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster

from .cluster_spec import ClusterSpec, SlurmSpec
from .cluster_worker import CONFIG, PRELOADS, SINGLE_THREADED, temporary_security
from .errors import RunError
from .progress import QUIET, Reporter
from .steady_clock import go_by_steady_time

__all__ = ["ClusterSpec", "SlurmSpec", "connect"]


@contextmanager
def connect(spec: ClusterSpec, reporter: Reporter = QUIET) -> Iterator[Client]:
    """Yield a Dask client, and take down what was started for it.

    From then on, Dask in this process goes by a clock that nobody sets.

    Raises
    ------
    InputError
        The cluster cannot be had as it is described, or a package or program is missing.
    RunError
        No scheduler answers.
    """
    spec.check()
    go_by_steady_time()
    where: AbstractContextManager[tuple[Client, str]]
    if spec.kind == "local":
        where = _local(spec)
    elif spec.kind != "slurm":
        where = _standing(spec)
    elif spec.slurm.nested:
        from .cluster_slurm import jobs

        where = jobs(spec, reporter)
    else:
        from .cluster_srun import allocation

        where = allocation(spec)
    with where as (client, words):
        reporter.say(f"{words}, dashboard {client.dashboard_link}")
        yield client


@contextmanager
def _standing(spec: ClusterSpec) -> Iterator[tuple[Client, str]]:
    """Connect to a running scheduler; its certificates are those of Dask's own configuration."""
    try:
        client = Client(spec.kind, timeout="20s")
    except (OSError, TypeError, ValueError) as error:  # the latter two: no certificates for tls://
        if not isinstance(error, OSError) and not spec.kind.startswith("tls://"):
            raise
        hint = (
            "name its certificates in Dask's configuration, distributed.comm.tls"
            if spec.kind.startswith("tls://")
            else "start one with `dask scheduler` and workers with `dask worker`, or use "
            "--cluster local"
        )
        raise RunError(f"no Dask scheduler answers at {spec.kind} ({error}); {hint}") from error
    with client:
        yield client, f"{len(client.nthreads())} worker(s) at {spec.kind}"


@contextmanager
def _local(spec: ClusterSpec) -> Iterator[tuple[Client, str]]:
    settings = {
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **SINGLE_THREADED,
        },
        **CONFIG,
    }
    tls: dict[str, Any] = {}
    if spec.tls:
        tls = {"security": temporary_security(), "protocol": "tls://"}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=spec.processes,
            threads_per_worker=spec.tiles_at_once,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
            preload=list(PRELOADS),
            **tls,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client, f"{spec.processes} worker(s) on this machine"
