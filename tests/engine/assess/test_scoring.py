from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from edaphos.engine.assess.scoring import (
    DIFFERENCE_COLUMNS,
    INTERVAL,
    SCORES,
    BlockBootstrap,
    Predictions,
    Stratum,
    difference_table,
    metric_table,
    score,
)
from edaphos.kernels.metrics import metrics

RNG = np.random.default_rng(21)
N = 600
BLOCKS = RNG.integers(100, 140, N) * 3
GROUP = RNG.integers(-1, 3, N)
OBS = RNG.lognormal(2, 0.8, N)
MEAN = OBS * RNG.lognormal(0, 0.4, N)
PREDICTED = Predictions(MEAN, MEAN * 0.5, MEAN * 0.9, MEAN * 2)
STRATA = [
    Stratum("all", ("all",), np.zeros(N, np.int64)),
    Stratum("group", ("a", "b", "c", "empty"), GROUP),
]


def shifted(by: float) -> Predictions:
    return Predictions(*(values + by for values in (MEAN, MEAN * 0.5, MEAN * 0.9, MEAN * 2)))


def test_estimates_equal_the_metrics_of_each_group():
    table = metric_table(score(OBS, PREDICTED, STRATA, BlockBootstrap.draw(BLOCKS, 50, 1)))
    assert list(table["group"]) == ["all", "a", "b", "c"]  # the empty one is left out
    for i, rows in enumerate([np.full(N, True), *(g == GROUP for g in range(3))]):
        alone = metrics(OBS[rows], MEAN[rows], MEAN[rows] * 0.5, MEAN[rows] * 2)
        for name in ("ME", "RMSE", "R2", "CCC", "KGE", "PICP", "MPIW", "IS"):
            assert table[name][i] == pytest.approx(alone[name]), name
        assert table["n"][i] == rows.sum()
        assert table["blocks"][i] == len(np.unique(BLOCKS[rows]))
        assert table["R2_log1p"][i] == pytest.approx(
            r2_score(np.log1p(OBS[rows]), np.log1p(MEAN[rows] * 0.9))
        )
        assert table["R2_log1p_mean"][i] == pytest.approx(
            r2_score(np.log1p(OBS[rows]), np.log1p(MEAN[rows]))
        )
        assert table["mean_obs"][i] == pytest.approx(OBS[rows].mean())
        assert table["mean_pred"][i] == pytest.approx(MEAN[rows].mean())


def test_a_replicate_equals_scoring_the_rows_it_drew():
    bootstrap = BlockBootstrap.draw(BLOCKS, 20, 5)
    scored = score(OBS, PREDICTED, STRATA, bootstrap)
    for draw in (0, 13):
        times = bootstrap.counts[draw, bootstrap.codes].astype(int)
        for position, rows in enumerate([np.full(N, True), GROUP == 0]):
            index = np.repeat(np.flatnonzero(rows), times[rows])
            plain = metrics(OBS[index], MEAN[index], MEAN[index] * 0.5, MEAN[index] * 2)
            for name in ("ME", "R2", "CCC", "KGE", "PICP", "IS"):
                assert scored.replicates[name][position, draw] == pytest.approx(plain[name])


def test_blocks_are_drawn_with_replacement_from_a_seed():
    one, again, other = (BlockBootstrap.draw(BLOCKS, 30, s).counts for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert (one.sum(axis=1) == len(np.unique(BLOCKS))).all()


def test_interval_agrees_with_scipy_where_every_row_is_a_block():
    bootstrap = BlockBootstrap.draw(np.arange(N), 2000, 3)
    row = metric_table(score(OBS, PREDICTED, STRATA[:1], bootstrap)).iloc[0]
    peer = stats.bootstrap(
        (OBS, MEAN), lambda o, p, axis: np.mean(p - o, axis=axis), paired=True,
        n_resamples=2000, method="percentile", rng=np.random.default_rng(4),
    ).confidence_interval  # fmt: skip
    width = peer.high - peer.low
    assert row["ME_low"] == pytest.approx(peer.low, abs=0.12 * width)
    assert row["ME_high"] == pytest.approx(peer.high, abs=0.12 * width)


def test_intervals_cover_where_errors_are_shared_within_blocks():
    """In 100 worlds with block effects, about 95 % of the intervals of ME hold the truth, 0."""
    rng = np.random.default_rng(8)
    blocks = np.repeat(np.arange(60), 10)
    held, held_by_rows = [], []
    for world in range(100):
        effect = rng.normal(0, 1, 60)[blocks]
        obs = rng.normal(20, 3, 600)
        mean = obs + effect + rng.normal(0, 1, 600)
        nothing = np.full(600, np.nan)
        p = Predictions(mean, nothing, nothing, nothing)
        whole = [Stratum("all", ("all",), np.zeros(600, np.int64))]
        for into, units in ((held, blocks), (held_by_rows, np.arange(600))):
            bias = score(obs, p, whole, BlockBootstrap.draw(units, 200, world)).replicates["ME"][0]
            low, high = np.percentile(bias, INTERVAL)
            into.append(low <= 0 <= high)
    assert 0.90 <= np.mean(held) <= 0.99
    assert np.mean(held_by_rows) < 0.75  # pretending that rows are independent


def test_a_difference_is_paired():
    bootstrap = BlockBootstrap.draw(BLOCKS, 400, 1)
    one, other = (score(OBS, shifted(by), STRATA, bootstrap) for by in (0.5, 0.2))
    table = difference_table(one, other, ("ME", "RMSE"))
    assert list(table.columns) == list(DIFFERENCE_COLUMNS)
    bias = table[table["metric"] == "ME"]
    # The bias differs by 0.3 in every replicate: a paired interval has no width.
    np.testing.assert_allclose(bias[["difference", "low", "high"]], 0.3, atol=1e-9)
    rmse = table[(table["metric"] == "RMSE") & (table["by"] == "all")].iloc[0]
    assert rmse["low"] < rmse["difference"] < rmse["high"]
    assert set(difference_table(one, other, ("ME",), leave_out=("group",))["by"]) == {"all"}


def test_few_blocks_or_no_replicates_give_no_interval():
    few = score(OBS, PREDICTED, STRATA[:1], BlockBootstrap.draw(BLOCKS % 4, 50, 1))
    none = score(OBS, PREDICTED, STRATA[:1], BlockBootstrap.draw(BLOCKS, 0, 1))
    for scored in (few, none):
        row = metric_table(scored).iloc[0]
        assert np.isfinite(row["R2"])
        assert np.isnan(row["R2_low"])
        assert np.isnan(row["R2_high"])


def test_weights_reach_every_score():
    weight = RNG.integers(0, 3, N).astype(float)
    bootstrap = BlockBootstrap.draw(BLOCKS, 0, 1)
    weighted = score(OBS, PREDICTED, STRATA[:1], bootstrap, weight=weight)
    index = np.repeat(np.arange(N), weight.astype(int))
    p = Predictions(*(v[index] for v in (MEAN, MEAN * 0.5, MEAN * 0.9, MEAN * 2)))
    whole = [Stratum("all", ("all",), np.zeros(len(index), np.int64))]
    repeated = score(OBS[index], p, whole, BlockBootstrap.draw(BLOCKS[index], 0, 1))
    pd.testing.assert_series_equal(
        pd.Series({k: v[0] for k, v in weighted.estimate.items() if k in SCORES}),
        pd.Series({k: v[0] for k, v in repeated.estimate.items() if k in SCORES}),
    )
