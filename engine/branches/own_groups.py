"""Groups of covariates that a region has and the world has not: branches added to its nets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..place import Place
from ..whole_folder import is_whole, whole_folder
from .branch_fit import BranchFit
from .fitting import member_seeds
from .group_set import GroupSet
from .groups import GroupChannels
from .net_file import save_net
from .settings import GsoilcpmSettings

START = "start"


def with_own(
    start: BranchFit,
    told: GsoilcpmSettings,
    held: GroupSet,
    patches: NDArray[np.int64],
    seed: int,
) -> BranchFit:
    """Return a model of the world whose nets read a region's own groups, too.

    Until they are trained they say what they said (:func:`edaphos.kernels.branch_widen.widen`).

    Parameters
    ----------
    patches
        Places whose rows are learned from; scalings of the groups are learned from them alone.
    """
    from edaphos.kernels.branch_widen import widen

    if not told.own:
        return start
    nets = start.nets
    found = GroupChannels.fit(held, patches, told.own, plain=nets.plain)
    channels = GroupChannels(
        (*nets.channels.groups, *found.groups), (*nets.channels.channels, *found.channels)
    )
    more = found.branches(told.embedding, nets.plain)
    wide = tuple(
        widen(net, more, seed=own)
        for net, own in zip(nets.nets, member_seeds(seed, len(nets.nets)), strict=True)
    )
    return replace(start, nets=replace(nets, nets=wide, channels=channels))


def files_of(start: BranchFit, folder: Path, names: Sequence[str]) -> dict[int, Place]:
    """Keep the nets of a model where trainings find them; return the file of each."""
    if not is_whole(folder / START):
        with whole_folder(folder / START) as partial:
            covariances = start.covariances or (None,) * len(names)
            for net, name, covariance in zip(start.nets.nets, names, covariances, strict=True):
                save_net(partial / name, net, covariance)
    return {m: folder / START / name for m, name in enumerate(names)}
