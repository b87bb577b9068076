r"""A patch CNN as a net that runs over a whole map at once.

A patch CNN predicts the cell in the middle of a patch. Neighbouring patches share almost all their
cells, and cutting them out one by one repeats the same convolutions over and over. The same net
runs once over a whole map where each layer keeps every position (Giusti et al. 2013, ICIP,
4034-4038; Sermanet et al. 2014, arXiv:1312.6229; Li, Zhao & Wang 2014, arXiv:1412.4526): what
moved by a stride of :math:`s` cells moves by one, all later layers reach :math:`s` times further
apart (dilation), and a dense layer upon :math:`C` channels of :math:`h \times w` cells is a
convolution of that size. No value changes but by rounding.

What this cannot do, it refuses by the layer's name: zeros put around a patch (what its rim says
then depends on where the patch lies) and statistics of the patch itself (layer, group and instance
normalisation).
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

Pair = tuple[int, int]

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
    own = deepcopy(net).eval()
    form = _Form(patch, bands)
    for name, layer in leaves(own):
        try:
            form.add(layer)
        except Unsupported as problem:
            raise Unsupported(f"layer {name}, {layer}: {problem}") from None
        except ValueError as problem:
            raise ValueError(f"layer {name}, {layer}: {problem}") from None
    dense = nn.Sequential(*form.finished()).eval()
    _self_test(own, dense, patch, bands)
    return dense


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


class _Form:
    """The dense layers so far, and what the patch has become beside them.

    ``size`` is how many cells of the patch are left, ``step`` how far neighbours among them lie
    apart on the map, ``unread`` the cells beyond the map that no layer has asked for yet, each
    along y and x; ``flat`` that the patch net has flattened its patch.
    """

    def __init__(self, patch: int, bands: int) -> None:
        self.channels, self.flat = bands, False
        self.size, self.step, self.unread = (patch, patch), (1, 1), (patch - 1, patch - 1)
        self.layers: list[nn.Module] = []

    def add(self, layer: Any) -> None:
        kind = type(layer)
        if kind in SILENT:
            return
        if kind in POINTWISE:
            self.layers.append(layer)
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
            self._pool(layer, MaxPool, _pair(layer.dilation))
        elif kind is nn.AvgPool2d:
            whole = prod(_pair(layer.kernel_size))
            self._pool(layer, MeanPool, (1, 1), layer.divisor_override or whole)
        elif kind is nn.AdaptiveMaxPool2d:
            _refuse(layer.return_indices, "return_indices")
            self._pool_to(layer.output_size, MaxPool)
        elif kind is nn.AdaptiveAvgPool2d:
            self._pool_to(layer.output_size, MeanPool)
        else:
            raise Unsupported("no dense equivalent is known")

    def finished(self) -> list[nn.Module]:
        self._gather()
        return [*([Crop(self.unread)] if any(self.unread) else []), *self.layers]

    def _convolve(self, layer: Any) -> None:
        self._needs_cells()
        kernel, dilation, stride = map(_pair, (layer.kernel_size, layer.dilation, layer.stride))
        if isinstance(layer.padding, str):
            padded = layer.padding != "valid" and kernel != (1, 1)
        else:
            padded = any(_pair(layer.padding))
        _refuse(padded, "padding inside the patch")
        self._expect(layer.in_channels, self.channels)
        self._append_convolution(layer.weight, layer.bias, kernel, dilation, layer.groups)
        self._move(kernel, dilation, stride)

    def _linear(self, layer: Any) -> None:
        _refuse(not self.flat, "a dense layer before Flatten")
        self._expect(layer.in_features, self.channels * prod(self.size))
        kernel = self.size
        weight = layer.weight.detach().reshape(layer.out_features, self.channels, *kernel)
        self._append_convolution(nn.Parameter(weight), layer.bias, kernel, (1, 1), 1)
        self._move(kernel, (1, 1), (1, 1))

    def _append_convolution(
        self, weight: Any, bias: Any, kernel: Pair, dilation: Pair, groups: int
    ) -> None:
        outputs = weight.shape[0]
        apart = _times(dilation, self.step)
        if kernel == (1, 1):
            # any dilation is the same, but with one thread torch takes its fast convolution (four
            # times as fast) only where something is dilated
            apart = (2, 2)
        dense = skip_init(
            nn.Conv2d,
            self.channels,
            outputs,
            kernel,
            dilation=apart,
            groups=groups,
            bias=bias is not None,
        )
        dense.weight, dense.bias = weight, bias
        self.layers.append(dense)
        self.channels = outputs

    def _normalise(self, layer: Any, flat: bool) -> None:
        if not layer.track_running_stats:
            raise ValueError("without running statistics a value depends on its batch")
        if flat:
            _refuse(not self.flat, "before Flatten")
            self._gather()
        else:
            self._needs_cells()
        self._expect(layer.num_features, self.channels)
        norm = nn.BatchNorm2d(layer.num_features, layer.eps, affine=layer.affine)
        norm.weight, norm.bias = layer.weight, layer.bias
        norm.running_mean, norm.running_var = layer.running_mean, layer.running_var
        self.layers.append(norm)

    def _pool(self, layer: Any, kind: Any, dilation: Pair, *more: Any) -> None:
        self._needs_cells()
        kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
        _refuse(any(_pair(layer.padding)), "padding inside the patch")
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        left = [(n - r) % s for n, r, s in zip(self.size, reach, stride, strict=True)]
        _refuse(layer.ceil_mode and any(left), "ceil_mode with a window cut off at the rim")
        self._append_pool(kind, kernel, dilation, stride, *more)

    def _pool_to(self, wanted: Any, kind: Any) -> None:
        self._needs_cells()
        sides = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        goal = tuple(n if side is None else side for side, n in zip(sides, self.size, strict=True))
        uneven = any(n % g for n, g in zip(self.size, goal, strict=True))
        _refuse(uneven, f"windows of unequal size: {goal} of {self.size} cells")
        kernel = (self.size[0] // goal[0], self.size[1] // goal[1])
        more = (prod(kernel),) if kind is MeanPool else ()
        self._append_pool(kind, kernel, (1, 1), kernel, *more)

    def _append_pool(
        self, kind: Any, kernel: Pair, dilation: Pair, stride: Pair, *more: Any
    ) -> None:
        self.layers.append(kind(kernel, _times(dilation, self.step), *more))
        self._move(kernel, dilation, stride)

    def _flatten(self, layer: Any) -> None:
        _refuse(
            (layer.start_dim, layer.end_dim) not in ((1, -1), (1, 3), (-3, -1)),
            "flattens something else than channels and cells",
        )
        self.flat = True

    def _gather(self) -> None:
        """Turn the cells that a flat patch still has into channels."""
        if self.size == (1, 1):
            return
        _refuse(not self.flat, f"the net ends with {self.size} cells, neither flat nor one")
        kernel = self.size
        self.layers.append(Gather(kernel, self.step))
        self._move(kernel, (1, 1), (1, 1))
        self.channels *= prod(kernel)

    def _move(self, kernel: Pair, dilation: Pair, stride: Pair) -> None:
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(n <= r for n, r in zip(self.size, reach, strict=True)):
            raise ValueError(f"reaches beyond the {self.size} cells that the patch has left")
        (ny, nx), (ry, rx), (sy, sx) = self.size, reach, stride
        self.unread = (self.unread[0] - ry * self.step[0], self.unread[1] - rx * self.step[1])
        self.size = ((ny - ry - 1) // sy + 1, (nx - rx - 1) // sx + 1)
        self.step = _times(self.step, stride)

    def _needs_cells(self) -> None:
        _refuse(self.flat, "after Flatten")

    def _expect(self, wanted: int, found: int) -> None:
        if wanted != found:
            raise ValueError(f"takes {wanted} inputs, what comes before it gives {found}")


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


class _Window(nn.Module):  # type: ignore[misc]
    """A window around every cell: ``kernel`` cells, ``step`` apart."""

    def __init__(self, kernel: Pair, step: Pair, *more: Any) -> None:
        super().__init__()
        self.kernel, self.step, self.more = kernel, step, more

    def along(self, x: Tensor, axis: int) -> list[Tensor]:
        """Return what each place of the window sees along y (0) or x (1)."""
        kernel, step = self.kernel[axis], self.step[axis]
        length = x.shape[axis - 2] - (kernel - 1) * step
        return [x.narrow(axis - 2, place * step, length) for place in range(kernel)]

    def extra_repr(self) -> str:
        """Name the settings: layers are told apart by them."""
        return f"{self.kernel}, {self.step}, {self.more}"


class MaxPool(_Window):
    """The largest of a window: of its columns' largest, so that 2 x 2 takes two comparisons.

    Five times as fast as torch's pooling with stride 1, which also notes where the largest is.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, C, y - reach, x - reach)``."""
        for axis in (0, 1):
            first, *others = self.along(x, axis)
            for other in others:
                first = torch.maximum(first, other)
            x = first
        return x


class MeanPool(_Window):
    """The sum of a window over a divisor."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, C, y - reach, x - reach)``."""
        for axis in (0, 1):
            first, *others = self.along(x, axis)
            for other in others:
                first = first + other
            x = first
        return x / self.more[0]


class Gather(_Window):
    """The cells of a window as channels, in the order of Flatten."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, C * cells, y - reach, x - reach)``."""
        cells = [cell for row in self.along(x, 0) for cell in self.along(row, 1)]
        return torch.stack(cells, 2).flatten(1, 2)


def _pair(size: int | tuple[int, ...]) -> Pair:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _times(a: Pair, b: Pair) -> Pair:
    return (a[0] * b[0], a[1] * b[1])


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
        mapped = deepcopy(dense).to("cpu", torch.float64)(planes[None])[0]
        single = deepcopy(net).to("cpu", torch.float64)(patches_of(planes, patch))
    wanted = single.reshape(h, w, -1).permute(2, 0, 1)
    if mapped.shape != wanted.shape:
        raise Unsupported(f"the dense form gives {tuple(mapped.shape)}, not {tuple(wanted.shape)}")
    gap = float((mapped - wanted).abs().max())
    if not gap <= TOLERANCE * float(wanted.abs().max()):
        raise Unsupported(f"the dense form differs from the patch net by {gap:.3g}")
