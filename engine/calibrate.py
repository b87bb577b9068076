"""Fit named parameters of any simulation to measurements, and say whether they can be told apart.

Several bounded L-BFGS-B searches on a log scale; then, for each parameter, the profile of the
likelihood: the parameter is held at values around the best, all others are fitted anew, and the
loss of likelihood gives an approximate 95 % interval (Venzon & Moolgavkar 1988, Appl. Stat. 37,
87-94; Raue et al. 2009, Bioinformatics 25, 1923-1929 on flat profiles). Errors are taken to be
independent and Gaussian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from .calibration import Calibration, Estimate, Floats, Parameter, Start
from .errors import InputError
from .least_squares import Misfit, Simulate
from .likelihood import Likelihood
from .profile_likelihood import ON_BOUND, Profile, trace
from .progress import QUIET, Reporter

#: Two parameters whose logarithms correlate more than this are warned of; above the second, they
#: count as one even where their intervals are closed.
CORRELATED, INSEPARABLE = 0.95, 0.99
#: Curvatures further apart than this ratio leave a direction undetermined.
ILL_CONDITIONED = 1e8

__all__ = ["Calibration", "Estimate", "Parameter", "calibrate"]


def calibrate(
    simulate: Simulate,
    observed: ArrayLike,
    parameters: Sequence[Parameter],
    *,
    error: ArrayLike | None = None,
    starts: int = 12,
    seed: int = 0,
    profile_points: int = 21,
    reporter: Reporter = QUIET,
) -> Calibration:
    """Fit `parameters` so that `simulate` comes closest to `observed`.

    Parameters
    ----------
    simulate
        Takes parameters by name and returns an array of the shape of `observed`. It must be the
        same for the same values, and smooth.
    observed
        Measurements, in any shape.
    parameters
        What to fit, each between positive bounds.
    error
        Standard deviation of each measurement, broadcast to `observed`; without it one standard
        deviation for all is estimated with the parameters.
    starts
        Number of searches: the first from the parameters' own start, the others spread evenly at
        random (a Latin hypercube) over the bounds.
    seed
        Of the spread of starts; the result depends on nothing else.
    profile_points
        Points on the profile of each parameter.
    reporter
        Where progress goes.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        If there are too few observations, bounds are not positive and increasing, names repeat,
        or `simulate` returns another shape or values that are not finite.
    """
    obs, sd = _checked(observed, error, parameters)
    if starts < 1 or profile_points < 5:
        raise InputError(
            f"starts must be at least 1 and profile_points at least 5; "
            f"found {starts} and {profile_points}"
        )
    misfit = Misfit(simulate, obs, sd, parameters)
    likelihood = Likelihood(obs, sd, len(parameters))
    # Matrices here are tiny: threads would cost several times what they save, and the last bits.
    with threadpool_limits(1, user_api="blas"):
        searches = _search_all(misfit, starts, seed, reporter)
        best, profiles = _profiles(misfit, likelihood, searches[0].end, profile_points, reporter)
        return _result(misfit, likelihood, searches, best, profiles)


@dataclass(frozen=True)
class _Search:
    begin: Floats
    end: Floats
    cost: float
    converged: bool


def _search_all(misfit: Misfit, starts: int, seed: int, reporter: Reporter) -> list[_Search]:
    """Return every search, the best first."""
    everything = range(len(misfit.parameters))
    searches = []
    with reporter.task("searches", starts) as task:
        for begin in _begin(misfit, starts, seed):
            end, cost, converged = misfit.minimise(begin, everything)
            searches.append(_Search(begin, end, cost, converged))
            task.advance()
    return sorted(searches, key=lambda search: search.cost)


def _begin(misfit: Misfit, starts: int, seed: int) -> Floats:
    """Return where searches begin: given or middle values, then a Latin hypercube."""
    first = [
        0.5 if p.start is None else (np.log(p.start) - low) / width
        for p, low, width in zip(misfit.parameters, misfit.floor, misfit.width, strict=True)
    ]
    rng = np.random.default_rng(seed)
    others = starts - 1
    strata = np.stack([rng.permutation(others) for _ in first], axis=1)
    return np.vstack([[first], (strata + rng.random(strata.shape)) / max(others, 1)])


def _profiles(
    misfit: Misfit, likelihood: Likelihood, first: Floats, points: int, reporter: Reporter
) -> tuple[Floats, list[Profile]]:
    """Return the best place and every parameter's profile; begin again if one finds better."""
    everything = range(len(first))
    best = (first, misfit.cost(first))
    profiles: list[Profile] = []
    for _ in range(3):
        spread = _spread(misfit.jacobian(best[0], everything)) * likelihood.spread(best[1])
        widths = np.clip(np.linalg.norm(spread, axis=1), 0, 0.25)
        profiles = []
        with reporter.task("profiles", len(first)) as task:
            for i in everything:
                profiles.append(trace(misfit, likelihood, best, i, widths[i], points // 2))
                task.advance(note=misfit.parameters[i].name)
        least = min((profile.least for profile in profiles), key=lambda point: point[1])
        if likelihood.deviance(least[1], best[1]) > -1e-3:
            break
        best = misfit.minimise(least[0], everything)[:2]
    return best[0], profiles


def _result(
    misfit: Misfit,
    likelihood: Likelihood,
    searches: list[_Search],
    best: Floats,
    profiles: list[Profile],
) -> Calibration:
    simulated = misfit.simulated(best)
    difference = simulated - misfit.observed
    jacobian = misfit.jacobian(best, range(len(best))) / misfit.width
    curvature = np.linalg.svd(jacobian, compute_uv=False)
    correlation = _correlation(jacobian)
    least = curvature[-1] / max(curvature[0], np.finfo(float).tiny)
    condition = float(least**-2) if least > 1e-12 else float("inf")
    estimates = tuple(_estimate(misfit, i, best, profile) for i, profile in enumerate(profiles))
    obstacles = _obstacles(best, estimates, jacobian, condition)
    obstacles += _together(estimates, correlation, INSEPARABLE, np.inf)
    return Calibration(
        estimates=estimates,
        n=misfit.observed.size,
        rmse=float(np.sqrt(np.mean(difference**2))),
        bias=float(np.mean(difference)),
        log_likelihood=likelihood.log_likelihood(misfit.cost(best)),
        error_given=likelihood.error_given,
        correlation=correlation,
        condition=condition,
        starts=tuple(_start(misfit, search) for search in searches),
        simulated=simulated,
        identifiable=not obstacles,
        warnings=(*obstacles, *_together(estimates, correlation, CORRELATED, INSEPARABLE)),
    )


def _estimate(misfit: Misfit, i: int, best: Floats, profile: Profile) -> Estimate:
    def value(u: float) -> float:
        at = best.copy()
        at[i] = u
        return misfit.values(at)[misfit.parameters[i].name]

    return Estimate(
        parameter=misfit.parameters[i],
        value=value(float(best[i])),
        low=value(profile.low),
        high=value(profile.high),
        open_low=profile.open_low,
        open_high=profile.open_high,
        leaning=profile.leaning,
        profile=tuple((value(u), deviance) for u, deviance in profile.points),
    )


def _start(misfit: Misfit, search: _Search) -> Start:
    difference = misfit.simulated(search.end) - misfit.observed
    return Start(
        begin=misfit.values(search.begin),
        values=misfit.values(search.end),
        rmse=float(np.sqrt(np.mean(difference**2))),
        converged=search.converged,
    )


def _spread(jacobian: Floats) -> Floats:
    """Return a root of the inverse of J'J, as far as it has one: covariance is spread @ spread'."""
    _, size, basis = np.linalg.svd(jacobian, full_matrices=False)
    # A flat direction would divide by zero; a very small curvature says the same.
    return np.asarray(basis.T / np.maximum(size, 1e-9 * max(size[0], np.finfo(float).tiny)))


def _correlation(jacobian: Floats) -> Floats:
    """Return correlations of the parameters that a Jacobian of residuals is by."""
    spread = _spread(jacobian)
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    return np.asarray(np.clip(spread @ spread.T, -1, 1))


def _obstacles(
    best: Floats, estimates: tuple[Estimate, ...], jacobian: Floats, condition: float
) -> list[str]:
    """Say, in words, what keeps parameters from being determined, but for their correlation."""
    found = []
    strength = np.linalg.norm(jacobian, axis=0)
    for i, estimate in enumerate(estimates):
        name = estimate.name
        if strength[i] <= 1e-9 * max(strength.max(), np.finfo(float).tiny):
            found.append(f"{name} has no effect on what was observed")
            continue
        if min(best[i], 1 - best[i]) < ON_BOUND:
            bound = "lower" if best[i] < 0.5 else "upper"
            found.append(
                f"the best {name} lies on its {bound} bound, {estimate.value:.4g}: widen the "
                "bounds, or doubt the model"
            )
        if estimate.open_low or estimate.open_high:
            down = "either way" if estimate.open_high else "downwards"
            found.append(
                f"the likelihood of {name} is flat {down if estimate.open_low else 'upwards'}: its "
                "interval reaches the bounds of the search"
            )
        elif estimate.leaning:
            found.append(
                f"the interval of {name} ends only where another parameter meets its bound"
            )
    if condition > ILL_CONDITIONED:
        found.append("the likelihood has a flat direction: fewer parameters, or other data, needed")
    return found


def _together(
    estimates: tuple[Estimate, ...], correlation: Floats, above: float, up_to: float
) -> list[str]:
    """Name pairs whose logarithms correlate by more than `above`, at most `up_to`."""
    found = []
    for i, j in combinations(range(len(estimates)), 2):
        size, pair = correlation[i, j], f"{estimates[i].name} and {estimates[j].name}"
        if above < abs(size) <= up_to:
            what = "product" if size < 0 else "ratio"
            how = (
                f"cannot be told apart: the data fix little but their {what}"
                if above == INSEPARABLE
                else f"go together: the data fix their {what} better than either"
            )
            found.append(f"{pair} {how} (correlation of logarithms {size:+.3f})")
    return found


def _checked(
    observed: ArrayLike, error: ArrayLike | None, parameters: Sequence[Parameter]
) -> tuple[Floats, Floats | None]:
    """Return observations and their standard deviations, or refuse."""
    obs = np.asarray(observed, np.float64)
    if not parameters:
        raise InputError("there are no parameters to fit: name at least one, with its bounds")
    _check_parameters(parameters)
    if obs.size == 0:
        raise InputError("there are no observations to fit to")
    if not np.isfinite(obs).all():
        where = int(np.flatnonzero(~np.isfinite(obs.ravel()))[0])
        raise InputError(f"observation {where} is {obs.ravel()[where]}: leave missing ones out")
    needed = len(parameters) + (error is None)
    if obs.size < needed:
        raise InputError(
            f"{len(parameters)} parameters{' and an error' if error is None else ''} need at least "
            f"{needed} observations, found {obs.size}: fit fewer parameters"
            + (", or give the error of the observations" if error is None else "")
        )
    if error is None:
        return obs, None
    sd = np.broadcast_to(np.asarray(error, np.float64), obs.shape)
    if not (np.isfinite(sd) & (sd > 0)).all():
        raise InputError("error must be a positive standard deviation for each observation")
    return obs, sd


def _check_parameters(parameters: Sequence[Parameter]) -> None:
    names = [p.name for p in parameters]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"parameters must have names of their own; repeated: {sorted(twice)}")
    for p in parameters:
        if not (np.isfinite([p.low, p.high]).all() and 0 < p.low < p.high):
            raise InputError(
                f"parameter {p.name}: bounds must be positive, the lower first (it is searched on "
                f"a log scale); found {p.low} to {p.high}"
            )
        if p.start is not None and not p.low <= p.start <= p.high:
            raise InputError(
                f"parameter {p.name}: start {p.start} lies outside its bounds {p.low} to {p.high}"
            )
