"""kNNDM folds: as far apart as the map lies from the samples, random where these are random."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.assess import knndm
from edaphos.engine.assess.knndm import match_folds, nearest_distances
from edaphos.engine.assess.prediction_places import draw_places
from edaphos.engine.assess.splits import location_codes, location_points, make_split
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.samples import Samples
from edaphos.engine.status import Status

from ..worlds import make_cube


def everywhere(n: int, seed: int = 0) -> np.ndarray:
    """Places on the sphere between 40° south and 60° north, each area alike."""
    rng = np.random.default_rng(seed)
    lat = np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(-40)), np.sin(np.radians(60)), n)))
    return np.stack([rng.uniform(-100, 100, n), lat], axis=1)


def rows(points: np.ndarray, layers: int = 2) -> Samples:
    """Rows of profiles at these places."""
    who = np.repeat(np.arange(len(points)), layers)
    table = pd.DataFrame(
        {
            "profile_id": [f"p{i:05d}" for i in who],
            "source": np.array(["A", "B"])[who % 2],
            "lon": points[who, 0],
            "lat": points[who, 1],
            "year": np.nan,
            "top_cm": np.tile(np.arange(layers) * 10.0, len(points)),
            "bottom_cm": np.tile(np.arange(layers) * 10.0 + 10, len(points)),
            "y": 1.0,
            "weight": 1.0,
        }
    )
    return Samples(table, ())


def clustered(n: int, clusters: int = 15, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return everywhere(clusters, seed)[rng.integers(0, clusters, n)] + rng.normal(0, 0.5, (n, 2))


PLACES = everywhere(2000, 9)
CLUSTERED, SPREAD = rows(clustered(600)), rows(everywhere(600, 3))


def told(samples: Samples, splits) -> pd.Series:
    table = nearest_distances(*location_points(samples), location_codes(samples), splits, PLACES)
    return table.groupby("what")["wasserstein_km"].first()


def test_folds_of_clustered_samples_match_the_map_better_than_others():
    splits = [make_split(CLUSTERED, k, places=PLACES) for k in ("knndm", "profile", "random")]
    found = told(CLUSTERED, splits)
    assert found["knndm"] < 0.7 * found["profile"]
    assert found["profile"] < found["random"]
    frame = CLUSTERED.table.assign(fold=splits[0].folds)
    assert frame.groupby("profile_id")["fold"].nunique().max() == 1
    shares = np.bincount(splits[0].folds, minlength=5) / len(CLUSTERED)
    assert (shares > 0).all()
    assert shares.max() <= knndm.LARGEST_SHARE


def test_folds_of_samples_spread_as_the_map_are_random():
    """Mostly: nearest neighbours come in pairs, so that the test errs more often than it says."""
    found = [match_folds(*everywhere(300, seed).T, PLACES, 5) for seed in range(10)]
    assert np.mean([one.folds is None for one in found]) >= 0.6
    assert not any(one.folds is None for one in (match_folds(*clustered(300).T, PLACES, 5),))
    one, other = (make_split(SPREAD, "knndm", seed=s, places=PLACES).folds for s in (1, 2))
    assert 0.1 < np.mean(one == other) < 0.4  # as two random deals agree


@pytest.mark.parametrize("samples", [CLUSTERED, SPREAD])
def test_order_of_rows_does_not_matter(samples):
    order = np.random.default_rng(5).permutation(len(samples))
    split, shuffled = (
        make_split(s, "knndm", places=PLACES) for s in (samples, samples.take(order))
    )
    np.testing.assert_array_equal(split.folds[order], shuffled.folds)


def test_many_locations_are_joined_before_they_are_clustered(monkeypatch):
    exact = told(CLUSTERED, [make_split(CLUSTERED, "knndm", places=PLACES)])["knndm"]
    monkeypatch.setattr(knndm, "MOST_LOCATIONS", 128)
    joined = make_split(CLUSTERED, "knndm", places=PLACES)
    assert told(CLUSTERED, [joined])["knndm"] < 1.3 * exact


def test_the_table_has_distances_that_grow_with_their_share():
    split = make_split(CLUSTERED, "source")
    table = nearest_distances(
        *location_points(CLUSTERED), location_codes(CLUSTERED), [split], PLACES
    )
    assert list(dict.fromkeys(table["what"])) == ["prediction", "sample", "source"]
    for _, one in table.groupby("what"):
        assert (np.diff(one["km"]) >= 0).all()
        assert (one["share"].iloc[0], one["share"].iloc[-1]) == (0, 1)
    assert (table[table["what"] == "prediction"]["wasserstein_km"] == 0).all()


def test_a_source_left_out_is_in_no_other_fold():
    samples = rows(clustered(100))
    split = make_split(samples, "source")
    assert split.fold_names == ("A", "B")
    for fold, name in enumerate(split.fold_names):
        assert set(samples.table["source"][split.held_out(fold)]) == {name}
        assert name not in set(samples.table["source"][~split.held_out(fold)])


def test_what_cannot_be_matched_is_said():
    with pytest.raises(InputError, match="places"):
        make_split(CLUSTERED, "knndm")
    with pytest.raises(InputError, match="at least 10 locations, found 9"):
        make_split(rows(everywhere(9)), "knndm", places=PLACES)


def test_places_lie_on_soil_and_areas_are_alike(tmp_path):
    cube = Cube.open(make_cube(tmp_path / "cube.zarr"))
    grid = Grid.from_bounds("EPSG:4326", (-180, -90, 180, 90), 1.0, 256, "world")
    places = draw_places(cube, grid, seed=3, number=2000)
    np.testing.assert_array_equal(places, draw_places(cube, grid, seed=3, number=2000))
    status, area = cube.status(grid.whole), grid.cell_areas(grid.whole)
    soil = status == Status.SOIL
    row, col, inside = grid.locate(*places.T)
    assert inside.all()
    assert soil[row, col].all()
    weight = np.where(soil, np.broadcast_to(area, soil.shape), 0.0)
    north = weight[:90].sum() / weight.sum()
    assert np.mean(places[:, 1] > 0) == pytest.approx(north, abs=0.04)
    # on one class alone, and on none
    held = draw_places(cube, grid, seed=3, number=500, classes={"soil_mask": (Status.SOIL,)})
    np.testing.assert_array_equal(held, places[:500])
    with pytest.raises(InputError, match="no soil of the biome"):
        draw_places(cube, grid, classes={"soil_mask": (Status.ICE,)})
    # over the date line
    across = Grid.from_bounds("EPSG:4326", (170, -60, 190, 70), 1.0, 256, "fiji")
    masks = SimpleNamespace(soil_mask="")
    cube = SimpleNamespace(manifest=SimpleNamespace(masks=masks), boundary=None, path="none")
    found = draw_places(cube, across, number=500)  # type: ignore[arg-type]
    assert across.locate(*found.T)[2].all()
    assert len(np.unique(np.sign(found[:, 0]))) == 2
