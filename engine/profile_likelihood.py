"""The profile of a likelihood along one parameter, with all others fitted anew at each point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .calibration import Floats
from .least_squares import Misfit
from .likelihood import Likelihood

#: A place on the profile: all parameters, and the least cost with one of them held.
Point = tuple[Floats, float]

#: A place this near a bound, as a share of its search range on the log scale, lies on it.
ON_BOUND = 1e-4

# A profile is drawn from a little beyond its interval to not absurdly far beyond it.
_BEYOND, _TOO_FAR = 1.3, 20.0


@dataclass(frozen=True)
class Profile:
    """Deviance by place on the unit interval, the interval, and the least cost met on the way.

    It is `leaning` where an end of the interval lies on another parameter's bound.
    """

    points: tuple[tuple[float, float], ...]
    low: float
    high: float
    open_low: bool
    open_high: bool
    leaning: bool
    least: Point


def trace(
    misfit: Misfit, likelihood: Likelihood, best: Point, i: int, width: float, count: int
) -> Profile:
    """Profile parameter `i` around the best point.

    Parameters
    ----------
    best
        The best place and its cost.
    width
        A guess at the standard deviation of parameter `i` on the unit interval.
    count
        Places to draw on each side.
    """
    others = [j for j in range(len(best[0])) if j != i]

    def fit(place: float, near: Floats) -> Point:
        start = near.copy()
        start[i] = place
        found, cost, _ = misfit.minimise(start, others)
        return found, cost

    def loss(point: Point) -> float:
        return likelihood.deviance(point[1], best[1])

    threshold = likelihood.threshold()
    sides = [_side(fit, loss, threshold, best, i, bound, width, count) for bound in (0.0, 1.0)]
    ends = [_crossing(fit, side, i, loss, threshold) for side in sides]
    low, high = (end[0] for end in ends)
    points = [*sides[0][:0:-1], *sides[1]]
    return Profile(
        points=tuple((float(point[0][i]), loss(point)) for point in points),
        low=0.0 if low is None else low,
        high=1.0 if high is None else high,
        open_low=low is None,
        open_high=high is None,
        leaning=any(_on_bound(end[1], others) for end in ends),
        least=min(points, key=lambda point: point[1]),
    )


def _side(
    fit: Callable[[float, Floats], Point],
    loss: Callable[[Point], float],
    threshold: float,
    best: Point,
    i: int,
    bound: float,
    width: float,
    count: int,
) -> list[Point]:
    """Walk from the best towards `bound`, until the interval has ended or the bound stops it."""
    origin = float(best[0][i])
    room = bound - origin
    if abs(room) < 1e-9:
        return [best]
    stride = _reach(fit, loss, threshold, best, i, room, width) / count
    walk = [best]
    # A warm start along the walk can fit better than the leaps that set its length: go on, then.
    for step in range(1, 8 * count + 1):
        place = origin + step * stride
        last = abs(place - origin) >= abs(room) * (1 - 1e-9)
        walk.append(fit(bound if last else place, walk[-1][0]))
        if last or (step >= count and loss(walk[-1]) > threshold):
            break
    return walk


def _reach(
    fit: Callable[[float, Floats], Point],
    loss: Callable[[Point], float],
    threshold: float,
    best: Point,
    i: int,
    room: float,
    width: float,
) -> float:
    """Return how far to walk, with its sign: just beyond the interval, or to the bound."""
    way, most = np.sign(room), abs(room)
    far = min(max(2.5 * width, 1e-7), most)
    point = fit(best[0][i] + way * far, best[0])
    while loss(point) < _BEYOND * threshold and far < most:
        far = min(2 * far, most)
        point = fit(best[0][i] + way * far, point[0])
    for _ in range(40):
        if loss(point) <= _TOO_FAR * threshold:
            break
        far /= 2
        point = fit(best[0][i] + way * far, best[0])
    if loss(point) < _BEYOND * threshold:
        far = min(2 * far, most)
    return float(way * far)


def _crossing(
    fit: Callable[[float, Floats], Point],
    walk: list[Point],
    i: int,
    loss: Callable[[Point], float],
    threshold: float,
) -> tuple[float | None, Floats]:
    """Return where the deviance first passes the threshold, if it does, and the point beyond it.

    The root of the deviance is nearly a straight line, so it is what is interpolated, again and
    again where it bends.
    """
    level = np.sqrt(threshold)

    def root(point: Point) -> float:
        return float(np.sqrt(max(loss(point), 0.0)))

    beyond = next((k for k, point in enumerate(walk) if root(point) > level), None)
    if beyond is None or beyond == 0:
        return None, walk[-1][0]
    near, far = walk[beyond - 1], walk[beyond]
    for _ in range(8):
        share = (level - root(near)) / (root(far) - root(near))
        place = float(near[0][i] + (far[0][i] - near[0][i]) * share)
        between = fit(place, near[0])
        if abs(root(between) - level) < 0.01 * level:
            break
        near, far = (near, between) if root(between) > level else (between, far)
    return place, far[0]


def _on_bound(at: Floats, others: list[int]) -> bool:
    return any(min(at[j], 1 - at[j]) < ON_BOUND for j in others)
