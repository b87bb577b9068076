"""How sure an arm is of stocks and of their changes: members and errors together.

A model of the map uses it so::

    make = lambda process, learner: make_arm("poml", process, learner, w_p=0.5)
    arm = make(process, learner).fit(data)
    sure = TimeUncertainty.fit(data, make, arm.calibrated, learner)
    ...
    mean = arm.predict(cells)[:, years]                 # (S, Y), the arm's own
    layers = sure.predict(cells, mean, years)           # q05, q95, change_mean, …, change_p

``make`` must give an arm that is fitted from scratch, with everything tuned that is to be tuned
already set (a weight ``"tuned"`` would be tuned again for each member).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import InputError
from .evidence import Trial, blocks_of, calibrated, held_out, hidden_dates
from .held_out import Ints
from .learners import Learner
from .members import Maker, Members, MemberSpec
from .process import Process
from .residuals import ErrorModel
from .site_years import Floats, SiteYears

__all__ = ["TimeSpec", "TimeUncertainty", "calibrated"]

#: Levels of the mapped interval.
LEVELS = (0.05, 0.95)


@dataclass(frozen=True)
class TimeSpec:
    """How uncertainty is learned.

    Parameters
    ----------
    members
        How members differ.
    folds
        Inner folds, by spatial block, from which residuals come.
    block_deg
        Side of the blocks, degrees; halved until there are
        :data:`~edaphos.engine.hybrid.evidence.FEWEST_BLOCKS`.
    measurement_error, measurement_percent
        Standard deviation of measuring a stock, kg/m² or %, where it is known; see
        :class:`~.residuals.ErrorModel`.
    """

    members: MemberSpec = field(default_factory=MemberSpec)
    folds: int = 5
    block_deg: float = 1.0
    measurement_error: float = 0.0
    measurement_percent: float = 0.0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InputError(f"uncertainty: expected 2 folds or more, found {self.folds}")


@dataclass(frozen=True, eq=False)
class TimeUncertainty:
    """Fitted members and errors of an arm. :meth:`fit` makes one."""

    members: Members
    errors: ErrorModel

    @classmethod
    def fit(
        cls,
        data: SiteYears,
        make: Maker,
        process: Process,
        learner: Learner,
        *,
        spec: TimeSpec | None = None,
        block: Ints | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn errors from inner folds and hidden dates; fit members on all sites.

        The process is not calibrated again inside the folds' members, but each fold calibrates its
        own from its training sites, as the folds' arms do.

        Parameters
        ----------
        data
            Sites to learn from.
        make
            Makes the arm of a process and a learner.
        process
            Calibrated on `data`.
        learner
            As the arm's own.
        spec
            Folds, members, error of measurement; default :class:`TimeSpec`.
        block
            Spatial block of each site, ``(S,)``; by default from their coordinates.
        seed
            Of folds and members.

        Raises
        ------
        InputError
            Too few sites, or an arm that needs its sites' own start.
        """
        spec = spec or TimeSpec()
        if getattr(make(process, learner), "needs_start", False):
            raise InputError(
                "uncertainty is for arms that predict where nothing was sampled; this one needs "
                "each site's own start"
            )
        if block is None:
            block = blocks_of(data.lon, data.lat, spec.block_deg)
        trial = Trial(data, make, process, learner, block, spec.folds, seed)
        held, carried = held_out(trial, spec.members)
        errors = ErrorModel.fit(
            held,
            hidden_dates(trial, least=1 + bool(carried)),
            carried,
            measurement_error=spec.measurement_error,
            measurement_percent=spec.measurement_percent,
        )
        members = Members.fit(data, make, process, learner, block, spec=spec.members, seed=seed)
        return cls(members, errors)

    # -- prediction -----------------------------------------------------------------------------

    def predict(
        self, data: SiteYears, mean: Floats, years: Ints | None = None, reference: int = 0
    ) -> dict[str, Floats]:
        """Return layers of sites or cells, each ``(S, Y)``.

        Parameters
        ----------
        data
            Sites or cells, of all years of the drivers.
        mean
            The arm's prediction of the years wanted, ``(S, Y)`` kg/m².
        years
            Positions of the years wanted; all by default.
        reference
            Place among `years` of the year that changes are counted from.

        Returns
        -------
        dict
            ``q05`` and ``q95``, the interval of a stock measured at a point; ``change_mean``,
            ``change_q05``, ``change_q95``, the change since the reference year; ``change_p``, its
            two-sided p, 1 in the reference year itself.
        """
        wanted = np.arange(len(data.years)) if years is None else np.asarray(years)
        stock_variance, change_variance = self.members.variance(data, wanted, reference)
        out = {
            name: np.full(mean.shape, np.nan)
            for name in ("q05", "q95", "change_mean", "change_q05", "change_q95", "change_p")
        }
        start, first = mean[:, reference], int(data.years[wanted[reference]])
        for place, position in enumerate(wanted):
            year = int(data.years[position])
            now = mean[:, place]
            out["q05"][:, place], out["q95"][:, place] = self.errors.interval(
                now, stock_variance[:, place], LEVELS, year
            )
            told = self.errors.change(
                start,
                now,
                change_variance[:, place],
                (first, year),
                members=self.members.spec.members,
            )
            out["change_mean"][:, place] = now - start
            out["change_q05"][:, place], out["change_q95"][:, place] = told.low, told.high
            out["change_p"][:, place] = told.p
        return out

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write members and errors."""
        self.members.save(folder)
        (folder / "errors.json").write_text(json.dumps(self.errors.to_json(), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; trees are memory-mapped."""
        path = folder / "errors.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there is no saved uncertainty here")
        told: Mapping[str, Any] = json.loads(path.read_text())
        return cls(Members.load(folder), ErrorModel.from_json(told))
