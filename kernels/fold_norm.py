"""Normalisation of evaluation mode as part of the convolution beside it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn


def fold_norms(layers: Sequence[nn.Module]) -> list[nn.Module]:
    """Return layers of the same map in which batch normalisations are part of a convolution.

    One right after a convolution scales its outputs, one right before it its inputs: with
    :math:`x' = a x + b`, :math:`W x' + c = (W a) x + (W b + c)`, which holds at every cell because
    nothing is padded. Others, and those beside convolutions in groups, stay. Summed in float64.
    """
    made: list[Any] = []
    for layer in layers:
        last: Any = made[-1] if made else None
        if type(layer) is nn.BatchNorm2d and _plain(last):
            scale, shift = _affine(layer)
            weight, bias = last.weight.double(), _bias(last)
            made[-1] = _replaced(last, weight * scale[:, None, None, None], bias * scale + shift)
        elif _plain(layer) and type(last) is nn.BatchNorm2d:
            scale, shift = _affine(last)
            weight, bias = layer.weight.double(), _bias(layer)
            added = (weight * shift[:, None, None]).sum((1, 2, 3))
            made[-1] = _replaced(layer, weight * scale[:, None, None], bias + added)
        else:
            made.append(layer)
    return made


def _plain(layer: Any) -> bool:
    return type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding == (0, 0)


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    return (scale, shift + norm.bias.double()) if norm.affine else (scale, shift)


def _bias(layer: Any) -> Tensor:
    weight = layer.weight
    zeros = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
    return zeros if layer.bias is None else layer.bias.double()


def _replaced(layer: Any, weight: Tensor, bias: Tensor) -> nn.Module:
    made = copy(layer)
    kind = layer.weight.dtype
    made._parameters = {
        "weight": nn.Parameter(weight.detach().to(kind), requires_grad=False),
        "bias": nn.Parameter(bias.detach().to(kind), requires_grad=False),
    }
    return made
