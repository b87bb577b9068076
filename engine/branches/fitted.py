"""Fitted nets of branches: what they say of rows, and of all cells of a tile at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..conv.learning_rows import Floats, Ints, depth_numbers
from ..conv.predictive import Said, gather
from ..need_torch import torch_threads
from .group_set import GroupSet
from .groups import GroupChannels
from .settings import Head
from .source import GroupSource

if TYPE_CHECKING:
    from edaphos.kernels.branch_map import BranchMapper
    from edaphos.kernels.branch_net import BranchNet

#: Places run at once when rows are predicted.
BATCH = 2048
#: Years enter a net as distances from here, in units of this many.
YEAR_ZERO, YEAR_UNIT = 2000.0, 50.0


def row_numbers(
    top: Floats, bottom: Floats, year: Floats, *, plain: bool, sees_year: bool
) -> Floats:
    """Return what a net sees of layers beside covariates, ``(n, extra)``.

    Top and bottom; with the year two more, its distance from 2000 and whether there is one. Nothing
    for the released network.

    >>> row_numbers(*np.array([[0.0], [20.0], [2010.0]]), plain=False, sees_year=True)
    array([[0. , 0.1, 0.2, 1. ]])
    """
    if plain:
        return np.zeros((len(top), 0))
    depth = depth_numbers(top, bottom)
    if not sees_year:
        return depth
    dated = np.isfinite(year)
    away = np.where(dated, (np.where(dated, year, YEAR_ZERO) - YEAR_ZERO) / YEAR_UNIT, 0.0)
    return np.concatenate([depth, away[:, None], dated[:, None].astype(float)], axis=1)


@dataclass(frozen=True)
class FittedBranches:
    """Members of an ensemble, and the scales of what they read and say.

    Parameters
    ----------
    nets
        The members.
    channels
        What they see.
    centre, spread
        An output times `spread` plus `centre` is on the scale that is learned.
    low, high
        Least and largest target learned from: what nets say is kept between them.
    head, levels
        What they say beside the mean; quantiles that are wanted of it.
    absent
        Groups that are missing.
    plain, sees_year
        As :func:`row_numbers` has it.
    """

    nets: tuple[BranchNet, ...]
    channels: GroupChannels
    centre: float
    spread: float
    low: float
    high: float
    head: Head
    levels: tuple[float, ...]
    absent: tuple[str, ...] = ()
    plain: bool = False
    sees_year: bool = False

    def of_rows(self, held: GroupSet, place: Ints, numbers: Floats) -> Floats:
        """Return what members say of rows, ``(members, 1 + levels, n)``.

        It is on the scale that is learned. `numbers` are as :func:`row_numbers` gives them.
        """
        import torch

        needed, which = np.unique(place, return_inverse=True)
        nothing = np.zeros((len(needed), 1))
        source = GroupSource(
            held,
            self.channels,
            needed,
            nothing,
            nothing,
            nothing[:, :, None],
            absent=self.absent,
            plain=self.plain,
        )
        out = np.full((len(self.nets), self.nets[0].outputs, len(place)), np.nan)
        extra = torch.from_numpy(np.asarray(numbers, np.float32))
        for first in range(0, len(needed), BATCH):
            here = np.flatnonzero((which >= first) & (which < first + BATCH))
            some = np.arange(first, min(first + BATCH, len(needed)))
            groups = source.batch(some, None).inputs[:-1]
            rows = torch.from_numpy(which[here] - first)
            with torch_threads(1), torch.inference_mode():
                for m, net in enumerate(self.nets):
                    joined = net.joined(net.trunk(groups)[rows], extra[here])
                    out[m][:, here] = net.head(joined).numpy().T
        return self._scaled(out, 1)

    def of_squares(self, groups: Sequence[NDArray[np.float32]], layers: Sequence[Floats]) -> Floats:
        """Return what members say of layers of places, ``(layers, members, 1 + levels, n)``.

        `groups` are channels, ``(n, bands, window, window)``; `layers` as :meth:`layers` has them.
        """
        import torch

        seen = tuple(torch.from_numpy(np.ascontiguousarray(squares)) for squares in groups)
        shape = (len(layers), len(self.nets), self.nets[0].outputs, len(groups[0]))
        out = np.empty(shape)
        with torch_threads(1), torch.inference_mode():
            for m, net in enumerate(self.nets):
                features = net.trunk(seen)
                for k, numbers in enumerate(layers):
                    extra = torch.from_numpy(np.asarray(numbers, np.float32))
                    joined = net.joined(features, extra.expand(len(features), -1))
                    out[k, m] = net.head(joined).numpy().T
        return self._scaled(out, 2)

    def layers(self, depths: Sequence[tuple[float, float]], years: Sequence[float]) -> list[Floats]:
        """Return what nets see of layers: year by year, in each the depths."""
        bounds = np.array(depths, np.float64)
        layers: list[Floats] = []
        for year in years:
            when = np.full(len(bounds), float(year))
            told = {"plain": self.plain, "sees_year": self.sees_year}
            layers += list(row_numbers(bounds[:, 0], bounds[:, 1], when, **told))
        return layers

    def mapper(self, depths: Sequence[tuple[float, float]], years: Sequence[float]) -> BranchMapper:
        """Return what maps depths in years: layers year by year, in each the depths."""
        from edaphos.kernels.branch_map import BranchMapper

        return BranchMapper(self.nets, self.layers(depths, years))

    def mapped(self, mapper: BranchMapper, groups: Sequence[NDArray[np.float32]]) -> Floats:
        """Return what members say of all cells, ``(layers, members, 1 + levels, y, x)``."""
        with torch_threads(1):
            said = mapper.predict(groups)
        return self._scaled(said.astype(np.float64), 2)

    def together(self, said: Floats) -> Said:
        """Join members, ``(members, 1 + levels, ...)``."""
        return gather(said, self.levels, 0, self.low, self.high)

    def nbytes(self) -> int:
        """Return the bytes of all weights."""
        return sum(p.numel() * p.element_size() for net in self.nets for p in net.parameters())

    def _scaled(self, said: Floats, axis: int) -> Floats:
        """Return outputs as mean and quantiles on the scale that is learned."""
        if self.head == "gaussian":
            mean, logarithm = np.take(said, 0, axis), np.take(said, 1, axis)
            deviation = np.exp(0.5 * np.clip(logarithm, -7.0, 7.0))
            each = [mean + NormalDist().inv_cdf(q) * deviation for q in self.levels]
            said = np.stack([mean, *each], axis)
        return said * self.spread + self.centre


def outputs_of(head: Head, levels: tuple[float, ...]) -> int:
    """Return how many numbers a net says of a row."""
    return {"mean": 1, "quantile": 1 + len(levels), "gaussian": 2}[head]
