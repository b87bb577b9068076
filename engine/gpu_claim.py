"""One GPU for each worker process: a preload module of Dask workers.

``dask worker ... --preload edaphos.engine.gpu_claim`` lets each worker process take one of the
devices in ``CUDA_VISIBLE_DEVICES`` (all of this machine's where it is not set) that no other
process of the same job has. The device is held by the lock on a file, which the kernel gives back
when the process ends, however it ends. The process then sees this device alone, and declares the
Dask resource ``GPU = 1``. A worker that finds none left sees no device, and declares nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

from .scratch import scratch_folder

#: The Dask resource that a worker with a GPU declares.
RESOURCE = "GPU"
#: Files whose descriptors stay open while the process lives.
_HELD: dict[str, int] = {}


def devices() -> list[str]:
    """Return the devices that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    driver = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number in range(len(list(driver.iterdir())))] if driver.exists() else []


def claim() -> str | None:
    """Take a device for this process, hide all others from it, and return its name.

    None where none is left; then this process sees none.
    """
    if _HELD:
        return next(iter(_HELD))
    found = next((name for name in devices() if _lock(name)), None)
    os.environ["CUDA_VISIBLE_DEVICES"] = found or ""
    return found


def dask_setup(worker: Any) -> None:
    """Claim a device before the worker tells the scheduler what it has."""
    if claim() is not None:
        worker.state.total_resources[RESOURCE] = 1.0
        worker.state.available_resources[RESOURCE] = 1.0


def _lock(name: str) -> bool:
    """Whether the device is ours now.

    Jobs of one machine may each call their own device 0, so the lock belongs to the job.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    what = hashlib.sha256(f"{platform.node()} {job} {name}".encode()).hexdigest()[:16]
    file = os.open(scratch_folder() / f"gpu-{what}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    _HELD[name] = file
    return True
