"""Polygons that bound a map: what is inside, boxes about them, masks of tiles, and what is none."""

from __future__ import annotations

import copy
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import CRS, Geod
from shapely.geometry import MultiPolygon, Polygon, box

from edaphos.engine.assess.prediction_places import draw_places
from edaphos.engine.boundary import LATTICE, PIECE, Boundary, BoundaryMask
from edaphos.engine.branches.regions_out import distance_km
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError, StoreError
from edaphos.engine.grid import Grid
from edaphos.engine.plan_size import soil_counts
from edaphos.engine.status import Status

from .cubes import Layer, write_cube

#: A long land that leans, with a hole, and an island.
LAND = MultiPolygon(
    [
        Polygon(
            [(-74, -52), (-70, -52), (-68, -18), (-71, -18)],
            [[(-71.5, -40), (-71, -40), (-71, -38), (-71.5, -38)]],
        ),
        box(-79, -34, -78.5, -33.5),
    ]
)
WGS84 = CRS.from_epsg(4326)


def of(*shapes: object, crs: CRS = WGS84) -> Boundary:
    return Boundary(np.array(shapes, object), crs)


def places(number: int = 4000, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-82, -60, number), rng.uniform(-56, -14, number)


def test_what_is_inside_in_any_crs(tmp_path: Path) -> None:
    lon, lat = places()
    wanted = shapely.contains_xy(LAND, lon, lat)
    assert 0.05 < wanted.mean() < 0.3
    np.testing.assert_array_equal(of(LAND).holds(lon, lat), wanted)
    parts = [shapely.segmentize(part, 0.05) for part in LAND.geoms]
    table = geopandas.GeoDataFrame(geometry=parts, crs=4326).to_crs(32719)
    for name in ("land.gpkg", "land.geojson", "land.shp"):
        table.to_file(tmp_path / name)
        read = Boundary.read(tmp_path / name, "grid.boundary")
        assert np.mean(read.holds(lon, lat) != wanted) < 2e-3
    assert not of(LAND).holds(np.array([np.nan]), np.array([0.0])).any()
    west, south, east, north = of(LAND).extent(32719)
    corners = Boundary(np.array(table.geometry.values, object), table.crs).extent(4326)
    assert corners == pytest.approx((-79, -52, -68, -18), abs=0.05)
    assert east - west > 0 < north - south


def test_boxes_hold_all_of_it_and_little_else() -> None:
    """Nothing within the distance that is asked for is forgotten, and little is left out more."""
    boxes = of(LAND).boxes()
    side = 34 / LATTICE
    union = shapely.union_all([box(*one) for one in boxes])
    assert union.covers(LAND)
    assert LAND.buffer(1.6 * side).covers(union)
    assert len(boxes) < 3 * LATTICE
    lon, lat = places(300)
    found = np.min([distance_km(lon, lat, one) for one in boxes], axis=0)
    edge = shapely.get_coordinates(shapely.segmentize(LAND, 0.02))
    geod = Geod(ellps="sphere")
    for k in range(0, 300, 6):
        n = len(edge)
        away = geod.inv(np.full(n, lon[k]), np.full(n, lat[k]), edge[:, 0], edge[:, 1])[2].min()
        true = 0 if shapely.contains_xy(LAND, lon[k], lat[k]) else away / 1000
        assert true - 1.6 * side * 111.3 * 1.5 < found[k] < true + 3
    single = of(box(10, 40, 11, 41)).boxes()
    assert min(b[0] for b in single) == pytest.approx(10, abs=0.001)


def test_boxes_across_the_date_line() -> None:
    east, west = box(177, -19, 180, -16), box(-180, -19, -178, -16)
    boxes = of(east, west).boxes()
    assert all(-180 <= b[0] < b[2] <= 180 for b in boxes)
    assert sum(b[2] - b[0] for b in boxes) < 1.3 * 5 * 3 / (5 / LATTICE)
    assert of(east, west).degrees() == pytest.approx((177, -19, 182, -16))
    lon, lat = np.array([179.0, -179.0, 0.0]), np.full(3, -17.0)
    away = np.min([distance_km(lon, lat, one) for one in boxes], axis=0)
    assert (away[:2] == 0).all()
    assert away[2] > 15_000
    projected = geopandas.GeoSeries([box(177, -19, 182, -16)], crs=4326).to_crs(3832)
    moved = of(*projected, crs=CRS.from_epsg(3832))
    assert moved.degrees() == pytest.approx((177, -19, 182, -16), abs=0.01)
    assert moved.extent(4326) == pytest.approx((-180, -19, 180, -16), abs=0.01)
    cap = of(shapely.Point(0, 0).buffer(2e6), crs=CRS.from_epsg(3413))  # about the pole
    west, south, east, north = cap.extent(4326)
    assert (west, east, north) == (-180, 180, 90)
    assert 70 < south < 73
    assert moved.holds(lon, lat).tolist() == [True, True, False]


def test_boxes_about_a_pole() -> None:
    ring = box(-180, -90, 180, -70)
    for shape, crs in ((ring, 4326), (shapely.Point(0, 0).buffer(2e6), 3031)):
        boxes = of(shape, crs=CRS.from_epsg(crs)).boxes()
        lon = np.linspace(-179.9, 179.9, 50)
        away = [distance_km(lon, np.full(50, lat), b) for lat in (-89.0, -75.0) for b in boxes]
        assert (np.min(np.reshape(away, (2, -1, 50)), axis=1) == 0).all()
        assert max(b[3] for b in boxes) < -65


@pytest.mark.parametrize("crs", [4326, 3857])
def test_masks_are_the_same_however_a_grid_is_cut(crs: int) -> None:
    """By the cell's centre, tile by tile, in the grid's own CRS and in another."""
    grid = Grid.from_bounds("EPSG:4326", (-80, -54, -60, -14), 0.05, 128, "land")
    fine = shapely.segmentize(LAND, 0.01)  # which is drawn in pieces
    assert shapely.get_num_coordinates(fine) > 5 * PIECE
    shapes = geopandas.GeoSeries([fine], crs=4326).to_crs(crs)
    mask = BoundaryMask(of(*shapes, crs=CRS.from_epsg(crs)), grid)
    whole = mask.inside(grid.whole)
    x, y = np.meshgrid(grid.x_of(np.arange(grid.shape[1])), grid.y_of(np.arange(grid.shape[0])))
    wanted = shapely.contains_xy(LAND, x.ravel(), y.ravel()).reshape(whole.shape)
    # edges that run through centres of cells may go to either side
    assert np.mean(whole != wanted) < 2e-4
    for tile in grid.tiles():
        w = tile.window
        part = whole[w.row0 : w.row0 + w.height, w.col0 : w.col0 + w.width]
        np.testing.assert_array_equal(mask.inside(w), part)


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Cube:
    """Half a degree; the east is sea."""
    rain = np.ones((80, 40), np.float32)
    mask = np.where(np.arange(40) < 30, Status.SOIL, Status.SEA).astype(np.int16)
    path = tmp_path_factory.mktemp("bounded") / "cube.zarr"
    layers = [
        Layer({"rain": rain}, (-80, -14), (0.5, 0.5)),
        Layer({"soil_mask": np.tile(mask, (80, 1))}, (-80, -14), (0.5, 0.5), kind="class"),
    ]
    return Cube.open(write_cube(path, layers, soil_mask="soil_mask"))


def test_a_cube_within_a_boundary_has_soil_inside_alone(cube: Cube) -> None:
    grid = Grid.from_bounds("EPSG:4326", (-80, -54, -60, -14), 0.25, 16, "land")
    # a copy is made as one travels to workers
    bounded = copy.copy(cube.within(of(LAND, box(-66, -30, -62, -28))))
    status, before = bounded.status(grid.whole), cube.status(grid.whole)
    inside = BoundaryMask(bounded.boundary, grid).inside(grid.whole)
    assert (status[~inside & (before == Status.SOIL)] == Status.OUTSIDE_BOUNDARY).all()
    np.testing.assert_array_equal(status[inside], before[inside])
    assert (status[before == Status.SEA] == Status.SEA).all()
    assert cube.within(None) is cube
    # tiles wholly outside have nothing to compute, and places are drawn inside alone
    counts = soil_counts(bounded, grid)
    assert counts.sum() == (inside & (before == Status.SOIL)).sum()
    assert 0.2 < (counts > 0).mean() < 0.6
    drawn = draw_places(bounded, grid, seed=2, number=400)
    assert len(drawn) == 400
    assert bounded.boundary.holds(*drawn.T).all()
    world = Grid.preset("global-1deg", 64)
    few = draw_places(cube.within(of(box(-72, -30, -71.5, -29.5))), world, number=300)
    assert len(few) == 300


def test_a_run_keeps_its_boundary(tmp_path: Path) -> None:
    whole = of(LAND)
    whole.save(tmp_path)
    again = Boundary.load(tmp_path, whole.digest)
    assert shapely.equals_exact(again.shapes, whole.shapes).all()
    of(box(0, 0, 1, 1)).save(tmp_path)
    with pytest.raises(StoreError, match="changed since the run began"):
        Boundary.load(tmp_path, whole.digest)
    (tmp_path / "boundary.json").write_text("{}")
    with pytest.raises(StoreError, match="not readable"):
        Boundary.load(tmp_path, whole.digest)


def test_a_boundary_meets_a_grid_or_does_not() -> None:
    here = Grid.from_bounds("EPSG:4326", (10, 40, 20, 50), 0.5, 16, "here")
    assert of(box(12, 42, 13, 43)).meets(here)
    assert of(box(0, 0, 60, 60)).meets(here)
    assert not of(LAND).meets(here)
    fiji = Grid.from_bounds("EPSG:4326", (170, -30, 190, -10), 0.5, 16, "fiji")
    assert of(box(-180, -19, -178, -16)).meets(fiji)


def test_what_is_no_boundary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file of polygons; correct grid.boundary"):
        Boundary.read(tmp_path / "none.gpkg", "grid.boundary")
    points = geopandas.GeoSeries(geopandas.points_from_xy([1], [1]), crs=4326)
    points.to_file(tmp_path / "points.gpkg")
    with pytest.raises(InputError, match="expected polygons, found Point"):
        Boundary.read(tmp_path / "points.gpkg", "grid.boundary")
    geopandas.GeoSeries([LAND], crs=4326).to_file(tmp_path / "bare.shp")
    (tmp_path / "bare.prj").unlink()
    with pytest.raises(InputError, match="has no CRS"):
        Boundary.read(tmp_path / "bare.shp", "grid.boundary")
    geopandas.GeoSeries([box(170, 0, 190, 5)], crs=4326).to_file(tmp_path / "turned.gpkg")
    with pytest.raises(InputError, match="cut the polygons at the date line"):
        Boundary.read(tmp_path / "turned.gpkg", "grid.boundary")
