"""Several nets as one tree: what they begin with alike is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .dense_form import POINTWISE
from .position_classes import ClassConv, ClassMax, MaxPool

#: Layers whose result is memory of its own, that the next layer may write upon.
FRESH = (
    nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d,
    MaxPool, ClassConv, ClassMax,
)  # fmt: skip


@dataclass
class Node:
    """A layer, the nets that end with it, and the layers that follow it in the others."""

    layer: Any
    ends: list[int] = field(default_factory=list)
    then: list[Node] = field(default_factory=list)


class _Bias(nn.Module):  # type: ignore[misc]
    """What is left of a layer whose weights several nets share and whose bias they do not."""

    def __init__(self, bias: Tensor, cells: bool) -> None:
        super().__init__()
        self.bias = bias.detach()[:, None, None] if cells else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def grow(nets: Sequence[Sequence[nn.Module]]) -> list[Node]:
    """Return the tree of nets, each a list of layers; layers equal to the bit become one.

    Layers that can are told to write upon their input where nothing else reads it.
    """
    nodes = _grow(nets, range(len(nets)), 0)
    _spare_memory(nodes, owned=False)
    return nodes


def run(nodes: Sequence[Node], x: Tensor) -> dict[int, Tensor]:
    """Return what each net makes of `x`."""
    found: dict[int, Tensor] = {}
    _run(nodes, x, found)
    return found


def bytes_per_cell(nodes: Sequence[Node], probe: Tensor, dense: bool) -> tuple[int, int]:
    """Return the most that is held at once for a cell in float32, and the values of each net.

    Parameters
    ----------
    probe
        One patch, ``(1, bands, patch, patch)``.
    dense
        Whether a cell is a place on planes, or else a patch of its own.

    Raises
    ------
    ValueError
        The nets give different numbers of values.
    """

    def size(x: Tensor) -> int:
        return 4 * (x.shape[0] * x.shape[1] if dense else x.numel())

    def most(nodes: Sequence[Node], x: Tensor, held: int) -> int:
        held += size(x) if len(nodes) > 1 else 0
        found = held
        for node in nodes:
            made = node.layer(x)
            here = held + size(x) + _fresh(node.layer) * size(made)
            found = max(found, here, most(node.then, made, held))
        return found

    with torch.inference_mode():
        values = {int(x.numel()) for x in run(nodes, probe.clone()).values()}
        if len(values) > 1:
            raise ValueError(f"nets of one map must give as many values each, found {values}")
        return most(nodes, probe.clone(), 0), values.pop()


def _fresh(layer: Any) -> int:
    """Return how many times its result a layer needs beside what it reads."""
    if getattr(layer, "inplace", False):
        return 0
    return 2 if isinstance(layer, MaxPool | ClassConv | ClassMax) else 1  # along y, then x; a part


def _grow(nets: Sequence[Sequence[nn.Module]], those: Sequence[int], place: int) -> list[Node]:
    nodes = []
    for alike in _groups(nets, [t for t in those if place < len(nets[t])], place, _same_weights):
        groups = _groups(nets, alike, place, _equal)
        first = nets[alike[0]][place]
        if len(groups) == 1:
            nodes.append(_node(copy(first), nets, alike, place))
            continue
        biases = [nets[group[0]][place] for group in groups]
        cells = not isinstance(first, nn.Linear)
        then = [
            _node(_Bias(layer.bias, cells), nets, group, place)
            for layer, group in zip(biases, groups, strict=True)
        ]
        unbiased = copy(first)
        unbiased._parameters = {**first._parameters, "bias": None}
        nodes.append(Node(unbiased, then=then))
    return nodes


def _node(layer: Any, nets: Sequence[Sequence[nn.Module]], those: list[int], place: int) -> Node:
    ends = [t for t in those if place + 1 == len(nets[t])]
    return Node(layer, ends, _grow(nets, those, place + 1))


def _groups(
    nets: Sequence[Sequence[nn.Module]],
    those: Sequence[int],
    place: int,
    same: Callable[[Any, Any], bool],
) -> list[list[int]]:
    groups: list[list[int]] = []
    for t in those:
        for group in groups:
            if same(nets[group[0]][place], nets[t][place]):
                group.append(t)
                break
        else:
            groups.append([t])
    return groups


def _equal(a: Any, b: Any) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return (
        type(a) is type(b)
        and repr(a) == repr(b)
        and ours.keys() == theirs.keys()
        and all(torch.equal(ours[key], theirs[key]) for key in ours)
    )


def _same_weights(a: Any, b: Any) -> bool:
    """Whether two layers are equal, or differ in a bias alone."""
    if type(a) is not type(b) or type(a) not in (nn.Conv2d, ClassConv, nn.Linear):
        return _equal(a, b)
    if a.bias is None or b.bias is None:
        return _equal(a, b)
    return repr(a) == repr(b) and torch.equal(a.weight, b.weight)


def _spare_memory(nodes: Sequence[Node], owned: bool) -> None:
    """Let layers write upon their input where it is `owned`: made for them and for none else."""
    for node in nodes:
        mine = owned and len(nodes) == 1
        kind = type(node.layer)
        if hasattr(node.layer, "inplace"):
            node.layer.inplace = mine and kind in POINTWISE
        fresh = kind in FRESH or kind is _Bias or (kind in POINTWISE)
        _spare_memory(node.then, owned=fresh and not node.ends)


def _run(nodes: Sequence[Node], x: Tensor, found: dict[int, Tensor]) -> None:
    while len(nodes) == 1:  # a loop, so that what was read is let go
        (node,) = nodes
        x = node.layer(x)
        found.update(dict.fromkeys(node.ends, x))
        nodes = node.then
    for node in nodes:
        _run([node], x, found)
