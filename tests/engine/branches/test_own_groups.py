"""A region's own covariates: branches that the world's nets had not, learned from its rows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.models.depth_rows import depth_rows
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.samples import Samples
from edaphos.engine.tiles import read_inputs

from ..branch_world import GROUPS, make_model, make_samples, region_profiles
from ..conv_world import DEPTHS, world_grid

OWN = ({"name": "own", "covariates": ("wet",), "window": 3},)
#: float32 arithmetic in another order.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def dry(cube, tmp_path_factory) -> tuple[Path, Samples]:
    """A model of the world that does not know how wet it is, and samples of a region that does."""
    folder = tmp_path_factory.mktemp("start")
    model = make_model(groups=GROUPS[1:], training={"epochs": 3})
    model.fit(make_samples(cube, folder / "set", model)).save(folder / "model")
    region = make_model(start=str(folder / "model"), own=OWN)
    assert region.covariates == ("relief", "cover", "wet")
    return folder / "model", make_samples(cube, folder / "region", region, region_profiles())


def tuned(dry: tuple[Path, Samples], own=OWN, **told) -> GsoilcpmModel:
    told = {"correction": "none", "epochs": 60, "patience": 60, **told}
    return make_model(start=str(dry[0]), own=own, fine_tuning=told).fit(dry[1])


def test_until_it_learns_a_region_is_told_what_the_world_says(dry) -> None:
    with_own, without = (tuned(dry, own, ways=("zero_shot",)) for own in (OWN, ()))
    said, before = (m.predict_rows(dry[1])["soc_q50"] for m in (with_own, without))
    np.testing.assert_allclose(said, before, rtol=TOLERANCE)


def test_what_only_the_region_has_is_learned_and_mapped(dry, cube, tmp_path) -> None:
    with_own, without = (tuned(dry, own, ways=("all",), rate_share=1.0) for own in (OWN, ()))
    assert with_own.fitted.ways[0].error < 0.9 * without.fitted.ways[0].error
    assert "branches learned wet here" in " ".join(with_own.notes)
    with_own.save(tmp_path / "model")
    again = GsoilcpmModel.load(tmp_path / "model")
    assert again.covariates == ("relief", "cover", "wet")
    grid = world_grid()
    context = SimpleNamespace(cube=cube, model=again, grid=grid, run=SimpleNamespace(years=(2005,)))
    made = again.predict(read_inputs(context, grid.window(0, 0, 80, 80))[0])
    y, x, _ = grid.locate(dry[1].table["lon"], dry[1].table["lat"])
    depth = depth_rows(dry[1].top, dry[1].bottom, DEPTHS)
    for name, values in with_own.predict_rows(dry[1]).items():
        np.testing.assert_allclose(made[name][depth, 0, y, x], values, TOLERANCE, TOLERANCE)


def test_own_groups_are_the_regions_and_new(dry) -> None:
    with pytest.raises(InputError, match="own: only a region has groups of its own"):
        make_model(own=OWN)
    with pytest.raises(InputError, match="which have no covariates of the region's own"):
        make_model(start=str(dry[0]), own=OWN, fine_tuning={"adversarial": 1.0})
    with pytest.raises(InputError, match="covariate cover is named twice"):
        make_model(start=str(dry[0]), own=({"name": "own", "covariates": ("cover",)},))
    with pytest.raises(InputError, match="group relief is named twice"):
        make_model(start=str(dry[0]), own=({"name": "relief", "covariates": ("wet",)},))
