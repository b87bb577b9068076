"""Significant changes of a map, against SciPy on the whole array."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from scipy.stats import false_discovery_control, norm

from edaphos.engine.grid import Grid
from edaphos.engine.products.cog import export_cogs
from edaphos.engine.products.significance import (
    CLASSES,
    GAIN,
    LOSS,
    NODATA,
    class_layers,
    classify,
    find_discoveries,
    layers_of_p,
)
from edaphos.engine.products.stac import write_stac
from edaphos.kernels.discovery import p_edges

from ..maps import fake_map, homolosine_patch

GRIDS = {"geographic": Grid.preset("global-1deg"), "homolosine": homolosine_patch()}
REGION = {"region": Grid.from_bounds("EPSG:4326", (0.0, 0.0, 20.0, 20.0), 0.25)}
YEARS = (1980, 2000)


def changed_map(name: str = "geographic", shift: float = 3.0) -> xr.Dataset:
    """Return a map whose west gains and whose east does not change, with p-values."""
    ds = fake_map((GRIDS | REGION)[name], depths=((0, 30),), years=YEARS)
    mapped = np.isfinite(ds["soc_mean"].values)
    rng = np.random.default_rng(0)
    z = rng.standard_normal(mapped.shape)
    half = mapped.shape[3] // 2
    z[..., :half] += shift
    z[..., half : half + half // 4] -= shift
    p = 2 * norm.sf(np.abs(z))
    p[:, 0], z[:, 0] = 1, 0
    dims = ds["soc_mean"].dims
    for statistic, values in (("mean", z), ("p", p)):
        ds[f"change_poml_{statistic}"] = xr.Variable(
            dims,
            np.where(mapped, values, np.nan).astype(np.float32),
            {"units": "1", "statistic": statistic, "long_name": statistic},
        )
    return ds


def expected(ds: xr.Dataset, q: float, method: str = "bh") -> np.ndarray:
    """Return the class of each cell by SciPy."""
    p = ds["change_poml_p"].values[0, 1].astype(float)
    known = np.isfinite(p)
    edges = p_edges()
    rounded = edges[np.searchsorted(edges, p[known])]
    sure = np.zeros(p.shape, bool)
    sure[known] = false_discovery_control(rounded, method=method) <= q
    change = ds["change_poml_mean"].values[0, 1]
    return np.where(known, np.where(sure, np.where(change > 0, 2, 0), 1), 255)


@pytest.mark.parametrize("method", ["bh", "by"])
@pytest.mark.parametrize("name", GRIDS)
def test_what_is_significant_is_what_scipy_says(name: str, method) -> None:
    ds = changed_map(name)
    (found,) = find_discoveries(ds, q=0.1, method=method, block=37)
    wanted = expected(ds, 0.1, method)
    (layer,) = class_layers(ds, [found])
    whole = (slice(0, wanted.shape[0]), slice(0, wanted.shape[1]))
    np.testing.assert_array_equal(layer.read(whole), wanted)
    grid = GRIDS[name]
    areas = np.broadcast_to(grid.cell_areas(grid.whole), wanted.shape)
    for share, code in ((found.gain_share, GAIN), (found.loss_share, LOSS)):
        told = areas[wanted == code].sum() / areas[wanted != NODATA].sum()
        assert share == pytest.approx(told, rel=1e-5)
    assert found.tests == (wanted != NODATA).sum()
    assert found.area_km2 == pytest.approx(areas[wanted != NODATA].sum() / 1e6, rel=1e-5)


@pytest.mark.parametrize("name", GRIDS)
def test_cutting_the_map_does_not_change_a_digit(name: str) -> None:
    ds = changed_map(name)
    first = find_discoveries(ds, block=4096)
    for block in (13, 64, 100):
        assert find_discoveries(ds, block=block) == first


def test_only_years_after_the_first_are_tested() -> None:
    ds = changed_map()
    assert [(layer.variable, layer.year) for layer in layers_of_p(ds)] == [("change_poml_p", 2000)]
    assert layers_of_p(ds.drop_vars("change_poml_mean")) == []
    assert find_discoveries(fake_map(GRIDS["geographic"])) == []


def test_where_nothing_changed_nothing_is_marked() -> None:
    ds = changed_map(shift=0.0)
    (found,) = find_discoveries(ds)
    assert found.gain_share + found.loss_share < 0.001
    if found.threshold < 0:
        assert "in no cell" in found.to_text()
    (found,) = find_discoveries(changed_map())
    assert "a significant gain on" in found.to_text()
    assert json.loads(json.dumps(found.to_json()))["gain_share"] == found.gain_share


def test_classes() -> None:
    p = np.array([0.01, 0.01, 0.01, 0.2, np.nan])
    change = np.array([1.0, -1.0, 0.0, 1.0, 1.0])
    assert classify(p, change, 0.01).tolist() == [2, 0, 1, 1, 255]
    assert classify(p, change, -1.0).tolist() == [1, 1, 1, 1, 255]


def test_a_layer_of_classes_lies_beside_the_others(tmp_path: Path) -> None:
    ds = changed_map()
    found = find_discoveries(ds)
    products = export_cogs(ds, tmp_path, more=class_layers(ds, found))
    path = tmp_path / "change_poml_0-30cm_significant_2000.tif"
    with rasterio.open(path) as file:
        assert file.dtypes == ("uint8",)
        assert file.nodata == NODATA
        np.testing.assert_array_equal(file.read(1), expected(ds, 0.1))
        assert file.tags(1)["procedure"] == "Benjamini-Hochberg"
        assert float(file.tags(1)["largest_significant_p"]) == pytest.approx(
            found[0].threshold, rel=1e-5
        )
        assert file.colormap(1)[GAIN][:3] == (1, 133, 113)
    assert "significant gain" in (tmp_path / f"{path.name}.aux.xml").read_text()
    assert products[-1].name == "status"
    write_stac(ds, products, tmp_path)
    items = [json.loads(p.read_text()) for p in tmp_path.glob("map-*/map-*.json")]
    assets = {name: a for item in items for name, a in item["assets"].items()}
    told = assets["change_poml_0-30cm_significant_2000"]["soil:classes"]
    assert told == [{"value": code, "name": name} for code, name in CLASSES.items()]


def test_large_maps_get_the_layer_in_blocks(tmp_path: Path) -> None:
    ds = changed_map("region").drop_vars(["soc_mean", "soc_q05", "soc_q95"])
    more = class_layers(ds, find_discoveries(ds))
    export_cogs(ds, tmp_path, more=more, whole_cells=5000)
    assert len(list(tmp_path.glob("change_poml_0-30cm_significant_2000/*.tif"))) == 4
    with rasterio.open(tmp_path / "change_poml_0-30cm_significant_2000.vrt") as file:
        np.testing.assert_array_equal(file.read(1), expected(ds, 0.1))
