from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.assess.crossval import fit_and_predict
from edaphos.engine.assess.splits import inner_split, location_blocks, make_split
from edaphos.engine.assess.strata import DEPTH_LABELS, depth_groups
from edaphos.engine.conformal import FEWEST_BLOCKS, POWERS, Bounds, Conformal, calibrate
from edaphos.engine.errors import InputError
from edaphos.engine.models.protocol import ModelSpec, register
from edaphos.engine.samples import Samples
from edaphos.kernels.conformal import block_weights, margins, widen
from edaphos.kernels.interval_scores import interval_score

from .assess_world import make_samples

BOUNDS = [Bounds("soc_q05", "soc_q95", 0.9)]


def narrow(spread: float = 0.5) -> ModelSpec:
    return ModelSpec("test-narrow", {"spread": spread})


@register
class Narrow:
    """The mean of the log by depth, with an interval that is too narrow by far."""

    kind: ClassVar[str] = "test-narrow"
    taught: ClassVar[list[tuple[frozenset[int], frozenset[int]]]] = []

    def __init__(self, spread: float) -> None:
        self.spread = spread

    def fit(self, samples: Samples) -> Self:
        depth = depth_groups(samples.top, samples.bottom)
        logs = np.log1p(samples.y)
        self.rows = frozenset(samples.table.index)
        self.centre = np.array(
            [logs[depth == d].mean() if (depth == d).any() else 0 for d in range(8)]
        )
        return self

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        self.taught.append((self.rows, frozenset(samples.table.index)))
        z = self.centre[depth_groups(samples.top, samples.bottom)]
        return {
            "soc_mean": np.expm1(z),
            "soc_q05": np.expm1(z - self.spread),
            "soc_q95": np.expm1(z + self.spread),
        }


def simulated(seed: int, clusters: int = 150) -> Samples:
    """Clusters of very different sizes that share an error; its spread depends on depth."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 25, clusters)
    of = np.repeat(np.arange(clusters), size)
    lon, lat = rng.uniform(-175, 175, clusters)[of], rng.uniform(-55, 65, clusters)[of]
    deep = rng.random(len(of)) < 0.5
    log = 2 - deep + np.where(deep, 0.9, 0.4) * rng.normal(size=clusters)[of]
    log += np.where(deep, 0.3, 0.2) * rng.normal(size=len(of))
    table = pd.DataFrame(
        {
            "profile_id": [f"p{i}" for i in range(len(of))],
            "source": "one",
            "lon": lon,
            "lat": lat,
            "year": np.nan,
            "top_cm": np.where(deep, 60.0, 0.0),
            "bottom_cm": np.where(deep, 100.0, 5.0),
            "y": np.exp(log),
            "weight": 1.0,
            "cell": of,
        }
    )
    return Samples(table, ())


def test_intervals_hold_their_share_in_new_places_at_each_depth() -> None:
    before, after = [], []
    for seed in range(8):
        known, new = simulated(seed), simulated(seed + 100)
        (learned,) = calibrate(narrow(), known, BOUNDS, offset=1.0, seed=seed)
        predicted = narrow().build().fit(known).predict_rows(new)
        low, high = learned.apply(predicted["soc_q05"], predicted["soc_q95"], new.top, new.bottom)
        assert (low >= 0).all()
        for top in (0, 60):
            rows = new.top == top
            one_block = 1 / np.bincount(new.table["cell"][rows])[new.table["cell"][rows]]
            plain = (predicted["soc_q05"] <= new.y) & (new.y <= predicted["soc_q95"])
            before.append(np.average(plain[rows], weights=one_block))
            after.append(np.average(((low <= new.y) & (new.y <= high))[rows], weights=one_block))
    shallow, deep = np.array(after).reshape(-1, 2).T
    # a hundred blocks or so of each depth, learned from and judged by: 0.03 each in one trial
    assert shallow.mean() == pytest.approx(0.9, abs=0.03)
    assert deep.mean() == pytest.approx(0.9, abs=0.03)
    assert np.mean(before) < 0.75


def test_margins_are_those_of_out_of_fold_rows_by_depth() -> None:
    samples = make_samples()
    (learned,) = calibrate(narrow(), samples, BOUNDS, offset=1.0, folds=4, seed=3)
    split = inner_split(samples, folds=4, seed=3, least=FEWEST_BLOCKS)
    low, high = np.empty(len(samples)), np.empty(len(samples))
    for fold in range(4):
        out = split.held_out(fold)
        found = fit_and_predict(narrow(), samples, out)
        low[out], high[out] = found["soc_q05"], found["soc_q95"]
    depth = depth_groups(samples.top, samples.bottom)
    every = {
        power: margins(
            samples.y, low, high, depth, 8, blocks=split.blocks, weight=samples.weight, offset=1.0,
            power=power,
        )
        for power in POWERS
    }  # fmt: skip
    assert learned.margins == pytest.approx(
        [every[power][0][d] for d, power in enumerate(learned.powers)]
    )
    for d in np.unique(depth):  # of its scales each depth has the one with the least interval score
        rows = depth == d
        w = block_weights(split.blocks[rows], samples.weight[rows])
        scores = []
        for power in POWERS:
            bounds = widen(low[rows], high[rows], every[power][0][d], 1.0, power)
            scores.append(np.average(interval_score(samples.y[rows], *bounds, 0.9), weights=w))
        assert learned.powers[d] == POWERS[int(np.argmin(scores))]
    empty = [i for i in range(8) if not (depth == i).any()]
    assert empty
    assert all(
        learned.margins[i] == every[learned.powers[i]][1] and learned.blocks[i] == 0 for i in empty
    )
    assert learned.blocks[1 + 1] == len(np.unique(split.blocks[depth == 2]))
    assert len(learned.margins) == len(DEPTH_LABELS)


def test_inner_folds_keep_blocks_whole_and_see_training_rows_alone() -> None:
    samples = make_samples()
    samples = Samples(samples.table.reset_index(drop=True), ())
    outer = make_split(samples, "block", folds=5, seed=1).held_out(2)
    Narrow.taught.clear()
    calibrate(narrow(), samples.take(~outer), BOUNDS)
    blocks = location_blocks(samples, 5.0)
    held = set(np.flatnonzero(outer))
    assert len(Narrow.taught) == 5
    asked: set[int] = set()
    for taught, told in Narrow.taught:
        assert not (taught | told) & held
        assert not set(blocks[list(taught)]) & set(blocks[list(told)])
        asked |= told
    assert asked == set(np.flatnonzero(~outer))


def test_values_move_without_the_log_scale_too() -> None:
    samples = make_samples()
    (plain,) = calibrate(narrow(), samples, BOUNDS)
    low, high = plain.apply([5.0], [9.0], 0.0, 5.0)
    assert high[0] - 9 == pytest.approx(plain.margins[1])
    assert 5 - low[0] == pytest.approx(plain.margins[1])


def test_depths_of_maps_and_of_rows_take_the_same_margin() -> None:
    learned = Conformal(0.9, (9.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 9.0), (99,) * 8, 1.0, 5.0)
    tile = np.full((2, 3), 10.0)
    low, high = learned.apply(tile, 2 * tile, 15.0, 30.0)
    assert low == pytest.approx(11 * np.exp(-0.3) - 1)
    assert high == pytest.approx(21 * np.exp(0.3) - 1)
    rows = learned.apply([10.0, 10.0], [20.0, 20.0], [15.0, 100.0], [30.0, 200.0])
    assert rows[0][0] == low[0, 0]
    assert rows[1][1] == pytest.approx(21 * np.exp(0.6) - 1)
    # a net without a bound of its own may say less than nothing
    assert learned.apply([-4.0], [20.0], 0.0, 5.0)[0] == 0


def test_json_keeps_everything() -> None:
    (learned,) = calibrate(narrow(), make_samples(), BOUNDS, offset=1.0)
    assert Conformal.from_json(json.loads(json.dumps(learned.to_json()))) == learned


def test_what_cannot_be_calibrated_is_refused() -> None:
    samples = make_samples()
    few = samples.take(samples.table["cell"].to_numpy() < 7)
    with pytest.raises(InputError, match=r"7 places.* at least 9 are needed"):
        calibrate(narrow(), few, BOUNDS)
    with pytest.raises(InputError, match=r'gives no "soc_q5", .*did you mean "soc_q'):
        calibrate(narrow(), samples, [Bounds("soc_q5", "soc_q95", 0.9)])
