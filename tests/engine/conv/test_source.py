"""Batches of patches: kept in memory or made each time, they are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.conv.augment import turned
from edaphos.engine.conv.channels import Channels
from edaphos.engine.conv.patches import PatchStore

from .test_channels import KINDS, PLANES, raw, write_store

torch = pytest.importorskip("torch")

from edaphos.engine.conv.source import PatchSource  # noqa: E402
from edaphos.engine.training import TrainSpec, predict, train  # noqa: E402
from edaphos.kernels.conv_net import ConvShape, build  # noqa: E402

RNG = np.random.default_rng(4)
PATCH = RNG.integers(0, 60, 80)
TARGET = RNG.normal(size=(80, 2))
WEIGHT = RNG.random((80, 2))
EXTRA = RNG.normal(size=(80, 2, 3))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    return write_store(tmp_path_factory.mktemp("p"), raw(np.random.default_rng(1), 60, 5, 5))


@pytest.fixture(scope="module")
def channels(store: PatchStore) -> Channels:
    return Channels.fit(store, PATCH[:50])


def test_batches_are_the_channels_of_their_rows(store, channels) -> None:
    rows = np.array([3, 79, 3, 0])
    for budget in (2**30, 0):
        source = PatchSource(store, channels, PATCH, TARGET, WEIGHT, EXTRA, budget=budget)
        assert source.keeps == (budget > 0)
        batch = source.batch(rows, None)
        x, extra = batch.inputs
        assert np.array_equal(x.numpy(), channels.of_patches(store, PATCH[rows]))
        for found, wanted in ((extra, EXTRA), (batch.target, TARGET), (batch.weight, WEIGHT)):
            assert np.array_equal(found.numpy(), wanted[rows].astype(np.float32))
    alone = PatchSource(store, channels, PATCH, TARGET, WEIGHT, size=3).batch(rows, None)
    assert len(alone.inputs) == 1
    assert np.array_equal(alone.inputs[0].numpy(), x.numpy()[:, :, 1:4, 1:4])


def test_the_budget_is_that_of_different_patches(store, channels) -> None:
    each = 4 * len(channels) * 25
    few = np.repeat([7, 9, 11], 20)
    target = np.zeros((60, 1))
    for budget, kept in ((3 * each, True), (3 * each - 1, False)):
        source = PatchSource(store, channels, few, target, target, budget=budget)
        assert source.keeps == kept


def test_training_batches_are_turned_as_drawn_and_others_are_not(store, channels) -> None:
    source = PatchSource(store, channels, PATCH, TARGET, WEIGHT, augment=True)
    rows = np.arange(80)
    plain = source.batch(rows, None).inputs[0].numpy()
    given = [source.batch(rows, np.random.default_rng(s)).inputs[0].numpy() for s in (1, 1, 2)]
    which = np.random.default_rng(1).integers(8, size=80)
    assert np.array_equal(given[0], turned(plain, which))
    assert np.array_equal(given[0], given[1])
    assert not np.array_equal(given[0], given[2])
    assert np.array_equal(source.batch(rows, None).inputs[0].numpy(), plain)


def test_directional_bands_are_never_turned(store, tmp_path) -> None:
    compass = write_store(
        tmp_path / "p", store.values, KINDS, PLANES, [True, *[False] * (len(PLANES) - 1)]
    )
    channels = Channels.fit(compass, PATCH)
    with pytest.raises(ValueError, match="cannot be mirrored"):
        PatchSource(compass, channels, PATCH, TARGET, WEIGHT, augment=True)


@pytest.mark.parametrize("augment", [False, True])
def test_a_net_learns_the_same_from_memory_and_from_the_disk(augment, store, channels) -> None:
    shape = ConvShape(5, (4, 6), (3, 2), pool_after=(), dense=(8,))

    def said(budget: int) -> np.ndarray:
        source = PatchSource(store, channels, PATCH, TARGET, WEIGHT, augment=augment, budget=budget)
        net = build(shape, len(channels), 2, seed=0)
        spec = TrainSpec(epochs=3, batch=16)
        train(net, source, np.arange(60), np.arange(60, 80), spec)
        return predict(net, source, np.arange(80), spec)

    assert np.array_equal(said(2**30), said(0))


def test_a_source_can_be_rebuilt_from_what_travels(store, channels, tmp_path: Path) -> None:
    again = Channels.from_json(channels.to_json())
    rows = np.arange(10)
    here = PatchSource(store, channels, PATCH, TARGET, WEIGHT).batch(rows, None)
    there = PatchSource(PatchStore.open(store.folder), again, PATCH, TARGET, WEIGHT)
    assert torch.equal(here.inputs[0], there.batch(rows, None).inputs[0])
