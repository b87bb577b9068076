"""Groups of covariates: each with a window of its own, its channels, and whether a cube has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.branch_shape import Branch

from ..conv.channels import Channels
from ..conv.patch_statistics import raw_patches, seen_in
from ..conv.planes import Plane
from ..cube.layout import Kind
from ..errors import InputError
from ..models.protocol import TileInputs
from .group_set import GroupSet

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Group:
    """Covariates that one branch reads.

    Parameters
    ----------
    name
        Of the group: climate, relief, vegetation, parent material.
    covariates
        Cube variables.
    window
        Cells along a side of the square that the branch sees, odd.
    """

    name: str
    covariates: tuple[str, ...]
    window: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "covariates", tuple(self.covariates))
        if not self.covariates:
            raise InputError(f'group "{self.name}" names no covariates')
        if self.window < 1 or self.window % 2 == 0:
            raise InputError(f'window of group "{self.name}" must be odd, found {self.window}')


def check_groups(groups: Sequence[Group]) -> None:
    """Refuse groups that share a name or a covariate, or none at all."""
    if not groups:
        raise InputError("no groups of covariates: name at least one")
    names = [group.name for group in groups]
    every = [name for group in groups for name in group.covariates]
    for what, found in (("group", names), ("covariate", every)):
        twice = sorted({name for name in found if found.count(name) > 1})
        if twice:
            raise InputError(f"{what} {', '.join(twice)} is named twice; name each once")


@dataclass(frozen=True)
class GroupChannels:
    """What a net sees of each group, learned from training places.

    Parameters
    ----------
    groups, channels
        One for the other.
    """

    groups: tuple[Group, ...]
    channels: tuple[Channels, ...]

    @classmethod
    def fit(
        cls, store: GroupSet, patches: NDArray[np.int64], groups: Sequence[Group], *, plain: bool
    ) -> GroupChannels:
        """Learn scalings from training places, and only from them, and the extremes of amounts.

        Parameters
        ----------
        plain
            Channels as the released network has them: a class's code is a number, and no channel
            tells what is missing, which is 0 after scaling; amounts have no bounds.
        """
        found = []
        for group in groups:
            of = store.of(group.window)
            planes = tuple(plane for plane in of.planes if plane[0] in group.covariates)
            if plain:
                amounts: tuple[Kind, ...] = tuple("amount" for _ in of.kinds)
                of = replace(of, kinds=amounts)
            made = Channels.fit(
                of, patches, planes=planes, size=group.window, mask="any", bounded=not plain
            )
            found.append(made)
        return cls(tuple(groups), tuple(found))

    def bands(self, plain: bool) -> tuple[int, ...]:
        """Return how many channels of each group a net reads."""
        return tuple(len(c) - plain for c in self.channels)

    def branches(self, embedding: int, plain: bool) -> tuple[Branch, ...]:
        """Return what each branch of a net reads.

        Parameters
        ----------
        embedding
            Numbers that a cell's channels become first in a group with classes.
        """
        return tuple(
            Branch(
                group.name,
                count,
                group.window,
                embedding if not plain and any(b.kind == "class" for b in c.bands) else 0,
            )
            for group, c, count in zip(self.groups, self.channels, self.bands(plain), strict=True)
        )

    @property
    def planes(self) -> tuple[Plane, ...]:
        """All raw planes."""
        return tuple(plane for c in self.channels for plane in c.planes)

    @property
    def symmetric(self) -> bool:
        """Whether squares may be mirrored and turned."""
        return all(c.symmetric for c in self.channels)

    def constant(self) -> tuple[str, ...]:
        """Return covariates that were one value in all training places, and so taught nothing."""
        return tuple(
            band.plane[0]
            for c in self.channels
            for band in c.bands
            if (band.kind == "amount" and band.factor == 0) or len(band.codes) == 1
        )

    def unknown_codes(
        self, store: GroupSet, patches: NDArray[np.int64], absent: Sequence[str]
    ) -> dict[str, list[int]]:
        """Return codes of classes at places that no training place has, by variable."""
        found: dict[str, list[int]] = {}
        for group, c in zip(self.groups, self.channels, strict=True):
            classes = [b for b in c.bands if b.kind == "class" and group.name not in absent]
            if not classes:
                continue
            of = store.of(group.window)
            positions = np.array([of.planes.index(band.plane) for band in classes], np.int64)
            seen = seen_in(of, np.unique(patches), positions, 1)
            for band, one in zip(classes, seen, strict=True):
                if more := sorted(set(one.codes) - set(band.codes)):
                    found[band.plane[0]] = more
        return found

    def beyond(
        self, store: GroupSet, patches: NDArray[np.int64], absent: Sequence[str]
    ) -> dict[str, float]:
        """Return the share of cells at places beyond what was learned, by variable, if there are.

        Of amounts with bounds, and of all cells of each place's window.
        """
        found: dict[str, float] = {}
        for group, c in zip(self.groups, self.channels, strict=True):
            bands = [band for band in c.bands if band.low is not None and band.high is not None]
            if not bands or group.name in absent:
                continue
            of = store.of(group.window)
            positions = np.array([of.planes.index(band.plane) for band in bands], np.int64)
            values = raw_patches(of, np.unique(patches), positions, group.window)
            for k, band in enumerate(bands):
                there = values[:, k][np.isfinite(values[:, k])]
                out = (there < np.float32(band.low)) | (there > np.float32(band.high))
                if out.any():
                    name = band.plane[0]
                    found[name] = max(found.get(name, 0.0), float(out.mean()))
        return found

    def unknown_class(
        self, inputs: TileInputs, year: int, absent: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Return which cells of a tile are of a class that no training place has, ``(y, x)``."""
        found = np.zeros(inputs.window.shape, bool)
        for group, c in zip(self.groups, self.channels, strict=True):
            if group.name not in absent:
                found |= c.unknown_class(inputs, year)
        return found

    def of_tile(
        self, inputs: TileInputs, year: int, absent: Sequence[str], plain: bool
    ) -> list[Floats]:
        """Return the channels of each group over a tile with its halo, zeros where absent."""
        halo = 2 * inputs.halo
        h, w = inputs.window.shape
        shape = (h + halo, w + halo)
        return [
            np.zeros((count, *shape), np.float32)
            if group.name in absent
            else c.of_tile(inputs, year)[:count]
            for group, c, count in zip(self.groups, self.channels, self.bands(plain), strict=True)
        ]

    def to_json(self) -> list[dict[str, Any]]:
        """Return what :meth:`from_json` reads."""
        return [
            {"name": g.name, "covariates": list(g.covariates), "window": g.window, **c.to_json()}
            for g, c in zip(self.groups, self.channels, strict=True)
        ]

    @classmethod
    def from_json(cls, told: Sequence[Mapping[str, Any]]) -> GroupChannels:
        """Return the channels that :meth:`to_json` told of."""
        groups = tuple(Group(t["name"], tuple(t["covariates"]), t["window"]) for t in told)
        return cls(groups, tuple(Channels.from_json(t) for t in told))


def absent_groups(groups: Sequence[Group], variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of groups of which a cube has no variable at all.

    Raises
    ------
    InputError
        It has some of a group's variables and lacks others.
    """
    missing = []
    for group in groups:
        lacking = [name for name in group.covariates if name not in variables]
        if 0 < len(lacking) < len(group.covariates):
            raise InputError(
                f'the cube has part of group "{group.name}" and lacks {", ".join(lacking)}: a '
                "group is there as a whole or not at all. Add these to the cube under the names "
                "and units of the model, or leave the whole group out of the cube"
            )
        if lacking:
            missing.append(group.name)
    if len(missing) == len(groups):
        wanted = ", ".join(name for group in groups for name in group.covariates)
        raise InputError(f"the cube has none of the model's covariates: {wanted}")
    return tuple(missing)


def windows_of(groups: Sequence[Group]) -> dict[int, tuple[str, ...]]:
    """Return the variables that are cut at each window.

    >>> windows_of([Group("a", ("t", "p")), Group("b", ("z",), 5), Group("c", ("l",))])
    {1: ('t', 'p', 'l'), 5: ('z',)}
    """
    found: dict[int, tuple[str, ...]] = {}
    for group in groups:
        found[group.window] = (*found.get(group.window, ()), *group.covariates)
    return found
