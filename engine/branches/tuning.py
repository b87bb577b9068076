"""Fine-tuning: a model of the world becomes one of a region, by the region's own samples alone.

Ways of doing so are tried side by side and chosen by the part of the region's training rows that
stops trainings. No other row decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from edaphos.kernels.conformal import block_weights, outside_by, weighted_quantile

from ..assess.splits import location_codes
from ..conv.learning_rows import CALIBRATE, LEARN, STOP, LearningRows, learning_rows
from ..conv.patches import patches_of
from ..conv.predictive import FEWEST_FOR_MEANS, Pair, Predictive, raw_bounds
from ..conv.weights import Seen
from ..errors import InputError
from ..models.depth_rows import depth_rows
from ..models.protocol import Depth
from ..place import Place
from ..samples import Samples
from ..training_curve import Training
from .fitted import FittedBranches
from .fitting import (
    BranchFit,
    WayTried,
    asked,
    calibrated,
    counts,
    lay_ground,
    member_seeds,
    scores,
    summary_of,
    with_numbers,
)
from .group_set import GroupSet
from .groups import absent_groups
from .own_groups import files_of, with_own
from .regions_out import place_codes
from .settings import GsoilcpmSettings
from .training import Task, Trained, run_tasks

if TYPE_CHECKING:
    from distributed import Client

#: Locations that a region needs, and those from which it calibrates intervals of its own.
FEWEST_LOCATIONS, OWN_INTERVALS = 10, 150
#: Slopes of a corrected scale.
SLOPES = 0.2, 5.0
#: Factor between units that are easily mistaken, and what the median may differ by to look so.
UNIT_FACTOR, LOOKS_SO = 10.0, (5.0, 20.0)


def finetune(
    samples: Samples,
    told: GsoilcpmSettings,
    start: BranchFit,
    files: Mapping[int, Place],
    kept: Place | None,
    depths: tuple[Depth, ...],
    pairs: tuple[Pair, ...],
    *,
    seed: int,
    client: Client | None = None,
) -> BranchFit:
    """Fine-tune nets of the world to samples of a region.

    Parameters
    ----------
    samples
        The region's training rows, with squares.
    told
        The settings: those of the start, with the region's own fine-tuning.
    start, files, kept
        The model of the world, the file of each of its nets, and that of the places kept with it.
    depths, pairs, seed, client
        As for :func:`~edaphos.engine.branches.fitting.pretrain`.

    Raises
    ------
    InputError
        Too few locations; covariates in other units than in the world; targets that look as if
        they were in other units; a group that is missing and that the nets cannot do without.
    """
    patches_of(samples)
    assert samples.patches is not None  # or the line above raises
    held = GroupSet.open(samples.patches)
    absent = absent_groups(start.nets.channels.groups, held.variables)
    check_absent(absent, start)
    check_units(held.variables, start.variables)
    rows = _rows(samples, told, depths, seed)
    start = with_own(start, told, held, rows.patch[rows.part == LEARN], seed)
    learned = rows.target[rows.part == LEARN]
    world = replace(
        start.nets,
        absent=absent,
        low=min(start.nets.low, float(learned.min())),
        high=max(start.nets.high, float(learned.max())),
    )
    _check_target(samples, world, held, rows, told)
    ground = lay_ground(
        samples.patches,
        rows,
        start.nets.channels,
        told,
        world.levels,
        world.centre,
        world.spread,
        absent=absent,
        of=(depths, seed, [sha256(c.tobytes()).hexdigest() for c in start.covariances]),
    )
    if told.own:
        files = files_of(start, ground.folder, [files[m].name for m in range(len(files))])
    tuning = told.fine_tuning
    tasks = [
        Task(
            ground,
            replace(told.tuned, seed=own),
            way,
            own,
            start=files[m],
            way=way,
            l2_sp=tuning.l2_sp,
            coral=tuning.coral,
            adversarial=tuning.adversarial,
            rank=tuning.rank,
            speed=1 / tuning.rate_share,
            kept=kept,
        )
        for way in tuning.ways
        if way != "zero_shot"
        for m, own in enumerate(member_seeds(seed, len(world.nets)))
    ]
    trained = dict(zip(((t.way, t.seed) for t in tasks), run_tasks(tasks, client), strict=True))
    tried: list[tuple[WayTried, FittedBranches, list[Trained]]] = []
    for way in tuning.ways:
        mine = [one for (name, _), one in trained.items() if name == way]
        nets = replace(world, nets=tuple(t.net for t in mine)) if mine else world
        tried += [
            (
                WayTried(way, fitted is not nets, stop_error(fitted, held, rows, world.spread)),
                fitted,
                mine,
            )
            for fitted in (nets, *(() if mine else _corrected(nets, held, rows, tuning.correction)))
        ]
    tried.sort(key=lambda one: one[0].error)
    _, nets, mine = tried[0]
    predictive = _predictive(nets, held, rows, told, start, depths, pairs, learned)
    store = next(iter(held.stores.values()))
    here = place_codes(samples)
    return BranchFit(
        nets=nets,
        predictive=predictive,
        depths=depths,
        variables={**start.variables, **held.variables},
        crs=store.crs,
        cell=store.cell,
        rows=counts(rows),
        summary={
            **summary_of(samples),
            "world": dict(start.summary),
            "places that taught the world": np.intersect1d(here, start.places).size,
            "groups missing": list(absent),
            "classes unknown": start.nets.channels.unknown_codes(held, rows.patch, absent),
            "covariates of its own": [name for group in told.own for name in group.covariates],
            **scores(nets, predictive, held, rows),
        },
        places=np.union1d(start.places, here),
        covariances=tuple(t.covariance for t in mine) or start.covariances,
        ways=tuple(one for one, _, _ in tried),
        trainings=tuple(_named(t.training) for t in trained.values()),
    )


def check_absent(absent: tuple[str, ...], start: BranchFit) -> None:
    """Refuse a region without a group where nets never learned to do without one."""
    if absent and not start.nets.nets[0].shape.group_dropout:
        raise InputError(
            f"the region's cube lacks the group {', '.join(absent)}, and the model of the world "
            "never learned to do without a group: give its covariates, or pre-train with "
            "group_dropout above 0"
        )


def check_units(found: Mapping[str, Seen], wanted: Mapping[str, Seen]) -> None:
    """Refuse covariates that are not what they were in the world."""
    problems = [
        f'{what} of "{name}": "{getattr(wanted[name], what)}" in the world, "{given}" here'
        for name, seen in found.items()
        if name in wanted
        for what, given in (("kind", seen.kind), ("time", seen.time), ("units", seen.units))
        if given != getattr(wanted[name], what)
    ]
    if problems:
        raise InputError(
            f"the region's cube holds other covariates than the model learned: "
            f"{'; '.join(problems)}. Convert them when the cube is built (scale and offset of the "
            "layer), or state their units as they are"
        )


def stop_error(nets: FittedBranches, held: GroupSet, rows: LearningRows, spread: float) -> float:
    """Return the mean squared error over the rows that stop trainings, in units of `spread`.

    That of the world for all ways: nets whose scale was corrected have another one.
    """
    said, target, _ = asked(nets, held, rows, STOP)
    weight = rows.weight[rows.part == STOP]
    away = (said.centre - target) / spread
    return float(np.average(away**2, weights=weight))


def _rows(
    samples: Samples, told: GsoilcpmSettings, depths: tuple[Depth, ...], seed: int
) -> LearningRows:
    """Return the region's rows in parts; too few do not calibrate."""
    locations = len(np.unique(location_codes(samples)))
    if locations < FEWEST_LOCATIONS:
        raise InputError(
            f"a region needs {FEWEST_LOCATIONS} locations or more to be fine-tuned to, found "
            f"{locations}: take the map of the world as it is, or give more profiles"
        )
    tuning = told.fine_tuning
    rows = learning_rows(
        samples,
        depths,
        log1p=told.transform == "log1p",
        parts=tuning.parts,
        part_deg=tuning.part_deg,
        seed=seed,
    )
    if locations < OWN_INTERVALS:
        rows = replace(rows, part=np.where(rows.part == CALIBRATE, LEARN, rows.part))
    return with_numbers(rows, samples, told)


def _check_target(
    samples: Samples,
    world: FittedBranches,
    held: GroupSet,
    rows: LearningRows,
    told: GsoilcpmSettings,
) -> None:
    """Refuse targets that fit the world far better times or over ten: per cent, for one."""
    if told.fine_tuning.trust_units:
        return
    said = world.together(world.of_rows(held, rows.patch, rows.extra)).centre
    log1p = told.transform == "log1p"
    expected = np.maximum(np.expm1(said) if log1p else said, 1e-3)
    off = np.log(expected / np.maximum(samples.y, 1e-3))
    factor = float(np.exp(np.median(off)))
    for times, words in ((UNIT_FACTOR, "per cent"), (1 / UNIT_FACTOR, "tenths of g/kg")):
        mended = off - np.log(times)
        near = LOOKS_SO[0] < (factor if times > 1 else 1 / factor) < LOOKS_SO[1]
        if near and (mended**2).mean() < 0.5 * (off**2).mean():
            raise InputError(
                f"the region's {samples.target[0]} looks as if it were in {words}: its median is "
                f"{np.median(samples.y):.3g}, where the model of the world expects "
                f"{np.median(expected):.3g} {samples.target[1]}. Declare the units of the column "
                '(units = { soc = "%" }, or --unit soc=%), or set fine_tuning.trust_units = true '
                "if it is so"
            )


def _corrected(
    nets: FittedBranches, held: GroupSet, rows: LearningRows, correction: str
) -> list[FittedBranches]:
    """Return nets that saw none of the rows learned from with their scale corrected by these.

    Of nets that were trained on them the line would be that of a fit, steeper than elsewhere.
    """
    if correction == "none":
        return []
    said, target, _ = asked(nets, held, rows, LEARN)
    weight = rows.weight[rows.part == LEARN]
    means = [float(np.average(a, weights=weight)) for a in (said.centre, target)]
    x, y = said.centre - means[0], target - means[1]
    slope = 1.0
    spread = float(np.average(x * x, weights=weight))
    if correction == "scale" and spread > 0:
        slope = float(np.clip(np.average(x * y, weights=weight) / spread, *SLOPES))
    shift = means[1] - slope * means[0]
    return [replace(nets, centre=slope * nets.centre + shift, spread=slope * nets.spread)]


def _predictive(
    nets: FittedBranches,
    held: GroupSet,
    rows: LearningRows,
    told: GsoilcpmSettings,
    start: BranchFit,
    depths: tuple[Depth, ...],
    pairs: tuple[Pair, ...],
    learned: np.ndarray,
) -> Predictive:
    """Return intervals of the region's own, or those of the world where it has few locations.

    These are widened, never narrowed, to hold their share of the rows that stop trainings, and one
    block more, with equal weight for each block: a region may spread more than the world.

    The mean of residuals on the original scale (smearing) and their median are the region's own in
    any case, by depth where it has rows enough: where residuals spread less than in the world, its
    smearing would put carbon on every cell.
    """
    high = max(nets.high, float(learned.max()))
    if (rows.part == CALIBRATE).any():
        return calibrated(nets, held, rows, told, depths, pairs, np.full(len(depths), high))
    known = start.predictive
    if set(pairs) - set(known.pairs):
        raise InputError(
            f"the region has too few locations to calibrate intervals of its own (fewer than "
            f"{OWN_INTERVALS}), and the model of the world has none for {sorted(set(pairs))}: map "
            f"the quantiles of {sorted(known.pairs)}"
        )
    bounds = np.array(depths, np.float64)
    place = depth_rows(bounds[:, 0], bounds[:, 1], start.depths)
    which = [known.pairs.index(pair) for pair in pairs]
    most = float(np.expm1(high)) if known.log1p else high

    def at(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[k] for k in place)

    said = nets.together(nets.of_rows(held, rows.patch, rows.extra))
    residual = rows.target - said.centre
    smear, middle = [], []
    for d in range(len(depths)):
        mine = rows.depth == d
        mine = mine if mine.sum() >= FEWEST_FOR_MEANS else np.ones(len(rows), bool)
        mean = float(np.average(np.exp(residual[mine]), weights=rows.weight[mine]))
        smear.append(mean if known.log1p else 1.0)
        middle.append(float(np.median(residual[mine])))
    sigma = at(known.sigma)
    stop = rows.part == STOP
    stopped, target, depth = asked(nets, held, rows, STOP)
    weight = block_weights(rows.block[stop], rows.weight[stop])
    margins = []
    for pair, k in zip(pairs, which, strict=True):
        world = np.array(at(known.margins[k]))
        below, above = raw_bounds(stopped, known.interval, pair, np.array(sigma)[depth])
        away = outside_by(target, below, above) - world[depth]
        level, total = pair[1] - pair[0], float(weight.sum()) + 1.0
        more = max(0.0, float(weighted_quantile(away, weight, level, total=total)))
        margins.append(tuple((world + more).tolist()))
    return replace(
        known,
        smear=tuple(smear),
        middle=tuple(middle),
        sigma=sigma,
        pairs=pairs,
        margins=tuple(margins),
        blocks=tuple(0 for _ in depths),
        most=tuple(most for _ in depths),
    )


def _named(training: Training) -> Training:
    return replace(training, name=f"fine-tuning, {training.name}")
