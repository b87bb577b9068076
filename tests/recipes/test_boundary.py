"""A map clipped to polygons: what is mapped, planned, learned from and refused."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely.geometry import Polygon, box

from edaphos.engine.errors import InputError
from edaphos.engine.ledger import Ledger
from edaphos.engine.map_view import open_map
from edaphos.engine.plan import known_counts
from edaphos.engine.progress import QUIET
from edaphos.engine.status import Status
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.pipeline import open_cube, run_job
from edaphos.recipes.planning import plan_job

from .small import Country, make_country

#: A triangle, of which no side runs through centres of cells.
AREA = Polygon([(10.013, 40.013), (17.037, 40.021), (10.017, 47.043)])
OLD = "tile_size = 16\n"


def bounded(folder: Path, area: object = AREA, **made: object) -> Country:
    """A small country whose map has a boundary, in another CRS."""
    country = make_country(folder, tile_size=16, **made)  # type: ignore[arg-type]
    table = geopandas.GeoSeries([shapely.segmentize(area, 0.1)], crs=4326)
    table.to_crs(3035).to_file(country.folder / "area.gpkg")
    country.replace("small.toml", OLD, f'{OLD}boundary = "area.gpkg"\n')
    return country


def test_a_map_ends_at_its_boundary(tmp_path: Path) -> None:
    country = bounded(tmp_path, resolution=0.2)
    job = load_job(country.recipe, Overrides(workers=1))
    run, _ = run_job(job, tmp_path / "run")
    made = open_map(run.path)
    x, y = np.meshgrid(made["x"], made["y"])
    inside = shapely.contains_xy(AREA, x, y)
    values = made["soc_mean"].values
    assert np.isfinite(values[..., inside]).all()
    assert not np.isfinite(values[..., ~inside]).any()
    assert (made["status"].values[~inside] == Status.OUTSIDE_BOUNDARY).all()
    told = run.manifest()["provenance"]["cells_by_status"]
    assert told["outside_boundary"] == (~inside).sum()
    # tiles wholly outside are written once, and never computed
    outcomes = {record.tile: record.outcome for record in Ledger(run.path).records()}
    touched = {
        f"{r:04d}-{c:04d}"
        for r in range(4)
        for c in range(4)
        if inside[r * 16 : r * 16 + 16, c * 16 : c * 16 + 16].any()
    }
    assert {name for name, outcome in outcomes.items() if outcome == "done"} == touched
    assert {name for name, outcome in outcomes.items() if outcome == "empty"}
    # profiles outside taught nothing
    locations = pd.read_csv(run.path / "profiles_locations.csv")
    assert 10 < len(locations) < 60
    assert shapely.contains_xy(AREA, locations["lon"], locations["lat"]).all()
    # what is planned is what was made
    plan = plan_job(job)
    assert plan.cells == inside.sum() == run.manifest()["provenance"]["production"]["cells"]
    assert plan.tiles_with_soil == len(touched)
    known = known_counts(run.path, open_cube(job, None, QUIET), job.grid)
    assert known is not None
    assert known.sum() == plan.cells
    # the same recipe with other polygons is another run
    geopandas.GeoSeries([box(10, 40, 15, 45)], crs=4326).to_file(tmp_path / "area.gpkg")
    other = load_job(country.recipe, Overrides(workers=1))
    assert known_counts(run.path, open_cube(other, None, QUIET), other.grid) is None
    with pytest.raises(InputError, match="holds another run: boundary is"):
        run_job(other, tmp_path / "run")
    assert json.loads((run.path / "boundary.json").read_text())["wkb"]


def test_bounds_may_follow_from_the_boundary(tmp_path: Path) -> None:
    country = bounded(tmp_path)
    country.replace("small.toml", "bounds = [10, 40, 20, 50]\n", "")
    grid = load_job(country.recipe).grid
    assert grid.origin == pytest.approx((10.0, 47.1))
    assert grid.shape == (71, 71)
    assert load_job(country.recipe, Overrides(preset="global-1deg")).boundary is not None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('boundary = "area.gpkg"', 'boundary = "no.gpkg"', "correct grid.boundary"),
        ('boundary = "area.gpkg"', 'boundary = "profiles.csv"', "a table without any shapes"),
        ("bounds = [10, 40, 20, 50]", "bounds = [0, 0, 5, 5]", "lie outside the grid"),
        ('crs = "EPSG:4326"\n', "", "a boundary may stand for the bounds"),
    ],
)
def test_what_bounds_nothing_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    country = bounded(tmp_path)
    country.replace("small.toml", old, new)
    with pytest.raises(InputError, match=message):
        load_job(country.recipe)


def test_profiles_elsewhere_are_told(tmp_path: Path) -> None:
    country = bounded(tmp_path, box(10.0001, 49.9901, 10.05, 49.9999))
    with pytest.raises(InputError, match=r"none of 360 soil layers lies inside .* 10\.\d\d to 19"):
        run_job(load_job(country.recipe, Overrides(workers=1)), tmp_path / "run")
