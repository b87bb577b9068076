"""Layers of a place: as if each had a patch of its own; dropout that was made permanent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edaphos.kernels.conv_net import ConvShape, build
from edaphos.kernels.layered_net import Layered, thinned

SHAPE = ConvShape(patch=5, channels=(4, 6), kernels=(3, 2), pool_after=(), dense=(8, 5))


def layers_of(rng: np.random.Generator, places: int, most: int, extra: int) -> torch.Tensor:
    """Return numbers of up to `most` layers for each place, one at least."""
    layers = rng.normal(size=(places, most, extra + 1)).astype(np.float32)
    there = np.arange(most) < rng.integers(1, most + 1, places)[:, None]
    layers[..., -1] = there
    return torch.from_numpy(layers * there[..., None])


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2), st.integers(1, 3))
def test_layers_are_patches_of_their_own(places, most, extra, outputs):
    rng = np.random.default_rng(places)
    net = build(SHAPE, 3, outputs, extra=extra, seed=1).eval()
    x = torch.from_numpy(rng.normal(size=(places, 3, 5, 5)).astype(np.float32))
    layers = layers_of(rng, places, most, extra)
    with torch.no_grad():
        found = Layered(net)(x, layers).reshape(places, most, outputs)
        for i in range(places):
            for j in range(most):
                own = layers[i, j, :-1][None] if extra else None
                one = net(x[i : i + 1], own)[0] if layers[i, j, -1] else torch.zeros(outputs)
                torch.testing.assert_close(found[i, j], one, rtol=1e-5, atol=1e-6)


def test_absent_layers_have_no_influence_on_statistics_or_gradients():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(6, 3, 5, 5)).astype(np.float32))
    states = []
    for width in (3, 5):  # two more columns of nothing
        net = build(ConvShape(**{**vars(SHAPE), "dropout": 0.0}), 3, extra=1, seed=1).train()
        layers = torch.zeros(6, width, 2)
        layers[:, :3] = layers_of(np.random.default_rng(5), 6, 3, 1)
        Layered(net)(x, layers).sum().backward()
        grads = {k: p.grad for k, p in net.named_parameters()}
        states.append({**net.state_dict(), **grads})
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=0, atol=0)


@pytest.mark.parametrize("keep", [True, False])
def test_statistics_are_kept_on_demand(keep):
    net = build(SHAPE, 3, extra=1, seed=1)
    before = {k: v.clone() for k, v in net.state_dict().items() if "running" in k}
    module = Layered(net, keep_statistics=keep).train()
    x, layers = torch.randn(8, 3, 5, 5), torch.ones(8, 1, 2)
    module(x, layers).sum().backward()
    after = net.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before) == keep
    assert all(p.grad is not None for p in net.parameters())  # scales are trained either way
    assert net.training


def test_a_thinned_net_is_dropout_drawn_once():
    net = build(SHAPE, 3, extra=2, seed=1).eval()
    x, extra = torch.randn(50, 3, 5, 5), torch.randn(50, 2)
    draws = [thinned(net, seed) for seed in range(100)]
    first = draws[0].heads[0][0][0].weight
    whole = net.heads[0][0][0].weight
    assert torch.equal(first[:, -2:], whole[:, -2:])  # depth is never dropped
    for column, original in zip(first.T[:-2], whole.T[:-2], strict=True):
        assert torch.equal(column, 0 * original) or torch.allclose(column, original / 0.8)
    assert draws[0].trunk is net.trunk
    share = np.mean([(d.heads[0][0][0].weight[:, :-2] == 0).float().mean().item() for d in draws])
    assert share == pytest.approx(0.2, abs=0.03)
    with torch.no_grad():
        # by the first dense layer, the mean over draws is the net without dropout
        flat = torch.cat([net.trunk(x), extra], 1)
        mean = torch.stack([d.heads[0][0][0](flat) for d in draws]).mean(0)
        torch.testing.assert_close(mean, net.heads[0][0][0](flat), rtol=0, atol=0.4)
        assert torch.stack([d(x, extra) for d in draws]).std(0).min() > 0
        torch.testing.assert_close(draws[3](x, extra), thinned(net, 3)(x, extra), rtol=0, atol=0)
