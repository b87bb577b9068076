"""Places of the world that are kept with its model, for regions to be aligned with them.

Features of both domains must come from the net as it is tuned, so that features as they were do
not do: covariates are kept, the raw squares of a few hundred training places and the depth and year
of a layer of each, drawn at random. No target and no coordinates are among them. As raw planes they
are a third of what they are as channels: 512 places of 19 covariates take .3 MB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conv.learning_rows import LEARN, LearningRows
from ..conv.patch_statistics import raw_patches
from ..errors import StoreError
from ..place import Place
from ..store import write_atomically
from ..tensor_file import read_tensor_file, tensor_file
from .group_set import GroupSet
from .groups import GroupChannels

KEPT = "kept_places.safetensors"
_EXTRA = "extra numbers"


@dataclass(frozen=True)
class KeptPlaces:
    """Covariates of some training places.

    Parameters
    ----------
    groups
        Raw planes of each group by its name, ``(n, planes, window, window)``, NaN for missing.
    extra
        What nets see of a layer of each beside covariates, ``(n, extra)``.
    """

    groups: Mapping[str, NDArray[np.float32]]
    extra: NDArray[np.float32]

    @classmethod
    def draw(
        cls, held: GroupSet, channels: GroupChannels, rows: LearningRows, number: int, seed: int
    ) -> KeptPlaces:
        """Draw layers that were learned from, all alike, and take what nets see of them."""
        learned = np.flatnonzero(rows.part == LEARN)
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x4E97]))
        some = rng.choice(learned, min(number, len(learned)), replace=False)
        groups = {}
        for group, one in zip(channels.groups, channels.channels, strict=True):
            store = held.of(group.window)
            planes = np.array([store.planes.index(plane) for plane in one.planes])
            groups[group.name] = raw_patches(store, rows.patch[some], planes, group.window)
        return cls(groups, rows.extra[some].astype(np.float32))

    def inputs(self, channels: GroupChannels, absent: Sequence[str], plain: bool) -> list[Any]:
        """Return what a net is called with, one layer a place.

        Groups that are absent, or that only a region has, are zeros, as where they are missing.
        """
        import torch

        found = []
        bands = channels.bands(plain)
        for group, one, count in zip(channels.groups, channels.channels, bands, strict=True):
            x = np.zeros((len(self.extra), count, group.window, group.window), np.float32)
            if group.name in self.groups and group.name not in absent:
                x[:] = one.assemble(self.groups[group.name])[:, :count]
            found.append(torch.from_numpy(x))
        there = np.ones((len(self.extra), 1), np.float32)
        layers = np.concatenate([self.extra, there], axis=1)[:, None]
        return [*found, torch.from_numpy(layers)]

    def save(self, path: Place) -> None:
        """Write them, whole or not at all."""
        import torch

        names = list(self.groups)
        tensors = {str(k): torch.from_numpy(self.groups[name]) for k, name in enumerate(names)}
        tensors[_EXTRA] = torch.from_numpy(self.extra)
        write_atomically(path, tensor_file(tensors, {"groups": names}))

    @classmethod
    def load(cls, path: Place) -> KeptPlaces:
        """Read what :meth:`save` wrote.

        Raises
        ------
        StoreError
            It is damaged.
        """
        tensors, about = read_tensor_file(path, "get the model again")
        try:
            groups = {name: tensors[str(k)].numpy() for k, name in enumerate(about["groups"])}
            return cls(groups, tensors[_EXTRA].numpy())
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path}: not readable ({error!r}); get the model again") from error
