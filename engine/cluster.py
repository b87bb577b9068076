"""Where a run computes: this machine, or a Dask scheduler that already stands."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dask
from distributed import Client, LocalCluster

from .errors import InputError, RunError
from .progress import QUIET, Reporter

#: Libraries that would start threads of their own inside a worker; one each keeps results
#: identical and cores unfought-over.
_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "GDAL_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class ClusterSpec:
    """Where and how wide to compute.

    Parameters
    ----------
    kind
        ``local``, or the address of a running scheduler such as ``tcp://host:8786``.
    workers
        Processes of a local cluster; 0 takes one for each core.
    tiles_at_once
        Tiles a worker holds at once: one computes while others read and write.
    """

    kind: str = "local"
    workers: int = 0
    tiles_at_once: int = 2

    @property
    def processes(self) -> int:
        """Worker processes of a local cluster."""
        return self.workers or len(os.sched_getaffinity(0))


@contextmanager
def connect(spec: ClusterSpec, reporter: Reporter = QUIET) -> Iterator[Client]:
    """Yield a Dask client, and take down what was started for it."""
    if spec.kind == "local":
        with _local(spec) as client:
            _announce(f"{spec.processes} worker(s) on this machine", client, reporter)
            yield client
    elif spec.kind.startswith(("tcp://", "tls://", "ucx://")):
        try:
            client = Client(spec.kind, timeout="20s")
        except OSError as error:
            raise RunError(
                f"no Dask scheduler answers at {spec.kind} ({error}); start one with "
                "`dask scheduler` and workers with `dask worker`, or use --cluster local"
            ) from error
        with client:
            _announce(f"{len(client.nthreads())} worker(s) at {spec.kind}", client, reporter)
            yield client
    else:
        raise InputError(
            f'cluster "{spec.kind}": expected "local" or an address such as tcp://host:8786'
        )


def _announce(where: str, client: Client, reporter: Reporter) -> None:
    reporter.say(f"{where}, dashboard {client.dashboard_link}")


@contextmanager
def _local(spec: ClusterSpec) -> Iterator[Client]:
    settings = {
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **_SINGLE_THREADED,
        },
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        # A paused worker would wait for memory that nobody frees; the plan keeps it below.
        "distributed.worker.memory.pause": False,
        "distributed.comm.timeouts.connect": "60s",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=spec.processes,
            threads_per_worker=spec.tiles_at_once,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
