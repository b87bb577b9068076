"""Domain-adversarial training: the reversed gradient by numbers, and domains that it hides."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

torch = pytest.importorskip("torch")

from edaphos.kernels.adversarial import Adversary, Domains, Reversed  # noqa: E402


class Net(torch.nn.Module):
    """Features of a layer, and a layer that reads them."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.below = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU())
        self.last = torch.nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.below(x))


def rows_of(number: int, shift: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs, four of them moved in one domain, and a target of the other four."""
    x = torch.randn(number, 8, generator=torch.Generator().manual_seed(seed))
    y = x[:, 4:].sum(1, keepdim=True)
    return x + shift * torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0]), y


def test_the_gradient_is_turned_about_and_scaled() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, dtype=torch.float64)
    said = Reversed.apply(x, 0.3)
    torch.testing.assert_close(said, x)
    (said @ weight).sin().sum().backward()
    step = 1e-6
    for i, j in ((0, 0), (4, 2)):
        moved = x.detach().clone()
        moved[i, j] += step
        slope = ((moved @ weight).sin().sum() - (x.detach() @ weight).sin().sum()) / step
        assert float(x.grad[i, j]) == pytest.approx(-0.3 * float(slope), rel=1e-4)


def test_one_penalty_teaches_the_classifier_and_moves_features_against_it() -> None:
    net, (here, _), (there, _) = Net(), rows_of(40, 2.0, 1), rows_of(40, 0.0, 2)
    adversary = Adversary(net, net.last, (there,), 0.5, seed=3)
    net(here)
    torch.manual_seed(7)
    adversary().backward()
    torch.manual_seed(7)
    drawn = there[torch.randint(40, (40,))]
    features = net.below(torch.cat([drawn, here])).detach().requires_grad_(True)
    domain = torch.cat([torch.zeros(40), torch.ones(40)])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(net.domains(features), domain)
    learned = [p.grad.clone() for p in net.domains.parameters()]
    for p in net.domains.parameters():
        p.grad = None
    loss.backward()
    for p, grad in zip(net.domains.parameters(), learned, strict=True):
        torch.testing.assert_close(p.grad, grad)  # the classifier's own: as it is
    layer = Net().below
    layer.load_state_dict(net.below.state_dict())
    layer(torch.cat([drawn, here])).backward(-0.5 * features.grad)
    torch.testing.assert_close(net.below[0].weight.grad, layer[0].weight.grad)
    assert net.last.weight.grad is None  # the last layer has no part in it


def test_a_faster_classifier_says_the_same_at_first() -> None:
    x = torch.randn(9, 4)
    torch.testing.assert_close(Domains(4, speed=10.0, seed=1)(x), Domains(4, seed=1)(x))


def test_what_is_removed_leaves_no_trace() -> None:
    net = Net()
    names = list(net.state_dict())
    adversary = Adversary(net, net.last, (torch.randn(6, 8),), 1.0)
    assert len(list(net.state_dict())) == len(names) + 3
    net(torch.randn(3, 8))
    assert adversary.features.shape == (3, 16)
    adversary()
    assert adversary.features.shape == (3, 16)  # not those of the other domain
    adversary.remove()
    assert list(net.state_dict()) == names
    net(torch.randn(5, 8))
    assert len(adversary.features) == 3


@pytest.mark.parametrize("seed", [0, 1])
def test_domains_are_harder_to_tell_afterwards(seed: int) -> None:
    """By a logistic regression on new rows; the target is learned as well as without."""

    def told(strength: float) -> tuple[float, float]:
        net, (x, y), (there, _) = Net(seed), rows_of(400, 1.5, seed), rows_of(400, 0.0, seed + 9)
        how = {"speed": 5.0, "seed": seed}
        adversary = Adversary(net, net.last, (there,), strength, **how) if strength else None
        step = torch.optim.Adam(net.parameters(), 5e-3)
        for _ in range(1500):
            rows = torch.randint(400, (100,))
            step.zero_grad()
            loss = (net(x[rows]) - y[rows]).pow(2).mean()
            (loss + adversary() if adversary else loss).backward()
            step.step()
        if adversary:
            adversary.remove()
        new, truth = rows_of(400, 1.5, seed + 50)
        both = torch.cat([new, rows_of(400, 0.0, seed + 60)[0]])
        with torch.no_grad():
            features, error = net.below(both).numpy(), float((net(new) - truth).pow(2).mean())
        domain = np.repeat([1, 0], 400)
        odd = np.arange(800) % 2 == 1
        fitted = LogisticRegression(max_iter=2000).fit(features[odd], domain[odd])
        return fitted.score(features[~odd], domain[~odd]), error

    plain, aligned = told(0.0), told(1.0)
    assert plain[0] > 0.9
    assert aligned[0] < plain[0] - 0.15
    assert aligned[1] < 0.05 * 4  # of the variance of the target
