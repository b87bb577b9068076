r"""A patch CNN as a net that runs over a whole map at once.

A patch CNN predicts the cell in the middle of a patch. Neighbouring patches share almost all their
cells, and cutting them out one by one repeats the same convolutions over and over. The same net
runs once over a whole map where each layer keeps every position (Giusti et al. 2013, ICIP,
4034-4038; Sermanet et al. 2014, arXiv:1312.6229; Li, Zhao & Wang 2014, arXiv:1412.4526): what
moved by a stride of :math:`s` cells moves by one, all later layers reach :math:`s` times further
apart (dilation), and a dense layer upon :math:`C` channels of :math:`h \times w` cells is a
convolution of that size. No value changes but by rounding.

Zeros put around a patch (padding inside the net) need several maps of a layer in place of one
(:mod:`edaphos.kernels.position_classes`). What takes statistics of the patch itself (layer, group
and instance normalisation), or is not known here, is refused by the layer's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from .position_classes import ANY_STEP, ClassConv, ClassMax, MaxPool, Pair, Side, sights

#: Layers that turn each number into another, whatever lies around it.
POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.ELU, nn.SELU, nn.CELU, nn.Mish,
    nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardsigmoid,
    nn.Hardtanh, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
#: Layers that do nothing in evaluation mode.
SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
#: What the self-test lets both differ by, relative to the largest value, in float64.
TOLERANCE = 1e-9


class Unsupported(ValueError):
    """A net that has no dense form here; the message names the layer."""


def dense_form(net: nn.Sequential, patch: int, bands: int) -> nn.Sequential:
    """Return the net that maps planes at once, equal to `net` patch by patch.

    Parameters
    ----------
    net
        A patch CNN of plain layers: ``(n, bands, patch, patch)`` to ``(n, outputs)``. It is taken
        in evaluation mode and not changed.
    patch, bands
        Cells along a side of its patches; their channels.

    Returns
    -------
    nn.Sequential
        Takes ``(n, bands, h + patch - 1, w + patch - 1)`` and returns ``(n, outputs, h, w)``,
        in evaluation mode, with the weights' type and device. It was compared with `net` on random
        numbers, in float64.

    Raises
    ------
    Unsupported
        A layer with no dense equivalent, named; or the two differ.
    ValueError
        A layer does not fit what comes before it, or its values depend on the batch.
    """
    if type(net) is not nn.Sequential:
        raise Unsupported(f"{type(net).__name__} is no plain Sequential")
    own = deepcopy(net).eval().to("cpu", torch.float64)
    patches = _Patches(patch, bands)
    for name, layer in leaves(own):
        try:
            patches.add(layer)
        except Unsupported as problem:
            raise Unsupported(f"layer {name}, {layer}: {problem}") from None
        except ValueError as problem:
            raise ValueError(f"layer {name}, {layer}: {problem}") from None
    dense = nn.Sequential(*_spread(patches.finished(), patch)).eval()
    _self_test(own, dense, patch, bands)
    like = next(net.parameters(), torch.empty(0))
    return dense.to(like.device, like.dtype)


def leaves(net: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers by name, in order, Sequentials opened; a net of another kind is one."""
    if type(net) is not nn.Sequential:
        yield name, net
        return
    for part, layer in net._modules.items():  # named_children() leaves out what comes twice
        yield from leaves(layer, f"{name}.{part}" if name else part)


def patches_of(planes: Tensor, patch: int) -> Tensor:
    """Return every patch of planes, ``(bands, y, x)``, as ``(n, bands, patch, patch)``."""
    windows = planes.unfold(1, patch, 1).unfold(2, patch, 1).permute(1, 2, 0, 3, 4)
    return windows.reshape(-1, planes.shape[0], patch, patch)


@dataclass
class _Window:
    """A convolution (with weights) or the largest (without) of windows along y and x."""

    kernel: Pair
    dilation: Pair
    stride: Pair
    padding: Pair  # before the first cell
    size: Pair  # cells of the patch that it reads
    made: Pair  # positions that it makes
    weight: Any = None
    bias: Any = None
    groups: int = 1


class _Patches:
    """What becomes of a patch, layer by layer.

    ``size`` is how many cells are left along y and x; ``flat`` that the net has flattened them.
    """

    def __init__(self, patch: int, bands: int) -> None:
        self.channels, self.flat, self.size = bands, False, (patch, patch)
        self.steps: list[nn.Module | _Window] = []

    def add(self, layer: Any) -> None:
        kind = type(layer)
        if kind in SILENT:
            return
        if kind in POINTWISE:
            self.steps.append(layer)
        elif kind is nn.Flatten:
            self._flatten(layer)
        elif kind is nn.Linear:
            self._linear(layer)
        elif kind is nn.BatchNorm1d:
            self._normalise(layer, flat=True)
        elif kind is nn.BatchNorm2d:
            self._normalise(layer, flat=False)
        elif kind is nn.Conv2d:
            self._convolve(layer)
        elif kind is nn.MaxPool2d:
            _refuse(layer.return_indices, "return_indices")
            self._pool(layer, _pair(layer.dilation))
        elif kind is nn.AvgPool2d:
            padded = any(_pair(layer.padding))
            _refuse(padded and not layer.count_include_pad, "count_include_pad=False")
            kernel = _pair(layer.kernel_size)
            self._pool(layer, (1, 1), self._means(kernel, layer.divisor_override))
        elif kind in (nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d):
            _refuse(getattr(layer, "return_indices", False), "return_indices")
            self._pool_to(layer.output_size, mean=kind is nn.AdaptiveAvgPool2d)
        else:
            raise Unsupported("no dense equivalent is known")

    def finished(self) -> list[nn.Module | _Window]:
        self._gather()
        return self.steps

    def _convolve(self, layer: Any) -> None:
        _refuse(self.flat, "after Flatten")
        _refuse(layer.padding_mode != "zeros", f"padding_mode {layer.padding_mode}")
        self._expect(layer.in_channels, self.channels)
        kernel, dilation, stride = map(_pair, (layer.kernel_size, layer.dilation, layer.stride))
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if layer.padding == "same":
            before, padded = (reach[0] // 2, reach[1] // 2), (reach[0], reach[1])
        else:
            before = (0, 0) if layer.padding == "valid" else _pair(layer.padding)
            padded = (2 * before[0], 2 * before[1])
        made = [
            (n + p - r - 1) // s + 1
            for n, p, r, s in zip(self.size, padded, reach, stride, strict=True)
        ]
        self._window(kernel, dilation, stride, before, made, layer.weight, layer.bias, layer.groups)
        self.channels = layer.out_channels

    def _linear(self, layer: Any) -> None:
        _refuse(not self.flat, "a dense layer before Flatten")
        self._expect(layer.in_features, self.channels * prod(self.size))
        shape = (layer.out_features, self.channels, *self.size)
        weight = nn.Parameter(layer.weight.detach().reshape(shape))
        self._window(self.size, (1, 1), (1, 1), (0, 0), (1, 1), weight, layer.bias)
        self.channels = layer.out_features

    def _normalise(self, layer: Any, flat: bool) -> None:
        if not layer.track_running_stats:
            raise ValueError("without running statistics a value depends on its batch")
        _refuse(flat != self.flat, "after Flatten" if self.flat else "before Flatten")
        if flat:
            self._gather()
        self._expect(layer.num_features, self.channels)
        norm = nn.BatchNorm2d(layer.num_features, layer.eps, affine=layer.affine)
        norm.weight, norm.bias = layer.weight, layer.bias
        norm.running_mean, norm.running_var = layer.running_mean, layer.running_var
        self.steps.append(norm)

    def _pool(self, layer: Any, dilation: Pair, weight: Any = None) -> None:
        _refuse(self.flat, "after Flatten")
        kernel, stride, before = map(_pair, (layer.kernel_size, layer.stride, layer.padding))
        made, cut = [], False
        for n, k, d, s, p in zip(self.size, kernel, dilation, stride, before, strict=True):
            last = (n + 2 * p - d * (k - 1) - 1) / s
            whole = ceil(last) if layer.ceil_mode else int(last // 1)
            whole -= layer.ceil_mode and whole * s >= n + p  # a window begins before the end
            cut |= whole > last
            made.append(whole + 1)
        _refuse(cut and weight is not None, "means of windows that ceil_mode cuts off")
        groups = 1 if weight is None else self.channels
        self._window(kernel, dilation, stride, before, made, weight, None, groups)

    def _pool_to(self, wanted: Any, mean: bool) -> None:
        _refuse(self.flat, "after Flatten")
        sides = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        goal = [n if side is None else side for side, n in zip(sides, self.size, strict=True)]
        uneven = any(n % g for n, g in zip(self.size, goal, strict=True))
        _refuse(uneven, f"windows of unequal size: {goal} of {self.size} cells")
        kernel = (self.size[0] // goal[0], self.size[1] // goal[1])
        weight = self._means(kernel, None) if mean else None
        groups = self.channels if mean else 1
        self._window(kernel, (1, 1), kernel, (0, 0), goal, weight, None, groups)

    def _means(self, kernel: Pair, divisor: int | None) -> Any:
        value = 1 / (divisor or prod(kernel))
        weight = torch.full((self.channels, 1, *kernel), value, dtype=torch.float64)
        return nn.Parameter(weight, requires_grad=False)

    def _flatten(self, layer: Any) -> None:
        flattens = (layer.start_dim, layer.end_dim)
        _refuse(flattens not in ((1, -1), (1, 3), (-3, -1)), "flattens not all of a patch")
        self.flat = True

    def _gather(self) -> None:
        """Turn the cells that a flat patch still has into channels, in the order of Flatten."""
        if self.size == (1, 1):
            return
        _refuse(not self.flat, f"the net ends with {self.size} cells, neither flat nor one")
        kernel, cells = self.size, prod(self.size)
        each = torch.eye(cells, dtype=torch.float64).reshape(cells, 1, *kernel)
        weight = nn.Parameter(each.repeat(self.channels, 1, 1, 1), requires_grad=False)
        self._window(kernel, (1, 1), (1, 1), (0, 0), (1, 1), weight, None, self.channels)
        self.channels *= cells

    def _window(
        self, kernel: Pair, dilation: Pair, stride: Pair, before: Pair, made: Any, *weights: Any
    ) -> None:
        if min(made) < 1:
            raise ValueError(f"reaches beyond the {self.size} cells that the patch has left")
        now = (int(made[0]), int(made[1]))
        self.steps.append(_Window(kernel, dilation, stride, before, self.size, now, *weights))
        self.size = now

    def _expect(self, wanted: int, found: int) -> None:
        if wanted != found:
            raise ValueError(f"takes {wanted} inputs, what comes before it gives {found}")


def _spread(steps: list[nn.Module | _Window], patch: int) -> list[nn.Module]:
    """Return the layers that do over a map what `steps` do in every patch."""
    used = (1, 1)
    for window in (s for s in reversed(steps) if isinstance(s, _Window)):
        window.made = used  # the rest of what it made is never looked at
        used = cast("Pair", tuple(_looked_at(window, axis) for axis in (0, 1)))
    layers: list[nn.Module] = []
    if used != (patch, patch):
        layers.append(Crop((patch - used[0], patch - used[1])))
    classes = [[0] * used[0], [0] * used[1]]
    step = [1, 1]
    for layer in steps:
        if not isinstance(layer, _Window):
            layers.append(layer)
            continue
        sides = []
        for axis in (0, 1):
            made, stride = layer.made[axis], layer.stride[axis]
            dilation, padding = layer.dilation[axis], layer.padding[axis]
            before, now = classes[axis], step[axis]
            seen, classes[axis] = sights(
                before, layer.kernel[axis], dilation, stride, padding, made
            )
            step[axis] *= stride
            shrinks = (len(before) - 1) * now - (made - 1) * step[axis]
            sides.append(Side(seen, max(before) + 1, dilation * now, padding * now, shrinks))
        layers.append(_over_map(layer, *sides))
    return layers


def _looked_at(window: _Window, axis: int) -> int:
    last = (window.made[axis] - 1) * window.stride[axis] - window.padding[axis]
    last += window.dilation[axis] * (window.kernel[axis] - 1)
    return max(1, min(window.size[axis], last + 1))


def _over_map(window: _Window, y: Side, x: Side) -> nn.Module:
    step = (y.step, x.step)
    plain = y.plain and x.plain
    if window.weight is None:
        return MaxPool(window.kernel, step) if plain else ClassMax(y, x)
    if not plain:
        return ClassConv(window.weight, window.bias, window.groups, y, x)
    outputs, inputs = window.weight.shape[:2]
    layer = skip_init(
        nn.Conv2d,
        inputs * window.groups,
        outputs,
        window.kernel,
        dilation=ANY_STEP if window.kernel == (1, 1) else step,
        groups=window.groups,
        bias=window.bias is not None,
    )
    layer.weight, layer.bias = window.weight, window.bias
    return layer


class Crop(nn.Module):  # type: ignore[misc]
    """Leaves out the last rows and columns, which the patch net's strides and pooling skip."""

    def __init__(self, cells: Pair) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, C, y - cells[0], x - cells[1])``."""
        return x[..., : x.shape[-2] - self.cells[0], : x.shape[-1] - self.cells[1]]

    def extra_repr(self) -> str:
        """Name the settings: layers are told apart by them."""
        return str(self.cells)


def _pair(size: int | tuple[int, ...]) -> Pair:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _refuse(when: bool, why: str) -> None:
    if when:
        raise Unsupported(why)


def _self_test(net: nn.Sequential, dense: nn.Sequential, patch: int, bands: int) -> None:
    """Compare both, in float64, over a map of random numbers of odd sides.

    Raises
    ------
    Unsupported
        They differ by more than rounding.
    """
    h, w = 5, 7
    rng = np.random.default_rng(0)
    planes = torch.from_numpy(rng.normal(size=(bands, h + patch - 1, w + patch - 1)))
    with torch.inference_mode():
        mapped = dense(planes[None])[0]
        single = net(patches_of(planes, patch))
    wanted = single.reshape(h, w, -1).permute(2, 0, 1)
    if mapped.shape != wanted.shape:
        raise Unsupported(f"the dense form gives {tuple(mapped.shape)}, not {tuple(wanted.shape)}")
    gap = float((mapped - wanted).abs().max())
    if not gap <= TOLERANCE * float(wanted.abs().max()):
        raise Unsupported(f"the dense form differs from the patch net by {gap:.3g}")
