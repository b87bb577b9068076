"""Means by region and year, of several models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from edaphos.engine.grid import Grid
from edaphos.engine.products.canvas import picture_labels
from edaphos.engine.products.layers import map_grid, mean_layers
from edaphos.engine.products.totals import map_totals
from edaphos.engine.products.trends import (
    COLUMNS,
    WHOLE,
    Trends,
    find_trends,
    trend_charts,
    trend_layers,
    trend_sheet,
)

from ..maps import fake_arms, fake_map, fake_scenarios

YEARS = (1990, 1992, 1995)
NAMES = {0: "Aw", 1: "Dfb", 2: "Dfc", 3: "ET", 4: "Ocean"}
GROUPS = {"Aw": "tropical (A)", "Dfb": "cold (D)", "Dfc": "cold (D)", "ET": "polar (E)"}


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    grid = Grid.from_bounds("EPSG:4326", (0, 20, 40, 60), 0.5)
    return fake_arms(grid, years=YEARS, begun=1)


@pytest.fixture(scope="module")
def zones() -> np.ndarray:
    codes = np.broadcast_to((np.arange(80) // 20)[None, :], (80, 80)).copy()
    codes[:, 78], codes[:, 79] = 4, -1
    return codes


def trends_of(ds: xr.Dataset, **told: Any) -> Trends | None:
    groups = told.pop("groups", None)
    totals = map_totals(ds, wanted=[*trend_layers(ds), *mean_layers(ds)[:1]], **told)
    return find_trends(ds, totals, groups)


@pytest.fixture(scope="module")
def trends(ds: xr.Dataset, zones: np.ndarray) -> Trends:
    found = trends_of(ds, zones=zones, zone_names=NAMES, groups=GROUPS)
    assert found is not None
    return found


def weighted(ds: xr.Dataset, variable: str, position: int, keep: np.ndarray | bool) -> float:
    grid = map_grid(ds)
    values = ds[variable].values[0, position].astype(float)
    areas = np.broadcast_to(grid.cell_areas(grid.whole), values.shape)
    use = np.isfinite(values) & keep
    return float((areas[use] * values[use]).sum() / areas[use].sum())


def test_means_and_bounds_are_area_weighted(ds, zones: np.ndarray, trends: Trends) -> None:
    assert tuple(trends.table.columns) == COLUMNS
    keep = {
        WHOLE: True,
        "tropical (A)": zones == 0,
        "cold (D)": (zones == 1) | (zones == 2),
        "polar (E)": zones == 3,
    }
    told = trends.table.set_index(["region", "quantity", "model", "year"])
    assert not told.index.has_duplicates
    for region, cells in keep.items():
        for t, year in enumerate(YEARS):
            for arm in ("ml", "poml") if t == 0 else ("ml", "po", "poml"):
                wanted = weighted(ds, f"stock_{arm}_mean", t, cells)
                assert told.loc[(region, "stock", arm, year), "mean"] == pytest.approx(wanted)
            for quantity in ("stock", "change"):
                row = told.loc[(region, quantity, "poml", year)]
                for column, suffix in (("mean", "mean"), ("low", "q05"), ("high", "q95")):
                    wanted = weighted(ds, f"{quantity}_poml_{suffix}", t, cells)
                    assert row[column] == pytest.approx(wanted, abs=2e-6), (region, column)
    assert np.isnan(told.loc[(WHOLE, "stock", "ml", 1990), "low"])


def test_changes_of_models_without_such_a_layer_are_of_their_means(trends: Trends) -> None:
    keys = ["region", "quantity", "model", "year"]
    told = trends.table.set_index(keys)["mean"].sort_index()
    for region in (WHOLE, "cold (D)"):
        for arm, start in (("ml", 1990), ("po", 1992)):
            change = told[region, "change", arm, 1995]
            stocks = told[region, "stock", arm]
            assert change == pytest.approx(stocks[1995] - stocks[start])
            assert told[region, "change", arm, start] == 0
    assert (WHOLE, "stock", "po", 1990) not in told.index


def test_regions_stand_by_size_after_the_whole(trends: Trends, ds: xr.Dataset) -> None:
    sizes = trends.table.groupby("region")["area_km2"].max()
    assert trends.regions[0] == WHOLE
    rest = trends.regions[1:]
    assert set(rest) == set(GROUPS.values())
    assert [sizes[r] for r in rest] == sorted((sizes[r] for r in rest), reverse=True)
    assert trends.table["region"].iloc[0] == WHOLE
    # A single zone that is the whole map is no region of its own.
    one = trends_of(ds, zones=np.zeros((80, 80), int), zone_names={0: "Aw"})
    assert one is not None
    assert one.regions == [WHOLE]
    assert set(one.table["region"]) == {WHOLE, "Aw"}


def test_charts_show_each_region_and_changes_on_one_scale(trends: Trends, ds: xr.Dataset) -> None:
    labels = picture_labels(ds)
    charts = trend_charts(trends, labels)
    assert [p.title for p in charts["stock"]] == [r[:1].upper() + r[1:] for r in trends.regions]
    assert len({p.name for group in charts.values() for p in group}) == 2 * len(trends.regions)
    whole = trends.lines(WHOLE, "stock")
    assert list(whole) == ["forest alone (ML)", "process alone (PO)", "hybrid (POML)"]
    assert sorted(whole["process alone (PO)"].values) == [1992, 1995]
    assert f"1995 {whole['hybrid (POML)'].values[1995]:.4g}" in charts["stock"][0].alt
    sheet = trend_sheet(trends, labels)
    assert "VIRTUAL SOIL" in sheet.svg
    for region in trends.regions:
        assert f"{region[:1].upper()}{region[1:]}: mean stock" in sheet.svg


def test_maps_of_one_year_or_of_no_models_have_no_trends() -> None:
    grid = Grid.from_bounds("EPSG:4326", (0, 20, 40, 60), 2.0)
    for made in (
        fake_arms(grid, years=(1990,)),
        fake_scenarios(grid),
        fake_map(grid, years=YEARS),
    ):
        assert trend_layers(made) == []
        assert find_trends(made, map_totals(made)) is None
