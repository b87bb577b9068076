"""Depth consistency from a recipe: the map's layers average to what its forest says of 0-30 cm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.map_view import open_map
from edaphos.engine.models.consistent import ConsistentModel, at_depths
from edaphos.engine.models.protocol import TileInputs
from edaphos.engine.place import place
from edaphos.engine.progress import QUIET
from edaphos.engine.run import Run
from edaphos.recipes.job import Overrides, load_job, model_spec
from edaphos.recipes.pipeline import check_contents, open_cube, run_job

from .small import make_country

pytestmark = pytest.mark.usefixtures("one_worker_here")

DEPTHS = 'depth = "consistent"\ndepths = [[0, 10], [10, 30], [30, 100], [100, 200]]'


def test_a_run_maps_layers_that_average_to_its_forests_0_30_cm(tmp_path: Path):
    country = make_country(tmp_path, resolution=0.5, tile_size=32)
    country.replace("small.toml", "depths = [[0, 5], [30, 60]]", DEPTHS)
    run_job(load_job(country.recipe, Overrides(workers=1)), place(tmp_path / "run"))
    run = Run.open(place(tmp_path / "run"))
    model = run.load_model()
    assert isinstance(model, ConsistentModel)
    ds = open_map(run.path)
    assert "integrate to 0-30 cm and 0-100 cm" in ds.attrs["method"]
    window = run.grid.whole
    values = Cube.open(run.cube_path).read(window, ["rain", "elevation"])
    wanted = np.isfinite(ds["soc_mean"].to_numpy()[0, 0])
    inputs = TileInputs(window, values, wanted, (2020,))
    whole = at_depths(model.model, ((0, 30), (30, 100))).predict(inputs)["soc_mean"][:, 0]
    layers = ds["soc_mean"].to_numpy()[:, 0]
    np.testing.assert_allclose(
        ((10 * layers[0] + 20 * layers[1]) / 30)[wanted], whole[0][wanted], atol=0.006
    )
    np.testing.assert_allclose(layers[2][wanted], whole[1][wanted], atol=0.006)


def test_published_stocks_are_asked_of_the_cube_and_refused_elsewhere(tmp_path: Path):
    country = make_country(tmp_path)
    given = DEPTHS + '\npublished = ["upper", "whole"]\npublished_units = "kg m-2"'
    country.replace("small.toml", "depths = [[0, 5], [30, 60]]", given)
    job = load_job(country.recipe)
    spec = model_spec(job.recipe)
    assert spec.consistent is not None
    assert (spec.consistent.variables, spec.consistent.factor) == (("upper", "whole"), 1.0)
    assert spec.build().reads.variables == ("rain", "elevation", "upper", "whole")
    with pytest.raises(InputError, match='the model needs "upper"'):
        check_contents(job, open_cube(job, None, QUIET))
    country.replace("small.toml", 'depth = "consistent"\n', "")
    with pytest.raises(InputError, match='published stocks are for depth = "consistent"'):
        load_job(country.recipe)
