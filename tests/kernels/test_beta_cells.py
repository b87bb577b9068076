"""Stocks of layers of uncertain cells: all combinations laid out, and what must add up."""

from __future__ import annotations

import numpy as np

from edaphos.kernels.beta import layer_stock
from edaphos.kernels.beta_cells import layer_stocks

DEPTHS = ((0, 20), (20, 50), (50, 100), (0, 100))


def test_means_and_quantiles_are_those_of_all_combinations():
    rng = np.random.default_rng(1)
    top = np.sort(rng.lognormal(1, 0.6, (7, 10)), axis=1)
    beta = np.sort(rng.uniform(0.95, 0.99, (7, 8)), axis=1)
    mean, quantiles = layer_stocks(top.mean(axis=1), top, beta, 20.0, DEPTHS, (0.05, 0.5, 0.95))
    for cell in range(7):
        for d, (a, b) in enumerate(DEPTHS):
            share = (beta[cell] ** a - beta[cell] ** b) / (1 - beta[cell] ** 20)
            both = np.outer(top[cell], share).ravel()
            np.testing.assert_allclose(mean[d, cell], both.mean(), rtol=1e-12)
            np.testing.assert_allclose(
                quantiles[:, d, cell],
                np.quantile(both, (0.05, 0.5, 0.95), method="hazen"),
                rtol=1e-12,
            )
    np.testing.assert_allclose(mean[:3].sum(axis=0), mean[3], rtol=1e-12)


def test_what_is_sure_has_no_width():
    beta = np.full((1, 10), 0.9786)
    mean, quantiles = layer_stocks(
        np.array([5.0]), np.full((1, 10), 5.0), beta, 20.0, DEPTHS, (0.05, 0.95)
    )
    np.testing.assert_allclose(quantiles[0], quantiles[1], rtol=1e-14)
    np.testing.assert_allclose(mean[3, 0], layer_stock(5.0, 20.0, 0.9786, 0, 100), rtol=1e-12)
    np.testing.assert_allclose(mean[3, 0] / 5.0, 2.520, atol=5e-4)  # the paper's X100/X20
