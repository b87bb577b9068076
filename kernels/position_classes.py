r"""Layers of a patch CNN whose values depend on where in the patch they are computed.

Zeros put around a patch are not what lies around it on the map. So a value at the patch's rim
differs from one of the same place on the map in another patch's middle, and one map of each layer
does not do. But few maps do: of the positions along a side, all that see the same kinds of
neighbours (the rim, next to the rim, ...) have one map in common, a *class* of positions. Classes
along y and x are multiplied, and their maps stacked as a batch, ``(classes * n, C, y, x)``, where
layers that look at one place only need no change. A window's value at class :math:`c` is a sum (or
the largest) over windows' parts that read one class each, zeros left out:

.. math:: v_c(y) = b + \sum_{r \in runs(c)} W_r * v_{class(r)}(y + offset_r)

Every value is the one that the patch net computes, but for the order of summation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Pair = tuple[int, int]
#: Classes that the places of a window read, along one side; None beyond the patch.
Sight = tuple[int | None, ...]
#: A class, and the first and the last + 1 of the window's places that read it.
Run = tuple[int, int, int]
#: How far a window of one cell reaches is nothing, but with one thread torch takes its fast
#: convolution, four times as fast, only where places lie apart.
ANY_STEP = (2, 2)


@dataclass(frozen=True)
class Side:
    """A window along y or x, and what it reads there.

    Parameters
    ----------
    sights
        What is seen from each class of positions it makes.
    classes
        How many classes it reads.
    step
        How far its places lie apart on the map, in cells.
    before
        How far its first place lies before the position it is at, in cells.
    shrinks
        By how many cells what it makes is shorter than what it reads.
    """

    sights: tuple[Sight, ...]
    classes: int
    step: int
    before: int
    shrinks: int

    @property
    def plain(self) -> bool:
        """Whether one class is made from one class, with nothing beyond the patch."""
        return self.classes == 1 and len(self.sights) == 1 and None not in self.sights[0]

    def runs(self, made: int) -> list[Run]:
        """Return the runs of neighbouring places that read one class, for a class made."""
        found: list[Run] = []
        for place, seen in enumerate(self.sights[made]):
            if seen is None:
                continue
            if found and found[-1][0] == seen and found[-1][2] == place:
                found[-1] = (seen, found[-1][1], place + 1)
            else:
                found.append((seen, place, place + 1))
        return found

    def span(self, first: int, end: int, length: int) -> tuple[slice, slice]:
        """Return which values of a run over a map of `length` cells count, and where they go."""
        low, high = first * self.step - self.before, (end - 1) * self.step - self.before
        start, stop = max(0, -low), min(length - self.shrinks, length - high)
        return slice(start + low, stop + low), slice(start, stop)


def sights(
    classes: Sequence[int], kernel: int, dilation: int, stride: int, padding: int, made: int
) -> tuple[tuple[Sight, ...], list[int]]:
    """Return what each class of positions sees, and the class of each of `made` positions.

    Parameters
    ----------
    classes
        The class of each position that is read.

    Examples
    --------
    Three cells wide, zeros around: the first and the last of five positions differ from the rest.

    >>> sights([0, 0, 0, 0, 0], 3, 1, 1, 1, 5)
    (((None, 0, 0), (0, 0, 0), (0, 0, None)), [0, 1, 1, 1, 2])
    """
    seen: list[Sight] = []
    for position in range(made):
        places = [position * stride + place * dilation - padding for place in range(kernel)]
        seen.append(tuple(classes[p] if 0 <= p < len(classes) else None for p in places))
    distinct = tuple(dict.fromkeys(seen))
    return distinct, [distinct.index(sight) for sight in seen]


class MaxPool(nn.Module):  # type: ignore[misc]
    """The largest of a window at every cell: ``kernel`` places, ``step`` cells apart.

    Five times as fast as torch's pooling with stride 1, which also notes where the largest is.
    """

    def __init__(self, kernel: Pair, step: Pair) -> None:
        super().__init__()
        self.kernel, self.step = kernel, step

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, C, y - reach, x - reach)``."""
        return largest(x, self.kernel, self.step)

    def extra_repr(self) -> str:
        """Name the settings: layers are told apart by them."""
        return f"{self.kernel}, {self.step}"


def largest(x: Tensor, kernel: Pair, step: Pair) -> Tensor:
    """Return the largest of windows: of their columns' largest, 2 x 2 in two comparisons."""
    for axis in (0, 1):
        length = x.shape[axis - 2] - (kernel[axis] - 1) * step[axis]
        parts = [x.narrow(axis - 2, place * step[axis], length) for place in range(kernel[axis])]
        x = parts[0]
        for part in parts[1:]:
            x = torch.maximum(x, part)
    return x


class _Classes(nn.Module):  # type: ignore[misc]
    """A window over maps of several classes."""

    def __init__(self, y: Side, x: Side) -> None:
        super().__init__()
        self.y, self.x = y, x

    def make(self, given: Tensor, channels: int) -> Tensor:
        """Return the maps of all classes made; cells that no patch asks for are 0."""
        n = len(given) // (self.y.classes * self.x.classes)
        sides = (given.shape[-2] - self.y.shrinks, given.shape[-1] - self.x.shrinks)
        made = torch.empty(
            (n * len(self.y.sights) * len(self.x.sights), channels, *sides),
            dtype=given.dtype,
            device=given.device,
            memory_format=torch.channels_last,
        ).zero_()
        target = 0
        for a in range(len(self.y.sights)):
            for b in range(len(self.x.sights)):
                self.fill(made[target : target + n], given, self.y.runs(a), self.x.runs(b))
                target += n
        return made

    def read(self, given: Tensor, rows: Run, columns: Run) -> Tensor:
        """Return the map that a pair of runs reads, all of it: a view that need not be copied."""
        n = len(given) // (self.y.classes * self.x.classes)
        source = rows[0] * self.x.classes + columns[0]
        return given[source * n : (source + 1) * n]

    def place(
        self, made: Tensor, value: Tensor, given: Tensor, rows: Run, columns: Run
    ) -> tuple[Tensor, Tensor]:
        """Return the cells of `made` that a pair of runs gives, and its values for them."""
        from_y, to_y = self.y.span(*rows[1:], given.shape[-2])
        from_x, to_x = self.x.span(*columns[1:], given.shape[-1])
        return made[..., to_y, to_x], value[..., from_y, from_x]

    def fill(self, made: Tensor, given: Tensor, rows: list[Run], columns: list[Run]) -> None:
        """Write one class's maps."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Name the settings: layers are told apart by them."""
        return f"{self.y}, {self.x}"


class ClassConv(_Classes):
    """A convolution over maps of several classes."""

    def __init__(self, weight: Any, bias: Any, groups: int, y: Side, x: Side) -> None:
        super().__init__(y, x)
        self.weight, self.bias, self.groups = weight, bias, groups

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(classes made * n, outputs, y, x)`` from ``(classes read * n, C, y, x)``."""
        return self.make(x, len(self.weight))

    def fill(self, made: Tensor, given: Tensor, rows: list[Run], columns: list[Run]) -> None:
        """Add up a convolution for each pair of runs."""
        runs = [(a, b) for a in rows for b in columns]
        if not runs and self.bias is not None:
            made += self.bias[:, None, None]
        for place, (a, b) in enumerate(runs):
            weight = self.weight[:, :, a[1] : a[2], b[1] : b[2]]
            alone = weight.shape[-2:] == (1, 1)
            apart = ANY_STEP if alone else (self.y.step, self.x.step)
            bias = None if place else self.bias
            part = self.read(given, a, b)
            value = nn.functional.conv2d(part, weight, bias, 1, 0, apart, self.groups)
            cells, value = self.place(made, value, given, a, b)
            if place:
                cells += value
            else:
                cells.copy_(value)


class ClassMax(_Classes):
    """The largest of a window over maps of several classes."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(classes made * n, C, y, x)`` from ``(classes read * n, C, y, x)``."""
        return self.make(x, x.shape[1])

    def fill(self, made: Tensor, given: Tensor, rows: list[Run], columns: list[Run]) -> None:
        """Keep the largest of all pairs of runs."""
        for place, (a, b) in enumerate([(a, b) for a in rows for b in columns]):
            kernel = (a[2] - a[1], b[2] - b[1])
            value = largest(self.read(given, a, b), kernel, (self.y.step, self.x.step))
            cells, value = self.place(made, value, given, a, b)
            if place:
                torch.maximum(cells, value, out=cells)
            else:
                cells.copy_(value)
