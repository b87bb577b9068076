"""A model of the world without a region, and the region, for all tests of branches."""

from __future__ import annotations

from pathlib import Path

import pytest

from edaphos.engine.cube.cube import Cube
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.samples import Samples

from ..branch_world import REGION, make_model, make_samples, region_profiles
from ..conv_world import make_cube


@pytest.fixture(scope="session")
def cube(tmp_path_factory) -> Cube:
    return make_cube(tmp_path_factory.mktemp("branches") / "cube")


@pytest.fixture(scope="session")
def world(cube, tmp_path_factory) -> tuple[GsoilcpmModel, Samples, Path]:
    """A model of the world without the region, its samples, and its folder."""
    folder = tmp_path_factory.mktemp("world")
    model = make_model(without=(REGION,), buffer_km=50.0, licence="CC0-1.0")
    samples = make_samples(cube, folder / "set", model, shard=64)
    model.fit(samples).save(folder / "model")
    return model, samples, folder / "model"


@pytest.fixture(scope="session")
def region(cube, world, tmp_path_factory) -> Samples:
    model = make_model(start=str(world[2]))
    return make_samples(cube, tmp_path_factory.mktemp("region") / "set", model, region_profiles())
