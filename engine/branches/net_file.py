"""One net of branches as a safetensors file: weights, sizes, and the spread of its features."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.branch_shape import BranchShape, build

from ..errors import InputError, StoreError
from ..need_torch import need_torch
from ..place import Place
from ..store import write_atomically
from ..tensor_file import read_tensor_file, tensor_file

if TYPE_CHECKING:
    from edaphos.kernels.branch_net import BranchNet

SCHEMA = 1
_COVARIANCE = "covariance of features"


def save_net(path: Place, net: BranchNet, covariance: NDArray[Any] | None = None) -> None:
    """Write a net, and the covariance of what its last layer reads, whole or not at all."""
    import torch

    about = {
        "schema": SCHEMA,
        "shape": asdict(net.shape),
        "outputs": net.outputs,
        "extra": net.extra,
    }
    tensors = dict(net.state_dict())
    if covariance is not None:
        tensors[_COVARIANCE] = torch.from_numpy(np.asarray(covariance, np.float32))
    write_atomically(path, tensor_file(tensors, about))


def load_net(path: Place) -> tuple[BranchNet, NDArray[np.float32] | None]:
    """Read what :func:`save_net` wrote; the net is in evaluation mode.

    Raises
    ------
    InputError
        There is no such file, or it was written by a newer edaphos.
    StoreError
        It is damaged.
    """
    need_torch()
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights; name the folder of a model")
    tensors, about = read_tensor_file(path, "get the model again")
    if about.get("schema", 0) > SCHEMA:
        raise InputError(f"{path}: schema {about['schema']} is newer than this edaphos knows")
    covariance = tensors.pop(_COVARIANCE, None)
    try:
        net = build(BranchShape(**about["shape"]), about["outputs"], about["extra"], seed=0)
        net.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StoreError(f"{path}: not readable ({error}); get the model again") from error
    return net.eval(), None if covariance is None else covariance.numpy()
