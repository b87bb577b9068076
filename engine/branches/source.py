"""Batches of a set: the squares of each group, turned alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conv.source import BUDGET, PatchSource
from ..need_torch import need_torch
from ..training_spec import Batch, IntArray
from .group_set import GroupSet
from .groups import GroupChannels


class GroupSource:
    """Rows of a training, each a place with its layers; for :func:`edaphos.engine.training.train`.

    Channels of all places are kept in memory where they fit into `budget`; otherwise those of each
    batch are made of raw values that are mapped from the disk.

    Parameters
    ----------
    held, channels
        The set, and how channels are made of it.
    place
        Position in the set of each row's place, ``(n,)``.
    target, weight
        ``(n, m)``; a weight of 0 marks a missing layer.
    layers
        ``(n, m, extra + 1)``, as :meth:`edaphos.kernels.branch_net.BranchNet.forward` reads them.
    augment
        Whether squares are mirrored and turned, all groups alike.
    absent
        Groups that are missing: zeros.
    plain
        Whether nets read no channels that tell what is missing.
    budget
        Bytes of channels that may be kept.
    """

    def __init__(
        self,
        held: GroupSet,
        channels: GroupChannels,
        place: IntArray,
        target: NDArray[Any],
        weight: NDArray[Any],
        layers: NDArray[Any],
        *,
        augment: bool = False,
        absent: Sequence[str] = (),
        plain: bool = False,
        budget: int = BUDGET,
    ) -> None:
        self.bands = channels.bands(plain)
        self.windows = [group.window for group in channels.groups]
        self.target, self.weight = (np.asarray(a, np.float32) for a in (target, weight))
        self.layers = np.asarray(layers, np.float32)
        self.sources = [
            None
            if group.name in absent
            else PatchSource(
                held.of(group.window),
                one,
                place,
                self.target,
                self.weight,
                augment=augment,
                budget=budget // len(channels.groups),
            )
            for group, one in zip(channels.groups, channels.channels, strict=True)
        ]

    def batch(self, rows: IntArray, rng: np.random.Generator | None, first: int = 0) -> Batch:
        """Return these rows; `rng` draws how their squares are turned."""
        torch = need_torch()
        # one draw for all groups: what is north in one is north in the others
        seed = None if rng is None else int(rng.integers(2**62))
        found = []
        for source, count, window in zip(self.sources, self.bands, self.windows, strict=True):
            if source is None:
                found.append(torch.zeros(len(rows), count, window, window))
                continue
            own = None if seed is None else np.random.default_rng(seed)
            (x,) = source.batch(rows, own, first).inputs
            found.append(x[:, :count].contiguous())
        layers, target, weight = (
            torch.from_numpy(a[rows]) for a in (self.layers, self.target, self.weight)
        )
        return Batch((*found, layers), target, weight)
