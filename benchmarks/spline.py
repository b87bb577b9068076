"""Profiles a second through the mass-preserving spline, beside a package from PyPI and plain NumPy.

From layers to the means of the six depths of GlobalSoilMap: the fit, curves kept at 0 or above, and
their integrals, on one core, all profiles in one call. The package, mpspline, follows R's mpspline2
(fit, and slices of 1 cm) profile by profile; on its terms the two are compared in value as well.

Then the profiles of the world recipe, if the open data lie beside the repository: how many rows
they give at each depth, and the λ that predicts layers left out best.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.profiles.harmonise import choose_lambda, harmonise
from edaphos.engine.profiles.profiles import load_profiles
from edaphos.kernels.depth import bounded, fit_spline
from edaphos.kernels.depth_means import interval_means, slice_means
from edaphos.recipes.job import Overrides, load_job, profile_files, qa_rules
from edaphos.recipes.templates import builtin_path

from .open_data import DATA, has_open_data
from .result import Result
from .soils import best

DEPTHS = [(0, 5), (5, 15), (15, 30), (30, 60), (60, 100), (100, 200)]
UPPER, LOWER = (np.array(ends) for ends in zip(*DEPTHS, strict=True))
LAM = 0.1

Array = NDArray[Any]


@dataclass(frozen=True)
class Layers:
    """Invented profiles of two to eight layers, a quarter of them with a gap above."""

    top: Array
    bottom: Array
    value: Array
    offsets: Array

    @classmethod
    def make(cls, profiles: int) -> Layers:
        """Return so many of them."""
        rng = np.random.default_rng(1)
        number = rng.integers(2, 9, profiles)
        offsets = np.concatenate([[0], np.cumsum(number)])
        n = offsets[-1]
        gap = np.where(rng.random(n) < 0.25, rng.integers(1, 20, n), 0)
        thick = rng.integers(3, 40, n)
        deep = np.cumsum(gap + thick)
        first = np.repeat((deep - gap - thick)[offsets[:-1]], number)
        bottom = (deep - first).astype(float)
        top = bottom - thick
        value = 40 * np.exp(-top / 40) * rng.lognormal(0, 0.4, n)
        return cls(top, bottom, value, offsets)

    def of(self, profile: int) -> tuple[Array, Array, Array]:
        """Return top, bottom and value of one profile."""
        own = slice(self.offsets[profile], self.offsets[profile + 1])
        return self.top[own], self.bottom[own], self.value[own]

    def means(self) -> Array:
        """Return means over the depths, by integration."""
        curve = fit_spline(self.top, self.bottom, self.value, self.offsets, LAM)
        return interval_means(bounded(curve), UPPER, LOWER).value

    def sliced(self) -> Array:
        """Return means over the depths, by slices."""
        curve = fit_spline(self.top, self.bottom, self.value, self.offsets, LAM)
        return slice_means(curve, UPPER, LOWER)


def measure(*, small: bool) -> Iterator[Result]:
    """Yield the rate over that of the package, then over plain NumPy."""
    layers = Layers.make(20_000 if small else 100_000)
    profiles = len(layers.offsets) - 1
    seconds = best(layers.means, 5)
    rate = profiles / seconds
    few = 300 if small else 5_000
    expected = layers.sliced()[:few]
    details = {
        "profiles": profiles,
        "layers": len(layers.top),
        "seconds": round(seconds, 4),
        "slices_too_seconds": round(best(layers.sliced, 5), 4),
    }
    for peer, means in (("mpspline 0.2.0", _package), ("plain NumPy", _plain)):
        run = means(layers, few)
        if run is None:
            continue
        started = time.perf_counter()
        found = run()
        theirs = few / (time.perf_counter() - started)
        if not np.array_equal(np.isnan(found), np.isnan(expected)):
            raise RuntimeError(f"{peer} has means at other depths")
        differ = float(np.nanmax(np.abs(found - expected) / np.maximum(np.abs(expected), 1e-9)))
        yield Result(
            name="spline",
            value=round(rate),
            unit="profiles/s",
            peer=f"{peer}, one by one",
            ratio=round(rate / theirs),
            details={
                **details,
                "peer_profiles_s": round(theirs),
                "peer_profiles": few,
                "largest_relative_difference_by_slices": differ,
            },
        )
    yield from _real()


def _real() -> Iterator[Result]:
    """Yield what the world recipe's profiles become at the six depths."""
    if not has_open_data("spline"):
        return
    table = load_job(builtin_path("world"), Overrides(data=DATA)).recipe.profiles
    assert table is not None  # the built-in recipe has one
    layers = load_profiles(profile_files(table, DATA), qa_rules(table)).table
    report = harmonise(layers, DEPTHS)[1]
    chosen = choose_lambda(layers)
    yield Result(
        name="spline-profiles",
        value=report.rows,
        unit="rows at depths",
        peer="the layers they come from",
        ratio=round(report.rows / report.layers, 3),
        details={
            "layers": report.layers,
            "profiles_at_a_date": report.profiles,
            "rows_by_depth": {f"{d.top_cm:g}-{d.bottom_cm:g}": d.rows for d in report.depths},
            "partly_sampled": report.count("partly_sampled"),
            "one_layer": report.count("one_layer"),
            "limited": report.count("limited"),
            "clipped": report.count("clipped"),
            "moved_median": round(report.moved_median, 4),
            "moved_p95": round(report.moved_p95, 3),
            "seconds_four_properties": round(best(lambda: harmonise(layers, DEPTHS), 3), 2),
            "lambda_left_out": chosen.lam,
            "left_out_errors": {f"{k:g}": round(v, 4) for k, v in chosen.errors.items()},
        },
    )


def _package(layers: Layers, few: int) -> Callable[[], Array] | None:
    """Return a call that takes some profiles through mpspline, if it is installed."""
    try:
        from mpspline import spline_multiple
    except ImportError:
        sys.stderr.write('spline: no mpspline to compare with; pip install "edaphos[bench]"\n')
        return None
    end = layers.offsets[few]
    number = np.repeat(np.arange(few), np.diff(layers.offsets[: few + 1]))
    columns = {"UD": layers.top[:end], "LD": layers.bottom[:end], "soc": layers.value[:end]}
    table = pd.DataFrame({"SID": number, **columns})

    def run() -> Array:
        found = spline_multiple(table, "soc", lam=LAM, target_depths=DEPTHS)
        return np.array([found[str(profile)]["est_dcm"] for profile in range(few)])

    return run


def _plain(layers: Layers, few: int) -> Callable[[], Array]:
    """Return a call that takes some profiles through the matrices as the paper prints them."""
    return lambda: np.array([_plain_one(*layers.of(profile)) for profile in range(few)])


def _plain_one(top: Array, bottom: Array, value: Array) -> Array:
    n, thick, gap = len(top), bottom - top, top[1:] - bottom[:-1]
    r = np.diag(2 * (thick[:-1] + thick[1:]) + 6 * gap)
    r += np.diag(thick[1:-1], 1) + np.diag(thick[1:-1], -1)
    q = np.eye(n - 1, n, 1) - np.eye(n - 1, n)
    s = np.linalg.solve(np.eye(n) + 6 * n * LAM * q.T @ np.linalg.solve(r, q), value)
    b = 6 * np.linalg.solve(r, q @ s)
    b0, b1 = np.append(0, b), np.append(b, 0)
    gamma = (b1 - b0) / (2 * thick)
    alfa = s - b0 * thick / 2 - gamma * thick**2 / 3
    depth = np.arange(LOWER[-1])
    i = np.clip(np.searchsorted(top, depth, side="right") - 1, 0, None)
    d = np.minimum(depth, bottom[i]) - top[i]
    slices = alfa[i] + b0[i] * d + gamma[i] * d**2 + b1[i] * np.maximum(depth - bottom[i], 0)
    slices = np.clip(slices, 0, 1000)
    inside = (depth >= top[0]) & (depth < bottom[-1])
    means = np.full(len(UPPER), np.nan)
    for t, (upper, lower) in enumerate(DEPTHS):
        if inside[upper:lower].any():
            means[t] = slices[upper:lower][inside[upper:lower]].mean()
    return means
