"""Fine-tuning near what is known: adapters, L2-SP and CORAL against their formulas."""

from __future__ import annotations

import numpy as np
import torch

from edaphos.kernels.losses import gaussian, weighted_mse
from edaphos.kernels.transfer import (
    Aligned,
    Anchored,
    Penalised,
    add_adapters,
    covariance,
    merge_adapters,
)


def small(seed: int = 0) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torch.nn.Flatten(), torch.nn.Linear(5, 7), torch.nn.Linear(7, 1)
    )


def test_adapters_begin_as_the_net_change_by_low_rank_and_become_part_of_it() -> None:
    net, x = small(), torch.randn(20, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    said = net(x)
    add_adapters(net, 2, seed=3)
    torch.testing.assert_close(net(x), said)
    learned = [p for p in net.parameters() if p.requires_grad]
    step = torch.optim.SGD(learned, 0.05)
    for _ in range(5):
        step.zero_grad()
        (net(x) - 1).pow(2).mean().backward()
        step.step()
    merge_adapters(net)
    after = net.state_dict()
    assert after.keys() == before.keys()
    for name in ("0.weight", "2.weight"):
        change = (after[name] - before[name]).flatten(1).detach().numpy()
        values = np.linalg.svd(change, compute_uv=False)
        assert values[1] > 1e-9
        assert (values[2:] < 1e-6 * values[0]).all()  # rank 2 and no more


def test_the_anchor_is_half_the_squared_distance_of_what_is_trained() -> None:
    net = small()
    net[0].requires_grad_(False)
    anchor = Anchored(net, 3.0)
    assert float(anchor()) == 0.0
    with torch.no_grad():
        net[0].weight += 5.0  # frozen: not counted
        net[2].bias += torch.arange(7.0)
    assert float(anchor()) == 1.5 * sum(k * k for k in range(7))
    anchor().backward()
    torch.testing.assert_close(net[2].bias.grad, 3.0 * torch.arange(7.0))


def test_alignment_is_coral() -> None:
    net = small()
    rng = np.random.default_rng(2)
    wanted = np.cov(rng.normal(size=(50, 7)), rowvar=False)
    aligned = Aligned(net[3], wanted, 2.0)
    x = torch.randn(30, 3, 3, 3)
    net(x)
    features = net[2](net[1](net[0](x))).detach().numpy()
    gap = np.cov(features, rowvar=False) - wanted
    assert np.isclose(float(aligned()), 2.0 * np.linalg.norm(gap) ** 2 / (4 * 7**2), rtol=1e-5)
    np.testing.assert_allclose(
        covariance(torch.from_numpy(features)).numpy(), np.cov(features, rowvar=False), rtol=1e-4
    )
    net(x[:1])
    assert float(aligned()) == 0.0  # one row has no covariance
    aligned.remove()
    net(x)
    assert len(aligned.features) == 1


def test_penalties_count_only_while_it_learns() -> None:
    y, one = torch.zeros(4, 1), torch.ones(4, 1)
    loss = Penalised(weighted_mse, [lambda: torch.tensor(10.0)])
    assert float(loss(y + 2, y, one)) == 14.0
    with torch.no_grad():
        assert float(loss(y + 2, y, one)) == 4.0
    assert repr(Penalised(weighted_mse, [])) == "weighted_mse"


def test_the_likelihood_is_that_of_a_normal_and_misses_what_is_missing() -> None:
    rng = np.random.default_rng(4)
    mean, logarithm, y = (rng.normal(size=(9, 2)) for _ in range(3))
    weight = rng.integers(0, 3, (9, 2)).astype(float)
    said = torch.from_numpy(np.stack([mean, logarithm], 2).reshape(9, 4))
    y[weight == 0] = np.nan
    found = float(gaussian(said, torch.from_numpy(y), torch.from_numpy(weight)))
    normal = torch.distributions.Normal(
        torch.from_numpy(mean), torch.from_numpy(logarithm).mul(0.5).exp()
    )
    each = -normal.log_prob(torch.from_numpy(np.nan_to_num(y))).numpy() - 0.5 * np.log(2 * np.pi)
    assert np.isclose(found, (each * weight).sum() / weight.sum())
