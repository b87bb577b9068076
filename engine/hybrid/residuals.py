r"""Errors of predicted stocks and of predicted changes, learned at sites not seen.

The stock that would be measured at a site in a year differs from the prediction by what members of
an ensemble disagree on, by a residual that the site keeps in part from year to year, and by what
all sites of the year share. So the variance of a change between two years is

.. math:: V_m + s_1^2 + s_2^2 - 2 r s_1 s_2 - 2 \tau^2 + (u_1^2 + u_2^2) s_1 s_2

with :math:`V_m` the variance of the members' paired differences, :math:`s` the residual's spread,
:math:`r` its correlation over the lag, :math:`\tau` the error of measurement where it is known, and
:math:`u` the error of the course in time, most of it shared by all cells. The degrees of freedom
are Satterthwaite's; what real changes at sites not seen exceed by is a factor on the standard
deviation (conformal, equal weight by block).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.special import stdtr, stdtrit

from edaphos.kernels.conformal import weighted_quantile

from ..errors import InputError
from .course import Course, fit_course
from .error_parts import (
    Correlation,
    Spread,
    fit_correlation,
    fit_spread,
    plain,
)
from .held_out import HeldOut, HiddenDate, Pairs, block_weights, pairs_of
from .site_years import Floats

#: Levels at which quantiles of standardised residuals are kept.
LEVELS = np.arange(1, 200) / 200
#: Fewest observations at sites not seen.
FEWEST = 10
#: Share of changes that an interval is fitted to hold.
COVERED = 0.9


class Change(NamedTuple):
    """A change between two years: its standard error, interval, and two-sided p against zero."""

    sd: Floats
    low: Floats
    high: Floats
    p: Floats


@dataclass(frozen=True)
class ErrorModel:
    """What is known of a model's errors in space and time. :meth:`fit` makes one.

    Parameters
    ----------
    spread, correlation, course
        See there.
    quantiles
        Of standardised residuals, at :data:`LEVELS`.
    change_factor
        On the standard deviation of changes, at least 1.
    blocks
        Spatial blocks the residuals came from: one more than their degrees of freedom.
    measured
        Share of the spread's variance that is due to measuring, which is taken off for changes of
        the true stock; 0 where it is not known.
    """

    spread: Spread
    correlation: Correlation
    course: Course
    quantiles: tuple[float, ...]
    change_factor: float
    blocks: int
    measured: float = 0.0

    @classmethod
    def fit(
        cls,
        held: HeldOut,
        hidden: Sequence[HiddenDate] = (),
        carried: Sequence[HiddenDate] = (),
        *,
        measurement_error: float = 0.0,
        measurement_percent: float = 0.0,
    ) -> Self:
        """Learn errors from predictions at sites not seen.

        Parameters
        ----------
        held
            Those predictions.
        hidden
            Predictions of dates that were hidden from training.
        carried
            Later dates of sites as the process alone carried them from their first, for an arm
            that takes from it what happens between samplings.
        measurement_error, measurement_percent
            Standard deviation of a measured stock that is due to measuring, kg/m² or % of the
            stock; one of them at most. 0: unknown, all of the spread counts as the soil's own.

        Raises
        ------
        InputError
            Too few observations, or an error of measurement that is negative or given twice.
        """
        _check_measurement(measurement_error, measurement_percent)
        site, year = np.nonzero(held.known)
        if len(site) < FEWEST:
            raise InputError(
                f"errors in time need at least {FEWEST} observations at sites not seen, found "
                f"{len(site)}: give more sites, or fewer and larger folds"
            )
        member_variance = held.variance()[site, year]
        mean, residual = held.mean[site, year], held.stock[site, year] - held.mean[site, year]
        weight = block_weights(held.block[site])
        spread = fit_spread(residual, mean, member_variance, weight)
        pairs = pairs_of(held)
        model = cls(
            spread=spread,
            correlation=fit_correlation(pairs, spread),
            course=fit_course(held, pairs, hidden, carried, spread),
            quantiles=(),
            change_factor=1.0,
            blocks=len(np.unique(held.block[site])),
        )
        total = np.sqrt(member_variance + spread.variance(mean))
        found = _conformal(residual / total, weight, model.blocks)
        model = replace(model, quantiles=tuple(float(q) for q in found))
        return replace(
            model,
            change_factor=model._factor(pairs, _count(held)),
            measured=_measured(spread, mean, weight, measurement_error, measurement_percent),
        )

    # -- stocks ---------------------------------------------------------------------------------

    def interval(
        self, mean: Floats, member_variance: Floats, levels: Sequence[float], year: int
    ) -> Floats:
        """Return quantiles of the stock that would be measured at a point, ``(levels, ...)``.

        Parameters
        ----------
        mean, member_variance
            Prediction, kg/m², and variance between members, of any one shape.
        levels
            Between 0 and 1.
        year
            Calendar year of the prediction.
        """
        # what sampled years share is in the quantiles
        excess = self.course.excess(year)
        sd = np.sqrt(member_variance + self.spread.variance(mean) * (1 + excess))
        scores = np.interp(levels, LEVELS, self.quantiles)
        return np.maximum(np.stack([mean + score * sd for score in scores]), 0.0)

    # -- changes --------------------------------------------------------------------------------

    def change(
        self,
        earlier: Floats,
        later: Floats,
        member_variance: Floats,
        years: tuple[int, int],
        *,
        members: int = 10,
        coverage: float = COVERED,
    ) -> Change:
        """Return how sure the change of the true stock between two years is.

        Parameters
        ----------
        earlier, later
            Predicted stocks, kg/m², of any one shape.
        member_variance
            Variance between members of ``later - earlier``, the same members in both years.
        years
            The two calendar years; where they are the same nothing has changed, and p is 1.
        members
            How many, for the degrees of freedom.
        coverage
            Of the interval.
        """
        difference = np.asarray(later - earlier, np.float64)
        if years[0] == years[1]:
            nothing = np.where(np.isfinite(difference), 0.0, np.nan)
            return Change(nothing, nothing, nothing, nothing + 1.0)
        rest = self._residual_change(earlier, later, years)
        total = np.maximum(member_variance + rest, np.finfo(float).tiny)
        told = np.clip(member_variance / total, 0.0, 1.0)  # by members, of the variance
        freedom = 1 / (told**2 / max(members - 1, 1) + (1 - told) ** 2 / max(self.blocks - 1, 1))
        sd = self.change_factor * np.sqrt(total)
        half = stdtrit(freedom, 0.5 + coverage / 2) * sd
        p = 2 * stdtr(freedom, -np.abs(difference) / sd)
        return Change(sd, difference - half, difference + half, np.clip(p, 0.0, 1.0))

    def _residual_change(self, earlier: Floats, later: Floats, years: tuple[int, int]) -> Floats:
        """Return the variance of a change beyond what members tell."""
        first, second = self.spread.variance(earlier), self.spread.variance(later)
        product = np.sqrt(first * second)
        kept = first + second - 2 * self.correlation.at(abs(years[1] - years[0])) * product
        measured = self.measured * (first + second)
        # what is left is not known better than the correlation that it rests on
        left = np.maximum(kept - measured, 2 * self.correlation.error * product)
        course = self.course.variance(years[0]) + self.course.variance(years[1])
        return np.asarray(left + course * product)

    def _factor(self, pairs: Pairs, members: int) -> float:
        """Return what real changes exceed the model's by, at least 1."""
        if self.correlation.longest == 0:
            return 1.0
        scores = np.empty(len(pairs))
        for span in np.unique(pairs.years, axis=1).T:
            mine = (pairs.years == span[:, None]).all(axis=0)
            told = self.change(
                pairs.earlier[mine],
                pairs.later[mine],
                pairs.member_variance[mine],
                (int(span[0]), int(span[1])),
                members=members,
            )
            scores[mine] = np.abs(pairs.change[mine]) / ((told.high - told.low) / 2)
        own = block_weights(pairs.block) * _share(self.correlation.blocks)
        return max(1.0, float(weighted_quantile(scores, own, COVERED, total=1.0)))

    # -- files ----------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``."""
        parts = {name: plain(getattr(self, name)) for name in ("spread", "correlation", "course")}
        return {**vars(self), **parts}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return the model of what :meth:`to_json` gave."""
        course: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in told["course"].items()
        }
        return cls(
            **{
                **told,
                "spread": Spread(**told["spread"]),
                "correlation": Correlation(**told["correlation"]),
                "course": Course(**course),
                "quantiles": tuple(told["quantiles"]),
            }
        )

    def notes(self) -> list[str]:
        """Return what a reader of a map should know of its errors, in sentences."""
        told = []
        if self.correlation.longest == 0:
            told.append(
                "Too few sites were sampled twice to tell how much of an error a site keeps: "
                "errors of two years count as independent, and changes look less sure than they "
                "may be."
            )
        if self.course.rate is None and self.course.carried is None:
            told.append(
                "No date could be hidden from training: the error of the mean course between and "
                "after samplings is not known and not in the intervals."
            )
        if not self.measured:
            told.append(
                "The error of measurement is not known and counts as if the soil itself had "
                "changed: changes look less sure than they may be."
            )
        return told


def _share(blocks: int) -> float:
    """Return the share of weight that `blocks` blocks keep beside one that is not seen yet."""
    return blocks / (blocks + 1)


def _count(held: HeldOut) -> int:
    return 2 if held.parts is None else len(held.parts)


def _conformal(scores: Floats, weight: Floats, blocks: int) -> Floats:
    """Return quantiles at :data:`LEVELS`, each moved outward for one block not seen yet."""
    own = weight * _share(blocks)
    upper = weighted_quantile(scores, own, LEVELS, total=1.0)
    lower = -weighted_quantile(-scores, own, 1 - LEVELS, total=1.0)
    return np.where(LEVELS < 0.5, lower, upper)


def _measured(spread: Spread, mean: Floats, weight: Floats, error: float, percent: float) -> float:
    """Return the share of the spread's variance that measuring explains, at most all of it.

    One share for all stocks: the spread's own shape may be another than that of the error, and
    the difference of the two must not leave some cells without any.
    """
    measuring = np.sum(weight * (error**2 + (percent / 100 * mean) ** 2))
    whole = np.sum(weight * spread.variance(mean))
    return float(min(measuring / whole, 1.0)) if whole > 0 else 0.0


def _check_measurement(error: float, percent: float) -> None:
    if min(error, percent) < 0 or not np.isfinite([error, percent]).all():
        raise InputError(
            f"the error of measurement must not be negative, found {error} kg/m² and {percent} %"
        )
    if error and percent:
        raise InputError("give the error of measurement in kg/m² or in %, not both")
