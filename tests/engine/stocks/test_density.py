"""Choice of bulk density by blocks, and what is filled in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.errors import InputError
from edaphos.engine.stocks.density import (
    FOREST,
    REFITTED,
    DensityModel,
    choose_density,
    fill_density,
)
from edaphos.kernels.pedotransfer import Coefficients, bulk_density

#: What made the densities: none of the published coefficients.
TRUTH = Coefficients((0.55, 0.07), (0.9, 0.12))


def table(n: int = 900, seed: int = 0, noise: float = 0.05) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    soc = np.where(rng.random(n) < 0.15, rng.uniform(125, 450, n), rng.uniform(1, 80, n))
    top = rng.choice([0.0, 20, 50], n)
    density = bulk_density("drew", soc, TRUTH)[0] + rng.normal(0, noise, n)
    return pd.DataFrame(
        {
            "lon": rng.uniform(-60, 60, n),
            "lat": rng.uniform(-40, 60, n),
            "top_cm": top,
            "bottom_cm": top + 20,
            "soc_g_kg": soc,
            "clay_pct": rng.uniform(5, 60, n),
            "sand_pct": np.nan,
            "bulk_density_g_cm3": density.clip(0.06, 2.1),
        }
    )


def test_the_form_that_made_the_data_is_chosen_and_found_again():
    found = choose_density(table(), functions=("drew", "jeffrey"), forest=False, folds=4)
    best = found.scores.iloc[0]
    assert (best["model"], best["form"]) == ("drew", REFITTED)
    assert best["rmse"] == pytest.approx(0.05, abs=0.01)
    assert found.model.coefficients is not None
    assert found.model.coefficients.mineral == pytest.approx(TRUTH.mineral, rel=0.05)
    peat = np.linspace(130, 450, 9)
    again = bulk_density("drew", peat, found.model.coefficients)[0]
    assert again == pytest.approx(bulk_density("drew", peat, TRUTH)[0], abs=0.02)
    assert set(found.scores["form"]) == {"published", REFITTED}
    assert tuple(best[["behind", "behind_low", "behind_high"]]) == (0, 0, 0)
    others = found.scores.iloc[1:]
    assert others["behind"].between(others["behind_low"], others["behind_high"]).all()
    np.testing.assert_allclose(others["behind"], others["rmse"] - best["rmse"], atol=1e-12)
    assert "drew, refitted" in found.to_text()


def test_a_forest_wins_where_texture_decides():
    rows = table(noise=0.0)
    rows["bulk_density_g_cm3"] = 1.6 - 0.01 * rows["clay_pct"]
    found = choose_density(rows, functions=("drew",), trees=15, folds=4)
    assert found.model.name == FOREST
    assert found.scores.iloc[0]["rmse"] < 0.6 * found.scores.iloc[1]["rmse"]
    again = choose_density(rows, functions=("drew",), trees=15, folds=4)
    pd.testing.assert_frame_equal(found.scores, again.scores)


def test_neighbours_do_not_help():
    """Densities that belong to places, not to content, are no use to a forest by blocks."""
    rows = table(noise=0.0)
    rng = np.random.default_rng(5)
    place = np.floor(rows["lat"] / 5) * 100 + np.floor(rows["lon"] / 5)
    rows["clay_pct"] = place % 50 + 5  # tells the block, and nothing else
    by_place = dict(zip(place.unique(), rng.normal(0, 0.2, place.nunique()), strict=True))
    rows["bulk_density_g_cm3"] = 1.3 + place.map(by_place)
    scores = choose_density(rows, functions=("drew",), trees=15, folds=4).scores.set_index("form")
    assert scores.loc["forest", "rmse"] > 0.9 * 0.2


def test_what_is_filled_in_is_counted_and_what_was_measured_stays():
    rows = table(400)
    gaps = rows.assign(bulk_density_g_cm3=rows["bulk_density_g_cm3"].where(rows.index % 2 == 0))
    gaps.loc[1, "soc_g_kg"] = np.nan
    gaps.loc[3, "soc_g_kg"] = 500.0
    filled, counts = fill_density(gaps, DensityModel("saini"))
    assert counts["measured"] == 200
    assert counts["unknown"] == 1
    assert counts["estimated"] == 199
    assert counts["clipped"] >= 1  # Saini is negative there
    assert filled.loc[3, "bulk_density_g_cm3"] == 0.05
    even = rows.index % 2 == 0
    assert (filled.loc[even, "bulk_density_g_cm3"] == rows.loc[even, "bulk_density_g_cm3"]).all()
    assert list(filled["density_estimated"]) == [not e and i != 1 for i, e in enumerate(even)]


def test_too_little_to_choose_from_is_said():
    with pytest.raises(InputError, match="200 layers with measured density"):
        choose_density(table(50))
    country = table(400)  # of four blocks of five degrees: smaller ones are taken
    country = country.assign(lon=country["lon"] / 13, lat=country["lat"] / 12)
    found = choose_density(country, functions=("drew", "saini"), forest=False, folds=4)
    assert found.blocks >= 10
    near = table().assign(lon=1.0, lat=1.0)
    with pytest.raises(InputError, match="found 900 in 1"):
        choose_density(near)


def test_profiles_of_a_recipe_get_their_density(tmp_path, capsys):
    from edaphos.engine.profiles.profiles import check_profiles
    from edaphos.engine.progress import Reporter
    from edaphos.engine.stocks.density import profiles_with_density

    rows = table(600)
    rows["bulk_density_g_cm3"] = rows["bulk_density_g_cm3"].where(rows.index % 3 > 0)
    path = tmp_path / "profiles.csv"
    rows.assign(profile_id=[f"p{i}" for i in rows.index]).to_csv(path, index=False)
    profiles = check_profiles([path])
    gaps = int(profiles.table["bulk_density_g_cm3"].isna().sum())
    assert profiles_with_density(profiles, "measured") is profiles
    chosen = profiles_with_density(profiles, "choose", Reporter()).table
    assert chosen["bulk_density_g_cm3"].notna().all()
    assert chosen["density_estimated"].sum() == gaps
    said = capsys.readouterr().err
    assert f"{gaps} layers got a bulk density" in said
    assert "least error of 13 candidates" in said
    named = profiles_with_density(profiles, "grigal").table
    fill = named["density_estimated"].to_numpy()
    expected = bulk_density("grigal", named["soc_g_kg"].to_numpy()[fill])[0]
    np.testing.assert_array_equal(named["bulk_density_g_cm3"].to_numpy()[fill], expected)


def test_stones_are_not_counted_twice(tmp_path):
    from edaphos.engine.profiles.layer_stocks import with_layer_stocks
    from edaphos.engine.profiles.profiles import check_profiles
    from edaphos.engine.stocks.density import with_density_of

    rows = table(60)
    fine, stones = rows["bulk_density_g_cm3"], pd.Series(np.linspace(0, 0.5, 60))
    stones[stones.index % 7 == 3] = np.nan
    share = stones.fillna(0.0)
    kinds = {
        "fine_earth": fine,
        "whole_soil": fine * (1 - share) + 2.65 * share,
        "fine_earth_by_soil": fine * (1 - share),
    }
    expected = rows["soc_g_kg"] * fine * (1 - share) * 20 / 100
    for kind, density in kinds.items():
        made = rows.assign(bulk_density_g_cm3=density, coarse_fraction=stones)
        path = tmp_path / f"{kind}.csv"
        made.assign(profile_id=[f"p{i}" for i in rows.index]).to_csv(path, index=False)
        profiles = with_density_of(check_profiles([path]), kind)
        found = with_layer_stocks(profiles.table)[0].set_index("row")["stock_kg_m2"]
        wanted = expected.set_axis(expected.index + 1).reindex(found.index)
        # densities of the whole soil above 2.2 are set missing when a table is checked
        known = found.notna().to_numpy()
        assert known.sum() > 50
        np.testing.assert_allclose(found[known], wanted[known], rtol=1e-6)
