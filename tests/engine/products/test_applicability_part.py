"""What a report shows of the area of applicability, and of distances to the nearest sample."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from edaphos.engine.grid import Grid, zone_area
from edaphos.engine.products.applicability_part import (
    distance_pictures,
    distance_tables,
    inside_by_year,
    inside_tables,
)
from edaphos.engine.products.layers import layers
from edaphos.engine.products.pictures import Labels
from edaphos.engine.products.report import ReportInputs, render
from edaphos.engine.products.report_pictures import draw_all

from ..maps import fake_map

GRID = Grid.preset("global-1deg")


def with_area(years: tuple[int, ...] = (2010,)) -> xr.Dataset:
    """Return a made-up map that is inside south of the equator alone."""
    ds = fake_map(GRID, years=years)
    mapped = np.isfinite(ds["soc_mean"].isel(depth=0))
    unlike = xr.where(ds["y"] < 0, 1.0, 1.5).astype("float32")
    ds["dissimilarity"] = unlike.where(mapped).transpose("year", "y", "x").drop_vars("depth")
    ds["dissimilarity"].attrs = {"units": "1", "statistic": "index", "long_name": "unlike"}
    return ds


def test_areas_inside_are_weighed_by_cell():
    ds = with_area()
    (found,) = inside_by_year(ds)
    edges = np.arange(90, -91, -1.0)
    area = zone_area(edges[1:], edges[:-1]) / 360 / 1e6
    cells = np.isfinite(ds["dissimilarity"].values[0]).sum(axis=1)
    assert found.mapped == pytest.approx((area * cells).sum(), rel=1e-9)
    assert found.inside == pytest.approx((area * cells)[90:].sum(), rel=1e-9)
    (table,) = inside_tables([found])
    assert table.rows[0][-1] == f"{100 * found.inside / found.mapped:.1f} %"
    assert inside_by_year(fake_map(GRID)) == []
    assert inside_tables([]) == []


def test_it_is_one_layer_of_all_depths_and_one_for_each_year():
    found = [la for la in layers(with_area((2010, 2020))) if la.variable == "dissimilarity"]
    assert [(la.depth, la.year) for la in found] == [((0, 200), 2010), ((0, 200), 2020)]
    assert len({la.name for la in found}) == 2
    assert [one.year for one in inside_by_year(with_area((2010, 2020)))] == [2010, 2020]


def test_the_report_shows_it():
    ds = with_area()
    pictures = draw_all(ds)
    assert pictures.applicability is not None
    assert pictures.applicability in pictures.every()
    page = render("run", ReportInputs(ds), pictures)
    assert page.count("Area of applicability") >= 2
    assert "share inside" in page
    plain = fake_map(GRID)
    assert "share inside" not in render("run", ReportInputs(plain), draw_all(plain))


def test_distances_are_drawn_and_told():
    shares = np.linspace(0, 1, 11)
    table = pd.concat(
        pd.DataFrame({"what": what, "share": shares, "km": shares * reach, "wasserstein_km": apart})
        for what, reach, apart in (
            ("prediction", 100.0, 0.0), ("sample", 10.0, 45.0), ("knndm", 90.0, 5.0)
        )
    )  # fmt: skip
    assessed = SimpleNamespace(distances=table)
    (picture,) = distance_pictures(assessed, Labels())  # type: ignore[arg-type]
    assert "the map's cells: median 50 km" in picture.alt
    (told,) = distance_tables(assessed)  # type: ignore[arg-type]
    assert told.rows[1:] == (("samples", "5", "45"), ("as far as the map (kNNDM)", "45", "5"))
    none = SimpleNamespace(distances=pd.DataFrame())
    assert distance_pictures(none, Labels()) == ()  # type: ignore[arg-type]
    assert distance_tables(none) == []  # type: ignore[arg-type]
