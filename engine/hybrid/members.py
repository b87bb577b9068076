"""Ensembles of an arm: what would come out with other sites, another process, other drivers.

A member has its own draw of the calibrated process, its own disturbed climate and input, its own
resample of sites by spatial block, and few trees of its own. The same members speak in all years,
so that differences between years are paired, and an error of the mean course, which all cells
share, is in the members' variance like any other.

The arm's own forest stays the prediction; members only tell its variance. Together they have about
as many trees as the arm, and their mean is a forest bagged by block instead of by row: it differs
from the arm's by Monte Carlo noise and by a little bias, for each member sees fewer sites.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.ensemble import between_variance, mirrored_scores
from edaphos.kernels.forest import ForestArrays
from edaphos.kernels.forest_parts import group_means, join_trees, take_trees

from ..errors import InputError
from ..models.forest_arrays import load_arrays, save_arrays
from .arm import Arm
from .held_out import Ints
from .learners import ForestLearner, Learner
from .process import Process
from .seen import PlaceAndTime
from .site_years import Climate, Drivers, Floats, SiteYears

#: Makes an arm of a process and a learner.
Maker = Callable[[Process, Learner], Arm]
#: Rows of sites and years predicted at once.
CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class MemberSpec:
    """How many members, and how they differ beside their sites and their process.

    Parameters
    ----------
    members
        Number, even: disturbances come with their mirror images.
    parts
        Groups of trees in each member, by which the scatter of few trees is told.
    temperature
        Standard deviation, °C, the same in every month.
    rain
        Relative standard deviation, %, the same in every month.
    follows
        Standard deviation of the power with which the carbon input follows its driver, about 1.
    input_trend
        Standard deviation of a trend of the input beside its driver, % in ten years.
    """

    members: int = 10
    parts: int = 4
    temperature: float = 0.5
    rain: float = 10.0
    follows: float = 0.5
    input_trend: float = 5.0

    def __post_init__(self) -> None:
        if self.members < 2 or self.members % 2:
            raise InputError(f"members: expected an even number of 2 or more, found {self.members}")
        if self.parts < 1:
            raise InputError(f"parts of a member: expected 1 or more, found {self.parts}")
        for name in ("temperature", "rain", "follows", "input_trend"):
            if not getattr(self, name) >= 0:
                raise InputError(f"members: {name} must not be negative, found {vars(self)[name]}")


@dataclass(frozen=True)
class Settled:
    """A process that is not calibrated again."""

    process: Process

    kind: ClassVar[str] = "settled"

    def simulate(self, drivers: Drivers, start: Ints, stock: Floats) -> Floats:
        """Carry stocks from a year on."""
        return self.process.simulate(drivers, start, stock)

    def calibrate(self, drivers: Drivers, stock: Floats) -> Self:  # noqa: ARG002
        """Return the process as it is."""
        return self

    def draws(self, count: int, seed: int) -> list[Self]:
        """Return draws of the process."""
        return [replace(self, process=drawn) for drawn in self.process.draws(count, seed)]


def disturbed(drivers: Drivers, spec: MemberSpec, scores: Floats) -> Drivers:
    """Return drivers with temperature, rain, and input moved by standard normal scores ``(4,)``.

    The input's ratio to that of the first year is raised to a power about 1, and gets a trend;
    where it is zero in the first year it stays as it is.
    """
    warmer, wetter, closer, rising = (float(score) for score in scores)

    def weather(climate: Climate) -> Climate:
        factor = max(1 + wetter * spec.rain / 100, 0.0)
        return Climate(
            np.asarray(climate.temperature) + warmer * spec.temperature,
            np.asarray(climate.rain) * factor,
            climate.evapotranspiration,
        )

    given = np.asarray(drivers.input_driver, np.float64)
    first = given[0]
    decades = (drivers.years - drivers.years[0])[:, None] / 10
    power = max(1 + closer * spec.follows, 0.0)
    trend = max(1 + rising * spec.input_trend / 100, 0.0) ** decades
    ratio = np.divide(given, first, out=np.ones_like(given), where=first > 0)
    return replace(
        drivers,
        climate=weather(drivers.climate),
        input_driver=np.where(first > 0, first * ratio**power * trend, given),
        normals=None if drivers.normals is None else weather(drivers.normals),
    )


def resampled(data: SiteYears, block: Ints, rng: np.random.Generator) -> SiteYears:
    """Return the sites of blocks drawn with replacement, their weights times how often.

    With one block alone, sites are drawn.
    """
    _, codes = np.unique(block, return_inverse=True)
    if codes.max() == 0:
        codes = np.arange(len(block))
    size = int(codes.max()) + 1
    times = rng.multinomial(size, np.full(size, 1 / size))[codes]
    drawn = np.flatnonzero(times)
    return replace(data.take(drawn), weight=data.weight[drawn] * times[drawn])


@dataclass(frozen=True, eq=False)
class Members:
    """A fitted ensemble. :meth:`fit` makes one.

    Parameters
    ----------
    spec
        How members differ.
    scores
        Of the disturbances, ``(M, 4)``.
    arms
        Fitted, one for each member; none where `trees` say all.
    trees
        The trees of all members, in order, where nothing but the forest speaks in an arm.
    views
        What the trees of each member see of sites and years, ``(M,)``; None, in each, if the
        covariates as they are. A resample may hold other first and last dates than the others.
    """

    spec: MemberSpec
    scores: Floats
    arms: tuple[Arm, ...] = ()
    trees: ForestArrays | None = None
    views: tuple[PlaceAndTime | None, ...] = ()

    @classmethod
    def fit(
        cls,
        data: SiteYears,
        make: Maker,
        process: Process,
        learner: Learner,
        block: Ints,
        *,
        spec: MemberSpec | None = None,
        seed: int = 0,
    ) -> Self:
        """Fit the members.

        Parameters
        ----------
        data
            Sites to learn from.
        make
            Makes the arm, as ``lambda process, learner: make_arm("poml", process, learner)``.
        process
            Calibrated; members get draws of it and do not calibrate again.
        learner
            As the arm's own; a forest's trees are shared out over the members.
        block
            Spatial block of each site, ``(S,)``.
        spec
            How members differ; default :class:`MemberSpec`.
        seed
            Of draws, disturbances, resamples and trees.
        """
        spec = spec or MemberSpec()
        seeds = np.random.SeedSequence([seed, 0x3E3B]).generate_state(3 + spec.members)
        scores = mirrored_scores(spec.members, 4, int(seeds[0]))
        draws = process.draws(spec.members, int(seeds[1]))
        rng = np.random.default_rng(int(seeds[2]))
        arms = []
        for k, drawn in enumerate(draws):
            own = resampled(data, block, rng)
            own = replace(own, drivers=disturbed(own.drivers, spec, scores[k]))
            small = _own_learner(learner, spec, int(seeds[3 + k]))
            arms.append(make(Settled(drawn), small).fit(own))
        if all(_forest_alone(arm, data) for arm in arms):
            # what arms hold beside their trees is not needed any more
            trees = join_trees([_forest(arm) for arm in arms])
            views = tuple(getattr(arm, "view", None) for arm in arms)
            return cls(spec, scores, trees=trees, views=views)
        return cls(spec, scores, tuple(arms))

    # -- prediction -----------------------------------------------------------------------------

    def parts(self, data: SiteYears, years: Ints | None = None) -> Floats:
        """Return predictions by parts of members, ``(M, P, S, Y)`` kg/m².

        Parameters
        ----------
        data
            Sites; their stocks are not looked at.
        years
            Positions of the years wanted; all by default.
        """
        wanted = np.arange(len(data.years)) if years is None else np.asarray(years)
        if self.trees is not None:
            return self._by_trees(self.trees, data, wanted)
        found = []
        for arm, scores in zip(self.arms, self.scores, strict=True):
            moved = replace(data, drivers=disturbed(data.drivers, self.spec, scores))
            found.append([part.predict(moved)[:, wanted] for part in _arm_parts(arm, self.spec)])
        return np.array(found)

    def predict(self, data: SiteYears, years: Ints | None = None) -> Floats:
        """Return each member's prediction, ``(M, S, Y)`` kg/m²."""
        return np.asarray(self.parts(data, years).mean(axis=1))

    def variance(
        self, data: SiteYears, years: Ints | None = None, reference: int = 0
    ) -> tuple[Floats, Floats]:
        """Return variances between members, free of Monte Carlo noise, each ``(S, Y)``.

        Parameters
        ----------
        data
            Sites, any number: they are gone through in chunks.
        years
            Positions of the years wanted; all by default.
        reference
            Place among `years` of the year that changes are counted from.

        Returns
        -------
        stock, change
            Of the stock, and of its difference from the reference year.
        """
        wanted = np.arange(len(data.years)) if years is None else np.asarray(years)
        stock = np.empty((data.drivers.sites, len(wanted)))
        change = np.empty_like(stock)
        for some in _chunks(data.drivers.sites, CHUNK_ROWS // max(len(wanted), 1)):
            parts = self.parts(data.take(some), wanted)
            stock[some] = between_variance(parts)
            change[some] = between_variance(parts - parts[..., reference : reference + 1])
        return stock, change

    def _by_trees(self, trees: ForestArrays, data: SiteYears, years: Ints) -> Floats:
        members, own = self.spec.members, self.spec.parts
        sites = data.drivers.sites
        site, year = np.repeat(np.arange(sites), len(years)), np.tile(years, sites)
        each = trees.trees // members
        out = np.empty((members, own, sites, len(years)))
        for first, last in _runs(self.views):  # of members that see the same
            view = self.views[first]
            seen = data if view is None else view(data)
            rows = np.ascontiguousarray(seen.rows(site, year))
            mine = replace(trees, roots=trees.roots[first * each : last * each + 1])
            found = group_means(mine, rows, (last - first) * own)
            # a forest that was not grown on gaps would send them anywhere
            found[:, ~np.isfinite(rows).all(axis=1)] = np.nan
            out[first:last] = found.reshape(last - first, own, sites, len(years))
        return out

    # -- files ----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the members as arrays and JSON.

        Raises
        ------
        InputError
            For arms that run the process when they predict: those are not kept.
        """
        if self.trees is None:
            raise InputError(
                "members of an arm that runs the process to predict cannot be saved; "
                "choose a coupling in which the forest alone speaks, such as poml"
            )
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(self.trees, folder)
        views = [None if view is None else asdict(view) for view in self.views]
        told = {"spec": asdict(self.spec), "scores": self.scores.tolist(), "views": views}
        (folder / "members.json").write_text(json.dumps(told, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the trees are memory-mapped."""
        path = folder / "members.json"
        if not path.exists():
            raise InputError(f"{path}: missing, there are no saved members here")
        told = json.loads(path.read_text())
        views = tuple(PlaceAndTime(**view) if view else None for view in told["views"])
        trees = load_arrays(folder)
        return cls(MemberSpec(**told["spec"]), np.array(told["scores"]), trees=trees, views=views)

    @property
    def nbytes(self) -> int:
        """Bytes of the trees."""
        return 0 if self.trees is None else self.trees.nbytes


def _runs(views: Sequence[PlaceAndTime | None]) -> Iterator[tuple[int, int]]:
    """Yield first and last (not included) positions of runs of the same."""
    first = 0
    for last in range(1, len(views) + 1):
        if last == len(views) or views[last] != views[first]:
            yield first, last
            first = last


def _chunks(size: int, step: int) -> Iterator[NDArray[np.intp]]:
    for first in range(0, size, max(step, 1)):
        yield np.arange(first, min(first + max(step, 1), size))


def _own_learner(learner: Learner, spec: MemberSpec, seed: int) -> Learner:
    """Return a member's learner: its share of the trees, in whole parts, and its seed."""
    if not isinstance(learner, ForestLearner):
        other: Any = learner
        own: Learner = replace(other, seed=seed) if hasattr(other, "seed") else deepcopy(other)
        return own
    each = max(round(learner.trees / (spec.members * spec.parts)), 1)
    return replace(learner, trees=each * spec.parts, seed=seed)


def _forest(arm: Any) -> ForestArrays:
    arrays: ForestArrays = arm.learned.arrays
    return arrays


def _forest_alone(arm: Any, data: SiteYears) -> bool:
    """Whether an arm says what its forest says, which a few sites show."""
    learned = getattr(arm, "learned", None)
    if not isinstance(learned, ForestLearner):
        return False
    few = data.take(np.arange(min(data.drivers.sites, 20))).without_stock()
    site, year = np.nonzero(np.isfinite(arm.predict(few)))
    seen = arm.sees(few) if hasattr(arm, "sees") else few
    if seen.rows(site, year).shape[1] != learned.features:
        return False
    says = learned.predict(seen.rows(site, year))
    return len(site) > 0 and bool(np.array_equal(arm.predict(few)[site, year], says))


def _arm_parts(arm: Any, spec: MemberSpec) -> list[Any]:
    """Return the arm with each part of its forest; itself, as often, where it has none."""
    learned = getattr(arm, "learned", None)
    if not isinstance(learned, ForestLearner) or spec.parts == 1:
        return [arm]
    each = learned.trees // spec.parts
    found = []
    for part in range(spec.parts):
        own, forest = copy(arm), copy(learned)
        forest._arrays = take_trees(learned.arrays, part * each, (part + 1) * each)
        own.learned = forest
        found.append(own)
    return found
