"""The joint likelihood of two parameters, where it is known by algebra."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edaphos.engine.calibrate import Parameter, calibrate
from edaphos.engine.errors import InputError
from edaphos.engine.likelihood_surface import LEVELS, likelihood_surface

X = np.column_stack([np.ones(12), np.linspace(-1, 1, 12)])
BOTH = [Parameter("a", 0.1, 100), Parameter("b", 0.1, 100)]
OBSERVED = X @ [1.0, 0.5] + np.random.default_rng(1).normal(0, 0.3, 12)


def linear(values: Mapping[str, float]) -> np.ndarray:
    """A model that is linear in the logarithms of its parameters."""
    return X @ np.log([values["a"], values["b"]])


@pytest.mark.parametrize("known", [True, False])
def test_a_linear_model_has_ellipses(known: bool) -> None:
    error = np.full(12, 0.3) if known else None
    fit = calibrate(linear, OBSERVED, BOTH, error=error, starts=2, profile_points=7)
    surface = likelihood_surface(linear, OBSERVED, error, fit, points=9)
    best, rest, *_ = np.linalg.lstsq(X, OBSERVED, rcond=None)
    theta = np.stack(np.meshgrid(np.log(surface.x), np.log(surface.y)), axis=-1) - best
    extra = np.einsum("...i,ij,...j", theta, X.T @ X, theta)
    # Twice the loss of log-likelihood, with the error as given or as it fits best.
    wanted = extra / 0.09 if known else 12 * np.log1p(extra / rest[0])
    np.testing.assert_allclose(surface.deviance, wanted, rtol=1e-4, atol=1e-4)
    assert surface.names == ("a", "b")


def test_regions_of_two_parameters_are_those_of_textbooks() -> None:
    error = np.full(12, 0.3)
    fit = calibrate(linear, OBSERVED, BOTH, error=error, starts=1, profile_points=5)
    surface = likelihood_surface(linear, OBSERVED, error, fit, points=3)
    # Chi-squared of two degrees of freedom: exp(-x / 2) is left beyond x.
    np.testing.assert_allclose(np.exp(-np.array(surface.thresholds) / 2), 1 - np.array(LEVELS))
    fit = calibrate(linear, OBSERVED, BOTH, starts=1, profile_points=5)
    surface = likelihood_surface(linear, OBSERVED, None, fit, points=3)
    # F(2, 10) at 95 % is 4.103 in any table of it.
    assert surface.thresholds[1] == pytest.approx(12 * np.log1p(2 * 4.103 / 10), rel=1e-4)


def test_one_parameter_has_no_surface() -> None:
    fit = calibrate(lambda v: v["a"] * np.ones(5), np.arange(1.0, 6), BOTH[:1], starts=1)
    with pytest.raises(InputError, match="needs two fitted parameters, found 1"):
        likelihood_surface(linear, OBSERVED, None, fit)
