"""Cross-fitting: nets of a region, and what each says of rows that taught it nothing.

The region's rows are cut into parts of whole blocks. Net after net, one part is never seen, the
next stops the training, and the others are learned from; every row is held out of one net, and
learned from by most. What is held out chooses a way of fine-tuning, calibrates intervals and weighs
forests beside the nets (cross-fitting: Chernozhukov et al. 2018, *Econometrics J.* 21, C1-C68), and
the nets of all parts are averaged, so that no row is given up for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..conv.learning_rows import CALIBRATE, LEARN, STOP, Floats, Ints, LearningRows
from ..conv.predictive import Said
from ..place import Place
from ..progress import QUIET, Reporter
from .branch_fit import WayTried
from .fitted import FittedBranches
from .fitting import member_seeds
from .group_set import GroupSet
from .settings import Tuning, Way
from .training import Ground, Task, Trained, run_tasks

if TYPE_CHECKING:
    from distributed import Client

    from ..training_spec import TrainSpec

#: Parts that all ways are tried on; only the best of them is trained on the others.
RACED = 2
#: Slopes of a corrected scale.
SLOPES = 0.2, 5.0


@dataclass(frozen=True)
class CrossFit:
    """The nets of the best way.

    Parameters
    ----------
    nets
        Averaged: one for each part, or those of the world.
    said
        About each row, by nets that it did not teach.
    ways
        All that were tried, the best first.
    trained
        How trainings went, by way and number of the net.
    """

    nets: FittedBranches
    said: Said
    ways: tuple[WayTried, ...]
    trained: Mapping[tuple[Way, int], Trained]


@dataclass(frozen=True)
class Region:
    """What ways of fine-tuning share.

    Parameters
    ----------
    held, rows
        The squares and the rows.
    part
        Of each row, ``(n,)``.
    grounds
        One for each part that is held out.
    world, files, kept
        The nets of the world, the file of each, and that of the places kept with them.
    spec, tuning
        How nets are trained.
    seed
        Of everything random.
    """

    held: GroupSet
    rows: LearningRows
    part: Ints
    grounds: Sequence[Ground]
    world: FittedBranches
    files: Mapping[int, Place]
    kept: Place | None
    spec: TrainSpec
    tuning: Tuning
    seed: int

    @property
    def nets(self) -> int:
        """Nets of a way: one for each part, or for each net of the world if these are more."""
        return max(len(self.grounds), len(self.files))


def without(rows: LearningRows, part: Ints, out: int, parts: int) -> LearningRows:
    """Return the rows for a net that never sees one part, and that the next one stops."""
    role = np.where(part == out, CALIBRATE, np.where(part == (out + 1) % parts, STOP, LEARN))
    return replace(rows, part=role.astype(np.int64))


def cross_fit(region: Region, client: Client | None = None, reporter: Reporter = QUIET) -> CrossFit:
    """Try all ways on some parts, and train the best one on all."""
    tuning, parts = region.tuning, len(region.grounds)
    raced = range(min(RACED, region.nets))
    trained_ways: list[Way] = [way for way in tuning.ways if way != "zero_shot"]
    some = [(way, k) for way in trained_ways for k in raced]
    trained = _train(region, some, client, reporter)
    seen = np.isin(region.part, [k % parts for k in raced])
    tried = [
        (WayTried(way, corrected, _error(region, said, seen)), said, nets)
        for way in tuning.ways
        for corrected, nets, said in (
            _as_it_is(region)
            if way == "zero_shot"
            else [(False, region.world, _held_out(region, way, trained))]
        )
    ]
    tried.sort(key=lambda one: one[0].error)
    best, said, nets = tried[0]
    way = best.way
    if way != "zero_shot":
        rest = [(way, k) for k in range(region.nets) if k not in raced]
        trained |= _train(region, rest, client, reporter)
        mine = tuple(trained[way, k].net for k in range(region.nets))
        nets, said = replace(region.world, nets=mine), _held_out(region, way, trained)
    return CrossFit(nets, said, tuple(one for one, _, _ in tried), trained)


def _train(
    region: Region, which: Sequence[tuple[Way, int]], client: Client | None, reporter: Reporter
) -> dict[tuple[Way, int], Trained]:
    """Train nets of ways, each from a net of the world and with a part of its own left out."""
    tuning, parts = region.tuning, len(region.grounds)
    seeds = member_seeds(region.seed, region.nets)
    tasks = [
        Task(
            region.grounds[k % parts],
            replace(region.spec, seed=seeds[k]),
            way,
            seeds[k],
            start=region.files[k % len(region.files)],
            way=way,
            l2_sp=tuning.l2_sp,
            coral=tuning.coral,
            adversarial=tuning.adversarial,
            rank=tuning.rank,
            speed=1 / tuning.rate_share,
            kept=region.kept,
        )
        for way, k in which
    ]
    return dict(zip(which, run_tasks(tasks, client, reporter), strict=True))


def _held_out(region: Region, way: Way, trained: Mapping[tuple[Way, int], Trained]) -> Said:
    """Return what nets of a way say of the rows that each did not see, NaN where none is yet."""
    rows, parts = region.rows, len(region.grounds)
    pieces = []
    for part in range(parts):
        mine = [trained[way, k].net for k in range(part, region.nets, parts) if (way, k) in trained]
        if not mine:
            continue
        at = np.flatnonzero(region.part == part)
        nets = replace(region.world, nets=tuple(mine))
        pieces.append((at, _asked(nets, region, at)))
    return _scattered(pieces, len(rows))


def _as_it_is(region: Region) -> list[tuple[bool, FittedBranches, Said]]:
    """Return the nets of the world, and with their scale corrected, with what they say of rows.

    A line through the rows of all parts but one corrects that one.
    """
    world, every = region.world, np.arange(len(region.rows))
    said = _asked(world, region, every)
    found = [(False, world, said)]
    if region.tuning.correction == "none":
        return found
    pieces = []
    for part in range(len(region.grounds)):
        out = region.part == part
        nets = _corrected(region, said.centre, ~out)
        at = np.flatnonzero(out)
        pieces.append((at, _asked(nets, region, at)))
    whole = _corrected(region, said.centre, np.ones(len(region.rows), bool))
    return [*found, (True, whole, _scattered(pieces, len(region.rows)))]


def _corrected(region: Region, centre: Floats, rows: NDArray[np.bool_]) -> FittedBranches:
    """Return the nets of the world on the weighted line, or with the shift, through rows."""
    weight = region.rows.weight[rows]
    said, target = centre[rows], region.rows.target[rows]
    means = [float(np.average(a, weights=weight)) for a in (said, target)]
    x, y = said - means[0], target - means[1]
    slope, spread = 1.0, float(np.average(x * x, weights=weight))
    if region.tuning.correction == "scale" and spread > 0:
        slope = float(np.clip(np.average(x * y, weights=weight) / spread, *SLOPES))
    shift = means[1] - slope * means[0]
    world = region.world
    return replace(world, centre=slope * world.centre + shift, spread=slope * world.spread)


def _asked(nets: FittedBranches, region: Region, at: Ints) -> Said:
    rows = region.rows
    return nets.together(nets.of_rows(region.held, rows.patch[at], rows.extra[at]))


def _scattered(pieces: Sequence[tuple[Ints, Said]], size: int) -> Said:
    """Join what was said of some rows each, NaN where nothing was."""

    def joined(values: Sequence[Floats]) -> Floats:
        out = np.full(size, np.nan)
        for (at, _), some in zip(pieces, values, strict=True):
            out[at] = some
        return out

    limited = np.zeros(size, bool)
    for at, said in pieces:
        limited[at] = said.limited
    levels = pieces[0][1].levels
    return Said(
        joined([said.centre for _, said in pieces]),
        joined([said.apart for _, said in pieces]),
        {q: joined([said.levels[q] for _, said in pieces]) for q in levels},
        limited,
    )


def _error(region: Region, said: Said, seen: NDArray[np.bool_]) -> float:
    """Return the mean squared error over some rows, in units of the target's variance in the world.

    The same unit for all ways: nets whose scale was corrected have another one.
    """
    rows = region.rows
    away = (said.centre - rows.target)[seen] / region.world.spread
    return float(np.average(away**2, weights=rows.weight[seen]))
