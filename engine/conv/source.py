"""Patches as batches for training: channels are made once where they fit into memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..need_torch import need_torch
from ..training_spec import Batch, IntArray
from .augment import augmented
from .channels import Channels
from .patches import PatchStore

#: Bytes of channels that a source keeps in memory.
BUDGET = 2**30
#: Bytes of channels that are made at once.
_AT_ONCE = 64 * 2**20


class PatchSource:
    """Rows of a training, each with a patch; for :func:`edaphos.engine.training.train`.

    The channels of all patches that rows name are made at the first batch and kept, each patch
    once, if they fit into `budget`; otherwise those of each batch are made of raw values, which
    are mapped from the disk, again in every epoch. Batches are the same, bit for bit.

    Parameters
    ----------
    store, channels
        The patches, and how channels are made of them.
    patch
        Position in the store of each row's patch, ``(n,)``.
    target, weight
        ``(n, k)``; a weight of 0 marks a missing target, which may be NaN.
    extra
        What the net is called with beside the patches, ``(n, …)``; None for nothing.
    augment
        Whether patches of training batches are mirrored and turned; only for channels that are
        symmetric.
    size
        Cells along a side that are used, in the middle; all by default.
    budget
        Bytes of channels that may be kept.
    """

    def __init__(
        self,
        store: PatchStore,
        channels: Channels,
        patch: IntArray,
        target: NDArray[Any],
        weight: NDArray[Any],
        extra: NDArray[Any] | None = None,
        *,
        augment: bool = False,
        size: int | None = None,
        budget: int = BUDGET,
    ) -> None:
        if augment and not channels.symmetric:
            raise ValueError("patches with directional bands cannot be mirrored or turned")
        self.store, self.channels, self.augment = store, channels, augment
        self.size = store.size if size is None else size
        self.patch = np.asarray(patch, np.int64)
        self.target, self.weight = (np.asarray(a, np.float32) for a in (target, weight))
        self.extra = None if extra is None else np.asarray(extra, np.float32)
        self.used, self.place = np.unique(self.patch, return_inverse=True)
        self.keeps = len(self.used) * self._bytes_each <= budget
        self._kept: NDArray[np.float32] | None = None

    def batch(self, rows: IntArray, rng: np.random.Generator | None, first: int = 0) -> Batch:
        """Return these rows; `rng` draws how their patches are turned."""
        torch = need_torch()
        x = self._channels_of(rows)
        if rng is not None and self.augment:
            x = augmented(x, rng, first)
        extra = () if self.extra is None else (self.extra[rows],)
        tensors = (torch.from_numpy(a) for a in (self.target[rows], self.weight[rows]))
        return Batch(tuple(torch.from_numpy(a) for a in (x, *extra)), *tensors)

    @property
    def _bytes_each(self) -> int:
        return 4 * len(self.channels) * self.size**2

    def _channels_of(self, rows: IntArray) -> NDArray[np.float32]:
        if not self.keeps:
            return self.channels.of_patches(self.store, self.patch[rows], self.size)
        if self._kept is None:
            self._kept = self._made()
        return self._kept[self.place[rows]]

    def _made(self) -> NDArray[np.float32]:
        kept = np.empty((len(self.used), len(self.channels), self.size, self.size), np.float32)
        step = max(1, _AT_ONCE // self._bytes_each)
        for first in range(0, len(kept), step):
            part = slice(first, first + step)
            kept[part] = self.channels.of_patches(self.store, self.used[part], self.size)
        return kept
