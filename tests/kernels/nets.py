"""Patch CNNs to test on: random ones, and what a net says cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

ACTIVATIONS = (nn.ReLU, nn.SiLU, nn.GELU, nn.ELU, nn.Tanh, nn.Softplus, nn.LeakyReLU, nn.Hardswish)


def by_patch(net: nn.Module, planes: np.ndarray, patch: int) -> np.ndarray:
    """Each cell by a patch cut out for it alone, ``(outputs, h, w)``."""
    h, w = planes.shape[1] - patch + 1, planes.shape[2] - patch + 1
    out = []
    with torch.no_grad():
        for y in range(h):
            row = [planes[:, y : y + patch, x : x + patch] for x in range(w)]
            out.append(net(torch.from_numpy(np.stack(row))).flatten(1).numpy())
    return np.stack(out).transpose(2, 0, 1)


def planes_of(bands: int, h: int, w: int, patch: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(bands, h + patch - 1, w + patch - 1)).astype(np.float32)


def lively(net: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics as after training, not the start's zeros and ones."""
    rng = np.random.default_rng(seed)
    drawn = {"running_mean": (-1, 1), "running_var": (0.3, 2), "weight": (-1.5, 1.5)}
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
                for name, (low, high) in {**drawn, "bias": (-1, 1)}.items():
                    values = getattr(m, name)
                    if values is not None:
                        values.copy_(torch.from_numpy(rng.uniform(low, high, values.shape)))
            elif isinstance(m, nn.Conv2d | nn.Linear):
                inputs = m.weight[0].numel()
                m.weight.copy_(torch.from_numpy(rng.normal(size=m.weight.shape) / inputs**0.5))
                if m.bias is not None:
                    m.bias.copy_(torch.from_numpy(rng.normal(size=m.bias.shape)))
    return net.eval()


@st.composite
def windows(draw: st.DrawFn, kind: str, sides: list[int], channels: int) -> nn.Module:
    """A convolution, or the largest or mean of windows, of any sort that fits `sides`."""
    kernel = tuple(draw(st.integers(1, min(3, n))) for n in sides)
    stride = tuple(draw(st.integers(1, 3)) for _ in sides)
    padding = tuple(draw(st.sampled_from((0, 0, k // 2))) for k in kernel)
    apart = tuple(
        draw(st.integers(1, 2)) if n + 2 * p > 2 * (k - 1) else 1
        for n, k, p in zip(sides, kernel, padding, strict=True)
    )
    if kind == "mean":
        divisor = draw(st.sampled_from((None, 3)))
        return nn.AvgPool2d(kernel, stride, padding, divisor_override=divisor)
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, padding, apart, ceil_mode=draw(st.booleans()))
    groups = draw(st.sampled_from((1, channels)))
    made = channels * draw(st.integers(1, 2)) if groups > 1 else draw(st.integers(1, 6))
    around: Any = padding
    if draw(st.integers(0, 4)) == 0:
        around, stride = "same", (1, 1)
    bias = draw(st.booleans())
    return nn.Conv2d(channels, made, kernel, stride, around, apart, groups, bias)


@st.composite
def patch_nets(draw: st.DrawFn) -> tuple[nn.Sequential, int, int]:
    """A net of plain layers, its patch and its bands."""
    patch, bands = draw(st.integers(3, 15)), draw(st.integers(1, 4))
    layers: list[nn.Module] = []
    sides, channels = [patch, patch], bands
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(("conv", "conv", "max", "mean", "norm", "even", "quiet")))
        if kind == "norm":
            layers.append(nn.BatchNorm2d(channels, affine=draw(st.booleans())))
        elif kind == "quiet":
            layers.append(draw(st.sampled_from((nn.Dropout(0.5), nn.Identity(), nn.Dropout2d()))))
        elif kind == "even":
            goal = tuple(
                draw(st.sampled_from([g for g in (1, 2, 3, n) if n % g == 0])) for n in sides
            )
            layers.append(draw(st.sampled_from((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)))(goal))
            sides = list(goal)
        else:
            layer = draw(windows(kind, sides, channels))
            layers.append(layer)
            if kind == "conv":
                layers.append(draw(st.sampled_from(ACTIVATIONS))())
            seen = layer(torch.zeros(1, channels, *sides))
            channels, sides = seen.shape[1], list(seen.shape[2:])
    head: list[nn.Module] = [nn.Flatten()]
    width = channels * sides[0] * sides[1]
    if draw(st.booleans()):
        head.append(nn.BatchNorm1d(width))
    for _ in range(draw(st.integers(0, 2))):
        units = draw(st.integers(1, 8))
        head += [nn.Linear(width, units), draw(st.sampled_from(ACTIVATIONS))(), nn.Dropout(0.3)]
        head += [nn.BatchNorm1d(units)] if draw(st.booleans()) else []
        width = units
    head.append(nn.Linear(width, draw(st.integers(1, 3))))
    net = nn.Sequential(nn.Sequential(*layers), *head) if draw(st.booleans()) else None
    net = nn.Sequential(*layers, *head) if net is None else net
    return lively(net, draw(st.integers(0, 99))), patch, bands
