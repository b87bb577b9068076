r"""Whole maps from patch CNNs, with the values that patch by patch would give.

A patch CNN predicts the cell in the middle of a patch. Neighbouring patches share almost all their
cells, and cutting them out one by one repeats the same convolutions over and over. The same net
runs once over a whole map where each layer keeps every position (Giusti et al. 2013, ICIP,
4034-4038; Sermanet et al. 2014, arXiv:1312.6229; Li, Zhao & Wang 2014, arXiv:1412.4526): what
moved by a stride of :math:`s` moves by one cell, all later layers reach :math:`s` times further
apart (dilation), and a dense layer upon :math:`C` channels of :math:`k \times k` cells is a
convolution of side :math:`k`. No value changes but by rounding.

Numbers of a map are given as planes that reach ``patch - 1`` cells further than the map,
half of them beyond each side.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import skip_init

Floats = NDArray[np.float32]

#: Layers that turn each number into another, whatever lies around it.
POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.ELU, nn.SELU, nn.CELU, nn.Mish,
    nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardsigmoid,
    nn.Hardtanh,
)  # fmt: skip
#: Layers that do nothing in evaluation mode.
SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
#: What the self-test lets dense and patches differ by, relative, in float64.
TOLERANCE = 1e-9


class Unsupported(ValueError):
    """A layer that has no dense equivalent here; the message names it."""


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
        patches, in float64.

    Raises
    ------
    Unsupported
        A layer with no dense equivalent, named; or the two differ.
    """
    own = deepcopy(net).eval()
    form = _Form(patch, bands)
    for name, layer in _leaves(own):
        try:
            form.add(layer)
        except Unsupported as problem:
            raise Unsupported(f"layer {name} ({layer}): {problem}") from None
    dense = nn.Sequential(*form.finished()).eval()
    _self_test(own, dense, patch, bands)
    return dense


def _leaves(net: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Return the layers in order, nested Sequentials opened."""
    found = []
    for name, layer in net.named_children():
        path = f"{prefix}{name}"
        nested = type(layer) is nn.Sequential
        found += _leaves(layer, f"{path}.") if nested else [(path, layer)]
    return found


class _Form:
    """The dense layers so far, and what the patch has become beside them.

    ``side`` is the side that the patch has here, in cells, ``step`` how far apart its
    neighbouring cells lie on the map; ``flat`` that the patch net has flattened it.
    """

    def __init__(self, patch: int, bands: int) -> None:
        self.side, self.step, self.channels, self.flat = patch, 1, bands, False
        self.unread = patch - 1  # cells beyond the map that no layer has asked for yet
        self.layers: list[nn.Module] = []

    def add(self, layer: Any) -> None:
        kind = type(layer)
        if kind in SILENT:
            return
        if kind in POINTWISE:
            self.layers.append(layer)
        elif kind is nn.Conv2d and not self.flat:
            self._convolution(layer)
        elif kind is nn.MaxPool2d and not self.flat:
            self._max_pooling(layer)
        elif kind is nn.BatchNorm2d and not self.flat:
            self.layers.append(layer)
        elif kind is nn.BatchNorm1d and self.flat and self.side == 1:
            self.layers.append(_as_2d(layer))
        elif kind is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
            self.flat = True
        elif kind is nn.Linear and self.flat:
            self._linear(layer)
        else:
            raise Unsupported("no dense equivalent is known")

    def finished(self) -> list[nn.Module]:
        if self.side > 1:
            raise Unsupported(f"the net ends with {self.side} x {self.side} cells, not with one")
        return [*([_Crop(self.unread)] if self.unread else []), *self.layers]

    def _convolution(self, layer: Any) -> None:
        kernel, dilation = _one(layer.kernel_size), _one(layer.dilation)
        if layer.padding not in ((0, 0), "valid"):
            raise Unsupported("padding inside the patch")
        dense = skip_init(
            nn.Conv2d,
            layer.in_channels,
            layer.out_channels,
            kernel,
            dilation=dilation * self.step,
            groups=layer.groups,
            bias=layer.bias is not None,
        )
        dense.weight, dense.bias = layer.weight, layer.bias
        self.layers.append(dense)
        self.channels = layer.out_channels
        self._move(kernel, dilation, _one(layer.stride))

    def _max_pooling(self, layer: Any) -> None:
        kernel, dilation, stride = _one(layer.kernel_size), _one(layer.dilation), _one(layer.stride)
        if _one(layer.padding) != 0:
            raise Unsupported("padding inside the patch")
        if layer.return_indices or layer.ceil_mode:
            raise Unsupported("return_indices and ceil_mode")
        self.layers.append(nn.MaxPool2d(kernel, stride=1, dilation=dilation * self.step))
        self._move(kernel, dilation, stride)

    def _linear(self, layer: Any) -> None:
        shape = (layer.out_features, self.channels, self.side, self.side)
        if layer.in_features != self.channels * self.side**2:
            raise Unsupported(f"takes {layer.in_features} inputs, not {shape[1:]}")
        dense = skip_init(
            nn.Conv2d,
            self.channels,
            layer.out_features,
            self.side,
            dilation=self.step,
            bias=layer.bias is not None,
        )
        dense.weight = nn.Parameter(layer.weight.detach().reshape(shape))
        dense.bias = layer.bias
        self.layers.append(dense)
        self.unread -= (self.side - 1) * self.step
        self.side, self.channels = 1, layer.out_features

    def _move(self, kernel: int, dilation: int, stride: int) -> None:
        reach = dilation * (kernel - 1) + 1
        if self.side < reach:
            raise Unsupported(f"reaches over {reach} cells, the patch has {self.side} left")
        self.side = (self.side - reach) // stride + 1
        self.unread -= (reach - 1) * self.step
        self.step *= stride


class _Crop(nn.Module):  # type: ignore[misc]
    """Leaves out the last rows and columns, which the patch net's strides and pooling skip."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : -self.cells, : -self.cells]

    def extra_repr(self) -> str:
        return str(self.cells)


def _one(size: int | tuple[int, ...]) -> int:
    sides = (size,) if isinstance(size, int) else size
    if len(set(sides)) > 1:
        raise Unsupported(f"differs along y and x: {sides}")
    return int(sides[0])


def _as_2d(layer: Any) -> nn.Module:
    norm = nn.BatchNorm2d(
        layer.num_features, layer.eps, affine=layer.affine, track_running_stats=True
    )
    norm.weight, norm.bias = layer.weight, layer.bias
    norm.running_mean, norm.running_var = layer.running_mean, layer.running_var
    return norm


def _self_test(net: nn.Sequential, dense: nn.Sequential, patch: int, bands: int) -> None:
    """Compare both, in float64, on maps of random numbers.

    Raises
    ------
    Unsupported
        They differ by more than rounding.
    """
    h, w = 5, 7
    rng = np.random.default_rng(0)
    planes = torch.from_numpy(rng.normal(size=(1, bands, h + patch - 1, w + patch - 1)))
    with torch.inference_mode():
        mapped = deepcopy(dense).to("cpu", torch.float64)(planes)
        single = deepcopy(net).to("cpu", torch.float64)(_patches(planes[0], patch))
    wanted = single.reshape(h, w, -1).permute(2, 0, 1)
    gap = float((mapped[0] - wanted).abs().max()) if mapped[0].shape == wanted.shape else np.inf
    if not gap <= TOLERANCE * float(wanted.abs().max()):
        raise Unsupported(f"the dense form differs from the patch net by {gap:.3g}")


def _patches(planes: Tensor, patch: int) -> Tensor:
    """Return all patches of planes, ``(bands, y, x)``, as ``(n, bands, patch, patch)``."""
    windows = planes.unfold(1, patch, 1).unfold(2, patch, 1).permute(1, 2, 0, 3, 4)
    return windows.reshape(-1, planes.shape[0], patch, patch)


class DenseMapper:
    """Maps by several patch CNNs at once; the layers that they begin with alike run once.

    Nets without a dense form are run on batches of patches instead, which is slow; ``how`` says
    so. Threads are the caller's: ``torch.set_num_threads(1)`` where the last bit must not depend
    on their number.

    Parameters
    ----------
    nets
        Patch CNNs of one patch size and as many outputs each, for example one for each depth.
    patch, bands
        Cells along a side of their patches; their channels.
    precision
        ``float32``, or ``bf16`` for sums of bfloat16 products: faster, and less exact.
    device
        Where to compute.
    max_bytes
        Working memory; the map is made in strips of rows that fit it.

    Attributes
    ----------
    how
        ``dense``, or ``patches: `` and the reason.
    """

    def __init__(
        self,
        nets: Sequence[nn.Sequential],
        patch: int,
        bands: int,
        *,
        precision: Literal["float32", "bf16"] = "float32",
        device: str = "cpu",
        max_bytes: int = 256 << 20,
    ) -> None:
        self.patch, self.bands, self.precision = patch, bands, precision
        self.device, self.max_bytes = torch.device(device), max_bytes
        try:
            forms = [dense_form(net, patch, bands) for net in nets]
            self.how = "dense"
        except Unsupported as problem:
            forms = [deepcopy(net).eval() for net in nets]
            self.how = f"patches: {problem}"
        self._chains = [
            [layer for _, layer in _leaves(form.to(self.device, torch.float32))] for form in forms
        ]

    def predict(self, planes: Floats) -> Floats:
        """Return ``(nets, outputs, h, w)`` from ``(bands, h + patch - 1, w + patch - 1)``."""
        bands, height, width = planes.shape
        h, w = height - self.patch + 1, width - self.patch + 1
        if bands != self.bands or h < 1 or w < 1:
            raise ValueError(
                f"planes must be ({self.bands}, at least {self.patch}, at least {self.patch}), "
                f"found {planes.shape}"
            )
        parts = []
        rows = self._rows(w)
        with torch.inference_mode():
            for top in range(0, h, rows):
                strip = planes[:, top : min(top + rows, h) + self.patch - 1]
                given = torch.from_numpy(np.ascontiguousarray(strip, np.float32)).to(self.device)
                made = self._run(given)
                parts.append(made.reshape(*made.shape[:2], -1, w).float().cpu().numpy())
        return np.concatenate(parts, 2)

    def memory_bytes(self, cells: int) -> int:
        """Return about how much a map of so many cells takes, beyond its planes."""
        return self.max_bytes + 2 * 4 * len(self._chains) * cells

    def _rows(self, width: int) -> int:
        if self.how == "dense":
            channels = max((_channels(c) for chain in self._chains for c in chain), default=1)
            cell = 4 * (self.bands + 3 * channels) * (len(self._chains) + 1)
        else:
            cell = 4 * 3 * self.bands * self.patch**2
        return max(1, self.max_bytes // (cell * width) - (self.patch - 1))

    def _run(self, planes: Tensor) -> Tensor:
        """Return ``(nets, outputs, cells)``."""
        found: dict[int, Tensor] = {}
        dense = self.how == "dense"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            x = planes[None] if dense else _patches(planes, self.patch)
            _follow(self._chains, list(range(len(self._chains))), 0, x, found)
        made = [found[place] for place in range(len(self._chains))]
        return torch.stack([m[0].flatten(1) if dense else m.flatten(1).T for m in made])


def _follow(
    chains: list[list[nn.Module]], those: list[int], place: int, x: Tensor, found: dict[int, Tensor]
) -> None:
    """Run the chains `those` from their layer `place` on; equal layers once."""
    while those:
        ended = [t for t in those if place == len(chains[t])]
        found.update(dict.fromkeys(ended, x))
        groups: list[list[int]] = []
        for t in (t for t in those if t not in ended):
            for group in groups:
                if _equal(chains[group[0]][place], chains[t][place]):
                    group.append(t)
                    break
            else:
                groups.append([t])
        if len(groups) != 1:
            for group in groups:
                _follow(chains, group, place + 1, chains[group[0]][place](x), found)
            return
        those = groups[0]
        x = chains[those[0]][place](x)
        place += 1


def _equal(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return (
        repr(a) == repr(b)
        and ours.keys() == theirs.keys()
        and all(torch.equal(ours[key], theirs[key]) for key in ours)
    )


def _channels(layer: Any) -> int:
    return int(getattr(layer, "out_channels", 1))
