"""How a net is trained, and on what: settings, batches, and where batches come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Tensor = Any
IntArray = NDArray[np.int64]
Schedule = Literal["cosine", "plateau", "constant"]
Precision = Literal["float32", "bf16"]
Device = Literal["auto", "cpu", "cuda"]

#: A plateau halves the rate after this share of the patience without a better epoch.
PLATEAU_SHARE = 0.5


@dataclass(frozen=True)
class TrainSpec:
    """How a net is trained.

    Parameters
    ----------
    epochs
        At most.
    batch
        Rows in a batch, at most: those of an epoch are cut into batches of nearly equal size.
    rate
        Learning rate of Adam at the start.
    weight_decay
        Of AdamW, on matrices and kernels only; 0 is Adam.
    schedule
        ``cosine``: the rate falls to 0 over `epochs`, whether or not all of them are run.
        ``plateau``: it is halved whenever half of `patience` has gone by without a better epoch.
    patience
        Epochs without a lower validation loss after which the training ends.
    clip
        Largest norm of the gradient; longer ones are shortened to it.
    precision
        ``bf16``: the forward pass in bfloat16 where torch thinks that safe; weights, loss and
        steps stay float32.
    device
        ``auto`` is the GPU where this process sees one.
    seed
        Of everything random.
    threads
        Of torch on the CPU. The last bits of the weights depend on it. More than there are idle
        cores make a training many times slower, as threads wait for each other by spinning.
    processes
        Workers of a cluster that train one net together, each with its part of every batch. What
        comes out is that of one process but for rounding and for what dropout draws.
    """

    epochs: int = 600
    batch: int = 256
    rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    patience: int = 20
    clip: float | None = None
    precision: Precision = "float32"
    device: Device = "auto"
    seed: int = 0
    threads: int = 1
    processes: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience", "threads", "processes"):
            if getattr(self, name) < 1:
                raise InputError(f"training: {name} must be 1 or more, is {getattr(self, name)}")
        if not 0 < self.rate < math.inf:
            raise InputError(f"training: rate must be above 0, is {self.rate}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"training: weight_decay must be 0 or more, is {self.weight_decay}")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"training: clip must be above 0 or left out, is {self.clip}")
        if self.seed < 0:
            raise InputError(f"training: seed must be 0 or more, is {self.seed}")
        for name, kind in (("schedule", Schedule), ("precision", Precision), ("device", Device)):
            if getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise InputError(
                    f'training: {name} "{getattr(self, name)}" is not known; known: {known}'
                )


@dataclass(frozen=True)
class Batch:
    """Some rows as a net takes them.

    Parameters
    ----------
    inputs
        What the net is called with, each ``(n, …)``.
    target, weight
        ``(n, k)``; a weight of 0 marks a missing target, which may be NaN.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    weight: Tensor

    def to(self, device: Any) -> Batch:
        """Return it on a device, laid out as nets in training are."""
        inputs = tuple(_sent(x, device) for x in self.inputs)
        return Batch(inputs, _sent(self.target, device), _sent(self.weight, device))


class Source(Protocol):
    """Where rows come from. It is asked from another thread than the one that trains."""

    def batch(self, rows: IntArray, rng: np.random.Generator | None, first: int = 0) -> Batch:
        """Return these rows, in this order.

        Parameters
        ----------
        rows
            Their numbers.
        rng
            Given while training, for what changes rows at random; None otherwise.
        first
            How many rows of the same batch are before these, and are another process's; what `rng`
            draws for them is passed over.
        """


def rate_of(spec: TrainSpec, epoch: int, validation: Sequence[float]) -> float:
    """Return the learning rate of an epoch (from 0), given the validation losses before it."""
    if spec.schedule == "cosine":
        return spec.rate * 0.5 * (1 + math.cos(math.pi * epoch / spec.epochs))
    if spec.schedule == "constant":
        return spec.rate
    rate, best, waited = spec.rate, math.inf, 0
    wait = max(1, round(PLATEAU_SHARE * spec.patience))
    for value in validation:
        waited = 0 if value < best else waited + 1
        best = min(best, value)
        if waited >= wait:
            rate, waited = rate / 2, 0
    return rate


def _sent(tensor: Tensor, device: Any) -> Tensor:
    if device.type != "cpu":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return laid(tensor) if tensor.ndim == 4 else tensor


def laid(held: Any) -> Any:
    """Return patches, or a net that reads them, with channels side by side in memory.

    Convolutions of patches of a few cells take a fifth less time then.
    """
    from torch import channels_last

    return held.to(memory_format=channels_last)


def check_rate_share(share: float) -> None:
    """Refuse a share of the learning rate at which a net is fine-tuned that is none."""
    if not 0 < share <= 1:
        raise InputError(f"fine_tuning.rate_share must be above 0 and at most 1, found {share}")
