"""Regions aligned with places that are kept with the model of the world."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edaphos.engine.branches.group_set import GroupSet
from edaphos.engine.branches.kept_places import KEPT, KeptPlaces
from edaphos.engine.branches.model_file import digest_of_model, load_model
from edaphos.engine.errors import InputError, StoreError
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.samples import Samples

from ..branch_world import GROUPS, make_model, make_samples, region_profiles

ALIGNED = {"ways": ("all",), "correction": "none", "adversarial": 1.0, "epochs": 2}


@pytest.fixture(scope="module")
def world(cube, tmp_path_factory) -> tuple[GsoilcpmModel, Samples, Path]:
    folder = tmp_path_factory.mktemp("world")
    model = make_model(kept_places=50, training={"epochs": 3})
    samples = make_samples(cube, folder / "set", model)
    model.fit(samples).save(folder / "model")
    return model, samples, folder / "model"


@pytest.fixture(scope="module")
def region(cube, world, tmp_path_factory) -> Samples:
    model = make_model(start=str(world[2]))
    return make_samples(cube, tmp_path_factory.mktemp("region") / "set", model, region_profiles())


def test_covariates_of_some_training_places_are_kept_and_nothing_else(world) -> None:
    model, samples, folder = world
    kept = load_model(folder)[0].kept
    assert kept is not None
    shapes = {name: raw.shape for name, raw in kept.groups.items()}
    assert shapes == {g["name"]: (50, 1, *2 * (g.get("window", 1),)) for g in GROUPS}
    held = GroupSet.open(samples.patches)  # type: ignore[arg-type]
    every, side = np.arange(len(held)), slice(0, 5)
    there = held.of(5).values[every[:, None], np.array([[0]]), side, side].reshape(-1, 25)
    known = {row.tobytes() for row in there}
    assert all(raw.reshape(25).tobytes() in known for raw in kept.groups["relief"])
    assert np.isin(np.round(kept.extra[:, 0] * 200), [0, 15, 40]).all()
    assert (folder / KEPT).stat().st_size < 50 * 4 * (1 + 25 + 9 + 2) + 1000
    net = model.fitted.nets.nets[0]
    inputs = kept.inputs(model.fitted.nets.channels, ("relief",), plain=False)
    assert not inputs[1].any()
    assert inputs[0].any()
    assert net(*inputs).shape == (50, 1)


def test_aligned_nets_differ_and_are_the_same_again(world, region, tmp_path: Path) -> None:
    def tuned(name: str, **told) -> dict[str, torch.Tensor]:
        shutil.copytree(region.patches, tmp_path / name)  # type: ignore[arg-type]
        own = Samples(region.table, region.features, patches=tmp_path / name)
        fitted = make_model(start=str(world[2]), fine_tuning={**ALIGNED, **told}).fit(own)
        fitted.save(tmp_path / f"model-{name}")
        assert not (tmp_path / f"model-{name}" / KEPT).exists()
        GsoilcpmModel.load(tmp_path / f"model-{name}")
        return fitted.fitted.nets.nets[0].state_dict()

    aligned, again, free = tuned("a"), tuned("b"), tuned("c", adversarial=0.0)
    assert aligned.keys() == free.keys()
    assert all(torch.equal(aligned[k], again[k]) for k in aligned)
    assert not torch.equal(aligned["branches.0.0.weight"], free["branches.0.0.weight"])
    for way in ("gradual", "adapters"):
        assert tuned(way, ways=(way,), coral=0.1, l2_sp=0.1).keys() == free.keys()


def test_a_model_without_kept_places_says_what_to_do(world, tmp_path: Path) -> None:
    shutil.copytree(world[2], tmp_path / "model")
    before = digest_of_model(tmp_path / "model")
    (tmp_path / "model" / KEPT).unlink()  # as models were before
    assert digest_of_model(tmp_path / "model") != before
    make_model(start=str(tmp_path / "model"))
    with pytest.raises(InputError, match="pre-train it anew with kept_places above 0"):
        make_model(start=str(tmp_path / "model"), fine_tuning=ALIGNED)
    (tmp_path / "model" / KEPT).write_bytes(b"no such thing")
    with pytest.raises(StoreError, match="get the model again"):
        KeptPlaces.load(tmp_path / "model" / KEPT)
