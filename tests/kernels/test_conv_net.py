"""Shapes that fit no net are refused; the net is what its shape says."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from edaphos.kernels.conv_net import SPEC_SHAPE, ConvShape, build


def test_shapes_survive_json() -> None:
    shape = ConvShape(channels=(8, 16), kernels=(3, 2), pool_after=(1,), dense=())
    assert ConvShape(**json.loads(json.dumps(asdict(shape)))) == shape


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"patch": 8}, "patch"),
        ({"patch": 3}, "shrink to nothing"),
        ({"kernels": (3, 3)}, "kernels"),
        ({"pool_after": (4,)}, "pool_after"),
        ({"dropout": 1.0}, "dropout"),
        ({"activation": "tanh"}, "activation"),
        ({"padding": -1}, "padding"),
    ],
)
def test_sizes_that_fit_no_net_are_named(wrong: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ConvShape(**wrong)


@pytest.mark.parametrize("shape", [ConvShape(), SPEC_SHAPE, ConvShape(patch=15, padding=1)])
def test_sizes_are_those_of_the_blocks(shape: ConvShape) -> None:
    net = build(shape, 5, seed=1).eval()
    x, sides = torch.zeros(2, 5, shape.patch, shape.patch), []
    for block in list(net.trunk)[:-1]:
        x = block(x)
        sides.append(x.shape[-1])
    assert tuple(sides) == shape.sizes


def test_a_seed_gives_the_same_weights_and_leaves_torch_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (build(ConvShape(), 4, seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["trunk.0.0.weight"], other["trunk.0.0.weight"])


def test_first_weights_keep_the_mean_square_of_a_relu_net() -> None:
    shape = ConvShape(activation="relu", batch_norm=False, padding=0, pool_after=())
    shape = ConvShape(**{**asdict(shape), "kernels": (3, 3, 3), "channels": (64, 128, 128)})
    net = build(shape, 20, seed=0).eval()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 20, 9, 9))).float()
    with torch.no_grad():
        assert 0.5 < float(net.trunk(x).pow(2).mean()) < 2  # as the input's: 1


def test_stages_are_three_blocks_and_three_dense_layers_of_all_heads() -> None:
    net = build(ConvShape(), 4, heads=2, seed=0)
    stages = net.stages()
    assert [len(s) for s in stages] == [1, 1, 1, 2, 2, 2]
    counted = sum(p.numel() for stage in stages for m in stage for p in m.parameters())
    assert counted == sum(p.numel() for p in net.parameters())
    assert any(isinstance(m, nn.BatchNorm2d) for m in stages[0][0].modules())


@pytest.mark.parametrize("shape", [ConvShape(), SPEC_SHAPE, ConvShape(dense=(), batch_norm=False)])
def test_extra_numbers_folded_away_change_nothing(shape: ConvShape) -> None:
    net = build(shape, 4, outputs=2, heads=3, extra=2, seed=5).double().eval()
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 4, 9, 9)))
    extra = torch.tensor([0.3, 0.7], dtype=torch.float64)
    with torch.no_grad():
        whole = net(x, extra.expand(6, 2))
        for head in range(3):
            part = net.sequential(head, extra.numpy())(x)
            torch.testing.assert_close(
                part, whole[:, 2 * head : 2 * head + 2], rtol=1e-12, atol=1e-12
            )
    with pytest.raises(ValueError, match="takes 2 extra numbers, found 0"):
        net(x)
