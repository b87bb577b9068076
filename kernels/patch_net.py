"""Patch CNNs of a :class:`~edaphos.kernels.conv_net.ConvShape`, in torch."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils import skip_init

from .conv_net import ConvShape


class PatchNet(nn.Module):  # type: ignore[misc]
    """Convolution blocks that end flat (`trunk`), and dense layers upon them (`heads`).

    Weights are drawn normal with variance 2 / inputs (He et al. 2015, ICCV, 1026-1034), by NumPy,
    so that torch's global generator is neither read nor moved; biases start at 0.

    Parameters
    ----------
    shape, bands, outputs, heads, extra, seed
        See :func:`edaphos.kernels.conv_net.build`.
    """

    def __init__(
        self, shape: ConvShape, bands: int, outputs: int, heads: int, extra: int, *, seed: int
    ) -> None:
        super().__init__()
        if min(bands, outputs, heads) < 1 or extra < 0:
            raise ValueError("bands, outputs and heads must be at least 1, extra not negative")
        self.shape, self.bands, self.outputs, self.extra = shape, bands, outputs, extra
        blocks, width = [], bands
        for place, (channels, kernel) in enumerate(
            zip(shape.channels, shape.kernels, strict=True), 1
        ):
            block = [
                skip_init(nn.Conv2d, width, channels, kernel, padding=shape.padding),
                _activation(shape),
                *([nn.MaxPool2d(2)] if place in shape.pool_after else []),
                *([nn.BatchNorm2d(channels)] if shape.batch_norm else []),
                nn.Dropout(shape.dropout),
            ]
            blocks.append(nn.Sequential(*block))
            width = channels
        self.trunk = nn.Sequential(*blocks, nn.Flatten())
        features = width * shape.sizes[-1] ** 2
        self.heads = nn.ModuleList(_head(shape, features + extra, outputs) for _ in range(heads))
        _draw(self, np.random.default_rng(seed))

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return ``(n, heads * outputs)``, head by head.

        Parameters
        ----------
        x
            Patches, ``(n, bands, patch, patch)``.
        extra
            Numbers of each patch, ``(n, extra)``, where the net takes any.
        """
        self._check_extra(0 if extra is None else extra.shape[-1])
        features = self.trunk(x)
        if extra is not None:
            features = torch.cat([features, extra], 1)
        return torch.cat([head(features) for head in self.heads], 1)

    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """Return what freezing up to 1, 2, ... freezes: convolution blocks, then dense layers."""
        blocks = tuple((block,) for block in list(self.trunk)[:-1])
        return blocks + tuple(zip(*self.heads, strict=True))

    def sequential(self, head: int = 0, extra: ArrayLike | None = None) -> nn.Sequential:
        """Return a copy, in evaluation mode, as one plain patch CNN: patches to ``(n, outputs)``.

        Parameters
        ----------
        head
            Which head.
        extra
            The numbers, ``(extra,)``, that every patch would come with: what they add to the first
            dense layer moves into its bias, so that a map of one depth needs no plane of depth.
        """
        given = np.asarray([] if extra is None else extra, np.float64).reshape(-1)
        self._check_extra(len(given))
        first, *others = deepcopy(list(self.heads[head]))
        if len(given):
            first[0] = _folded(first[0], given)
        layers = [*deepcopy(list(self.trunk)), first, *others]
        leaves = [leaf for layer in layers for leaf in _leaves(layer)]
        return nn.Sequential(*leaves).eval()

    def _check_extra(self, found: int) -> None:
        if found != self.extra:
            raise ValueError(f"the net takes {self.extra} extra numbers, found {found}")


def _activation(shape: ConvShape) -> nn.Module:
    return nn.SiLU() if shape.activation == "swish" else nn.ReLU()


def _head(shape: ConvShape, features: int, outputs: int) -> nn.Sequential:
    layers, width = [], features
    for units in shape.dense:
        layer = [
            skip_init(nn.Linear, width, units),
            _activation(shape),
            *([nn.BatchNorm1d(units)] if shape.batch_norm else []),
            nn.Dropout(shape.dropout),
        ]
        layers.append(nn.Sequential(*layer))
        width = units
    return nn.Sequential(*layers, nn.Sequential(skip_init(nn.Linear, width, outputs)))


def _draw(net: nn.Module, rng: np.random.Generator) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            shape = tuple(module.weight.shape)
            weight = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(weight))
                module.bias.zero_()


def _leaves(layer: nn.Module) -> list[nn.Module]:
    return list(layer) if isinstance(layer, nn.Sequential) else [layer]


def _folded(linear: Any, extra: np.ndarray) -> nn.Linear:
    """Return the layer for inputs whose last numbers are always `extra`."""
    own = linear.in_features - len(extra)
    weight = linear.weight.detach()
    folded = skip_init(nn.Linear, own, linear.out_features).to(weight.device, weight.dtype)
    added = weight[:, own:].double() @ torch.from_numpy(extra).to(weight.device)
    with torch.no_grad():
        folded.weight.copy_(weight[:, :own])
        folded.bias.copy_(linear.bias.double() + added)
    return folded
