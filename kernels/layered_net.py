"""Patch CNNs on places with several soil layers each, and nets thinned by dropout for good."""

from __future__ import annotations

from copy import copy, deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from .patch_net import PatchNet


class Layered(nn.Module):  # type: ignore[misc]
    """One patch for all layers of a place: convolutions run once, dense layers once for each layer.

    The layers of a profile share their patch, and depth joins after the convolutions, so that a
    net that runs the patch for each layer would do the same convolutions over and over.

    Parameters
    ----------
    net
        With one head; what it takes as ``extra`` differs between layers.
    keep_statistics
        Normalise by the means and variances that the net has, in training, too. A batch of one
        depth has others than batches of all depths, and its own would take away what the net says
        of that depth.
    """

    def __init__(self, net: PatchNet, *, keep_statistics: bool = False) -> None:
        super().__init__()
        self.net, self.keep_statistics = net, keep_statistics

    def train(self, mode: bool = True) -> Layered:
        """Set training or evaluation mode."""
        super().train(mode)
        for module in self.modules() if self.keep_statistics else ():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, x: Tensor, layers: Tensor) -> Tensor:
        """Return ``(n, m * outputs)``, layer by layer, 0 where there is none.

        Parameters
        ----------
        x
            Patches, ``(n, bands, patch, patch)``.
        layers
            ``(n, m, extra + 1)``: the numbers of each layer, and last 1 where there is a layer and
            0 where the place has fewer than `m`.
        """
        there = layers[..., -1] > 0
        place = there.nonzero()[:, 0]
        rows = torch.cat([self.net.trunk(x)[place], layers[there][:, :-1]], 1)
        said = self.net.heads[0](rows)
        out = said.new_zeros((*there.shape, said.shape[1]))
        out[there] = said
        return out.flatten(1)


def thinned(net: PatchNet, seed: int) -> PatchNet:
    """Return the net with one draw of its dropout before each dense layer made permanent.

    Predictions of several draws differ by how sure the net is (Gal & Ghahramani 2016, *ICML*,
    1050-1059); here a draw is the same over a whole map, as one sample of the weights is. Dropout
    between convolutions stays off, and the convolutions are shared with `net`.

    Parameters
    ----------
    net
        Its shape names the share that is dropped; numbers that join the flattened patch are kept.
    seed
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    keep = 1 - net.shape.dropout
    other = copy(net)
    other._modules = dict(net._modules)
    other.heads = deepcopy(net.heads)
    for head in other.heads:
        extra = net.extra
        for layer in head.modules():
            if isinstance(layer, nn.Linear):
                drawn = (rng.random(layer.in_features - extra) < keep) / keep
                mask = np.concatenate([drawn, np.ones(extra)]).astype(np.float32)
                with torch.no_grad():
                    layer.weight.mul_(torch.from_numpy(mask))
                extra = 0
    return other.eval()
