"""Parameters of a process model fitted to the stocks of many sites, and drawn from what is left.

The fit is that of :mod:`edaphos.engine.calibrate`, with its intervals and its word on whether
parameters can be told apart. Draws do not rest on the curvature at the best alone, as two
parameters may act as one over their whole range: the parameter that is known least is drawn from
its profile likelihood, the others from their normal approximation given it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from ..calibrate import calibrate
from ..calibration import Calibration, Parameter
from ..least_squares import Misfit, Simulate
from ..likelihood import Likelihood
from .site_years import Floats

#: What a fit makes of errors of the stocks that simulations start from.
StartErrors = Literal["ignored", "regressed"]

#: Sites with a later date than their first, below which nothing is calibrated.
LEAST_SITES = 5
#: Searches, and points on the profile of each parameter.
STARTS, PROFILE_POINTS = 3, 5
#: Places on either side of the best at which the others are fitted anew, for draws.
PLACES = 8
#: How far beyond its 95 % interval the parameter known least is drawn.
REACH = 1.7
#: Draws kept with a fitted model.
KEPT = 256


@dataclass(frozen=True)
class Revisits:
    """The stocks that a process model is fitted to: all of a site but its first.

    Parameters
    ----------
    sites
        Positions of the sites with two or more dates, ``(n,)``.
    first
        Position of each one's first year, ``(n,)``.
    start
        Its stock then, ``(n,)`` kg/m².
    later
        Which of their years count, ``(n, Y)``.
    observed
        Stocks in those, in the order of `later`, ``(k,)`` kg/m².
    """

    sites: NDArray[np.intp]
    first: NDArray[np.int64]
    start: Floats
    later: NDArray[np.bool_]
    observed: Floats

    @property
    def last(self) -> int:
        """Position of the last year that counts."""
        return int(np.flatnonzero(self.later.any(axis=0)).max(initial=0))

    def where(self, simulated: Floats) -> Revisits:
        """Return the sites that a model could carry to all their dates, from its ``(n, Y)``."""
        kept = np.asarray((np.isfinite(simulated) | ~self.later).all(axis=1))
        row = np.nonzero(self.later)[0]
        return Revisits(
            self.sites[kept],
            self.first[kept],
            self.start[kept],
            self.later[kept],
            self.observed[kept[row]],
        )

    def regressed(self, simulated: Floats) -> Floats:
        """Return simulated stocks ``(k,)`` less what errors of the starts make of them.

        A site that was measured too high by chance is lower the next time, which a model whose
        rates depend on the stock would take for decomposition. So a term linear in the start stock
        (about its mean) is fitted to what is left between simulated and observed, and added: the
        parameters then follow from the mean change, and from what does not go with the start.
        """
        about = (self.start - self.start.mean())[np.nonzero(self.later)[0]]
        size = float(about @ about)
        slope = float(about @ (self.observed - simulated)) / size if size > 0 else 0.0
        return np.asarray(simulated + slope * about)

    @property
    def too_few(self) -> dict[str, Any] | None:
        """What a report says where there is too little to calibrate by, else None."""
        if len(self.sites) >= LEAST_SITES:
            return None
        note = (
            f"nothing was calibrated: {len(self.sites)} sites have two dates or more and all that "
            f"drives the model, and {LEAST_SITES} are needed"
        )
        return {"sites": len(self.sites), "note": note}


def revisits(stock: Floats) -> Revisits:
    """Return what stocks ``(S, Y)``, NaN where not observed, give a fit to go by."""
    sampled: NDArray[np.bool_] = np.isfinite(stock)
    sites = np.flatnonzero(sampled.sum(axis=1) >= 2)
    later = sampled[sites]
    first = later.argmax(axis=1)
    later[np.arange(len(sites)), first] = False
    observed = stock[sites][later]
    return Revisits(sites, first, stock[sites, first], later, observed)


@dataclass(frozen=True)
class Fit:
    """What was fitted.

    Parameters
    ----------
    values
        The best, by name.
    spread
        Equally likely values, one row a draw, columns in the order of `values`.
    report
        The calibration, fit for ``json.dumps``.
    """

    values: dict[str, float]
    spread: tuple[tuple[float, ...], ...]
    report: dict[str, Any]


def fit(
    simulate: Simulate,
    found: Revisits,
    parameters: Sequence[Parameter],
    start_errors: StartErrors,
    seed: int = 0,
) -> Fit:
    """Fit parameters to the stocks of `found`; see :func:`~edaphos.engine.calibrate.calibrate`.

    All later stocks of a site share the error of its first, from which they were simulated. So for
    the draws (not for the intervals in the report) a site counts as one observation.

    Parameters
    ----------
    simulate
        Takes parameters by name and returns what is simulated for ``found.observed``.
    found
        What to fit to.
    parameters
        What to fit.
    start_errors
        ``regressed``: see :meth:`Revisits.regressed`; ``ignored``: starts count as free of error.
    seed
        Of the searches' beginnings and of the draws.
    """
    if start_errors == "regressed":
        plain = simulate

        def simulate(values: Mapping[str, float]) -> Floats:
            return found.regressed(np.asarray(plain(values), np.float64))

    calibration = calibrate(
        simulate,
        found.observed,
        parameters,
        starts=STARTS,
        seed=seed,
        profile_points=PROFILE_POINTS,
    )
    misfit = Misfit(simulate, found.observed, None, parameters)
    with threadpool_limits(1, user_api="blas"):
        spread = _draws(misfit, calibration, len(found.sites) / found.observed.size, seed)
    told = {k: v for k, v in calibration.to_json().items() if k not in ("simulated", "starts")}
    report = {"sites": len(found.sites), "start_errors": start_errors, **told}
    return Fit(calibration.values, spread, report)


def _draws(
    misfit: Misfit, calibration: Calibration, weight: float, seed: int
) -> tuple[tuple[float, ...], ...]:
    """Return values drawn from the likelihood to the power `weight`, flat in the logarithms."""
    likelihood = Likelihood(misfit.observed, None, len(misfit.parameters))
    best = misfit.unit(calibration.values)
    lows = misfit.unit({e.name: e.low for e in calibration.estimates})
    highs = misfit.unit({e.name: e.high for e in calibration.estimates})
    least_known = int(np.argmax((highs - lows) * misfit.width))
    reach = REACH / np.sqrt(weight)
    low = max(best[least_known] - reach * (best[least_known] - lows[least_known]), 0.0)
    high = min(best[least_known] + reach * (highs[least_known] - best[least_known]), 1.0)
    others = [j for j in range(len(best)) if j != least_known]
    path = _path(misfit, best, least_known, others, low, high)

    costs = np.array([cost for _, cost, _ in path])
    sigma = likelihood.spread(float(costs.min())) / np.sqrt(weight)
    roots = np.array([root * sigma for _, _, root in path]).reshape(
        len(path), len(others), len(others)
    )
    # where a parameter has no effect, anything within its bounds will do
    roots = np.clip(roots, -0.5, 0.5)
    deviance = np.array([likelihood.deviance(c, float(costs.min())) for c in costs])
    density = -0.5 * weight * deviance + np.linalg.slogdet(roots)[1]

    places = np.array([at[least_known] for at, _, _ in path])
    fine = np.linspace(places[0], places[-1], 801)
    likely = np.interp(fine, places, density)
    mass = np.concatenate([[0.0], np.cumsum(np.exp(likely - likely.max()))[:-1]])
    rng = np.random.default_rng([seed, 1])
    # one draw from each of as many equally likely parts
    share = (rng.permutation(KEPT) + rng.random(KEPT)) / KEPT
    drawn = np.empty((KEPT, len(best)))
    drawn[:, least_known] = np.interp(share * mass[-1], mass, fine)
    scores = rng.standard_normal((KEPT, len(others)))
    for row, j in enumerate(others):
        middle = np.interp(drawn[:, least_known], places, [at[j] for at, _, _ in path])
        for column in range(len(others)):
            size = np.interp(drawn[:, least_known], places, roots[:, row, column])
            middle = middle + size * scores[:, column]
        drawn[:, j] = middle
    named = (misfit.values(np.clip(u, 0, 1)) for u in drawn)
    return tuple(tuple(values.values()) for values in named)


def _path(
    misfit: Misfit, best: Floats, held: int, others: list[int], low: float, high: float
) -> list[tuple[Floats, float, Floats]]:
    """Return the best others at places of the one held: where, cost, root of their covariance."""
    below = np.linspace(best[held], low, PLACES + 1)[1:]
    above = np.linspace(best[held], high, PLACES + 1)[1:]
    path = [_refit(misfit, best, held, others, best[held])]
    for side, to_end in ((below, False), (above, True)):
        near = path[PLACES if to_end and len(path) > 1 else 0][0]
        for place in side:
            point = _refit(misfit, near, held, others, place)
            near = point[0]
            path.append(point) if to_end else path.insert(0, point)
    return path


def _refit(
    misfit: Misfit, near: Floats, held: int, others: list[int], place: float
) -> tuple[Floats, float, Floats]:
    at = near.copy()
    at[held] = place
    if not others:
        return at, misfit.cost(at), np.empty((0, 0))

    def everything(part: Floats) -> Floats:
        whole = at.copy()
        whole[others] = np.clip(part, 0, 1)
        return whole

    found = least_squares(
        lambda part: misfit.residuals(everything(part)),
        np.clip(at[others], 1e-9, 1 - 1e-9),
        jac=lambda part: misfit.jacobian(everything(part), others),
        bounds=(0, 1),
        xtol=1e-7,
        ftol=1e-9,
        gtol=None,
    )
    _, size, basis = np.linalg.svd(found.jac, full_matrices=False)
    root = basis.T / np.maximum(size, 1e-9 * max(size[0], np.finfo(float).tiny))
    return everything(found.x), float(2 * found.cost), root
