"""Nets of branches: the released network by its numbers, the better form, and their maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edaphos.kernels.branch_map import BranchMapper
from edaphos.kernels.branch_shape import PUBLISHED, Branch, BranchShape, build

SHAPE = BranchShape(
    (Branch("climate", 4), Branch("relief", 3, 9), Branch("cover", 6, 3, embedding=2)),
    width=5,
    merged=8,
    dense=(7, 6),
    group_dropout=0.3,
)


def squares(shape: BranchShape, n: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        torch.from_numpy(rng.normal(size=(n, b.bands, b.window, b.window)).astype(np.float32))
        for b in shape.branches
    )


def one_layer(n: int, *numbers: float) -> torch.Tensor:
    return torch.tensor([[*numbers, 1.0]]).expand(n, 1, -1)


def test_the_released_network_has_its_parameters() -> None:
    """Layer by layer as its files have them (methods, section 4)."""
    net = build(PUBLISHED, seed=1)

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert [count(branch) for branch in net.branches] == [256, 96, 640, 128, 64]
    assert count(net.merge) == 20_608
    assert [count(block) for block in net.head] == [33_024, 32_896, 129]
    assert count(net) == 87_841
    dropped = [m.p for m in net.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropped == [0.2, 0.5]
    bounds = np.sqrt(6 / (128 + 256))
    weight = net.head[0][0].weight.detach().numpy()
    assert 0.99 * bounds < np.abs(weight).max() <= bounds
    assert (net.head[0][0].bias == 0.01).all()


def test_the_released_network_is_a_plain_perceptron_before_its_first_relu() -> None:
    """Branches, merge and first dense layer are one affine map of the 32 covariates."""
    net = build(PUBLISHED, seed=2).eval()
    bands = [b.bands for b in PUBLISHED.branches]
    blocks = np.zeros((160, 32))
    bias = np.zeros(160)
    for k, (branch, first) in enumerate(
        zip(net.branches, np.cumsum([0, *bands[:-1]]), strict=True)
    ):
        rows = slice(32 * k, 32 * (k + 1))
        blocks[rows, first : first + bands[k]] = branch[0].weight.detach().numpy()[:, :, 0, 0]
        bias[rows] = branch[0].bias.detach().numpy()
    merge = net.merge[0].weight.detach().numpy()[:, :, 0, 0].astype(np.float64)
    dense = net.head[0][0].weight.detach().numpy().astype(np.float64)
    a = dense @ merge @ blocks
    b = dense @ (merge @ bias + net.merge[0].bias.detach().numpy())
    b += net.head[0][0].bias.detach().numpy()
    assert a.shape == (256, 32)
    parameters = (
        a.size + b.size + sum(p.numel() for block in net.head[1:] for p in block.parameters())
    )
    assert parameters == 41_473
    x = np.random.default_rng(3).normal(size=(50, 32)).astype(np.float32)
    groups = [torch.from_numpy(p)[..., None, None] for p in np.split(x, np.cumsum(bands[:-1]), 1)]
    said = net(*groups, one_layer(50)).detach().numpy()[:, 0]
    hidden = np.maximum(x @ a.T + b, 0)
    for block in net.head[1:]:
        weight, shift = (p.detach().numpy().astype(np.float64) for p in block.parameters())
        hidden = hidden @ weight.T + shift
        hidden = np.maximum(hidden, 0) if len(weight) > 1 else hidden
    np.testing.assert_allclose(said, hidden[:, 0], atol=1e-4)


def test_the_better_form_bends_between() -> None:
    """Second differences along a line are no rounding; in an affine map they would be."""
    shape = BranchShape(SHAPE.branches, dense=(), dropout=())
    net = build(shape, extra=0, seed=3).eval()
    a, b = squares(shape, 1), squares(shape, 1, seed=1)
    line = [tuple(p + t * (q - p) for p, q in zip(a, b, strict=True)) for t in (0.0, 0.5, 1.0)]
    said = [net(*groups, one_layer(1)).item() for groups in line]
    assert abs(said[0] - 2 * said[1] + said[2]) > 1e-3
    affine = build(BranchShape((Branch("a", 3),), between="none", dense=(), dropout=()), seed=3)
    line = [(torch.full((1, 3, 1, 1), t),) for t in (0.0, 0.5, 1.0)]
    said = [affine(*groups, one_layer(1)).item() for groups in line]
    assert abs(said[0] - 2 * said[1] + said[2]) < 1e-6


@pytest.mark.parametrize("window", [1, 3, 5, 7, 9, 11, 15])
def test_a_branch_ends_with_one_cell(window: int) -> None:
    net = build(
        BranchShape((Branch("a", 2, window),), width=3, merged=4, dense=(), dropout=()), seed=0
    )
    made = net.branches[0](torch.zeros(1, 2, window, window))
    assert made.shape == (1, 3, 1, 1)


def test_a_map_is_what_squares_say_one_by_one() -> None:
    nets = [build(SHAPE, 2, 3, seed=s).eval() for s in (1, 2)]
    rng = np.random.default_rng(5)
    h, w, reach = 21, 17, SHAPE.window - 1
    planes = [
        rng.normal(size=(b.bands, h + reach, w + reach)).astype(np.float32) for b in SHAPE.branches
    ]
    layers = [(0.0, 0.1, 0.4), (0.5, 1.0, -1.0)]
    made = BranchMapper(nets, layers, max_bytes=1 << 16).predict(planes)
    assert made.shape == (2, 2, 2, h, w)
    cut = []
    for plane, branch in zip(planes, SHAPE.branches, strict=True):
        off = (SHAPE.window - branch.window) // 2
        side = branch.window
        windows = np.lib.stride_tricks.sliding_window_view(plane, (side, side), (1, 2))
        middle = windows[:, off : off + h, off : off + w]
        cut.append(
            torch.from_numpy(
                np.ascontiguousarray(middle.transpose(1, 2, 0, 3, 4)).reshape(
                    -1, branch.bands, side, side
                )
            )
        )
    for k, net in enumerate(nets):
        for d, numbers in enumerate(layers):
            with torch.no_grad():
                said = net(*cut, one_layer(h * w, *numbers)).numpy()
            np.testing.assert_allclose(made[d, k].reshape(2, -1).T, said, rtol=1e-5, atol=1e-5)
    whole = BranchMapper(nets, layers).predict(planes)
    np.testing.assert_allclose(made, whole, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="expected groups of"):
        BranchMapper(nets, layers).predict(planes[:2])


def test_groups_are_hidden_while_it_learns_and_only_then() -> None:
    net = build(SHAPE, 1, 0, seed=1)
    n = 4000
    seen = []
    for branch in net.branches:
        branch.register_forward_pre_hook(lambda _, x: seen.append((x[0] == 0).flatten(1).all(1)))
    torch.manual_seed(0)
    net.train()(*squares(SHAPE, n), one_layer(n))
    hidden = torch.stack(seen).float()
    assert torch.allclose(hidden.mean(1), torch.tensor(0.3), atol=0.03)
    both = (hidden[0] * hidden[1]).mean()
    assert abs(both - 0.09) < 0.02  # each on its own
    seen.clear()
    net.eval()(*squares(SHAPE, n), one_layer(n))
    assert not torch.stack(seen).any()


def test_layers_of_a_place_differ_by_their_numbers_alone() -> None:
    net = build(SHAPE, 2, 1, seed=1).eval()
    groups = squares(SHAPE, 3)
    layers = torch.tensor([[[0.1, 1], [0.7, 1]], [[0.1, 1], [0, 0]], [[0.7, 1], [0.1, 1]]])
    both = net(*groups, layers).reshape(3, 2, 2)
    assert (both[1, 1] == 0).all()
    for number, where in ((0.1, [(0, 0), (1, 0), (2, 1)]), (0.7, [(0, 1), (2, 0)])):
        alone = net(*groups, one_layer(3, number))
        for place, layer in where:
            torch.testing.assert_close(both[place, layer], alone[place])
    folded = net.head_for([0.7])
    torch.testing.assert_close(folded(net.trunk(groups)), net(*groups, one_layer(3, 0.7)))
    with pytest.raises(ValueError, match="takes 1 extra numbers, found 2"):
        net.head_for([0.1, 0.2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"branches": (Branch("a", 1), Branch("a", 2))}, "a name of its own"),
        ({"branches": ()}, "at least one"),
        ({"dropout": (0.1,)}, "one for each of 2"),
        ({"between": "swish"}, "between"),
        ({"group_dropout": 1.0}, "must be in"),
    ],
)
def test_sizes_that_fit_no_net_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BranchShape(**{"branches": (Branch("a", 1),), **wrong})
    with pytest.raises(ValueError, match="must be odd"):
        Branch("a", 1, 4)
