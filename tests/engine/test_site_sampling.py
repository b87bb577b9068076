"""Sites and years from the cube: the map's own values, each chunk read once, sites left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.assess.splits import make_split
from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.stack_reader import StackReader
from edaphos.engine.errors import InputError
from edaphos.engine.site_sampling import SiteSpan, draw_sites, together

from .changing_land import GRID, YEARS, make_model, survey, values, write_land

SPAN = SiteSpan(YEARS[0], YEARS[-1], 20.0)
NAMES = ("clay", "elevation", "fertiliser", "temperature_07")


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Cube:
    return write_land(tmp_path_factory.mktemp("sites") / "c.zarr")


def test_every_site_has_every_year_and_stocks_where_sampled(cube: Cube) -> None:
    samples, report = draw_sites(survey(20), cube, GRID, NAMES, SPAN)
    table = samples.table
    assert len(samples) == 20 * len(YEARS)
    assert table.groupby("profile_id")["year"].apply(list).tolist() == [list(YEARS)] * 20
    assert np.isfinite(samples.y).sum() == 40
    assert table.loc[np.isfinite(samples.y), "year"].unique().tolist() == [1980, 1986]
    assert (report.sites, report.observations, report.revisited) == (20, 40, 20)
    assert report.by_year == {1980: 20, 1986: 20}
    one = survey(20).query("profile_id == 'p3' and year == 1986")
    soc = one["soc_g_kg"].to_numpy()
    # 0-10 as measured, 10-15 the mean of both layers, 15-20 the second: times 1.3 x 0.95 / 100
    wanted = (10 * soc[0] + 5 * soc.mean() + 5 * soc[1]) * 1.3 * 0.95 / 100
    place = (table["lon"] == one["lon"].iloc[0]) & (table["year"] == 1986)
    assert table.loc[place, "y"].iloc[0] == pytest.approx(wanted)


def test_values_are_those_a_map_tile_reads_there(cube: Cube) -> None:
    samples, _ = draw_sites(survey(20), cube, GRID, NAMES, SPAN)
    read = cube.read(GRID.whole, NAMES, YEARS)
    table = samples.table
    row, col = np.divmod(table["cell"].to_numpy(), GRID.shape[1])
    year = table["year"].to_numpy(int) - YEARS[0]
    np.testing.assert_array_equal(table["clay"], read["clay"][row, col])
    for name in ("fertiliser", "temperature_07"):
        np.testing.assert_array_equal(table[name], read[name][year, row, col])
    np.testing.assert_array_equal(table["cell_lat"], GRID.y_of(row))


def test_each_year_is_read_once_and_what_does_not_change_once_for_all(cube, monkeypatch) -> None:
    read: list[tuple[str, int, tuple[int, ...]]] = []
    cells = StackReader.cells

    def counted(self, grid, rows, cols, planes):
        read.append((self.stack.name, len(planes.bands), planes.times))
        return cells(self, grid, rows, cols, planes)

    monkeypatch.setattr(StackReader, "cells", counted)
    draw_sites(survey(20), cube, GRID, make_model().learns_from, SPAN)
    static = [item for item in read if not item[2]]
    assert static == [(static[0][0], 2, ())]
    yearly = [item for item in read if item[2]]
    assert [item[1:] for item in yearly] == [(25, tuple(range(len(YEARS))))]


def test_monthly_normals_stand_beside_the_months_of_a_changing_climate(tmp_path: Path) -> None:
    usual = np.repeat(np.arange(12.0)[:, None, None], 8, axis=1).repeat(10, axis=2)
    cube = write_land(tmp_path / "c.zarr", {"temperature": usual, "rain": usual * 10})
    span = SiteSpan(1980, 1986, 20.0, {"temperature": "temperature_normal"})
    samples, _ = draw_sites(survey(9), cube, GRID, ("temperature_02", "temperature"), span)
    assert samples.features[:2] == ("temperature_02", "temperature_normal_01")
    np.testing.assert_array_equal(samples.table["temperature_normal_12"], 11.0)
    with pytest.raises(InputError, match='two covariates give a column "temperature_02"'):
        draw_sites(survey(9), cube, GRID, ("temperature_02", "temperature"), SPAN)


def test_sites_that_lack_a_covariate_in_any_year_are_left_out_and_counted(tmp_path: Path) -> None:
    gap = values()["fertiliser"]
    gap[3, :, 6:] = np.nan
    cube = write_land(tmp_path / "c.zarr", {"fertiliser": gap})
    table = survey(60)
    samples, report = draw_sites(table, cube, GRID, NAMES, SPAN)
    assert report.lacking_by_variable == {"fertiliser": report.lacking}
    assert report.sites == 60 - report.lacking == (samples.table["year"] == 1980).sum()
    assert 5 < report.lacking < 30
    assert samples.table["lon"].max() < 107
    assert f'most lack "fertiliser" ({report.lacking})' in report.to_text()
    gap[3] = np.nan
    empty = write_land(tmp_path / "d.zarr", {"fertiliser": gap})
    with pytest.raises(InputError, match=r'"fertiliser".*missing in some year at 60 of 60'):
        draw_sites(table, empty, GRID, NAMES, SPAN)


def test_one_date_is_not_enough(cube: Cube) -> None:
    with pytest.raises(InputError, match=r"of one year, 1980.*two dates or more"):
        draw_sites(survey(20, dates=(1980,)), cube, GRID, NAMES, SPAN)


def test_a_place_sampled_twice_under_two_names_is_told_and_not_parted(cube: Cube) -> None:
    """Ten places come back in 1986 under other identifiers, some 50 m away."""
    table = survey(30)
    again = (table["year"] == 1986) & table["profile_id"].isin([f"p{i}" for i in range(10)])
    table.loc[again, "profile_id"] += "b"
    table.loc[again, "lon"] += 0.0005
    samples, report = draw_sites(table, cube, GRID, NAMES, SPAN)
    assert (report.sites, report.revisited, report.twins) == (40, 20, 20)
    assert "20 of them lie within 0.001 degrees" in report.to_text()
    for seed in range(3):
        split = make_split(samples, "profile", folds=5, seed=seed)
        held = samples.table.assign(fold=split.folds, near=samples.table["lat"])
        assert held.groupby("near")["fold"].nunique().max() == 1
    assert draw_sites(survey(30), cube, GRID, NAMES, SPAN)[1].twins == 0


def test_places_in_a_row_stay_together() -> None:
    lon = np.array([5.0, 10.0009, 10.0, 10.0018, 10.0031])
    assert together(lon, np.full(5, 50.0)).tolist() == [0, 1, 1, 1, 4]
    assert together(lon[:1], np.array([50.0])).tolist() == [0]


def test_sites_elsewhere_are_refused(cube: Cube) -> None:
    with pytest.raises(InputError, match="lon and lat are swapped"):
        draw_sites(survey(20).assign(lon=20.0), cube, GRID, NAMES, SPAN)


def test_crowded_sites_weigh_less(cube: Cube) -> None:
    table = survey(20)
    crowd = table["profile_id"].isin([f"p{i}" for i in range(10)])
    table.loc[crowd, "lon"] = 104.2 + table.loc[crowd].index.to_numpy() % 10 * 0.001
    table.loc[crowd, "lat"] = 30.2
    samples, _ = draw_sites(table, cube, GRID, NAMES, SPAN, decluster_deg=0.25)
    weight = samples.table.groupby("profile_id")["weight"].first()
    assert weight.mean() == pytest.approx(1)
    assert weight.max() / weight.min() == pytest.approx(10)
