"""What profiles left out tell: beta of arms by closed form, R² and ratios against direct ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.models.beta import BetaModel
from edaphos.engine.models.beta_settings import FIT_DEPTHS
from edaphos.kernels.beta import layer_stock
from edaphos.recipes.beta_left_out import LeftOut, beta_scores, stock_ratio

COUNT = 60
RNG = np.random.default_rng(4)
TRUE = RNG.uniform(0.96, 0.985, COUNT)
MAPPED, STATION = TRUE + RNG.normal(0, 0.004, COUNT), TRUE + RNG.normal(0, 0.002, COUNT)


def assessed() -> Assessment:
    """Profiles of known beta in random order of rows, the last without its deepest layer."""
    tops, bottoms = np.array(FIT_DEPTHS, float).T
    n = COUNT * len(tops)
    who = np.repeat(np.arange(COUNT), len(tops))
    top, bottom = np.tile(tops, COUNT), np.tile(bottoms, COUNT)
    obs = layer_stock(5.0, 20, TRUE[who], top, bottom)
    arms = {
        label: np.where(top > 0, layer_stock(5.0, 20, beta[who], top, bottom), np.nan)
        for label, beta in (
            (BetaModel.beside["stock_mapped"], MAPPED),
            (BetaModel.beside["stock_station"], STATION),
        )
    }
    order = RNG.permutation(n)
    order = order[~((who[order] == COUNT - 1) & (top[order] == 80))]
    rows = pd.DataFrame(
        {
            "row": np.arange(len(order)),
            "profile_id": [f"p{i}" for i in who[order]],
            "year": np.where(who[order] % 2, 1990.0, np.nan),
            "lon": who[order] * 1.0,
            "lat": 0.0,
            "top_cm": top[order],
            "bottom_cm": bottom[order],
            "obs": obs[order],
        }
    )
    said = {
        "model": "full",
        "row": rows["row"],
        "block": who[order] // 10,
        "mean": 0.8 * obs[order],
    }
    by_split = [pd.DataFrame({"split": split, **said}) for split in ("profile", "block")]
    told = [
        pd.DataFrame({"split": split, **{k: factor * v[order] for k, v in arms.items()}})
        for split, factor in (("profile", np.nan), ("block", 1.0))
    ]
    none = pd.DataFrame()
    return Assessment(
        {}, rows, pd.concat(by_split), none, none, none, none, arm_rows=pd.concat(told)
    )


def test_beta_of_arms_and_its_scores_are_those_of_the_profiles():
    left = LeftOut.of(assessed())
    who = left.lon.astype(int)
    assert sorted(who) == list(range(COUNT - 1))
    assert left.beta["mapped"] == pytest.approx(MAPPED[who], abs=1e-12)
    assert left.residual == pytest.approx(np.full(len(who), -np.log(0.8)))
    ecosystem = np.where(who < 30, 1, -1)
    none, found = beta_scores(left, ecosystem, ("cropland", "forest"), "normalised")
    assert (none["profiles"], none["r2_mapped"], none["published_r2"]) == (0, None, 0.80)
    assert found["profiles"] == 30
    for name, beta in (("mapped", MAPPED), ("station", STATION)):
        assert found[f"r2_{name}"] == pytest.approx(r2_score(TRUE[:30], beta[:30]), abs=1e-6)
        assert found[f"mean_{name}"] == pytest.approx(beta[:30].mean())


def test_the_ratio_of_stocks_has_an_interval_of_blocks():
    left = LeftOut.of(assessed())
    same = stock_ratio(left)
    assert (same["profiles"], same["blocks"]) == (COUNT - 1, 6)
    assert [same[k] for k in ("ratio", "low", "high")] == pytest.approx([1.25] * 3)
    # a block that is wrong by itself widens it
    worse = LeftOut(**{**vars(left), "observed": left.observed * (1 + (left.block == 2))[:, None]})
    told = stock_ratio(worse)
    assert told["low"] < told["ratio"] < told["high"]
    assert told["ratio"] == pytest.approx(worse.observed.sum() / left.predicted.sum())
