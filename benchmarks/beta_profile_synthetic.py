"""Made-up profiles of known beta: what each way of fitting makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.models.beta_settings import FIT_DEPTHS
from edaphos.kernels.beta import cumulative_share, fit_beta, layer_stock
from edaphos.kernels.depth import bounded, fit_spline
from edaphos.kernels.depth_means import interval_means

TOTAL_CM = 100.0


def synthetic(plan: Mapping[str, Any]) -> pd.DataFrame:
    """Return bias and RMSE of beta, and of the stock of 0-100 cm from that of 0-20 cm, in per cent.

    One row for each noise, beta and way of fitting.
    """
    found = []
    for n, noise in enumerate(plan["noise"]):
        for b, beta in enumerate(plan["betas"]):
            rng = np.random.default_rng([plan["seed"], n, b])
            made = [profile(rng, beta, noise, plan) for _ in range(plan["profiles"])]
            for name, fitted in fits(made, plan["lambdas"]).items():
                found.append({"noise": noise, "beta": beta, "fit": name, **errors(fitted, beta)})
    return pd.DataFrame(found)


def profile(
    rng: np.random.Generator, beta: float, noise: float, plan: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the layers' boundaries, cm, and carbon by cm of depth, with noise."""
    layers = int(rng.integers(plan["layers"][0], plan["layers"][1] + 1))
    deepest = rng.uniform(*plan["deepest_cm"])
    inner = np.sort(rng.uniform(5, deepest - 5, layers - 1))
    ends = np.concatenate([[0.0], inner, [deepest]])
    if np.diff(ends).min() < 3:  # thinner layers are not sampled
        return profile(rng, beta, noise, plan)
    mass = np.diff(cumulative_share(beta, ends)) / np.diff(ends)
    return ends, mass * rng.lognormal(-(noise**2) / 2, noise, layers)


def fits(made: list[tuple[np.ndarray, np.ndarray]], lambdas: list[float]) -> dict[str, np.ndarray]:
    """Return the beta of each profile by each way of fitting."""
    top = np.concatenate([ends[:-1] for ends, _ in made])
    bottom = np.concatenate([ends[1:] for ends, _ in made])
    value = np.concatenate([density for _, density in made])
    offsets = np.cumsum([0, *(len(density) for _, density in made)])
    upper, lower = np.array(FIT_DEPTHS, float).T
    found = {}
    for lam in lambdas:
        curve = bounded(fit_spline(top, bottom, value, offsets, lam))
        mass = interval_means(curve, upper, lower).value * (lower - upper)
        shares = np.cumsum(mass, axis=1) / mass.sum(axis=1, keepdims=True)
        name = f"spline, λ = {lam:g}"
        found[f"{name}, normalised"] = fit_beta(lower[:-1], shares[:, :-1], "normalised")[0]
        found[f"{name}, raw"] = fit_beta(lower, shares, "raw")[0]
    depths, shares = direct(made)
    found["layers as they are, normalised"] = fit_beta(depths, shares, "normalised")[0]
    return found


def direct(made: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return shares of 0-100 cm above the layers' own ends, NaN where a profile has fewer."""
    most = max(len(density) for _, density in made)
    depths = np.full((len(made), most), TOTAL_CM)
    shares = np.full((len(made), most), np.nan)
    for i, (ends, density) in enumerate(made):
        cut = np.minimum(ends, TOTAL_CM)
        mass = np.cumsum(density * np.diff(cut))
        inner = cut[1:] < TOTAL_CM
        depths[i, : inner.sum()] = cut[1:][inner]
        shares[i, : inner.sum()] = mass[inner] / mass[-1]
    return depths, shares


def errors(fitted: np.ndarray, beta: float) -> dict[str, float]:
    """Return bias and RMSE of beta, and those of X100/X20 in per cent.

    Of the profiles that have a fit; layers as they are give none where the first reaches 100 cm.
    """
    share, fitted = float(np.isfinite(fitted).mean()), fitted[np.isfinite(fitted)]
    ratio = layer_stock(1.0, 20.0, fitted, 0.0, TOTAL_CM) / layer_stock(
        1.0, 20.0, beta, 0.0, TOTAL_CM
    )
    return {
        "fitted": share,
        "bias": float(np.mean(fitted - beta)),
        "rmse": float(np.sqrt(np.mean((fitted - beta) ** 2))),
        "stock_bias": float(100 * np.mean(ratio - 1)),
        "stock_rmse": float(100 * np.sqrt(np.mean((ratio - 1) ** 2))),
    }
