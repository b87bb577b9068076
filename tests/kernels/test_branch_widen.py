"""Nets with a branch more: at first they say what they said, and then the branch is learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edaphos.kernels.branch_shape import Branch, BranchShape, build
from edaphos.kernels.branch_widen import widen


@pytest.mark.parametrize("between", ["gelu", "none"])
def test_a_new_branch_changes_nothing_until_it_is_trained(between) -> None:
    shape = BranchShape((Branch("climate", 4), Branch("relief", 2, 3)), 5, 8, (6,), (0.1,), between)
    net = build(shape, 2, 2, seed=1).eval()
    wide = widen(net, [Branch("clay", 3, 5), Branch("rock", 4, embedding=2)], seed=2)
    assert [b.name for b in wide.shape.branches] == ["climate", "relief", "clay", "rock"]
    rng = np.random.default_rng(0)
    groups = [
        torch.from_numpy(rng.normal(size=(9, b.bands, b.window, b.window)).astype(np.float32))
        for b in wide.shape.branches
    ]
    layers = torch.tensor([[0.1, 0.2, 1.0]]).expand(9, 1, -1)
    before = net(*groups[:2], layers)
    torch.testing.assert_close(wide(*groups, layers), before)
    wide(*groups, layers).square().sum().backward()
    assert wide.merge[0].weight.grad[:, 10:].abs().max() > 0
    with torch.no_grad():
        wide.merge[0].weight -= 0.1 * wide.merge[0].weight.grad
    other = [*groups[:2], groups[2] + 1.0, groups[3]]
    assert (wide(*other, layers) - wide(*groups, layers)).abs().max() > 1e-4
