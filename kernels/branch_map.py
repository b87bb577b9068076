"""Maps by nets of branches: each branch in its dense form over the map, dense layers on each cell.

A branch is a patch CNN of its own window (:mod:`edaphos.kernels.dense_form`), and a smaller window
is the middle of the common square, so that its planes are cut at the sides. What follows the
branches looks at one cell at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from .branch_net import BranchNet
from .dense_form import dense_form

Floats = NDArray[np.float32]

#: Working memory of one strip of a map.
STRIP_BYTES = 64 << 20


@dataclass(frozen=True)
class _Parts:
    branches: tuple[nn.Module, ...]
    merge: nn.Sequential
    heads: tuple[nn.Sequential, ...]


class BranchMapper:
    """Maps by several nets of one shape, for one or more layers; a net's branches run once.

    Threads are the caller's: call ``torch.set_num_threads(1)`` first where bits must not depend on
    how many there are.

    Parameters
    ----------
    nets
        They read the same groups.
    layers
        The extra numbers of each layer that is mapped: depth, and year where nets read it.
    max_bytes
        Working memory: a map is made in strips of rows that fit it.
    """

    def __init__(
        self, nets: Sequence[BranchNet], layers: Sequence[ArrayLike], max_bytes: int = STRIP_BYTES
    ) -> None:
        if not nets or not layers:
            raise ValueError("nets, layers: at least one of each is needed")
        self.shape, self.outputs = nets[0].shape, nets[0].outputs
        self.layers = len(layers)
        self.parts = [_parts(net, layers) for net in nets]
        shape = self.shape
        widest = max(b.bands + b.embedding + 3 * shape.width for b in shape.branches)
        each = shape.width * len(shape.branches) + widest + 3 * shape.merged + 2 * sum(shape.dense)
        self._cells = max(1, max_bytes // (4 * each))

    def predict(self, groups: Sequence[Floats]) -> Floats:
        """Return ``(layers, nets, outputs, h, w)``.

        Parameters
        ----------
        groups
            Planes of each group with the halo of the largest window, ``(bands, h + window - 1,
            w + window - 1)``, finite.

        Raises
        ------
        ValueError
            Planes of other numbers or sides.
        """
        window = self.shape.window
        sides = {planes.shape[1:] for planes in groups}
        bands = [planes.shape[0] for planes in groups]
        if bands != [b.bands for b in self.shape.branches] or len(sides) != 1:
            raise ValueError(
                f"expected groups of {[b.bands for b in self.shape.branches]} bands "
                f"on one grid, found {[p.shape for p in groups]}"
            )
        ((height, width),) = sides
        h, w = height - window + 1, width - window + 1
        if min(h, w) < 1:
            raise ValueError(f"planes of {height} x {width} cells hold no window of {window}")
        out = np.empty((self.layers, len(self.parts), self.outputs, h, w), np.float32)
        rows = max(1, self._cells // (w + window) - window)
        for y in range(0, h, rows):
            stop = min(y + rows, h)
            out[..., y:stop, :] = self._strip([p[:, y : stop + window - 1] for p in groups])
        return out

    def memory_bytes(self, cells: int) -> int:
        """Return about how much making a map of so many cells takes, its planes left out."""
        values = self.layers * len(self.parts) * self.outputs
        return 4 * (self._cells * 4 + values * cells) + STRIP_BYTES

    def _strip(self, groups: Sequence[Floats]) -> Floats:
        pieces = []
        for planes, branch in zip(groups, self.shape.branches, strict=True):
            cut = (self.shape.window - branch.window) // 2
            y, x = (slice(cut, side - cut) for side in planes.shape[1:])
            pieces.append(torch.from_numpy(np.ascontiguousarray(planes[:, y, x]))[None])
        made = []
        with torch.inference_mode():
            for parts in self.parts:
                features = torch.cat([b(x) for b, x in zip(parts.branches, pieces, strict=True)], 1)
                h, w = features.shape[-2:]
                cells = features[0].reshape(features.shape[1], -1).T.contiguous()
                merged = parts.merge(cells)
                said = [head(merged).T.reshape(self.outputs, h, w) for head in parts.heads]
                made.append(torch.stack(said))
            return torch.stack(made, 1).numpy()


def _parts(net: BranchNet, layers: Sequence[ArrayLike]) -> _Parts:
    branches = []
    for module, branch in zip(net.branches, net.shape.branches, strict=True):
        flat = nn.Sequential(*module, nn.Flatten()).eval()
        branches.append(dense_form(flat, branch.window, branch.bands))
    joined, *bent, _ = net.merge
    linear = nn.Linear(joined.in_channels, joined.out_channels)
    with torch.no_grad():
        linear.weight.copy_(joined.weight[:, :, 0, 0])
        linear.bias.copy_(joined.bias)
    merge = nn.Sequential(linear, *bent).eval()
    return _Parts(tuple(branches), merge, tuple(net.head_for(layer) for layer in layers))
