"""Nets share what is equal, and nothing else; results stay apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edaphos.kernels.conv_net import SPEC_SHAPE, ConvShape, build
from edaphos.kernels.dense_form import dense_form, leaves
from edaphos.kernels.fold_norm import fold_norms
from edaphos.kernels.net_tree import Node, grow, run
from edaphos.kernels.position_classes import ClassConv

from .nets import lively


def chains(nets: list[nn.Sequential]) -> list[list[nn.Module]]:
    return [fold_norms([x for _, x in leaves(dense_form(net, 9, 3))]) for net in nets]


def convolutions(nodes: list[Node]) -> int:
    kinds = (nn.Conv2d, ClassConv)
    return sum((type(n.layer) in kinds) + convolutions(n.then) for n in nodes)


@pytest.mark.parametrize("shape", [ConvShape(), SPEC_SHAPE])
def test_depths_of_a_pooled_net_part_after_the_first_dense_layer(shape: ConvShape) -> None:
    net = lively(build(shape, 3, extra=1, seed=0))
    nets = [net.sequential(extra=[d / 10]) for d in range(6)]
    assert convolutions(grow(chains(nets))) == 3 + 1 + 6 * 2
    assert convolutions(grow(chains(nets[:1] * 6))) == 3 + 1 + 2


def test_fine_tuned_nets_share_what_was_frozen() -> None:
    first = lively(build(ConvShape(), 3, seed=0))
    second = build(ConvShape(), 3, seed=1)
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        second.stages()[2][0][0].weight += 1e-7
    assert convolutions(grow(chains([first.sequential(), second.sequential()]))) == 2 + 2 * 4


def test_nets_with_nothing_in_common_share_nothing() -> None:
    nets = [lively(build(ConvShape(), 3, seed=s), s).sequential() for s in (0, 1)]
    assert convolutions(grow(chains(nets))) == 2 * 6


@pytest.mark.parametrize("kind", [nn.ReLU, nn.SiLU, nn.ELU])
def test_layers_that_write_upon_their_input_spoil_no_other_net(kind: type) -> None:
    conv, other = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 1)
    nets = [
        [conv],
        [conv, kind(inplace=True)],
        [conv, kind(inplace=True), kind(inplace=True)],
        [conv, nn.Sigmoid(), other],
        [kind(inplace=True), conv],
        [kind(inplace=True)],
        [nn.Flatten(), kind(inplace=True)],
        [conv, nn.Flatten()],
        [conv, nn.Flatten(), kind(inplace=True)],
    ]
    x = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    with torch.no_grad():
        found = run(grow(nets), x)
        assert torch.equal(x, before)
        for place, net in enumerate(nets):
            alone = before.clone()
            for layer in net:
                alone = type(layer)()(alone) if isinstance(layer, kind) else layer(alone)
            torch.testing.assert_close(found[place], alone, rtol=0, atol=1e-6)


def test_norms_fold_into_the_convolution_before_or_after_and_stay_elsewhere() -> None:
    layers = [
        nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 6, 2, groups=2), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 2, 1, bias=False), nn.BatchNorm2d(2, affine=False), nn.BatchNorm2d(2),
    ]  # fmt: skip
    net = lively(nn.Sequential(*layers)).double()
    folded = fold_norms(list(net))
    kinds = [type(x).__name__ for x in folded]
    assert kinds.count("BatchNorm2d") == 2
    x = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        torch.testing.assert_close(nn.Sequential(*folded)(x), net(x), rtol=1e-12, atol=1e-12)
