import numpy as np
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.profiles.readers import read_profiles
from edaphos.engine.profiles.schema import ProfileFile
from edaphos.engine.status import Status
from edaphos.recipes.virtual_sampling import (
    COLUMNS,
    development,
    horizons,
    measure,
    random_points,
    sample_profiles,
    write_profiles,
)
from edaphos.recipes.virtual_truth import VirtualSoil

from .virtual_world import NAMES, ToyCube

GRID = Grid.preset("global-1deg", 64)
SOIL = VirtualSoil(1)


def sample(n=150, seed=2, **options):
    return sample_profiles(SOIL, ToyCube(), GRID, n, seed, names=NAMES, **options)


def test_a_survey_is_reproducible_and_on_soil():
    table = sample()
    assert tuple(table.columns) == COLUMNS
    assert table.equals(sample())
    assert not table.equals(sample(seed=3))
    assert table["profile_id"].nunique() == 150
    first = table.groupby("profile_id").first()
    mask = ToyCube().at(first["lon"].to_numpy(), first["lat"].to_numpy(), GRID, ["soil_mask"])
    assert np.all(mask["soil_mask"] == Status.SOIL)


def test_noise_free_measurements_are_the_truth():
    table = sample()
    where = (table["lon"].to_numpy(), table["lat"].to_numpy())
    climate = {k: v.T for k, v in NAMES.rename(ToyCube().at(*where, GRID, NAMES.truth)).items()}
    top, bottom = table["top_cm"].to_numpy(), table["bottom_cm"].to_numpy()
    truth = SOIL.soc(*where, top, bottom, climate)
    ratio = table["soc_g_kg"].to_numpy()[truth > 20] / truth[truth > 20]
    assert abs(ratio.mean() - 1) < 0.02
    assert ratio.std() == pytest.approx(SOIL.strengths.measurement, rel=0.2)


def test_surveys_go_where_people_are():
    biased, fair = (
        sample(600, preferential=p).groupby("profile_id").first() for p in (True, False)
    )

    def surveyed(table):
        return development(table["lon"].to_numpy(), table["lat"].to_numpy(), SOIL.seed).mean()

    assert surveyed(biased) > 2 * surveyed(fair)
    # a fair sample sees each zone by its area: half of the sphere lies within 30 degrees
    assert (fair["lat"].abs() < 30).mean() == pytest.approx(0.5, abs=0.07)


def test_horizons_are_contiguous_and_varied():
    profile, top, bottom = horizons(400, np.random.default_rng(0))
    assert np.all(bottom > top)
    first = np.r_[True, np.diff(profile) > 0]
    assert np.all(top[first] == 0)
    assert np.all(top[1:][~first[1:]] == bottom[:-1][~first[1:]])
    deepest = bottom[np.r_[first[1:], True]]
    assert 0.1 < (deepest <= 30).mean() < 0.35
    assert deepest.max() > 180
    assert len(np.unique(bottom[first])) > 15


def test_laboratories_err_by_what_is_stated_and_round():
    truth = np.full(30_000, 50.0)
    profile = np.arange(30_000)
    values = measure(truth, 0.10, profile, np.random.default_rng(1))
    assert values.mean() == pytest.approx(50, rel=0.003)
    assert values.std() == pytest.approx(5, rel=0.02)
    np.testing.assert_allclose(values * 10, np.round(values * 10), atol=1e-9)
    assert (values == np.round(values)).mean() == pytest.approx(1 / 3 + 0.1 * 2 / 3, abs=0.02)
    assert measure(np.full(9, 1e-4), 0.1, np.arange(9), np.random.default_rng(1)).min() > 0


def test_random_points_fill_the_sphere_evenly():
    lat = random_points(20_000, np.random.default_rng(0))[1]
    assert np.sin(np.radians(lat)).std() == pytest.approx(1 / np.sqrt(3), rel=0.02)


def test_the_profile_reader_takes_the_file_as_it_is(tmp_path):
    table = sample(60)
    path = tmp_path / "virtual" / "profiles.csv"
    write_profiles(table, path)
    raw = read_profiles(ProfileFile(path))
    for name in ("lon", "lat", "top_cm", "bottom_cm", "soc_g_kg"):
        np.testing.assert_allclose(raw.table[name], table[name])
    np.testing.assert_array_equal(raw.table["year"].isna(), table["year"].isna())


def test_no_soil_is_said():
    class Sea(ToyCube):
        def at(self, lon, lat, grid, variables):
            values = super().at(lon, lat, grid, variables)
            values["soil_mask"] = np.full(len(lon), Status.SEA, np.float32)
            return values

    with pytest.raises(InputError, match="found 0"):
        sample_profiles(SOIL, Sea(), GRID, 5, 0, names=NAMES)
