"""The likelihood over two parameters at once, to see how they stand in for each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .calibration import Calibration, Estimate, Floats
from .errors import InputError
from .least_squares import Misfit, Simulate
from .likelihood import Likelihood
from .progress import QUIET, Reporter

#: Shares of the likelihood that regions are drawn of.
LEVELS = (0.5, 0.95, 0.99)


@dataclass(frozen=True, eq=False)
class Surface:
    """Twice the loss of log-likelihood over a grid of two parameters.

    Attributes
    ----------
    names
        Of the parameters along `x` and along `y`.
    x, y
        Values of them, ``(n,)`` each, evenly spaced in their logarithms.
    deviance
        ``(n, n)``, rows along `y`; against the best fit.
    thresholds
        Deviance that bounds the joint region of each of :data:`LEVELS`.
    """

    names: tuple[str, str]
    x: Floats
    y: Floats
    deviance: Floats
    thresholds: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "names": list(self.names),
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "deviance": self.deviance.tolist(),
            "thresholds": dict(zip(map(str, LEVELS), self.thresholds, strict=True)),
        }


def likelihood_surface(
    simulate: Simulate,
    observed: Floats,
    error: Floats | None,
    calibration: Calibration,
    *,
    points: int = 41,
    reporter: Reporter = QUIET,
) -> Surface:
    """Return the likelihood around the best fit, as far as the profiles of both reach.

    Parameters
    ----------
    simulate, observed, error
        As the calibration had them.
    calibration
        Of exactly two parameters.
    points
        Along each side.
    reporter
        Where progress goes.
    """
    if len(calibration.estimates) != 2:
        found = len(calibration.estimates)
        raise InputError(f"a surface of the likelihood needs two fitted parameters, found {found}")
    first, second = calibration.estimates
    misfit = Misfit(simulate, observed, error, (first.parameter, second.parameter))
    likelihood = Likelihood(observed, error, 2)
    best = misfit.cost(misfit.unit(calibration.values))
    x, y = _axis(first, points), _axis(second, points)
    deviance = np.empty((points, points))
    with reporter.task("surface", points) as task:
        for j, row in enumerate(y):
            for i, column in enumerate(x):
                at = misfit.unit({first.name: float(column), second.name: float(row)})
                deviance[j, i] = likelihood.deviance(misfit.cost(at), best)
            task.advance()
    thresholds = tuple(likelihood.threshold(level, together=2) for level in LEVELS)
    return Surface((first.name, second.name), x, y, deviance, thresholds)


def _axis(estimate: Estimate, points: int) -> Floats:
    # A joint region reaches beyond the interval of each; the bounds of the search end it.
    low, high = np.log([estimate.profile[0][0], estimate.profile[-1][0]])
    floor, roof = np.log([estimate.parameter.low, estimate.parameter.high])
    more = 0.15 * (high - low)
    return np.exp(np.linspace(max(low - more, floor), min(high + more, roof), points))
