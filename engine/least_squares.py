"""The misfit of a simulation as a function of parameters on a log scale, and its minimum.

Parameters live on the unit interval: 0 is the logarithm of the lower bound, 1 of the upper. Half
the sum of squared residuals, each over its standard deviation, is what Gaussian errors make of the
likelihood. Its gradient is taken from differences of residuals, which are far more accurate near
the best fit than differences of their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .calibration import Floats, Parameter
from .errors import InputError

Simulate = Callable[[Mapping[str, float]], NDArray[np.floating]]

#: Step of a difference, in natural logarithms of a parameter.
STEP = 1e-4


class Misfit:
    """Residuals, weighted by `error` if there is one, of `simulate` against `observed`."""

    def __init__(
        self,
        simulate: Simulate,
        observed: Floats,
        error: Floats | None,
        parameters: Sequence[Parameter],
    ) -> None:
        self.simulate = simulate
        self.observed = observed
        self.weight = 1.0 if error is None else 1.0 / error
        self.parameters = tuple(parameters)
        self.floor = np.log([p.low for p in parameters])
        self.width = np.log([p.high for p in parameters]) - self.floor

    def values(self, u: Floats) -> dict[str, float]:
        """Return parameters by name, from the unit interval."""
        logs = self.floor + u * self.width
        # Rounding must not carry a value past its bound.
        return {
            p.name: float(np.clip(np.exp(log), p.low, p.high))
            for p, log in zip(self.parameters, logs, strict=True)
        }

    def unit(self, values: Mapping[str, float]) -> Floats:
        """Return the place of named values on the unit interval."""
        logs = np.log([values[p.name] for p in self.parameters])
        return np.clip((logs - self.floor) / self.width, 0, 1)

    def simulated(self, u: Floats) -> Floats:
        """Run the simulation.

        Raises
        ------
        InputError
            If it returns another shape than the observations', or values that are not finite.
        """
        values = self.values(u)
        result = np.asarray(self.simulate(values), np.float64)
        at = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
        if result.shape != self.observed.shape:
            raise InputError(
                f"simulate must return one value for each of the observations, shape "
                f"{self.observed.shape}; found {result.shape} at {at}"
            )
        if not np.isfinite(result).all():
            where = int(np.flatnonzero(~np.isfinite(result.ravel()))[0])
            raise InputError(
                f"simulate returned {result.ravel()[where]} for observation {where} at {at}; "
                "narrow the bounds to where the model is defined"
            )
        return result

    def residuals(self, u: Floats) -> Floats:
        """Return simulated minus observed over the standard deviation, flat."""
        return np.asarray((self.simulated(u) - self.observed) * self.weight).ravel()

    def jacobian(self, u: Floats, free: Sequence[int]) -> Floats:
        """Return derivatives of residuals by the unit-interval parameters `free`, ``(n, k)``."""
        columns = []
        for i in free:
            step = min(STEP / self.width[i], 0.1)
            above, below = u.copy(), u.copy()
            above[i], below[i] = min(u[i] + step, 1.0), max(u[i] - step, 0.0)
            change = self.residuals(above) - self.residuals(below)
            columns.append(change / (above[i] - below[i]))
        return np.stack(columns, axis=1)

    def cost(self, u: Floats) -> float:
        """Return the sum of squared weighted residuals."""
        return float(np.sum(self.residuals(u) ** 2))

    def minimise(self, u: Floats, free: Sequence[int]) -> tuple[Floats, float, bool]:
        """Search from `u` for the least cost, moving only the parameters `free`.

        Bounded L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995), begun again from where it ended with the
        cost as the new unit, since its stopping rules are not free of scale.

        Returns
        -------
        tuple
            Place of the minimum, its cost, and whether the last search converged.
        """
        here, cost, converged = u.copy(), self.cost(u), True
        if not free:
            return here, cost, converged
        for _ in range(6):
            if cost == 0:
                break
            end, lower, converged = self._search(here, cost, free)
            if lower >= cost:
                break
            gain, here, cost = cost - lower, end, lower
            if gain <= 1e-9 * cost:
                break
        return here, cost, converged

    def _search(self, u: Floats, unit: float, free: Sequence[int]) -> tuple[Floats, float, bool]:
        def objective(part: Floats) -> tuple[float, Floats]:
            at = u.copy()
            at[list(free)] = part
            residuals = self.residuals(at)
            slope = self.jacobian(at, free).T @ residuals
            return float(residuals @ residuals) / 2 / unit, slope / unit

        found = minimize(
            objective,
            u[list(free)],
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1.0)] * len(free),
            options={"maxiter": 300, "ftol": 1e-13, "gtol": 1e-9},
        )
        end = u.copy()
        end[list(free)] = np.clip(found.x, 0, 1)
        return end, self.cost(end), bool(found.success)
