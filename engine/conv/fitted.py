"""Fitted nets of one model: what they say of rows, and of all cells of a tile at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..need_torch import torch_threads
from .channels import Channels
from .learning_rows import Floats, Ints, depth_numbers
from .patches import PatchStore
from .predictive import Said, gather

if TYPE_CHECKING:
    from edaphos.kernels.dense import DenseMapper
    from edaphos.kernels.patch_net import PatchNet

#: Patches run at once when rows are predicted.
BATCH = 2048
PARTS = "trunk", "heads"


@dataclass(frozen=True)
class FittedNets:
    """Members of an ensemble, each with a net for all depths, or one for each.

    Parameters
    ----------
    members
        By member, then by depth or one for all.
    channels
        What they see.
    depths
        Intervals that are mapped, cm.
    centre, spread
        Of the target at each depth: an output times `spread` plus `centre` is on the scale that is
        learned.
    low, high
        Least and largest target learned from at each depth, on the scale that is learned: what nets
        say is kept between them (:func:`~edaphos.engine.conv.predictive.gather`).
    passes
        Draws of dropout that stand beside each net, 0 for none.
    seed
        Of the draws.
    """

    members: tuple[tuple[PatchNet, ...], ...]
    channels: Channels
    depths: tuple[tuple[float, float], ...]
    centre: Floats
    spread: Floats
    low: Floats
    high: Floats
    passes: int = 0
    seed: int = 0

    @property
    def patch(self) -> int:
        """Cells along a side of a patch."""
        return int(self.members[0][0].shape.patch)

    def of(self, member: int, depth: int) -> tuple[PatchNet, int]:
        """Return the net of a member that is asked about a depth, and its head."""
        nets = self.members[member]
        if len(nets) > 1:
            return nets[depth], 0
        return nets[0], depth if len(nets[0].heads) > 1 else 0

    def variants(self, member: int, depth: int) -> list[tuple[PatchNet, int]]:
        """Return that net, and its draws of dropout."""
        from edaphos.kernels.layered_net import thinned

        net, head = self.of(member, depth)
        seeds = np.random.SeedSequence([self.seed, member]).generate_state(max(self.passes, 1))
        return [(net, head), *((thinned(net, int(s)), head) for s in seeds[: self.passes])]

    @property
    def runs(self) -> int:
        """Predictions of each cell and depth: of members, and of draws of dropout."""
        return len(self.members) * (1 + self.passes)

    def nbytes(self) -> int:
        """Return the bytes of all weights, and of what maps them.

        There convolutions that nets share are held once, dense layers for each depth and run.
        """
        every = [net for nets in self.members for net in nets]
        trunks, heads = (sum(_bytes(getattr(net, part)) for net in every) for part in PARTS)
        one = sum(_bytes(net.heads[0]) for net in every) / len(every)
        return int(2 * trunks + heads + one * len(self.depths) * self.runs)

    def of_rows(
        self, store: PatchStore, patch: Ints, depth: Ints, top: Floats, bottom: Floats
    ) -> Floats:
        """Return what each run says of rows, ``(runs, outputs, n)``, on the scale that is learned.

        Parameters
        ----------
        store, patch
            All patches, and which each row has.
        depth
            Mapped depth that each belongs to.
        top, bottom
            Their own, cm.
        """
        import torch

        outputs = self.members[0][0].outputs
        out = np.full((self.runs, outputs, len(patch)), np.nan)
        numbers = depth_numbers(top, bottom).astype(np.float32)
        for d in np.unique(depth):
            rows = np.flatnonzero(depth == d)
            needed, which = np.unique(patch[rows], return_inverse=True)
            every = [self.variants(m, int(d)) for m in range(len(self.members))]
            for first in range(0, len(needed), BATCH):
                here = np.flatnonzero((which >= first) & (which < first + BATCH))
                place, row = which[here] - first, rows[here]
                x = torch.from_numpy(
                    self.channels.of_patches(store, needed[first : first + BATCH], self.patch)
                )
                extra = torch.from_numpy(numbers[row])
                run = 0
                with torch_threads(1), torch.inference_mode():
                    for variants in every:
                        flat = variants[0][0].trunk(x)[torch.from_numpy(place)]
                        for net, head in variants:
                            joined = torch.cat([flat, extra], 1) if net.extra else flat
                            out[run][:, row] = net.heads[head](joined).numpy().T
                            run += 1
        return out * self.spread[depth] + self.centre[depth]

    def together(self, said: Floats, levels: tuple[float, ...], depth: Any) -> Said:
        """Join runs, ``(runs, outputs, ...)``, at a depth or at one for each row."""
        return gather(said, levels, self.passes, self.low[depth], self.high[depth])

    def mapper(
        self, precision: Literal["float32", "bf16"] = "float32", device: str = "cpu"
    ) -> DenseMapper:
        """Return what maps all runs of all depths at once, depth by depth."""
        from edaphos.kernels.dense import DenseMapper

        chains = []
        for d, (top, bottom) in enumerate(self.depths):
            numbers = depth_numbers(np.array([top]), np.array([bottom]))[0]
            for m in range(len(self.members)):
                for net, head in self.variants(m, d):
                    chains.append(net.sequential(head, numbers if net.extra else None))
        bands = len(self.channels)
        return DenseMapper(chains, self.patch, bands, precision=precision, device=device)

    def rounding(
        self, store: PatchStore, patches: Ints, precision: Literal["float32", "bf16"]
    ) -> float:
        """Return how far a precision is from float32: root mean square, as a share of the spread.

        Parameters
        ----------
        store, patches
            Places that are asked for.
        """
        x = self.channels.of_patches(store, patches, self.patch)
        # side by side they are one strip, of which every so manieth cell is the middle of one
        planes = np.ascontiguousarray(x.transpose(1, 2, 0, 3).reshape(x.shape[1], self.patch, -1))
        exact, rounded = (
            self.mapped(self.mapper(how), planes)[..., 0, :: self.patch]
            for how in ("float32", precision)
        )
        return float(np.sqrt(((rounded - exact) ** 2).mean()) / exact.std())

    def mapped(self, mapper: DenseMapper, planes: NDArray[np.float32]) -> Floats:
        """Return what each run says of all cells, ``(depths, runs, outputs, y, x)``.

        Parameters
        ----------
        mapper
            As :meth:`mapper` made it.
        planes
            Channels with the halo, ``(channels, y + patch - 1, x + patch - 1)``.

        Returns
        -------
        ndarray
            float64, on the scale that is learned.
        """
        with torch_threads(1):
            said = mapper.predict(planes)
        found = said.reshape(len(self.depths), self.runs, *said.shape[1:]).astype(np.float64)
        shape = (-1, 1, 1, 1, 1)
        return found * self.spread.reshape(shape) + self.centre.reshape(shape)


def _bytes(module: Any) -> int:
    return sum(p.numel() * p.element_size() for p in module.state_dict().values())
