"""Totals by ecosystem share: a direct sum, whatever the blocks, with errors of one field."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.products.layers import map_grid
from edaphos.engine.stocks.ecosystems import ecosystem_totals
from edaphos.engine.stocks.error_range import ErrorRange, fit_structures
from edaphos.kernels.random_field import matern_waves, sum_of_cosines, unit_vectors

GRID = Grid.from_bounds("EPSG:4326", (0, 30, 40, 60), 1.0, 16, "little")
LAYERS = ((0, 20), (20, 100), (0, 100))


def world(grid: Grid = GRID) -> tuple[xr.Dataset, dict[str, np.ndarray]]:
    """Return a map of three layers of 30 x 40 cells, and shares of two ecosystems."""
    rng = np.random.default_rng(5)
    mean = np.rint(rng.lognormal(1, 0.5, (3, 1, 30, 40)) / 0.002) * 0.002
    mean[:, :, :3, :7] = np.nan
    depths = np.array([[0, 20], [20, 60], [60, 100]], float)
    whole = grid.whole
    ds = xr.Dataset(
        {
            "stock_mean": (("depth", "year", "y", "x"), mean),
            "stock_q05": (("depth", "year", "y", "x"), 0.5 * mean),
            "stock_q95": (("depth", "year", "y", "x"), 1.8 * mean),
            "depth_bounds": (("depth", "bounds"), depths),
            "spatial_ref": ((), 0, {"spatial_ref": grid.crs.to_wkt()}),
        },
        coords={"x": whole.x, "y": whole.y, "depth": depths.mean(axis=1), "year": [2010]},
    )
    a = grid.geobox.affine
    ds["spatial_ref"].attrs["GeoTransform"] = f"{a.c!r} {a.a!r} {a.b!r} {a.f!r} {a.d!r} {a.e!r}"
    crop = np.rint(rng.uniform(0, 0.6, (30, 40)) * 1e4) / 1e4
    return ds, {"crop": crop, "wood": np.where(crop < 0.3, 0.4, 0.0)}


def test_totals_are_a_direct_sum_whatever_the_blocks():
    ds, shares = world()
    areas = map_grid(ds).cell_areas(map_grid(ds).whole)  # m²
    read = lambda where: {n: s[where] for n, s in shares.items()}  # noqa: E731
    found, draws = ecosystem_totals(ds, ("crop", "wood"), read, LAYERS)
    assert draws.shape == (0, 9)
    for one in found:
        share = sum(shares.values()) if one.ecosystem == "together" else shares[one.ecosystem]
        inside = [i for i, (a, b) in enumerate(ds["depth_bounds"].values) if a >= one.top_cm]
        inside = [i for i in inside if ds["depth_bounds"].values[i, 1] <= one.bottom_cm]
        stock = ds["stock_mean"].values[inside, 0].sum(axis=0)
        known = np.isfinite(stock) & (share > 0)
        area = (areas * share)[known]
        assert one.total_pg == pytest.approx((stock[known] * area).sum() * 1e-12, rel=1e-9)
        assert one.mean_t_ha == pytest.approx(10 * np.average(stock[known], weights=area), rel=1e-9)
        assert one.unweighted_t_ha == pytest.approx(10 * stock[known].mean(), rel=1e-9)
        assert one.area_mha == pytest.approx(area.sum() * 1e-10, rel=1e-9)
    for block in (7, 16):
        assert ecosystem_totals(ds, ("crop", "wood"), read, LAYERS, block=block)[0] == found


def test_errors_that_go_together_widen_totals_and_layers_that_do_not_fit_are_refused():
    ds, shares = world()
    read = lambda where: {n: s[where] for n, s in shares.items()}  # noqa: E731
    near, far = (
        ecosystem_totals(ds, ("crop", "wood"), read, LAYERS, ErrorRange.of(length, 0.2), draws=400)
        for length in (30.0, 3000.0)
    )
    for a, b in zip(near[0], far[0], strict=True):
        assert a.low_pg < a.total_pg < a.high_pg
        assert b.high_pg - b.low_pg > 3 * (a.high_pg - a.low_pg)
        # not wider than if all cells were wrong at once
        assert b.high_pg - b.low_pg < 1.3 * b.total_pg
    assert far[1].mean(axis=0) == pytest.approx([t.total_pg for t in far[0]], rel=0.05)
    with pytest.raises(InputError, match="do not make up 0-30 cm"):
        ecosystem_totals(ds, ("crop",), read, ((0, 30),))


def test_intervals_are_of_distances_on_the_ground_in_any_crs():
    def widths(grid: Grid) -> np.ndarray:
        ds, shares = world(grid)
        read = lambda where: {n: s[where] for n, s in shares.items()}  # noqa: E731
        reach = ErrorRange.of(2000.0)
        found, _ = ecosystem_totals(ds, ("crop", "wood"), read, LAYERS, reach, draws=300)
        return np.array([(one.high_pg - one.low_pg) / one.total_pg for one in found])

    here = widths(Grid.from_bounds("EPSG:4326", (0, -15, 40, 15), 1.0, 16, "here"))
    # the same land beyond 180 degrees, and in metres of equal area
    beyond = widths(Grid.from_bounds("EPSG:4326", (160, -15, 200, 15), 1.0, 16, "beyond"))
    metres = (0, -15 * 111_000, 40 * 111_000, 15 * 111_000)
    projected = widths(Grid.from_bounds("EPSG:6933", metres, 111_000, 16, "metres"))
    assert beyond == pytest.approx(here, rel=0.15)
    assert projected == pytest.approx(here, rel=0.15)


def test_the_range_of_a_made_field_is_found():
    rng = np.random.default_rng(2)
    lon, lat = rng.uniform(0, 40, 900), rng.uniform(30, 60, 900)
    waves, phases = matern_waves(2000, 400.0, 0.5, rng)
    field = sum_of_cosines(unit_vectors(lon, lat), waves, phases)
    noisy = np.sqrt(0.6) * field + np.sqrt(0.4) * rng.standard_normal(900)
    found = fit_structures(lon, lat, np.exp(noisy))  # any monotone scale
    for km in (50.0, 200.0, 600.0, 1500.0):
        fitted = sum(share * np.exp(-km / length) for share, length in found.structures)
        assert fitted == pytest.approx(0.6 * np.exp(-km / 400), abs=0.12)
    assert fit_structures(lon, lat, rng.standard_normal(900)).nugget > 0.8
    with pytest.raises(InputError, match="50 residuals or more, found 10"):
        fit_structures(lon[:10], lat[:10], noisy[:10])
