"""Which numbers nets are multiplied in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Precision = Literal["float32", "tf32", "bf16"]


@contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """Compute in `precision` for a while.

    ``float32`` means float32: on GPUs torch takes TF32 (10 bits of 23) for convolutions unless
    told not to. That is a setting of the process, put back at the end; threads that share a GPU
    share it.

    Parameters
    ----------
    device
        Where it is computed.
    precision
        ``float32``; ``tf32``, which elsewhere than on GPUs is float32; or ``bf16``, products of
        bfloat16 numbers summed in float32.
    """
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul) if device.type == "cuda" else ()
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = precision == "tf32"
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        for switch, allowed in zip(switches, before, strict=True):
            switch.allow_tf32 = allowed
