"""Nets of a :class:`~edaphos.kernels.branch_shape.BranchShape`, in torch."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils import skip_init

from .branch_shape import Branch, BranchShape


class BranchNet(nn.Module):  # type: ignore[misc]
    """A branch for each group (`branches`), joined (`merge`), and dense layers upon it (`head`).

    Where something bends values between, weights are drawn normal with variance 2 / inputs (He et
    al. 2015, ICCV, 1026-1034) and biases start at 0. In the form of the released network dense
    layers are drawn as there (Glorot & Bengio 2010, AISTATS, 249-256; biases .01) and convolutions
    uniform within 1 / sqrt(inputs), torch's own rule. All by NumPy, so that torch's global
    generator is neither read nor moved.

    Parameters
    ----------
    shape, outputs, extra, seed
        See :func:`edaphos.kernels.branch_shape.build`.
    """

    def __init__(self, shape: BranchShape, outputs: int, extra: int, *, seed: int) -> None:
        super().__init__()
        if outputs < 1 or extra < 0:
            raise ValueError("outputs must be at least 1, extra not negative")
        self.shape, self.outputs, self.extra = shape, outputs, extra
        self.branches = nn.ModuleList(_branch(branch, shape) for branch in shape.branches)
        joined = shape.width * len(shape.branches)
        bent = _between(shape)
        self.merge = nn.Sequential(
            skip_init(nn.Conv2d, joined, shape.merged, 1), *bent, nn.Flatten()
        )
        blocks, width = [], shape.merged + extra
        for units, share in zip(shape.dense, shape.dropout, strict=True):
            block = (skip_init(nn.Linear, width, units), nn.ReLU(), nn.Dropout(share))
            blocks.append(nn.Sequential(*block))
            width = units
        blocks.append(nn.Sequential(skip_init(nn.Linear, width, outputs)))
        self.head = nn.Sequential(*blocks)
        _draw(self, np.random.default_rng(seed))

    def trunk(self, groups: tuple[Tensor, ...]) -> Tensor:
        """Return what branches merge into, ``(n, merged)``.

        Parameters
        ----------
        groups
            Squares of each group, ``(n, bands, window, window)``. A group of zeros is one that is
            missing: its mask channel, if it has one, then says so.
        """
        found = [branch(x) for branch, x in zip(self.branches, self._hidden(groups), strict=True)]
        merged: Tensor = self.merge(torch.cat(found, 1))
        return merged

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return ``(n, m * outputs)``, layer by layer, 0 where a place has no such layer.

        Parameters
        ----------
        inputs
            The groups, and last ``(n, m, extra + 1)``: the numbers of each of `m` layers of a
            place, then 1 where there is a layer and 0 where the place has fewer. Branches run once
            for all layers of a place.
        """
        *groups, layers = inputs
        there = layers[..., -1] > 0
        place = there.nonzero()[:, 0]
        said = self.head(self.joined(self.trunk(tuple(groups))[place], layers[there][:, :-1]))
        out = said.new_zeros((*there.shape, said.shape[1]))
        out[there] = said
        return out.flatten(1)

    def joined(self, features: Tensor, extra: Tensor) -> Tensor:
        """Return what the first dense layer reads: features, and the extra numbers of each row."""
        if extra.shape[-1] != self.extra:
            raise ValueError(f"the net takes {self.extra} extra numbers, found {extra.shape[-1]}")
        return torch.cat([features, extra], 1) if self.extra else features

    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """Return the layers that are frozen or trained together, from what is read to the output.

        All branches, then what joins them, then each dense layer.
        """
        dense = tuple((block,) for block in self.head)
        return ((self.branches,), (self.merge,), *dense)

    def head_for(self, extra: ArrayLike) -> nn.Sequential:
        """Return the dense layers, in evaluation mode, for rows that all have the same numbers.

        What these add to the first layer moves into its bias: ``(n, merged)`` to ``(n, outputs)``.
        """
        given = torch.as_tensor(np.asarray(extra, np.float64).reshape(-1))
        if len(given) != self.extra:
            raise ValueError(f"the net takes {self.extra} extra numbers, found {len(given)}")
        head = deepcopy(self.head).eval()
        first = head[0][0]
        own = self.shape.merged
        folded = skip_init(nn.Linear, own, first.out_features)
        with torch.no_grad():
            folded.weight.copy_(first.weight[:, :own])
            folded.bias.copy_(first.bias.double() + first.weight[:, own:].double() @ given)
        head[0][0] = folded
        return head

    def _hidden(self, groups: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the groups, some hidden from some rows while the net learns."""
        share = self.shape.group_dropout
        if not (self.training and share):
            return groups
        first = groups[0]
        kept = torch.rand(len(groups), len(first), device=first.device) >= share
        return tuple(
            x * keep[:, None, None, None].to(x.dtype) for x, keep in zip(groups, kept, strict=True)
        )


def _between(shape: BranchShape) -> list[nn.Module]:
    return [nn.GELU()] if shape.between == "gelu" else []


def _branch(branch: Branch, shape: BranchShape) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = branch.bands
    if branch.embedding:
        layers.append(skip_init(nn.Conv2d, width, branch.embedding, 1, bias=False))
        width = branch.embedding
    for kernel, pooled in branch.kernels:
        layers += [skip_init(nn.Conv2d, width, shape.width, kernel), *_between(shape)]
        layers += [nn.MaxPool2d(2)] if pooled else []
        width = shape.width
    return nn.Sequential(*layers)


def _draw(net: BranchNet, rng: np.random.Generator) -> None:
    released = net.shape.between == "none"
    for module in net.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        shape = tuple(module.weight.shape)
        inputs = int(np.prod(shape[1:]))
        dense = isinstance(module, nn.Linear)
        reach = np.sqrt(6 / (inputs + shape[0])) if dense else 1 / np.sqrt(inputs)
        weight = rng.uniform(-reach, reach, shape) if released else rng.normal(size=shape)
        bias = np.full(shape[0], 0.01) if dense else rng.uniform(-reach, reach, shape[0])
        with torch.no_grad():
            scale = 1.0 if released else np.sqrt(2 / inputs)
            module.weight.copy_(torch.from_numpy(weight * scale))
            if module.bias is not None:
                module.bias.copy_(torch.from_numpy(bias if released else np.zeros(shape[0])))
