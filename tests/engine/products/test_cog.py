from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.crs import CRS
from rasterio.windows import Window as RasterWindow

from edaphos.engine.errors import RunError
from edaphos.engine.grid import Grid
from edaphos.engine.products import cog
from edaphos.engine.products.cog import export_cogs, pack, packing_of
from edaphos.engine.products.layers import layers, map_grid
from edaphos.engine.status import Status

from ..maps import fake_map, homolosine_patch

TWO = ((0, 5), (5, 15))


@pytest.fixture(scope="module")
def quarter_degree() -> xr.Dataset:
    return fake_map(Grid.preset("global-0.25deg"), depths=TWO)


@pytest.fixture(scope="module")
def written(quarter_degree: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("products")
    export_cogs(quarter_degree, folder, block=500)
    return folder


def layout_problems(path: Path) -> list[str]:
    """What a reader over HTTP would miss: GDAL's COG mark, tiles, overviews."""
    problems = []
    with rasterio.open(path) as file:
        if file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") != "COG":
            problems.append("not marked as COG")
        if file.block_shapes != [(512, 512)] and max(file.shape) > 512:
            problems.append("not tiled")
        if max(file.shape) > 512 and not file.overviews(1):
            problems.append("no overviews")
        overviews = file.overviews(1)
        if overviews and max(file.shape) / overviews[-1] > 512:
            problems.append("overviews stop too early")
    return problems


def test_files_are_named_as_soilgrids_does(written: Path) -> None:
    names = sorted(p.name for p in written.iterdir())
    assert names == [
        "soc_0-5cm_Q0.05.tif",
        "soc_0-5cm_Q0.95.tif",
        "soc_0-5cm_mean.tif",
        "soc_5-15cm_Q0.05.tif",
        "soc_5-15cm_Q0.95.tif",
        "soc_5-15cm_mean.tif",
        "status.tif",
        "status.tif.aux.xml",
    ]


def test_every_file_is_a_cog(written: Path) -> None:
    for path in written.glob("*.tif"):
        assert layout_problems(path) == [], path.name


def test_values_equal_the_map_within_rounding(written: Path, quarter_degree: xr.Dataset) -> None:
    for layer in layers(quarter_degree):
        expected = quarter_degree[layer.variable].values[layer.depth_index, 0]
        with rasterio.open(written / f"{layer.name}.tif") as file:
            assert (file.dtypes, file.nodata, file.units) == (("int16",), -32768, ("g kg-1",))
            stored = file.read(1, masked=True)
            found = stored * file.scales[0] + file.offsets[0]
        np.testing.assert_array_equal(stored.mask, np.isnan(expected))
        np.testing.assert_allclose(found.compressed(), expected[~stored.mask], atol=0.0501)


def test_gdal_and_xarray_show_g_per_kg(written: Path, quarter_degree: xr.Dataset) -> None:
    import rioxarray

    opened = rioxarray.open_rasterio(written / "soc_0-5cm_mean.tif", mask_and_scale=True)
    expected = quarter_degree["soc_mean"].values[0, 0]
    np.testing.assert_allclose(opened.values[0], expected, atol=0.051)
    assert opened.attrs["units"] == "g kg-1"


def test_overviews_are_averages_of_valid_cells(written: Path) -> None:
    with rasterio.open(written / "soc_0-5cm_mean.tif") as file:
        full = file.read(1, masked=True).astype(float)
    with rasterio.open(written / "soc_0-5cm_mean.tif", overview_level=0) as file:
        half = file.read(1, masked=True)
    quads = full.reshape(360, 2, 720, 2)
    expected = quads.mean(axis=(1, 3))
    np.testing.assert_array_equal(half.mask, np.ma.getmaskarray(expected))
    np.testing.assert_allclose(half.compressed(), expected.compressed(), atol=0.51)


def test_georeferencing_is_exact(written: Path) -> None:
    with rasterio.open(written / "soc_0-5cm_mean.tif") as file:
        assert file.crs.to_epsg() == 4326
        assert tuple(file.transform)[:6] == (0.25, 0.0, -180.0, 0.0, -0.25, 90.0)
        assert file.tags()["AREA_OR_POINT"] == "Area"


@pytest.mark.parametrize("geotransform", [True, False])
def test_homolosine_is_kept(tmp_path: Path, geotransform: bool) -> None:
    grid = homolosine_patch()
    ds = fake_map(grid, depths=TWO[:1], geotransform=geotransform)
    export_cogs(ds, tmp_path)
    with rasterio.open(tmp_path / "soc_0-5cm_mean.tif") as file:
        assert file.crs == CRS.from_wkt(grid.geobox.crs.to_wkt())
        assert "Homolosine" in file.crs.to_wkt()
        assert file.transform.almost_equals(grid.geobox.affine, 1e-6)


def test_grid_of_a_map_is_the_grid_it_was_made_on() -> None:
    grid = Grid.preset("global-5min")
    empty = xr.Dataset(
        coords={
            "x": ("x", grid.whole.x),
            "y": ("y", grid.whole.y),
            "spatial_ref": ((), 0, {"crs_wkt": grid.geobox.crs.to_wkt()}),
        }
    )
    assert map_grid(empty).shape == grid.shape
    assert map_grid(empty).geobox.affine.almost_equals(grid.geobox.affine, 1e-9)


def test_tags_say_what_the_map_is(written: Path) -> None:
    with rasterio.open(written / "soc_5-15cm_Q0.05.tif") as file:
        tags, band, text = file.tags(), file.tags(1), file.descriptions[0]
    assert tags["virtual"] == "yes"
    assert tags["banner"] == "VIRTUAL SOIL – not a real map"
    assert tags["nominal_resolution"] == "1 degree"
    assert tags["covariate_resolution"] == "5 arc-minutes to 0.75 degree"
    assert json.loads(tags["sources"])[1]["name"] == "made-up <relief>"
    assert "VIRTUAL" in tags["TIFFTAG_IMAGEDESCRIPTION"]
    assert "VIRTUAL" in text
    assert "5-15 cm [g kg-1]" in text
    assert (band["depth_top_cm"], band["depth_bottom_cm"], band["statistic"]) == (
        "5",
        "15",
        "Q0.05",
    )


def test_status_has_colours_and_names(written: Path, quarter_degree: xr.Dataset) -> None:
    with rasterio.open(written / "status.tif") as file:
        np.testing.assert_array_equal(file.read(1), quarter_degree["status"].values)
        assert file.nodata == Status.NOT_COMPUTED
        colours = file.colormap(1)
        assert colours[Status.ORGANIC][:3] == cog.STATUS_COLOURS[Status.ORGANIC]
        assert len({colours[int(s)] for s in Status}) == len(Status)
    with rasterio.open(written / "status.tif", overview_level=0) as file:
        assert set(np.unique(file.read(1))) <= {int(s) for s in Status}
    names = (written / "status.tif.aux.xml").read_text()
    assert names.count("<Category>") == Status.OUTSIDE_APPLICABILITY + 243
    assert "<Category>outside the area of applicability</Category>" in names


def test_a_year_is_named_only_where_there_are_several(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=TWO[:1], years=(1990, 2010))
    names = {p.name for p in export_cogs(ds, tmp_path)}
    assert {"soc_0-5cm_mean_1990", "soc_0-5cm_mean_2010"} <= names
    with rasterio.open(tmp_path / "soc_0-5cm_mean_2010.tif") as file:
        assert file.tags(1)["year"] == "2010"


def test_a_failed_product_never_takes_its_name(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=TWO[:1])
    export_cogs(ds, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    ds["soc_mean"].values[0, 0, 90, :] = 4000.0
    with pytest.raises(RunError, match=r"soc_0-5cm_mean: 360 values, such as 4000 g kg-1"):
        export_cogs(ds, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_products_do_not_depend_on_how_the_map_is_read(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=TWO[:1])
    export_cogs(ds, tmp_path / "a", block=64)
    export_cogs(ds, tmp_path / "b", block=4096)
    for path in (tmp_path / "a").glob("*.tif"):
        with rasterio.open(path) as one, rasterio.open(tmp_path / "b" / path.name) as two:
            np.testing.assert_array_equal(one.read(), two.read())


def test_the_map_is_read_by_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    original = cog.read_block

    def watched(ds: xr.Dataset, layer: object, where: tuple[slice, slice]) -> np.ndarray:
        seen.append((where[0].stop - where[0].start, where[1].stop - where[1].start))
        return original(ds, layer, where)

    monkeypatch.setattr(cog, "read_block", watched)
    export_cogs(fake_map(Grid.preset("global-1deg"), depths=TWO[:1]), tmp_path, block=128)
    assert max(rows for rows, _ in seen) == 128
    assert max(cols for _, cols in seen) == 128


def test_packing_holds_the_whole_encoding_range_of_a_map() -> None:
    layer = layers(fake_map(Grid.preset("global-1deg"), depths=TWO[:1]))[0]
    packing = packing_of(layer)
    extremes = np.array([0.0, 655.34, np.nan], np.float32)
    np.testing.assert_array_equal(pack(extremes, packing, "x"), [0, 6553, -32768])


def test_other_quantities_stay_floats(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=TWO[:1])
    ds = ds.drop_vars(["soc_q05", "soc_q95"]).rename({"soc_mean": "stock_mean"})
    ds["stock_mean"].attrs["units"] = "kg m-2"
    export_cogs(ds, tmp_path)
    with rasterio.open(tmp_path / "stock_0-5cm_mean.tif") as file:
        assert file.dtypes == ("float32",)
        window = RasterWindow(0, 0, 360, 180)
        np.testing.assert_array_equal(file.read(1, window=window), ds["stock_mean"].values[0, 0])


def test_stock_of_the_topsoil_is_soilgrids_ocs(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=((0, 30),))
    ds = ds.drop_vars(["soc_q05", "soc_q95"]).rename({"soc_mean": "stock_mean"})
    ds["stock_mean"].attrs["units"] = "kg m-2"
    export_cogs(ds, tmp_path)
    with rasterio.open(tmp_path / "ocs_0-30cm_mean.tif") as file:
        assert (file.scales, file.units, file.tags(1)["stored_units"]) == (
            (0.1,),
            ("kg m-2",),
            "t/ha",
        )
