"""The beta model against the tables of its paper, SciPy, and what a share of carbon must obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from edaphos.kernels.beta import (
    BOUNDS,
    BetaFlag,
    beta_of_share,
    cumulative_share,
    fit_beta,
    layer_stock,
)

DEPTHS = np.array([20.0, 40, 60, 80, 100])
betas = st.floats(0.91, 0.999)


@pytest.mark.parametrize(
    ("beta", "topsoil", "biased", "ratio", "biased_ratio"),
    [
        (0.9645, 0.529, 0.9618, 1.891, 1.812),
        (0.9756, 0.426, 0.9702, 2.348, 2.094),
        (0.9786, 0.397, 0.9721, 2.520, 2.179),
        (0.9831, 0.353, 0.9749, 2.832, 2.311),
    ],
)
def test_raw_form_is_biased_by_what_is_known(beta, topsoil, biased, ratio, biased_ratio):
    shares = cumulative_share(beta, DEPTHS, 100.0)[None]
    assert shares[0, 0] == pytest.approx(topsoil, abs=5e-4)
    (right,), flags = fit_beta(DEPTHS, shares)
    (wrong,), _ = fit_beta(DEPTHS, shares, form="raw")
    assert right == pytest.approx(beta, abs=1e-12)
    assert flags[0] == 0
    assert wrong == pytest.approx(biased, abs=5.1e-5)
    assert layer_stock(1, 20, right, 0, 100) == pytest.approx(ratio, abs=6e-4)
    # the table's ratio is of the bias rounded to four places
    assert layer_stock(1, 20, biased, 0, 100) == pytest.approx(biased_ratio, abs=3e-3)


def test_layers_of_the_paper_follow_from_their_first_and_last():
    r = (5.6 / 30.8) ** (1 / 3)
    beta = r ** (1 / 20)
    assert beta == pytest.approx(0.9720, abs=5e-5)
    layers = layer_stock(30.8, 20, beta, np.arange(0, 80, 20), np.arange(20, 100, 20))
    assert layers[-1] == pytest.approx(5.6)
    assert layers.sum() == pytest.approx(63.7, abs=0.05)
    solved = beta_of_share(30.8 / layers.sum(), 20, 80)
    assert float(solved) == pytest.approx(beta, abs=1e-12)


@pytest.mark.parametrize(
    ("beta", "subsoil", "column"), [(0.9725, 83.5, 153.4), (0.9739, 100.6, 180.4)]
)
def test_subsoil_of_the_paper_belongs_to_its_column(beta, subsoil, column):
    topsoil = column - subsoil
    assert float(layer_stock(topsoil, 20, beta, 20, 100)) == pytest.approx(subsoil, abs=0.2)


@given(betas, st.floats(1, 500), st.lists(st.floats(0.1, 40), min_size=1, max_size=6))
def test_layers_sum_to_the_whole(beta, stock, thickness):
    ends = np.concatenate([[0], np.cumsum(thickness)])
    layers = layer_stock(stock, 20, beta, ends[:-1], ends[1:])
    assert layers.sum() == pytest.approx(float(layer_stock(stock, 20, beta, 0, ends[-1])), rel=1e-9)
    assert (layers >= 0).all()


@given(betas, st.floats(30, 300))
def test_shares_rise_with_depth_and_fall_with_beta(beta, total):
    depths = np.linspace(0, total, 9)
    share = cumulative_share(beta, depths, total)
    assert share[0] == 0
    assert share[-1] == pytest.approx(1)
    assert (np.diff(share) > 0).all()
    deeper = cumulative_share(beta + 5e-4, depths[1:-1], total)
    assert (deeper < share[1:-1]).all()


@given(betas, st.lists(st.floats(1, 99), min_size=1, max_size=5, unique=True))
def test_fit_returns_the_beta_that_made_the_shares(beta, depths):
    depths = np.sort(depths)
    (fitted,), flags = fit_beta(depths, cumulative_share(beta, depths, 100)[None])
    assert flags[0] == 0
    # a share near 1 says little of beta: what comes back is held by the share
    again = cumulative_share(fitted, depths, 100)
    np.testing.assert_allclose(again, cumulative_share(beta, depths, 100), atol=1e-12)


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.01, 0.4), min_size=4, max_size=4), st.sampled_from(["normalised", "raw"])
)
def test_fit_is_the_least_sum_of_squares(parts, form):
    parts = np.sort(parts)[::-1]
    shares = (np.cumsum(parts) / (np.sum(parts) + 0.02))[None]
    (fitted,), _ = fit_beta(DEPTHS[:4], shares, form)
    total = 100 if form == "normalised" else None

    def misfit(b: float) -> float:
        return float(((cumulative_share(b, DEPTHS[:4], total) - shares[0]) ** 2).sum())

    other = minimize_scalar(misfit, bounds=BOUNDS, method="bounded", options={"xatol": 1e-10})
    grid = min(misfit(b) for b in np.linspace(*BOUNDS, 400))
    assert misfit(fitted) <= min(other.fun, grid) + 1e-12


def test_carbon_that_does_not_fall_is_flagged():
    shares = np.array(
        [
            [0.2, 0.4, 0.6, 0.8, 1.0],  # even
            [0.1, 0.3, 0.5, 0.8, 1.0],  # grows
            [0.5, 0.75, 0.9, 0.97, 1.0],
            [np.nan, np.nan, np.nan, np.nan, 1.0],
            [0.99, 1.0, 1.0, 1.0, 1.0],
            [-0.1, 0.5, 0.7, 0.9, 1.0],
        ]
    )
    beta, flags = fit_beta(DEPTHS, shares)
    assert (flags[:2] & BetaFlag.NOT_FALLING).all()
    assert beta[:2] == pytest.approx(BOUNDS[1])
    assert flags[2] == 0
    assert list(flags[[3, 5]]) == [BetaFlag.UNKNOWN] * 2
    assert np.isnan(beta[[3, 5]]).all()
    assert flags[4] == BetaFlag.AT_BOUND
    assert beta[4] == pytest.approx(BOUNDS[0])


def test_unknown_shares_are_left_out_and_depths_may_differ():
    shares = cumulative_share(0.97, DEPTHS, 100)
    gapped = shares.copy()
    gapped[1:3] = np.nan
    own = np.array([DEPTHS, DEPTHS / 2])
    both, _ = fit_beta(own, np.stack([gapped, cumulative_share(0.98, DEPTHS / 2, 100)]))
    assert both == pytest.approx([0.97, 0.98], abs=1e-12)


def test_one_share_has_one_beta():
    share = np.array([0.15, 0.2, 0.35, 0.9, 1.0])
    beta = beta_of_share(share, 20)
    assert np.isnan(beta[[0, 1, 4]]).all()
    assert cumulative_share(beta[2:4], 20, 100) == pytest.approx(share[2:4], abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([20, 40], np.ones((3, 3))), "do not fit"),
        (([0, 40], np.ones((3, 2))), "above 0"),
        (([20], np.ones((3, 1)), "log"), "expected normalised or raw"),
        (([20], np.ones((3, 1)), "raw", (0.9, 1.0)), "low < high"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        fit_beta(*arguments)


def test_beta_of_one_or_more_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        layer_stock(1, 20, 1.0, 0, 100)
