import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import r2_score

from edaphos.engine.grid import Grid
from edaphos.kernels.metrics import metrics
from edaphos.recipes.virtual import describe, judge, shares_on_earth
from edaphos.recipes.virtual_judge import (
    GROUPS,
    Cells,
    JudgeSettings,
    MapArrays,
    combine,
    fresh_samples,
    judge_window,
    koeppen_group,
    true_cell_means,
)
from edaphos.recipes.virtual_truth import VIRTUAL_BANNER, VirtualSoil

from .virtual_world import LEGEND, NAMES, ToyCube

SOIL = VirtualSoil(1)
DEPTHS = ((0.0, 5.0), (30.0, 60.0))
GRID = Grid.from_bounds("EPSG:4326", (0, 30, 24, 54), 1.0, tile_size=8)
SETTINGS = JudgeSettings(DEPTHS, points=8, block=4, seed=11)


def inputs(window):
    values = ToyCube().read(window, (*NAMES.truth, NAMES.koeppen))
    return NAMES.rename(values), koeppen_group(values[NAMES.koeppen], LEGEND)


def truth_and_fresh(window, settings=SETTINGS):
    """Truth and fresh samples of all cells of a window, ``(depth, y, x)``."""
    climate, _ = inputs(window)
    rows, cols = np.indices(window.shape).reshape(2, -1)
    cells = Cells(window, window.row0 + rows, window.col0 + cols)
    here = {k: v[..., rows, cols] for k, v in climate.items()}
    shape = (len(DEPTHS), *window.shape)
    truth, spread = true_cell_means(SOIL, cells, here, settings)
    fresh = fresh_samples(SOIL, cells, here, settings)
    return truth.reshape(shape), fresh.reshape(shape), spread.reshape(shape)


def a_map(seed=0):
    rng = np.random.default_rng(seed)
    mean = rng.lognormal(3, 0.5, (2, *GRID.shape))
    mean[:, :5, :3] = np.nan
    mean[1, 10, 10] = np.nan
    return MapArrays(mean, mean * 0.4, mean * 2.0)


def score(mapped, grid=GRID, settings=SETTINGS):
    def windows():
        for tile in grid.tiles():
            w = tile.window
            at = np.s_[:, w.row0 : w.row0 + w.height, w.col0 : w.col0 + w.width]
            part = MapArrays(mapped.mean[at], mapped.q05[at], mapped.q95[at])
            yield judge_window(SOIL, w, *inputs(w), part, settings)

    return combine(windows(), grid.shape, settings)


def row(table, **where):
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table.iloc[0]


@pytest.mark.parametrize("target", ["cell mean", "fresh sample"])
@pytest.mark.parametrize("weighting", ["cells", "area"])
def test_measures_are_those_of_scikit_learn_and_of_our_kernels(target, weighting):
    mapped = a_map()
    table = score(mapped).table()
    truth, fresh, _ = truth_and_fresh(GRID.whole)
    observed = truth if target == "cell mean" else fresh
    area = np.broadcast_to(GRID.cell_areas(GRID.whole), GRID.shape)
    for d, depth in enumerate(("0-5", "30-60")):
        ok = np.isfinite(mapped.mean[d])
        o, p = observed[d][ok], mapped.mean[d][ok]
        low, high = mapped.q05[d][ok], mapped.q95[d][ok]
        w = area[ok] if weighting == "area" else None
        for scale, f in (("g/kg", np.asarray), ("log1p", np.log1p)):
            found = row(
                table, target=target, weighting=weighting, depth=depth, group="all", scale=scale
            )
            peer = metrics(f(o), f(p), f(low), f(high), w)
            assert found["n"] == ok.sum()
            assert found["R2"] == pytest.approx(r2_score(f(o), f(p), sample_weight=w))
            for mine, theirs in (("ME", "ME"), ("RMSE", "RMSE"), ("PICP90", "PICP"), ("MPIW",) * 2):
                assert found[mine] == pytest.approx(peer[theirs])


def test_groups_add_up_to_all():
    table = score(a_map()).table()
    one = table[(table["target"] == "cell mean") & (table["scale"] == "g/kg")]
    one = one[(one["weighting"] == "cells") & (one["depth"] == "0-5")].set_index("group")
    parts = one.drop(index="all")
    assert len(parts) > 1
    assert parts["n"].sum() == one.loc["all", "n"]
    assert (parts["n"] * parts["PICP90"]).sum() == pytest.approx(
        one.loc["all", "n"] * one.loc["all", "PICP90"]
    )


@pytest.mark.parametrize("tile_size", [5, 24])
def test_tiles_change_nothing(tile_size):
    mapped = a_map()
    grid = Grid.from_bounds("EPSG:4326", (0, 30, 24, 54), 1.0, tile_size=tile_size)
    one, other = score(mapped), score(mapped, grid)
    np.testing.assert_allclose(other.sums, one.sums, rtol=1e-10)
    for name, image in one.images.items():
        np.testing.assert_allclose(other.images[name], image, rtol=1e-5, err_msg=name)


def test_a_map_of_the_truth_is_perfect_for_cell_means_and_limited_for_samples():
    truth, _, _ = truth_and_fresh(GRID.whole)
    table = score(MapArrays(truth, truth, truth)).table()
    common = {"weighting": "cells", "depth": "0-5", "group": "all"}
    perfect = row(table, target="cell mean", scale="g/kg", **common)
    assert perfect["RMSE"] == pytest.approx(0, abs=1e-9)
    assert (perfect["R2"], perfect["PICP90"]) == (pytest.approx(1), 1)
    limited = row(table, target="fresh sample", scale="log1p", **common)
    assert 0.2 < limited["RMSE"] < 0.8
    assert limited["PICP90"] == 0


def test_intervals_from_the_true_distribution_cover_nine_in_ten():
    draws = np.stack(
        [
            truth_and_fresh(GRID.whole, JudgeSettings(DEPTHS, points=1, seed=1000 + k))[1]
            for k in range(79)
        ]
    )
    draws.sort(axis=0)
    # order statistics 4 and 76 of 79 hold a new draw with probability (76 - 4) / 80 = 0.90
    truth, _, _ = truth_and_fresh(GRID.whole)
    table = score(MapArrays(truth, draws[3], draws[75])).table()
    for depth in ("0-5", "30-60"):
        where = {"weighting": "cells", "depth": depth, "group": "all", "scale": "g/kg"}
        assert row(table, target="fresh sample", **where)["PICP90"] == pytest.approx(0.9, abs=0.035)
        assert row(table, target="cell mean", **where)["PICP90"] > 0.97


def test_cell_mean_settles_as_points_are_added():
    few, more, many = (
        truth_and_fresh(GRID.whole, JudgeSettings(DEPTHS, points=m, seed=5))[0][0]
        for m in (2, 8, 64)
    )
    errors = [np.abs(np.log(x / many)).mean() for x in (few, more)]
    assert errors[1] < 0.7 * errors[0]


def test_points_are_in_their_cells_and_stratified():
    window = GRID.window(3, 5, 2, 2)
    cells = Cells(window, np.array([3, 4]), np.array([5, 6]))
    for k in range(8):
        u, v = cells.random(k, 0)
        lon, lat = cells.point((k + u) / 8, ((k * 5) % 8 + v) / 8)
        row_, col, inside = GRID.locate(lon, lat)
        assert inside.all()
        np.testing.assert_array_equal((row_, col), (cells.rows, cells.cols))


def test_pictures_show_what_was_judged():
    mapped = a_map()
    result = score(mapped)
    truth, fresh, spread = truth_and_fresh(GRID.whole)
    at = np.s_[0, 8:12, 4:8]
    block = np.s_[0, 2, 1]
    covered = (mapped.q05 <= fresh) & (fresh <= mapped.q95)
    assert result.images["truth"].shape == (2, 6, 6)
    assert result.images["truth"][block] == pytest.approx(truth[at].mean(), rel=1e-5)
    assert result.images["error"][block] == pytest.approx(
        (mapped.mean - truth)[at].mean(), rel=1e-4
    )
    assert result.images["spread"][block] == pytest.approx(spread[at].mean(), rel=1e-5)
    assert result.images["covered_fresh"][block] == pytest.approx(covered[at].mean())
    assert np.isnan(score(MapArrays(*[np.full((2, 24, 24), np.nan)] * 3)).images["truth"]).all()


def test_projected_grids_are_judged_too():
    grid = Grid.from_bounds("+proj=laea +lat_0=45 +lon_0=10", (-4e5, -4e5, 4e5, 4e5), 1e5, 8)
    cells = Cells(grid.whole, np.array([0, 7]), np.array([0, 7]))
    lon, lat = cells.point(*cells.random(0, 0))
    row_, col, _ = grid.locate(lon, lat)
    np.testing.assert_array_equal((row_, col), (cells.rows, cells.cols))


def test_koeppen_groups():
    codes = np.array([1, 2, 3, 4, 5, 9, np.nan])
    names = [GROUPS[g] for g in koeppen_group(codes, LEGEND)]
    assert names == ["A", "B", "C", "D", "E", "other", "other"]


def test_judging_a_whole_map_through_cube_and_dataset():
    mapped = a_map()
    dataset = xr.Dataset(
        {
            f"soc_{name}": (("depth", "year", "y", "x"), array[:, None])
            for name, array in (("mean", mapped.mean), ("q05", mapped.q05), ("q95", mapped.q95))
        }
    )
    whole = judge(SOIL, ToyCube(), GRID, dataset, SETTINGS, LEGEND, names=NAMES)
    np.testing.assert_allclose(whole.sums, score(mapped).sums)


def test_description_names_what_it_is_and_its_parameters():
    soil = VirtualSoil(17)
    shares = shares_on_earth(soil, ToyCube(), GRID, 1, names=NAMES, points=3000)
    text = describe(soil, shares)
    assert text.startswith(VIRTUAL_BANNER)
    for word in ("Lieth", "RothC", "Seed 17", "1500", "nugget between pedons"):
        assert word in text
    assert sum(shares.values()) == pytest.approx(1)
