"""What tiles and trainings ask of workers that have a GPU."""

from __future__ import annotations

from typing import Any

from distributed import Client

from .cluster_spec import ClusterSpec
from .errors import InputError
from .gpu_claim import RESOURCE


def tile_resources(model: Any, spec: ClusterSpec) -> dict[str, float]:
    """Return the Dask resources that a tile asks for.

    A model with ``needs_gpu = True`` asks for its share of a GPU, so that `spec.tiles_at_once`
    tiles meet on one; others ask for nothing.
    """
    if not getattr(model, "needs_gpu", False):
        return {}
    # a multiple of 2**-20, so that taking and giving back shares leaves no rounding behind
    return {RESOURCE: (2**20 // spec.tiles_at_once) / 2**20}


def require_gpu(client: Client, model: Any, spec: ClusterSpec) -> None:
    """Refuse a model that needs a GPU where no worker has one, instead of waiting for ever.

    On Slurm with GPUs asked for, workers that have them are still to come.

    Raises
    ------
    InputError
        No connected worker offers the resource.
    """
    if not getattr(model, "needs_gpu", False):
        return
    if spec.kind == "slurm":
        if spec.slurm.gpus:
            return
        raise InputError(
            "the model needs a GPU, and cluster.slurm.gpus is 0; say how many GPUs each job gets"
        )
    if gpu_offered(client):
        return
    hint = (
        "set CUDA_VISIBLE_DEVICES to this machine's GPUs, or compute elsewhere (--cluster)"
        if spec.kind == "local"
        else "start workers beside GPUs with `dask worker ... --preload edaphos.engine.gpu_claim`"
    )
    raise InputError(
        f"the model needs a GPU, and none of the {len(client.nthreads())} worker(s) of the cluster "
        f'"{spec.kind}" offers the Dask resource {RESOURCE}; {hint}'
    )


def training_resources(client: Client) -> dict[str, float]:
    """Return what a training asks for: a GPU to itself where workers have any, else nothing."""
    return {RESOURCE: 1.0} if gpu_offered(client) else {}


def gpu_offered(client: Client) -> bool:
    """Whether a worker that is connected has a GPU."""
    return any(client.run(_offered).values())


def _offered(dask_worker: Any) -> float:
    return float(dask_worker.state.total_resources.get(RESOURCE, 0.0))
