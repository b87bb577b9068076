"""What a calibration found: best values, their intervals, and whether the data can tell them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """A positive number to be fitted, searched between `low` and `high` on a log scale.

    `start` is where the first search begins; the geometric middle by default.
    """

    name: str
    low: float
    high: float
    start: float | None = None


@dataclass(frozen=True)
class Estimate:
    """One fitted parameter.

    Attributes
    ----------
    low, high
        Approximate 95 % interval from the profile likelihood; at the bounds of the search where
        the data do not close it (:attr:`open_low`, :attr:`open_high`).
    leaning
        Whether an end of the interval lies where another parameter had met its own bound, so that
        wider bounds would widen it.
    profile
        Pairs of (value, deviance): twice the loss of log-likelihood where the parameter is held at
        `value` and all others are fitted anew. 0 at the best value.
    """

    parameter: Parameter
    value: float
    low: float
    high: float
    open_low: bool
    open_high: bool
    leaning: bool
    profile: tuple[tuple[float, float], ...]

    @property
    def name(self) -> str:
        """Name of the parameter."""
        return self.parameter.name


@dataclass(frozen=True)
class Start:
    """One search: where it began, where it ended, how well that fits, and whether it converged."""

    begin: dict[str, float]
    values: dict[str, float]
    rmse: float
    converged: bool


@dataclass(frozen=True)
class Calibration:
    """A fit of named parameters to observations, with a Gaussian likelihood.

    Attributes
    ----------
    estimates
        One for each parameter, in the order given.
    n
        Number of observations.
    rmse, bias
        Root mean square, and mean, of simulated minus observed, in the observations' units.
    log_likelihood
        Of independent Gaussian errors with the `error` given, or with the variance that fits best.
    error_given
        Whether the standard deviation of observations was given rather than estimated.
    correlation
        Of the logarithms of the parameters, from the curvature of the likelihood at the best.
    condition
        Ratio of the largest to the least curvature; infinite where a direction is flat.
    starts
        Every search, the best first.
    simulated
        At the best values, in the order of the observations.
    identifiable
        Whether the observations determine every parameter by itself.
    warnings
        Why they do not, or what else to know before reading the values one by one.
    """

    estimates: tuple[Estimate, ...]
    n: int
    rmse: float
    bias: float
    log_likelihood: float
    error_given: bool
    correlation: Floats
    condition: float
    starts: tuple[Start, ...]
    simulated: Floats
    identifiable: bool
    warnings: tuple[str, ...]

    @property
    def values(self) -> dict[str, float]:
        """The best value of each parameter."""
        return {estimate.name: estimate.value for estimate in self.estimates}

    def __getitem__(self, name: str) -> Estimate:
        """Return the estimate of one parameter."""
        return next(estimate for estimate in self.estimates if estimate.name == name)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and texts, fit for ``json.dumps``."""
        return {
            "likelihood": _likelihood(self.error_given),
            "identifiable": self.identifiable,
            "warnings": list(self.warnings),
            "n": self.n,
            "rmse": self.rmse,
            "bias": self.bias,
            "log_likelihood": self.log_likelihood,
            "condition": self.condition if np.isfinite(self.condition) else None,
            "parameters": [_estimate_json(estimate) for estimate in self.estimates],
            "correlation_of_logs": self.correlation.tolist(),
            "starts": [
                {"begin": s.begin, "end": s.values, "rmse": s.rmse, "converged": s.converged}
                for s in self.starts
            ],
            "simulated": self.simulated.tolist(),
        }

    def to_text(self) -> str:
        """Return a report for people."""
        width = max(9, *(len(estimate.name) for estimate in self.estimates))
        lines = [
            f"{self.n} observations, {len(self.estimates)} parameters; "
            f"RMSE {self.rmse:.4g}, bias {self.bias:+.4g}, "
            f"log-likelihood {self.log_likelihood:.4g} ({_likelihood(self.error_given)})",
            "",
            f"{'parameter':<{width}} {'best':>11} {'95 % interval':>27} {'searched':>27}",
        ]
        lines += [_estimate_line(estimate, width) for estimate in self.estimates]
        lines += _correlation_lines(self.estimates, self.correlation)
        lines += ["", _starts_line(self.starts)]
        if self.warnings:
            unknown = "NOT IDENTIFIABLE: do not read these values one by one."
            lines += ["", "Note:" if self.identifiable else unknown]
            lines += [f"- {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _likelihood(error_given: bool) -> str:
    given = "as given" if error_given else "estimated"
    return f"independent Gaussian errors, standard deviation {given}"


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "name": estimate.name,
        "value": estimate.value,
        "interval_95": [estimate.low, estimate.high],
        "open": [estimate.open_low, estimate.open_high],
        "searched": [estimate.parameter.low, estimate.parameter.high],
        "profile": [list(point) for point in estimate.profile],
    }


def _estimate_line(estimate: Estimate, width: int) -> str:
    low = f"{'<= ' if estimate.open_low else ''}{estimate.low:.4g}"
    high = f"{'>= ' if estimate.open_high else ''}{estimate.high:.4g}"
    searched = f"{estimate.parameter.low:.4g} to {estimate.parameter.high:.4g}"
    interval = f"{low} to {high}"
    return f"{estimate.name:<{width}} {estimate.value:>11.5g} {interval:>27} {searched:>27}"


def _correlation_lines(estimates: tuple[Estimate, ...], correlation: Floats) -> list[str]:
    pairs = [
        f"{a.name} and {b.name} {correlation[i, j]:+.3f}"
        for i, a in enumerate(estimates)
        for j, b in enumerate(estimates)
        if j > i
    ]
    return ["", f"correlation of logarithms: {', '.join(pairs)}"] if pairs else []


def _starts_line(starts: tuple[Start, ...]) -> str:
    # The same to three digits in RMSE is the same fit for any use of it.
    best = sum(start.rmse <= starts[0].rmse * 1.001 + 1e-12 for start in starts)
    worst = max(start.rmse for start in starts)
    return f"{best} of {len(starts)} searches ended at the best fit; the worst at RMSE {worst:.4g}"
