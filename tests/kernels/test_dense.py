"""A map at once has the values of patch by patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edaphos.kernels.conv_net import SPEC_SHAPE, ConvShape, build
from edaphos.kernels.dense import DenseMapper, Unsupported, dense_form


def by_patch(net: nn.Module, planes: np.ndarray, patch: int) -> np.ndarray:
    """Each cell by a patch cut out for it alone."""
    h, w = planes.shape[1] - patch + 1, planes.shape[2] - patch + 1
    out = []
    with torch.no_grad():
        for y in range(h):
            row = [planes[:, y : y + patch, x : x + patch] for x in range(w)]
            out.append(net(torch.from_numpy(np.stack(row))).numpy())
    return np.stack(out).transpose(2, 0, 1)


def planes_of(bands: int, h: int, w: int, patch: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(bands, h + patch - 1, w + patch - 1)).astype(np.float32)


def lively(net: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics and biases as after training, not the start's zeros and ones."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
                for values, low, high in (
                    (m.running_mean, -1, 1),
                    (m.running_var, 0.3, 2),
                    (m.weight, -1.5, 1.5),
                    (m.bias, -1, 1),
                ):
                    values.copy_(torch.from_numpy(rng.uniform(low, high, values.shape)))
            elif isinstance(m, nn.Conv2d | nn.Linear) and m.bias is not None:
                m.bias.copy_(torch.from_numpy(rng.normal(size=m.bias.shape)))
    return net


@pytest.mark.parametrize("shape", [ConvShape(), ConvShape(patch=15, pool_after=(1, 2))])
def test_maps_are_those_of_patches(shape: ConvShape) -> None:
    net = lively(build(shape, 6, outputs=2, seed=1)).eval().sequential()
    planes = planes_of(6, 9, 13, shape.patch)
    mapper = DenseMapper([net], shape.patch, 6)
    assert mapper.how == "dense"
    wanted = by_patch(net, planes, shape.patch)
    np.testing.assert_allclose(
        mapper.predict(planes)[0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max()
    )


def test_padding_inside_the_patch_falls_back_to_patches() -> None:
    net = lively(build(SPEC_SHAPE, 3, seed=1)).eval().sequential()
    with pytest.raises(Unsupported, match=r"layer 0, Conv2d.*padding inside the patch"):
        dense_form(net, 9, 3)
    planes = planes_of(3, 4, 5, 9)
    mapper = DenseMapper([net], 9, 3)
    assert mapper.how.startswith("patches: ")
    wanted = by_patch(net, planes, 9)
    np.testing.assert_allclose(
        mapper.predict(planes)[0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max()
    )


def test_depths_share_what_is_alike() -> None:
    net = lively(build(ConvShape(), 4, extra=2, seed=1)).eval()
    nets = [net.sequential(0, [d, d + 0.1]) for d in (0.0, 0.3, 0.6)]
    planes = planes_of(4, 5, 6, 9)
    made = DenseMapper(nets, 9, 4).predict(planes)
    for own, map_ in zip(nets, made, strict=True):
        wanted = by_patch(own, planes, 9)
        np.testing.assert_allclose(map_, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
