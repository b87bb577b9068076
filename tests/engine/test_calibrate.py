"""Fits against scipy's curve_fit and exact intervals, coverage, and what cannot be identified."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.optimize import curve_fit
from scipy.stats import norm, t

from edaphos.engine.calibrate import Parameter, calibrate
from edaphos.engine.errors import InputError
from edaphos.engine.progress import Reporter

X = np.linspace(0, 10, 40)
TRUTH = {"a": 30.0, "k": 0.3}
A, K = Parameter("a", 1, 1000), Parameter("k", 1e-3, 10)


def decay(values) -> np.ndarray:
    return values["a"] * np.exp(-values["k"] * X)


def noisy(seed: int, sd: float = 0.5) -> np.ndarray:
    return decay(TRUTH) + np.random.default_rng(seed).normal(0, sd, X.size)


def test_equals_curve_fit_where_the_problem_is_well_posed() -> None:
    observed = noisy(1)
    fit = calibrate(decay, observed, [A, K])
    best, covariance = curve_fit(lambda x, a, k: a * np.exp(-k * x), X, observed, [20, 0.1])
    sd = np.sqrt(np.diag(covariance))
    reach = t.ppf(0.975, X.size - 2) * sd
    np.testing.assert_allclose(list(fit.values.values()), best, rtol=1e-6)
    # The profile is not quite symmetric; curve_fit's interval is by construction.
    for estimate, centre, half in zip(fit.estimates, best, reach, strict=True):
        assert estimate.low == pytest.approx(centre - half, abs=0.03 * half)
        assert estimate.high == pytest.approx(centre + half, abs=0.03 * half)
    assert fit.correlation[0, 1] == pytest.approx(covariance[0, 1] / sd[0] / sd[1], abs=1e-4)
    assert fit.identifiable
    assert fit.rmse == pytest.approx(np.sqrt(np.mean((decay(fit.values) - observed) ** 2)))
    assert fit.bias == pytest.approx(np.mean(decay(fit.values) - observed))
    assert fit.n == 40


@pytest.mark.parametrize("error", [None, 0.7])
def test_interval_of_a_linear_model_is_exact(error: float | None) -> None:
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.1, 4.2, 5.8, 8.3, 9.7])
    fit = calibrate(lambda p: p["slope"] * x, y, [Parameter("slope", 0.1, 50)], error=error)
    slope = x @ y / (x @ x)
    rest = y - slope * x
    sd = np.sqrt(rest @ rest / 4) if error is None else error
    reach = (t.ppf(0.975, 4) if error is None else norm.ppf(0.975)) * sd / np.sqrt(x @ x)
    assert fit["slope"].value == pytest.approx(slope, rel=1e-8)
    assert fit["slope"].low == pytest.approx(slope - reach, abs=0.01 * reach)
    assert fit["slope"].high == pytest.approx(slope + reach, abs=0.01 * reach)
    scale = np.sqrt(rest @ rest / 5) if error is None else error
    assert fit.log_likelihood == pytest.approx(norm.logpdf(rest, scale=scale).sum())


@settings(max_examples=15)
@given(st.floats(2, 500), st.floats(0.05, 1.0), st.integers(0, 5))
def test_recovers_the_truth_without_noise(a: float, k: float, seed: int) -> None:
    truth = {"a": a, "k": k}
    fit = calibrate(decay, decay(truth), [A, K], starts=4, seed=seed, profile_points=5)
    assert fit.values == pytest.approx(truth, rel=1e-5)
    assert fit.identifiable
    assert np.isfinite(fit.log_likelihood)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    inside = np.zeros(2)
    for seed in range(80):
        fit = calibrate(decay, noisy(seed, 3.0), [A, K], starts=1, profile_points=7)
        inside += [e.low <= TRUTH[e.name] <= e.high for e in fit.estimates]
    # Binomial, 80 trials at 0.95: 70 to 80 has 99 %.
    assert (inside >= 70).all()


def test_profile_is_convex_about_the_best_and_reaches_the_threshold() -> None:
    profile = calibrate(decay, noisy(2), [A, K])["a"].profile
    values, deviance = np.array(profile).T
    best = int(np.argmin(deviance))
    assert deviance[best] == 0
    assert (np.diff(values) > 0).all()
    assert (np.diff(deviance[: best + 1]) < 0).all()
    assert (np.diff(deviance[best:]) > 0).all()
    assert min(deviance[0], deviance[-1]) > 3.84


def test_a_product_is_warned_of() -> None:
    def product(values):
        return decay({"a": values["a"] * values["b"], "k": values["k"]})

    fit = calibrate(product, noisy(3), [A, Parameter("b", 1e-2, 100), K])
    assert not fit.identifiable
    text = "\n".join(fit.warnings)
    assert "a and b cannot be told apart" in text
    assert "their product" in text
    assert fit.correlation[0, 1] == pytest.approx(-1, abs=1e-6)
    assert fit.condition > 1e8
    assert fit.values["a"] * fit.values["b"] == pytest.approx(30, rel=0.05)
    assert not fit["k"].open_low
    assert not fit["k"].open_high
    assert "NOT IDENTIFIABLE" in fit.to_text()


def test_a_ratio_is_warned_of() -> None:
    """Michaelis-Menten at one concentration fixes no more than v / (km + c)."""
    fit = calibrate(
        lambda p: decay({"a": 60 * p["v"] * 2 / (p["km"] + 2), "k": 0.3}),
        noisy(3),
        [Parameter("v", 1e-2, 100), Parameter("km", 1e-3, 1000)],
    )
    assert not fit.identifiable
    assert "v and km cannot be told apart" in "\n".join(fit.warnings)
    assert "ratio" in "\n".join(fit.warnings)


def test_a_strong_but_resolved_correlation_is_only_noted() -> None:
    """Far from the axis, the height and slope of a line correlate, and both are known."""
    x = np.linspace(3, 7, 40)
    y = 30 + 10 * x + np.random.default_rng(1).normal(0, 0.02, x.size)
    bounds = [Parameter("height", 1, 1000), Parameter("slope", 0.1, 100)]
    fit = calibrate(lambda p: p["height"] + p["slope"] * x, y, bounds, starts=3)
    assert -0.99 < fit.correlation[0, 1] < -0.95
    assert fit.identifiable
    assert any("height and slope go together" in warning for warning in fit.warnings)
    assert "Note:" in fit.to_text()


def test_no_effect_and_optimum_on_a_bound_are_warned_of() -> None:
    idle = calibrate(decay, noisy(4), [A, K, Parameter("idle", 1, 2)], starts=2)
    assert "idle has no effect on what was observed" in idle.warnings
    bound = calibrate(decay, noisy(4), [Parameter("a", 40, 100), K], starts=2)
    assert any("best a lies on its lower bound, 40" in warning for warning in bound.warnings)
    assert bound["a"].open_low
    assert bound["a"].value >= 40


def test_many_starts_find_the_best_of_two_valleys() -> None:
    def two_valleys(values):
        place = np.log(values["p"])
        return np.array([(place**2 - 4) * 3, 0.4 * place, 0.0])

    observed = np.array([0.0, 0.8, 0.0])  # place 2 fits; place -2 only nearly
    p = Parameter("p", 1e-2, 1e2, start=0.12)
    alone = calibrate(two_valleys, observed, [p], error=0.1, starts=1)
    fit = calibrate(two_valleys, observed, [p], error=0.1, starts=8)
    assert fit.values["p"] == pytest.approx(np.exp(2), rel=1e-6)
    assert alone.starts[0].values["p"] < 1
    rmses = [start.rmse for start in fit.starts]
    assert rmses == sorted(rmses)
    assert rmses[-1] > rmses[0] + 0.1
    assert {round(start.begin["p"], 9) for start in fit.starts} >= {0.12}


def test_the_seed_decides_everything() -> None:
    one, two = (calibrate(decay, noisy(5), [A, K], starts=3, seed=7) for _ in range(2))
    assert one.to_json() == two.to_json()
    other = calibrate(decay, noisy(5), [A, K], starts=3, seed=8)
    assert other.starts[0].begin != one.starts[0].begin or other.starts[1:] != one.starts[1:]
    assert other.values == pytest.approx(one.values, rel=1e-5)


def test_values_stay_within_bounds() -> None:
    seen = []

    def watched(values):
        seen.append((values["a"], values["k"]))
        return decay(values)

    calibrate(watched, noisy(6), [Parameter("a", 29, 31), Parameter("k", 0.29, 0.3)], starts=3)
    a, k = np.array(seen).T
    assert a.min() >= 29
    assert a.max() <= 31
    assert k.min() >= 0.29
    assert k.max() <= 0.3


def test_reports() -> None:
    reporter = Reporter()
    reporter.console = Console(file=io.StringIO(), width=100)
    fit = calibrate(decay, noisy(1).reshape(8, 5).ravel(), [A, K], starts=3, reporter=reporter)
    assert "searches: 3/3" in reporter.console.file.getvalue()
    table = json.loads(json.dumps(fit.to_json(), allow_nan=False))
    assert table["identifiable"] is True
    assert [p["name"] for p in table["parameters"]] == ["a", "k"]
    low, high = table["parameters"][0]["interval_95"]
    assert low < table["parameters"][0]["value"] < high
    assert "Gaussian" in table["likelihood"]
    assert len(table["starts"]) == 3
    text = fit.to_text()
    assert "40 observations, 2 parameters; RMSE" in text
    assert "3 of 3 searches ended at the best fit" in text


def test_observations_of_any_shape() -> None:
    observed = noisy(1).reshape(8, 5)
    fit = calibrate(lambda p: decay(p).reshape(8, 5), observed, [A, K], starts=2)
    assert fit.values == pytest.approx(calibrate(decay, noisy(1), [A, K], starts=2).values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observed": []}, "no observations"),
        ({"observed": [1.0, 2.0]}, "need at least 3 observations, found 2"),
        ({"observed": np.r_[np.ones(39), np.nan]}, "observation 39 is nan"),
        ({"parameters": []}, "no parameters"),
        ({"parameters": [A, A]}, "repeated: .'a'."),
        ({"parameters": [A, Parameter("k", 2, 1)]}, "parameter k: bounds must be positive"),
        ({"parameters": [A, Parameter("k", 0, 1)]}, "found 0 to 1"),
        ({"parameters": [A, Parameter("k", 1, np.inf)]}, "parameter k"),
        ({"parameters": [A, Parameter("k", 1, 2, 5)]}, "start 5 lies outside its bounds 1 to 2"),
        ({"error": 0.0}, "positive standard deviation"),
        ({"starts": 0}, "starts must be at least 1"),
        ({"simulate": lambda p: np.ones(3)}, r"shape \(40,\); found \(3,\) at a = "),
        ({"simulate": lambda p: np.full(40, np.nan)}, "returned nan for observation 0 at a = "),
    ],
)
def test_bad_input_is_refused(change: dict, message: str) -> None:
    given = {"simulate": decay, "observed": noisy(1), "parameters": [A, K]} | change
    simulate, observed, parameters = (
        given.pop(key) for key in ("simulate", "observed", "parameters")
    )
    with pytest.raises(InputError, match=message):
        calibrate(simulate, observed, parameters, **given)
