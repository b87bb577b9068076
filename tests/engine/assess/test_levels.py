from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.assess.levels import (
    OBSERVED,
    SOC_LEVELS,
    level_bounds,
    level_names,
    level_table,
)

RNG = np.random.default_rng(2)
OBS = RNG.lognormal(2.2, 1.1, 2000)
SHRUNK = np.exp(2.2 + 0.5 * (np.log(OBS) - 2.2) + RNG.normal(0, 0.2, 2000))


def test_shares_and_quantiles_are_those_of_pandas():
    table = level_table(OBS, {"model": SHRUNK}, SOC_LEVELS)
    edges, names = [*SOC_LEVELS, np.inf], level_names(SOC_LEVELS)
    assert names == ("0-5", "5-10", "10-20", "20-40", "40-80", "80+")
    rows = pd.DataFrame({OBSERVED: OBS, "model": SHRUNK})
    of_row = pd.cut(rows[OBSERVED], edges, right=False, labels=list(names))
    for model in (OBSERVED, "model"):
        found = table[table["model"] == model].set_index("level")
        share = pd.cut(rows[model], edges, right=False, labels=list(names)).value_counts(
            normalize=True
        )
        groups = rows[model].groupby(of_row, observed=False)
        for level in names:
            assert found.loc[level, "share"] == pytest.approx(share[level])
            assert found.loc[level, "n"] == groups.count()[level]
            for column, q in (("q05", 0.05), ("q50", 0.5), ("q95", 0.95)):
                assert found.loc[level, column] == pytest.approx(groups.quantile(q)[level])
    assert table.groupby("model")["share"].sum().to_numpy() == pytest.approx(1)


def test_what_draws_to_the_middle_is_seen_to():
    table = level_table(OBS, {"model": SHRUNK}, SOC_LEVELS).set_index(["model", "level"])
    for end in ("0-5", "80+"):
        assert table.loc[("model", end), "share"] < table.loc[(OBSERVED, end), "share"]
    assert table.loc[("model", "80+"), "q50"] < 80
    assert table.loc[("model", "0-5"), "q50"] > table.loc[(OBSERVED, "0-5"), "q50"]


def test_only_rows_that_all_have_count():
    gaps, holes = SHRUNK.copy(), OBS.copy()
    gaps[:100], holes[100:150] = np.nan, np.nan
    table = level_table(holes, {"a": SHRUNK, "b": gaps}, SOC_LEVELS)
    assert (table.groupby("model")["n"].sum() == 1850).all()
    pd.testing.assert_frame_equal(
        table, level_table(OBS[150:], {"a": SHRUNK[150:], "b": gaps[150:]}, SOC_LEVELS)
    )
    none = level_table(OBS * np.nan, {"a": SHRUNK}, SOC_LEVELS)
    assert none["q50"].isna().all()
    assert not none["n"].any()


def test_values_on_a_bound_and_below_all_bounds():
    table = level_table(np.array([-1.0, 5.0, 80.0]), {}, SOC_LEVELS).set_index("level")
    assert table["n"].to_list() == [1, 1, 0, 0, 0, 1]


def test_other_quantities_get_levels_of_their_own():
    assert level_bounds(OBS, "soc") == SOC_LEVELS
    clay = RNG.uniform(0, 60, 6000)
    bounds = level_bounds(np.r_[clay, np.nan], "clay")
    assert bounds == pytest.approx((0, 10, 20, 30, 40, 50), abs=1)
    assert level_bounds(np.array([np.nan]), "clay") == ()
    assert level_bounds(np.full(9, 3.0), "clay") == (0.0, 3.0)
