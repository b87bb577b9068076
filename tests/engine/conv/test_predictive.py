"""Means and intervals from what nets say: smearing, calibration, by depth, in whole blocks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edaphos.engine.conv.predictive import Predictive, Said, calibrate, gather
from edaphos.engine.errors import InputError

PAIRS = ((0.05, 0.95),)
#: Standard deviation of the logarithm's residual at each depth.
SIGMA = np.array([0.3, 0.6, 1.0])
NO_LIMIT = np.full(3, 100.0)


def draw(rng: np.random.Generator, blocks: int, each: int = 15):
    """Return what nets say, log(1 + y), depth and block of rows; residuals differ by depth."""
    n = blocks * each
    depth, block = rng.integers(0, 3, n), np.repeat(np.arange(blocks), each)
    centre = rng.normal(2.5, 0.5, n)
    return centre, centre + SIGMA[depth] * rng.normal(size=n), depth, block


def said_of(centre: np.ndarray, rng: np.random.Generator, interval: str) -> Said:
    """Return runs that are too sure of themselves, as each kind of interval has them."""
    noise = 0.1 * rng.normal(size=(4, *centre.shape))
    if interval == "quantile":
        outputs = np.stack([centre, centre - 0.2, centre, centre + 0.2])[None]
        return gather(outputs, (0.05, 0.5, 0.95), 0)
    if interval == "residual":
        return gather(centre[None, None], (), 0)
    if interval == "ensemble":
        return gather((centre + noise)[:, None], (), 0)
    return gather(np.concatenate([centre[None], centre + noise])[:, None], (), 4)


@pytest.mark.parametrize("interval", ["residual", "quantile", "ensemble", "dropout"])
def test_intervals_hold_their_share_and_the_mean_is_the_mean(interval):
    rng = np.random.default_rng(4)
    stop, last, new = draw(rng, 60), draw(rng, 60), draw(rng, 4000)
    found = calibrate(
        (said_of(stop[0], rng, interval), *stop[1:3]),
        (said_of(last[0], rng, interval), *last[1:3]),
        np.ones(len(last[0])),
        last[3],
        3,
        log1p=True,
        interval=interval,
        pairs=PAIRS,
        largest=NO_LIMIT,
    )
    centre, target, depth, _ = new
    said, y = said_of(centre, rng, interval), np.expm1(target)
    low, high = found.bounds(said, depth, 0)
    mean, median = found.mean(said, depth), found.median(said, depth)
    for d in range(3):
        rows = depth == d
        share = np.mean((y[rows] >= low[rows]) & (y[rows] <= high[rows]))
        assert share == pytest.approx(0.9, abs=0.04)
        assert np.mean(y[rows]) == pytest.approx(np.mean(mean[rows]), rel=0.12)
        assert np.mean(y[rows] < median[rows]) == pytest.approx(0.5, abs=0.06)
    # exp(mean of the logarithm) would lose two fifths of the carbon of the last depth
    rows = depth == 2
    assert np.mean(found.centre(said)[rows]) < 0.7 * np.mean(y[rows])
    again = Predictive.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found


def test_what_was_said_is_joined_as_it_says():
    runs = np.arange(2 * 3 * 2 * 4.0).reshape(6, 2, 4) ** 1.5  # 2 members of a net and 2 draws
    said = gather(runs, (0.5,), 2)
    np.testing.assert_allclose(said.centre, (runs[0, 0] + runs[3, 0]) / 2)
    np.testing.assert_allclose(said.levels[0.5], (runs[0, 1] + runs[3, 1]) / 2)
    np.testing.assert_allclose(said.apart, runs[[1, 2, 4, 5], 0].var(axis=0))
    np.testing.assert_allclose(gather(runs, (0.5,), 0).apart, runs[:, 0].var(axis=0))


def test_nets_are_kept_within_what_they_learned_from():
    low, high = np.array([0.0, 0.0, 1.0, 1.0]), np.array([4.0, 4.0, 5.0, 5.0])  # of two depths
    runs = np.array([[9.0, 2, 0, 5], [4, 2, 0, 5]])  # of two nets, at four rows
    said = gather(runs[:, None], (), 0, low, high)
    np.testing.assert_array_equal(said.centre, [4, 2, 1, 5])
    np.testing.assert_array_equal(said.limited, [True, False, True, False])
    np.testing.assert_array_equal(said.apart, 0)
    outputs = np.array([[2.0, -1, 6]])[..., None]  # a net's mean and its two quantiles
    both = gather(outputs, (0.05, 0.95), 0, 0.0, 4.0)
    assert (both.centre, both.levels[0.05], both.levels[0.95]) == (2, 0, 4)
    assert not both.limited  # that tells of means


def test_no_mean_is_above_the_largest_value_learned_from():
    """Not even where the logarithm's residuals are put back on."""
    rng = np.random.default_rng(4)
    stop, last = draw(rng, 40), draw(rng, 40)
    high = np.array([4.0, 4.5, 5.0])
    found = calibrate(
        (said_of(stop[0], rng, "residual"), *stop[1:3]),
        (said_of(last[0], rng, "residual"), *last[1:3]),
        np.ones(len(last[0])),
        last[3],
        3,
        log1p=True,
        interval="residual",
        pairs=PAIRS,
        largest=high,
    )
    depth = np.arange(3)
    said = gather(np.full((1, 1, 3), 50.0), (), 0, np.zeros(3), high)
    np.testing.assert_allclose(found.mean(said, depth), np.expm1(high))
    assert (np.array(found.smear) > 1).all()
    assert (found.bounds(said, depth, 0)[1] > np.expm1(high)).all()  # some soils may have more


def test_on_the_original_scale_nothing_is_put_back():
    rng = np.random.default_rng(4)
    stop, last = draw(rng, 40), draw(rng, 40)
    found = calibrate(
        (said_of(stop[0], rng, "residual"), *stop[1:3]),
        (said_of(last[0], rng, "residual"), *last[1:3]),
        np.ones(len(last[0])),
        last[3],
        3,
        log1p=False,
        interval="residual",
        pairs=PAIRS,
        largest=NO_LIMIT,
    )
    said = said_of(last[0] - 5, rng, "residual")
    np.testing.assert_array_equal(found.mean(said, last[2]), last[0] - 5)
    assert found.bounds(said, last[2], 0)[0].min() < 0


def test_a_depth_with_few_blocks_takes_what_all_say_and_too_few_are_refused():
    rng = np.random.default_rng(4)
    stop, last = draw(rng, 40), draw(rng, 40)
    depth = np.where((last[2] == 2) & (last[3] > 5), 1, last[2])  # the last depth in a few blocks
    arguments = {"log1p": True, "interval": "residual", "pairs": PAIRS, "largest": NO_LIMIT}

    def fit(rows: np.ndarray, **other):
        return calibrate(
            (said_of(stop[0], rng, "residual"), *stop[1:3]),
            (said_of(last[0][rows], rng, "residual"), last[1][rows], depth[rows]),
            np.ones(rows.sum()),
            last[3][rows],
            3,
            **{**arguments, **other},
        )

    every = np.ones(len(depth), bool)
    found = fit(every)
    residual = last[1] - last[0]
    assert found.smear[2] == pytest.approx(np.exp(residual).mean())
    assert found.smear[0] == pytest.approx(np.exp(residual[depth == 0]).mean())
    assert found.blocks[2] <= 6
    with pytest.raises(InputError, match=r"of 90 % needs 9 or more .* found 8"):
        fit(last[3] < 8)
    with pytest.raises(InputError, match=r"of 98 % needs 49 or more"):
        fit(every, pairs=((0.01, 0.99),))
