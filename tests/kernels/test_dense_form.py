"""Every net that is not refused gives a map the values of patch by patch."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edaphos.kernels import dense_form as module
from edaphos.kernels.dense import DenseMapper
from edaphos.kernels.dense_form import Unsupported, dense_form

from .nets import by_patch, lively, patch_nets, planes_of


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
@settings(max_examples=50, deadline=None)
@given(patch_nets(), st.integers(1, 9), st.integers(1, 9))
def test_random_nets_map_as_patch_by_patch(drawn: tuple, h: int, w: int) -> None:
    net, patch, bands = drawn
    planes = planes_of(bands, h, w, patch)
    mapper = DenseMapper([net], patch, bands)
    assert mapper.how == "dense"
    wanted = by_patch(net, planes, patch)
    single = mapper.predict(planes)[0]
    np.testing.assert_allclose(single, wanted, rtol=0, atol=1e-5 * summed(net, planes, patch))
    wanted = by_patch(deepcopy(net).double(), planes.astype(np.float64), patch)
    with torch.no_grad():
        double = dense_form(deepcopy(net).double(), patch, bands)(
            torch.from_numpy(planes.astype(np.float64))[None]
        )[0]
    np.testing.assert_allclose(double.numpy(), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def summed(net: nn.Sequential, planes: np.ndarray, patch: int) -> float:
    """The largest sum of the sizes of what a net's last layer adds up.

    Terms that cancel leave the rounding of the terms, however small the outcome.
    """
    *_, last = (layer for layer in net.modules() if isinstance(layer, nn.Linear))
    sizes = []

    def size(layer: nn.Linear, given: tuple[torch.Tensor]) -> None:
        sizes.append(float((given[0].abs() @ layer.weight.abs().T + layer.bias.abs()).max()))

    handle = last.register_forward_pre_hook(size)
    by_patch(net, planes, patch)
    handle.remove()
    return max(sizes)


def small(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(1))


REFUSED = [
    (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "padding_mode reflect"),
    (nn.AvgPool2d(2, ceil_mode=True), "means of windows that ceil_mode cuts off"),
    (nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), "count_include_pad=False"),
    (nn.AdaptiveAvgPool2d(2), "windows of unequal size"),
    (nn.ZeroPad2d(1), "no dense equivalent is known"),
    (nn.GroupNorm(1, 2), "GroupNorm.*no dense equivalent is known"),
    (nn.LayerNorm([2, 7, 7]), "LayerNorm.*no dense equivalent is known"),
    (nn.InstanceNorm2d(2), "InstanceNorm2d.*no dense equivalent is known"),
    (nn.Softmax(1), "no dense equivalent is known"),
    (nn.Linear(7, 7), "a dense layer before Flatten"),
]


@pytest.mark.parametrize(("layer", "why"), REFUSED)
def test_layers_without_a_dense_equivalent_are_named(layer: nn.Module, why: str) -> None:
    net = small(nn.ReLU(), layer)
    net(torch.zeros(2, 2, 7, 7))
    with pytest.raises(Unsupported, match=f"^layer 1, .*{why}"):
        dense_form(net, 7, 2)
    planes = planes_of(2, 3, 4, 7)
    mapper = DenseMapper([net], 7, 2)
    assert mapper.how.startswith("patches: layer 1, ")
    wanted = by_patch(net.eval(), planes, 7)
    np.testing.assert_allclose(
        mapper.predict(planes)[0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max()
    )


def test_ceil_mode_passes_where_no_window_is_cut() -> None:
    net = lively(nn.Sequential(nn.AvgPool2d(3, 2, ceil_mode=True), nn.Flatten(), nn.Linear(9, 1)))
    assert [type(x) for x in dense_form(net, 7, 1)] == [nn.Conv2d, nn.Conv2d]


MISFITS = [
    nn.Conv2d(3, 4, 3),
    nn.Conv2d(2, 4, 9),
    nn.MaxPool2d(8),
    nn.BatchNorm2d(2, track_running_stats=False),
]


@pytest.mark.parametrize("layer", MISFITS)
def test_layers_that_do_not_fit_are_an_error_not_a_reason_for_patches(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match="layer 0, ") as caught:
        DenseMapper([nn.Sequential(layer, nn.Flatten(), nn.Linear(1, 1))], 7, 2)
    assert not isinstance(caught.value, Unsupported)


def test_a_net_that_ends_with_cells_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"ends with \(5, 5\) cells"):
        dense_form(nn.Sequential(nn.Conv2d(1, 1, 3)), 7, 1)


def test_a_net_of_another_kind_is_refused_and_mapped_by_patches() -> None:
    class Centre(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :, 3, 3]

    assert DenseMapper([nn.Sequential(Centre())], 7, 1).how.startswith("patches: layer 0, Centre")
    mapper = DenseMapper([Centre()], 7, 2)
    assert mapper.how == "patches: Centre is no plain Sequential"
    planes = planes_of(2, 4, 5, 7)
    np.testing.assert_array_equal(mapper.predict(planes)[0], planes[:, 3:-3, 3:-3])


def test_layers_that_keep_one_value_a_patch_need_no_flatten() -> None:
    net = lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1)))
    planes = planes_of(2, 3, 5, 7)
    wanted = by_patch(net, planes, 7)
    np.testing.assert_allclose(DenseMapper([net], 7, 2).predict(planes)[0], wanted, atol=1e-5)


def test_the_self_test_sees_a_wrong_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lively(nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9, 1)))
    assert DenseMapper([net], 7, 1).how == "dense"
    monkeypatch.setattr(module.MaxPool, "forward", lambda self, x: x[..., 1:, 1:])
    with pytest.raises(Unsupported, match="differs from the patch net"):
        dense_form(net, 7, 1)


def test_a_net_is_neither_changed_nor_left_in_evaluation_mode() -> None:
    net = small(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
    net(torch.zeros(2, 1, 7, 7))
    before = deepcopy(net.state_dict())
    DenseMapper([net], 7, 1).predict(planes_of(1, 3, 3, 7))
    assert net.training
    assert net[2].inplace
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_an_activation_that_comes_twice_is_run_twice() -> None:
    tanh = nn.Tanh()
    net = lively(nn.Sequential(nn.Conv2d(1, 2, 3), tanh, nn.Flatten(), nn.Linear(50, 1), tanh))
    planes = planes_of(1, 3, 3, 7)
    wanted = by_patch(net, planes, 7)
    np.testing.assert_allclose(DenseMapper([net], 7, 1).predict(planes)[0], wanted, atol=1e-6)
