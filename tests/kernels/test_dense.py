"""One net or several, in strips or at once: a map has the values of patch by patch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from edaphos.kernels.conv_net import SPEC_SHAPE, ConvShape, build
from edaphos.kernels.dense import DenseMapper, _blocks

from .nets import by_patch, lively, planes_of


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.nanmax(np.abs(wanted)))


@pytest.mark.parametrize("shape", [ConvShape(), SPEC_SHAPE, ConvShape(patch=15, pool_after=(1, 2))])
def test_nets_of_a_shape_are_mapped_dense(shape: ConvShape) -> None:
    net = lively(build(shape, 6, outputs=2, seed=1)).sequential()
    planes = planes_of(6, 9, 13, shape.patch)
    mapper = DenseMapper([net], shape.patch, 6)
    assert mapper.how == "dense"
    assert mapper.outputs == 2
    close(mapper.predict(planes)[0], by_patch(net, planes, shape.patch))


def test_several_nets_without_a_dense_form_are_run_on_patches() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(8 * 49, 2))
    other = deepcopy(net)
    nets = [lively(net), lively(other)]
    with torch.no_grad():
        other[3].bias += 1
    planes = planes_of(3, 4, 5, 9)
    mapper = DenseMapper(nets, 9, 3, max_bytes=1)
    assert mapper.how.startswith("patches: layer 1, GroupNorm")
    for own, made in zip(nets, mapper.predict(planes), strict=True):
        close(made, by_patch(own, planes, 9))


def depths(shape: ConvShape, bands: int) -> list[nn.Sequential]:
    net = lively(build(shape, bands, extra=2, seed=1))
    return [net.sequential(0, [d, d + 0.1]) for d in (0.0, 0.3, 0.6)]


@pytest.mark.parametrize("shape", [ConvShape(), SPEC_SHAPE])
def test_depths_of_one_net_are_mapped_together(shape: ConvShape) -> None:
    nets = depths(shape, 4)
    planes = planes_of(4, 5, 6, 9)
    for own, made in zip(nets, DenseMapper(nets, 9, 4).predict(planes), strict=True):
        close(made, by_patch(own, planes, 9))


@pytest.mark.parametrize("max_bytes", [1, 200_000, 700_000])
def test_strips_give_the_map_of_one_piece(max_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    nets = depths(ConvShape(), 4)
    planes = planes_of(4, 15, 27, 9)
    seen: list[int] = []
    whole = DenseMapper(nets, 9, 4).predict(planes)
    plain = torch.nn.functional.conv2d

    def noted(x: torch.Tensor, *args: object) -> torch.Tensor:
        made = plain(x, *args)
        seen.append(4 * (x.numel() + made.numel()))
        return made

    monkeypatch.setattr(torch.nn.functional, "conv2d", noted)
    mapper = DenseMapper(nets, 9, 4, max_bytes=max_bytes)
    seen.clear()
    close(mapper.predict(planes), whole)
    one = mapper._cell_bytes * 9 * 9  # a patch is the least there is
    assert max(seen) <= max(max_bytes, one)
    assert mapper.memory_bytes(100) == max_bytes + 4 * 3 * 100


@pytest.mark.parametrize("shape", [ConvShape(), SPEC_SHAPE])
def test_a_hole_reaches_the_cells_whose_patch_it_is_in_and_no_other(shape: ConvShape) -> None:
    net = lively(build(shape, 2, seed=1)).sequential()
    planes = planes_of(2, 24, 21, 9)
    planes[1, 11, 13] = planes[0, 30, 0] = planes[0, 0, 28] = np.nan
    wanted = by_patch(net, planes, 9)
    assert 60 < np.isnan(wanted).sum() < 100
    close(DenseMapper([net], 9, 2).predict(planes)[0], wanted)


def test_several_threads_may_share_a_mapper() -> None:
    mapper = DenseMapper(depths(ConvShape(), 4), 9, 4, max_bytes=400_000)
    planes = [planes_of(4, 31, 33, 9, seed) for seed in range(6)]
    alone = [mapper.predict(p).tobytes() for p in planes]
    with ThreadPoolExecutor(3, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        assert [made.tobytes() for made in pool.map(mapper.predict, planes)] == alone


@pytest.mark.parametrize(("h", "w", "halo", "cells"), [
    (1, 1, 8, 1), (7, 5, 0, 3), (100, 300, 14, 5000), (3, 10_000, 14, 20_000), (9, 9, 2, 10**6),
])  # fmt: skip
def test_blocks_cover_a_map_once_and_fit(h: int, w: int, halo: int, cells: int) -> None:
    count = np.zeros((h, w), int)
    for y, y2, x, x2 in _blocks(h, w, halo, cells):
        assert y2 > y
        assert x2 > x
        count[y:y2, x:x2] += 1
        if cells >= (1 + halo) ** 2:
            assert (y2 - y + halo) * (x2 - x + halo) <= cells
    assert (count == 1).all()


def test_planes_of_any_memory_are_read_and_left_alone() -> None:
    net = lively(nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(2 * 25, 1)))
    planes = planes_of(2, 6, 7, 5)
    wanted = by_patch(net, planes.copy(), 5)
    fixed = planes.copy()
    fixed.flags.writeable = False
    last = np.moveaxis(np.moveaxis(planes, 0, -1).copy(), -1, 0)
    double = planes.astype(np.float64)
    for given in (fixed, last, double):
        before = given.copy()
        close(DenseMapper([net], 5, 2).predict(given)[0], wanted)
        np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("shape", [ConvShape(), SPEC_SHAPE])
def test_rounding_is_none_in_float32_and_what_bfloat16_changed(shape: ConvShape) -> None:
    nets = depths(shape, 4)
    planes = planes_of(4, 60, 50, 9)
    exact = DenseMapper(nets, 9, 4)
    whole = exact.predict(planes)
    assert exact.rounding is None
    coarse = DenseMapper(nets, 9, 4, precision="bf16")
    gap = coarse.predict(planes) - whole
    found = coarse.rounding
    assert found is not None
    assert found.cells == 48 * 48
    assert found.largest == pytest.approx(np.abs(gap[..., 6:54, 1:49]).max(), rel=1e-3)
    assert found.spread == pytest.approx(whole[..., 6:54, 1:49].std(), rel=1e-3)
    assert 1e-4 < found.root_mean_square / found.spread < 0.1


def test_planes_and_nets_that_do_not_fit_are_refused() -> None:
    nets = depths(ConvShape(), 4)
    mapper = DenseMapper(nets, 9, 4)
    with pytest.raises(ValueError, match=r"4 of at least 9 x 9 cells, found \(3, 9, 9\)"):
        mapper.predict(planes_of(3, 1, 1, 9))
    with pytest.raises(ValueError, match=r"found \(4, 8, 9\)"):
        mapper.predict(planes_of(4, 1, 1, 9)[:, :8])
    with pytest.raises(ValueError, match="at least one"):
        DenseMapper([], 9, 4)
    two = build(ConvShape(), 4, outputs=2, seed=0).sequential()
    with pytest.raises(ValueError, match="as many values each"):
        DenseMapper([nets[0], two], 9, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_gpu_gives_the_map_of_the_processor(precision: str) -> None:
    nets = depths(ConvShape(), 4)
    planes = planes_of(4, 67, 61, 9)
    wanted = DenseMapper(nets, 9, 4).predict(planes)
    found = DenseMapper(
        nets, 9, 4, precision=precision, device="cuda", max_bytes=2_000_000
    ).predict(planes)
    allowed = {"float32": 1e-5, "tf32": 1e-2, "bf16": 5e-2}[precision]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=allowed * np.abs(wanted).max())
