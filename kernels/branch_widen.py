"""A net of branches with one branch more, which at first changes nothing of what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from .branch_net import BranchNet
from .branch_shape import Branch, build


def widen(net: BranchNet, more: Sequence[Branch], *, seed: int) -> BranchNet:
    """Return a copy of a net that reads further groups, after those that it reads.

    New branches begin with weights drawn from `seed`, and what joins branches weighs them by 0: the
    net says what it said until it is trained (the zero start of ControlNet's added layers: Zhang,
    Rao & Agrawala 2023, ICCV, 3836-3847).
    """
    shape = replace(net.shape, branches=(*net.shape.branches, *more))
    wide = build(shape, net.outputs, net.extra, seed=seed)
    state = wide.state_dict()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name == "merge.0.weight":
                state[name].zero_()
                state[name][:, : value.shape[1]] = value
            else:
                state[name].copy_(value)
    return wide.eval()
