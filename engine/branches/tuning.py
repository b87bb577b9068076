"""Fine-tuning: a model of the world becomes one of a region, by the region's own samples alone.

Ways of doing so are tried side by side and chosen by rows of the region that did not teach them
(:mod:`~edaphos.engine.branches.cross_fit`). No other row decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from ..assess.splits import inner_split, location_codes
from ..conformal import blocks_needed
from ..conv.learning_rows import FEWEST_BLOCKS, Ints, LearningRows, rows_of
from ..conv.patches import patches_of
from ..conv.predictive import Pair, Predictive
from ..errors import InputError
from ..models.protocol import Depth
from ..place import Place
from ..progress import QUIET, Reporter
from ..samples import Samples
from ..training_curve import Training
from .branch_fit import BranchFit, HeldOut
from .cross_fit import CrossFit, Region, cross_fit, without
from .fitting import lay_ground, summary_of, with_numbers
from .group_set import GroupSet
from .groups import absent_groups
from .own_groups import files_of, with_own
from .region_checks import check_absent, check_range, check_target, check_units
from .region_intervals import OWN_INTERVALS, own_intervals, worlds_intervals
from .regions_out import place_codes
from .settings import GsoilcpmSettings

if TYPE_CHECKING:
    from distributed import Client

#: Locations that a region needs.
FEWEST_LOCATIONS = 10


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
    reporter: Reporter = QUIET,
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
    depths, pairs, seed, client, reporter
        As for :func:`~edaphos.engine.branches.fitting.pretrain`.

    Raises
    ------
    InputError
        Too few locations; covariates in other units than in the world; targets that look as if
        they were in other units, or covariates that mostly lie beyond the world's; a group that is
        missing and that the nets cannot do without.
    """
    patches_of(samples)
    assert samples.patches is not None  # or the line above raises
    held = GroupSet.open(samples.patches)
    absent = absent_groups(start.nets.channels.groups, held.variables)
    check_absent(absent, start)
    check_units(held.variables, start.variables)
    rows, part, locations = region_rows(samples, told, depths, seed)
    beyond = start.nets.channels.beyond(held, rows.patch, absent)
    check_range(beyond, told)
    start = with_own(start, told, held, rows.patch, seed)
    world = replace(
        start.nets,
        absent=absent,
        low=min(start.nets.low, float(rows.target.min())),
        high=max(start.nets.high, float(rows.target.max())),
    )
    check_target(samples, world, held, rows, told)
    parts = told.fine_tuning.parts
    grounds = [
        lay_ground(
            samples.patches,
            without(rows, part, out, parts),
            start.nets.channels,
            told,
            world.levels,
            world.centre,
            world.spread,
            absent=absent,
            of=(depths, seed, [sha256(c.tobytes()).hexdigest() for c in start.covariances]),
        )
        for out in range(parts)
    ]
    if told.own:
        files = files_of(start, grounds[0].folder, [files[m].name for m in range(len(files))])
    region = Region(
        held, rows, part, grounds, world, files, kept, told.tuned, told.fine_tuning, seed
    )
    fit = cross_fit(region, client, reporter)
    own = locations >= OWN_INTERVALS and len(np.unique(rows.block)) >= max(
        (blocks_needed(high - low) for low, high in pairs), default=0
    )
    predictive = _predictive(fit, rows, told, start, depths, pairs, own)
    store = next(iter(held.stores.values()))
    here = place_codes(samples)
    mine = [one for (way, _), one in fit.trained.items() if way == fit.ways[0].way]
    return BranchFit(
        nets=fit.nets,
        predictive=predictive,
        depths=depths,
        variables={**start.variables, **held.variables},
        crs=store.crs,
        cell=store.cell,
        rows={"calibrated with": len(rows) if own else 0},
        summary={
            **summary_of(samples),
            "parts": parts,
            "world": dict(start.summary),
            "places that taught the world": np.intersect1d(here, start.places).size,
            "groups missing": list(absent),
            "classes unknown": start.nets.channels.unknown_codes(held, rows.patch, absent),
            "beyond the world": {name: round(share, 4) for name, share in beyond.items()},
            "covariates of its own": [name for group in told.own for name in group.covariates],
            **_scores(fit, rows, predictive),
        },
        places=np.union1d(start.places, here),
        covariances=tuple(one.covariance for one in mine) or start.covariances,
        ways=fit.ways,
        held_out=HeldOut(fit.said, rows, part),
        trainings=tuple(_named(one.training, k) for (_, k), one in fit.trained.items()),
    )


def region_rows(
    samples: Samples, told: GsoilcpmSettings, depths: tuple[Depth, ...], seed: int
) -> tuple[LearningRows, Ints, int]:
    """Return the region's rows, the part of each, and how many locations there are.

    Raises
    ------
    InputError
        Too few locations.
    """
    locations = len(np.unique(location_codes(samples)))
    if locations < FEWEST_LOCATIONS:
        raise InputError(
            f"a region needs {FEWEST_LOCATIONS} locations or more to be fine-tuned to, found "
            f"{locations}: take the map of the world as it is, or give more profiles"
        )
    tuning = told.fine_tuning
    # every part calibrates: blocks need not be so small that one part alone holds enough of them
    split = inner_split(
        samples,
        folds=tuning.parts,
        seed=seed,
        block_deg=tuning.part_deg,
        least=max(FEWEST_BLOCKS, 2 * tuning.parts),
    )
    rows = rows_of(samples, depths, split, log1p=told.transform == "log1p")
    return with_numbers(rows, samples, told), rows.part, locations


def _predictive(
    fit: CrossFit,
    rows: LearningRows,
    told: GsoilcpmSettings,
    start: BranchFit,
    depths: tuple[Depth, ...],
    pairs: tuple[Pair, ...],
    own: bool,
) -> Predictive:
    if not own:
        return worlds_intervals(fit.said, rows, start, depths, pairs, fit.nets.high)
    return own_intervals(
        fit.said,
        rows,
        depths,
        pairs,
        log1p=told.transform == "log1p",
        interval="residual" if told.head == "mean" else "quantile",
        high=fit.nets.high,
    )


def _scores(fit: CrossFit, rows: LearningRows, predictive: Predictive) -> dict[str, float]:
    """Return how good nets are on rows that they did not see, on the original scale."""
    from edaphos.kernels.metrics import metrics

    mean = predictive.mean(fit.said, rows.depth)
    found = metrics(np.expm1(rows.target) if predictive.log1p else rows.target, mean)
    return {f"held_out_{k}": round(float(found[k]), 4) for k in ("MAE", "CCC")}


def _named(training: Training, number: int) -> Training:
    return replace(training, name=f"fine-tuning, {training.name}, part {number + 1}")
