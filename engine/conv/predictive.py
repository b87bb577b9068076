"""From what nets say on the scale that they learn to means and quantiles in units of the target.

Two things are learned from the calibration part of the training rows, which neither taught a net
nor stopped its training, by depth:

- the *smearing* of the mean. A net of log(1 + y) says the mean of the logarithm, and the mean of y
  is that of exp(net + residual) - 1 over the residuals (Duan 1983, *JASA* 78, 605-610);
- the *margins* of intervals (conformalised quantile regression, ``kernels/conformal.py``), with
  equal weight for every spatial block.

A depth with few blocks takes what all depths say together: means need fewer than margins, and
differ more between depths.

What nets say is first kept within the targets that they learned from at that depth: beyond these a
net is extrapolating, and the exponential makes of a little too much on the scale of the logarithm
tons of carbon that no soil has. For the same reason no mean is above the largest of these targets.
Margins of intervals may reach further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.conformal import margins, widen

from ..errors import InputError
from .learning_rows import Floats, Ints

#: Blocks of a depth below which its margins, and its means, are those of all depths.
FEWEST, FEWEST_FOR_MEANS = 30, 10

Interval = Literal["residual", "quantile", "ensemble", "dropout"]
Pair = tuple[float, float]


@dataclass(frozen=True)
class Said:
    """What runs say together, on the scale that is learned, each array of one shape.

    Parameters
    ----------
    centre
        Mean of the nets.
    apart
        Variance of the runs whose spread tells how sure they are; 0 for one net.
    levels
        Quantiles that nets gave, by level.
    limited
        Where the mean of a net was beyond what is learned from, and was set back.
    """

    centre: Floats
    apart: Floats
    levels: Mapping[float, Floats]
    limited: NDArray[np.bool_]


def gather(
    said: Floats,
    levels: tuple[float, ...],
    passes: int,
    low: Floats | float = -np.inf,
    high: Floats | float = np.inf,
) -> Said:
    """Join runs, each kept between `low` and `high` first.

    Parameters
    ----------
    said
        ``(runs, outputs, ...)``: for each member the net itself and then its `passes` draws; the
        first output is the mean, the others are the quantiles `levels`.
    low, high
        Least and largest target learned from, on the scale that is learned: a number, or one for
        each place.
    """
    whole = np.clip(said, low, high).reshape(-1, 1 + passes, *said.shape[1:])
    nets = whole[:, 0]
    means = said.reshape(whole.shape)[:, 0, 0]
    drawn = whole[:, 1:].reshape(-1, *said.shape[1:]) if passes else nets
    return Said(
        centre=nets[:, 0].mean(axis=0),
        apart=drawn[:, 0].var(axis=0),
        levels={q: nets[:, 1 + i].mean(axis=0) for i, q in enumerate(levels)},
        limited=np.asarray(((means < low) | (means > high)).any(axis=0)),
    )


@dataclass(frozen=True)
class Predictive:
    """How what nets say becomes a distribution of the target; tuples are by depth.

    Parameters
    ----------
    log1p
        Whether the scale that is learned is log(1 + y).
    interval
        Where bounds come from before they are moved.
    smear
        Mean of exp(residual); 1 on the original scale.
    middle
        Median residual.
    sigma
        Standard deviation of residuals beyond what runs differ by, from the part of the rows that
        stopped the trainings.
    pairs
        Levels of the bounds of each interval.
    margins
        By which bounds move outwards: by pair, then by depth.
    blocks
        Spatial blocks of the calibration rows of each depth.
    most
        The largest mean, in units of the target.
    """

    log1p: bool
    interval: Interval
    smear: tuple[float, ...]
    middle: tuple[float, ...]
    sigma: tuple[float, ...]
    pairs: tuple[Pair, ...]
    margins: tuple[tuple[float, ...], ...]
    blocks: tuple[int, ...]
    most: tuple[float, ...]

    def mean(self, said: Said, depth: Any) -> Floats:
        """Return the arithmetic mean of the target, at a depth or at one for each row."""
        if not self.log1p:
            return said.centre
        raw = np.array(self.smear)[depth] * np.exp(said.centre) - 1
        return np.clip(raw, 0.0, np.array(self.most)[depth])

    def centre(self, said: Said) -> Floats:
        """Return the mean on the scale that is learned, back in units of the target."""
        return self._back(said.centre)

    def median(self, said: Said, depth: Any) -> Floats:
        """Return the median of the target."""
        if self.interval == "quantile" and 0.5 in said.levels:
            return self._back(said.levels[0.5])
        return self._back(said.centre + np.array(self.middle)[depth])

    def bounds(self, said: Said, depth: Any, which: int) -> tuple[Floats, Floats]:
        """Return lower and upper bound of an interval, in units of the target."""
        low, high = raw_bounds(said, self.interval, self.pairs[which], np.array(self.sigma)[depth])
        moved = widen(low, high, np.array(self.margins[which])[depth])
        return self._back(moved[0]), self._back(moved[1])

    def _back(self, values: Floats) -> Floats:
        return np.maximum(np.expm1(values), 0.0) if self.log1p else values

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        plain |= {k: tuple(map(tuple, told[k])) for k in ("pairs", "margins")}
        return cls(**plain)


def raw_bounds(said: Said, interval: Interval, pair: Pair, sigma: Floats) -> tuple[Floats, Floats]:
    """Return the bounds of an interval before they are calibrated, on the scale that is learned."""
    if interval == "quantile":
        return said.levels[pair[0]], said.levels[pair[1]]
    if interval == "residual":
        return said.centre, said.centre
    half = NormalDist().inv_cdf(pair[1]) * np.sqrt(said.apart + sigma**2)
    return said.centre - half, said.centre + half


def calibrate(
    stop: tuple[Said, Floats, Ints],
    rows: tuple[Said, Floats, Ints],
    weight: Floats,
    block: Ints,
    depths: int,
    *,
    log1p: bool,
    interval: Interval,
    pairs: tuple[Pair, ...],
    largest: Floats,
) -> Predictive:
    """Learn smearing and margins.

    Parameters
    ----------
    stop
        Of the rows that stopped the trainings: what was said, targets on the scale that is learned,
        and depths, ``(n,)``.
    rows
        The same of the calibration rows.
    weight, block
        Weights and spatial blocks of these.
    depths
        Number of depths.
    largest
        Target learned from at each depth, on the scale that is learned.

    Raises
    ------
    InputError
        There are too few blocks for an interval.
    """
    said, target, depth = rows
    residual = target - said.centre
    groups, every = [depth == d for d in range(depths)], np.ones(len(depth), bool)
    blocks = tuple(len(np.unique(block[g])) for g in groups)
    used = [g if n >= FEWEST_FOR_MEANS else every for g, n in zip(groups, blocks, strict=True)]
    smear = tuple(
        float(np.average(np.exp(residual[g]), weights=weight[g])) if log1p else 1.0 for g in used
    )
    middle = tuple(float(np.median(residual[g])) for g in used)
    sigma = np.array([_beyond(stop, depth) for depth in range(depths)])
    found = []
    for pair in pairs:
        level = pair[1] - pair[0]
        low, high = raw_bounds(said, interval, pair, sigma[depth])
        by_depth, pooled = margins(
            target, low, high, depth, depths, level, blocks=block, weight=weight, fewest=FEWEST
        )
        if not np.isfinite(pooled):
            needed = int(np.ceil(level / (1 - level) - 1e-9))
            raise InputError(
                f"an interval of {100 * level:g} % needs {needed} or more spatial blocks in the "
                f"calibration part of the training rows, found {len(np.unique(block))}: map "
                "narrower quantiles, or give more profiles"
            )
        found.append(tuple(by_depth.tolist()))
    most = tuple((np.maximum(np.expm1(largest), 0.0) if log1p else largest).tolist())
    return Predictive(
        log1p, interval, smear, middle, tuple(sigma.tolist()), pairs, tuple(found), blocks, most
    )


def _beyond(stop: tuple[Said, Floats, Ints], which: int) -> float:
    """Return the standard deviation of residuals beyond what runs differ by."""
    said, target, depth = stop
    rows = depth == which
    if rows.sum() < FEWEST:
        rows = np.ones(len(depth), bool)
    square = (target - said.centre)[rows] ** 2
    return float(np.sqrt(max(square.mean() - said.apart[rows].mean(), 1e-6 * square.mean())))
