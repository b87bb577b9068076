"""What all worker processes of a run have in common, wherever they are started."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

import psutil
from distributed import Security

from .errors import InputError

#: Libraries that would start threads of their own inside a worker; one each keeps results
#: identical and cores unfought-over.
SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "GDAL_NUM_THREADS": "1",
}
#: Dask's settings for workers.
CONFIG: Mapping[str, Any] = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    # A paused worker would wait for memory that nobody frees; the plan keeps it below.
    "distributed.worker.memory.pause": False,
    # Its samples of an hour take as much memory as a small map; the run notes phases of its own.
    "distributed.worker.profile.enabled": False,
    "distributed.comm.timeouts.connect": "60s",
}
#: Lets each worker take one GPU, where there are any.
GPU_CLAIM = "edaphos.engine.gpu_claim"
#: Keeps a wall clock that is set from stopping messages and heartbeats.
STEADY_CLOCK = "edaphos.engine.steady_clock"
#: Modules that each worker loads as it starts.
PRELOADS = (STEADY_CLOCK, GPU_CLAIM)
#: The same as options of ``dask worker``.
PRELOAD_OPTIONS = (
    *(word for module in PRELOADS for word in ("--preload", module)),
    *("--preload-nanny", STEADY_CLOCK),
)


def worker_environment() -> dict[str, str]:
    """Return the variables by which workers started elsewhere get the same settings.

    This process's ``PYTHONPATH`` goes along, so that models of the user's own are found.
    """
    settings = {
        f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(value)
        for key, value in CONFIG.items()
    }
    path = os.environ.get("PYTHONPATH")
    return {**SINGLE_THREADED, **settings, **({"PYTHONPATH": path} if path else {})}


def exports(variables: Mapping[str, str]) -> list[str]:
    """Return the shell lines that set variables.

    >>> exports({"A": "b c"})
    ["export A='b c'"]
    """
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def check_interface(name: str | None) -> None:
    """Refuse a network interface that this machine has not.

    Raises
    ------
    InputError
        Naming those it has.
    """
    known = sorted(psutil.net_if_addrs())
    if name is not None and name not in known:
        raise InputError(
            f'cluster.slurm.interface is "{name}", which this machine has not; it has: '
            f"{', '.join(known)}"
        )


def temporary_security() -> Security:
    """Return keys and a certificate for this run alone, which live in memory.

    Raises
    ------
    InputError
        The package that makes them is missing.
    """
    try:
        return Security.temporary()
    except ImportError as error:
        raise InputError(
            "cluster.tls = true needs the package cryptography to make keys; install it with "
            "`pip install cryptography`"
        ) from error
