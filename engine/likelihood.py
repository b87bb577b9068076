"""The likelihood of Gaussian errors, from a sum of squares."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2, f

from .calibration import Floats

#: Errors below this share of the observations' size are rounding, not misfit.
ROUNDING = 1e-7


class Likelihood:
    """Independent Gaussian errors, of given standard deviation or of one that is estimated.

    Parameters
    ----------
    observed
        Measurements.
    error
        Their standard deviations; None to estimate one for all.
    parameters
        How many are fitted.
    """

    def __init__(self, observed: Floats, error: Floats | None, parameters: int) -> None:
        self.n = observed.size
        self.error_given = error is not None
        self._freedom = self.n - parameters
        self._log_error = 0.0 if error is None else float(np.sum(np.log(error)))
        size = observed if error is None else observed / error
        self._least = max(float(np.sum(size**2)), np.finfo(float).tiny) * ROUNDING**2

    def log_likelihood(self, cost: float) -> float:
        """Return the log-likelihood at a sum of squares (of residuals over `error`, if given)."""
        constant = self.n / 2 * np.log(2 * np.pi)
        if self.error_given:
            return float(-cost / 2 - self._log_error - constant)
        variance = max(cost, self._least) / self.n
        return float(-self.n / 2 * (np.log(variance) + 1) - constant)

    def deviance(self, cost: float, best: float) -> float:
        """Return twice the loss of log-likelihood against the best sum of squares."""
        if self.error_given:
            return cost - best
        return float(self.n * np.log(max(cost, self._least) / max(best, self._least)))

    def threshold(self, level: float = 0.95, together: int = 1) -> float:
        """Return the deviance that bounds an interval of one parameter, or a region of several.

        The chi-squared quantile where the error is known. Where it is estimated, the quantile of F
        in its place makes the interval of a linear model exact (Student's t) at any number of
        observations (Seber & Wild 1989, *Nonlinear Regression*, section 5.2).
        """
        if self.error_given:
            return float(chi2.ppf(level, together))
        share = together * f.ppf(level, together, self._freedom) / self._freedom
        return float(self.n * np.log1p(share))

    def spread(self, cost: float) -> float:
        """Return the standard deviation that residuals are to be taken by: 1 if it was given."""
        return 1.0 if self.error_given else float(np.sqrt(max(cost, self._least) / self._freedom))
