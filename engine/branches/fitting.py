"""Pre-training: from samples of the world to calibrated nets of branches."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edaphos.kernels.branch_shape import BranchShape

from ..conv.fitting import trainings_folder
from ..conv.learning_rows import CALIBRATE, LEARN, STOP, Floats, Ints, LearningRows, learning_rows
from ..conv.patches import patches_of
from ..conv.predictive import Pair, Predictive, Said, calibrate
from ..conv.schemes import ROWS, digest_of, target_scale
from ..errors import InputError
from ..models.protocol import Depth
from ..progress import QUIET, Reporter
from ..run import versions
from ..samples import Samples
from ..whole_folder import is_whole, whole_folder
from .branch_fit import BranchFit
from .fitted import FittedBranches, outputs_of, row_numbers
from .group_set import GroupSet
from .groups import GroupChannels
from .kept_places import KeptPlaces
from .kept_rows import KeptRows
from .masked import Encoded, encode
from .regions_out import outside, place_codes
from .settings import GsoilcpmSettings
from .training import Ground, Task, run_tasks
from .unlabelled import UnlabelledPlaces, unlabelled_folder

if TYPE_CHECKING:
    from distributed import Client


def pretrain(
    samples: Samples,
    told: GsoilcpmSettings,
    depths: tuple[Depth, ...],
    quantiles: tuple[float, ...],
    pairs: tuple[Pair, ...],
    *,
    seed: int,
    client: Client | None = None,
    reporter: Reporter = QUIET,
) -> BranchFit:
    """Train nets on samples of the world, and calibrate them.

    Raises
    ------
    InputError
        Samples without squares, with too few rows or places, or none outside the regions left out.
    """
    patches_of(samples)
    assert samples.patches is not None  # or the line above raises
    check_released(told, depths)
    folder = samples.patches
    held = GroupSet.open(folder)
    all_rows = len(samples)
    samples = outside(samples, told.without, told.buffer_km)
    rows = with_numbers(
        learning_rows(
            samples,
            depths,
            log1p=told.transform == "log1p",
            parts=told.parts,
            part_deg=told.part_deg,
            seed=seed,
        ),
        samples,
        told,
    )
    unlabelled = None
    if told.unlabelled.places:
        unlabelled = UnlabelledPlaces.open(unlabelled_folder(folder))
    channels = _channels(held, rows, told, unlabelled)
    shape, seeds = _shape(channels, told), member_seeds(seed, told.members)
    encoded = (
        []
        if unlabelled is None
        else _encoded(unlabelled, channels, shape, told, seeds, folder, client, reporter)
    )
    levels = () if told.head == "mean" else quantiles
    centre, spread = (float(a[0]) for a in target_scale(rows, 1, False))
    learned = rows.target[rows.part == LEARN]
    low, high = float(learned.min()), float(learned.max())
    ground = lay_ground(
        folder,
        rows,
        channels,
        told,
        levels,
        centre,
        spread,
        absent=(),
        of=(depths, seed, [one.file.parent.name for one in encoded]),
    )
    tasks = [
        Task(
            ground,
            replace(told.training, seed=own),
            "the world",
            own,
            shape,
            outputs_of(told.head, levels),
            rows.extra.shape[1],
            encoder=encoded[m].file if encoded else None,
        )
        for m, own in enumerate(seeds)
    ]
    trained = run_tasks(tasks, client, reporter)
    nets = FittedBranches(
        tuple(t.net for t in trained),
        channels,
        centre,
        spread,
        low,
        high,
        told.head,
        levels,
        plain=told.faithful,
        sees_year=told.sees_year,
    )
    predictive = calibrated(nets, held, rows, told, depths, pairs, np.full(len(depths), high))
    store = next(iter(held.stores.values()))
    return BranchFit(
        nets=nets,
        predictive=predictive,
        depths=depths,
        variables=held.variables,
        crs=store.crs,
        cell=store.cell,
        rows=counts(rows),
        summary={
            **summary_of(samples),
            "left out": all_rows - len(samples),
            **_said_of(encoded),
            **scores(nets, predictive, held, rows),
        },
        places=place_codes(samples),
        covariances=tuple(t.covariance for t in trained),
        kept=KeptPlaces.draw(held, channels, rows, told.kept_places, seed)
        if told.kept_places
        else None,
        kept_rows=KeptRows.draw(samples, told.kept_rows, seed) if told.kept_rows else None,
        trainings=(*(one.training for one in encoded), *(t.training for t in trained)),
    )


def _channels(
    held: GroupSet, rows: LearningRows, told: GsoilcpmSettings, unlabelled: UnlabelledPlaces | None
) -> GroupChannels:
    """Learn what nets see from the rows learned from, or from the places without samples.

    Then folds of a cross-validation see the same, and share what is learned without samples.
    """
    if unlabelled is not None:
        chosen = unlabelled.outside(told.without, told.buffer_km)
        return GroupChannels.fit(unlabelled.held, chosen, told.groups, plain=False)
    return GroupChannels.fit(held, rows.patch[rows.part == LEARN], told.groups, plain=told.faithful)


def _encoded(
    unlabelled: UnlabelledPlaces,
    channels: GroupChannels,
    shape: BranchShape,
    told: GsoilcpmSettings,
    seeds: list[int],
    patches: Path,
    client: Client | None,
    reporter: Reporter,
) -> list[Encoded]:
    """Have branches learn covariates first, away from the regions left out.

    No target is among them, so that nothing of a region could be told; they are left out so that
    a region that is left out stays one whose covariates are new to the model of the world.
    """
    chosen = unlabelled.outside(told.without, told.buffer_km)
    parts = unlabelled.split(chosen, told.parts, told.part_deg)
    return encode(
        unlabelled.held,
        channels,
        shape,
        told.unlabelled,
        told.training,
        parts,
        seeds,
        trainings_folder(patches),
        client,
        reporter,
    )


def _said_of(encoded: list[Encoded]) -> dict[str, Any]:
    """Return what was learned without samples, in plain values."""
    if not encoded:
        return {}
    errors = [one.training.curve.best_validation for one in encoded]
    first = encoded[0].training
    return {
        "places without samples": first.rows + first.validation_rows,
        "error of hidden covariates": round(float(np.mean(errors)), 4),
    }


def check_released(told: GsoilcpmSettings, depths: tuple[Depth, ...]) -> None:
    """Refuse several depths for the released network, which does not see them."""
    if told.faithful and len(depths) != 1:
        raise InputError(
            "faithful = true learns one layer, 0-30 cm in the paper: give map.depths = [[0, 30]] "
            f'and profiles.harmonise = "overlap"; found {len(depths)} depths'
        )


def with_numbers(rows: LearningRows, samples: Samples, told: GsoilcpmSettings) -> LearningRows:
    """Return rows with what a net of these settings sees of layers."""
    year = samples.table["year"].to_numpy(np.float64)
    numbers = row_numbers(
        samples.top, samples.bottom, year, plain=told.faithful, sees_year=told.sees_year
    )
    return replace(rows, extra=numbers)


def lay_ground(
    patches: Path,
    rows: LearningRows,
    channels: GroupChannels,
    told: GsoilcpmSettings,
    levels: tuple[float, ...],
    centre: float,
    spread: float,
    *,
    absent: tuple[str, ...],
    of: tuple[Any, ...],
) -> Ground:
    """Keep the rows where trainings find them; return what trainings share."""
    plain = channels.to_json()
    told_of = (rows.digest, GroupSet.open(patches).digest, plain, asdict(told), levels, absent, of)
    folder = trainings_folder(patches) / digest_of(*told_of, versions(("torch",)))
    if not is_whole(folder / "rows"):
        with whole_folder(folder / "rows") as partial:
            rows.save(partial / ROWS)
    augment = told.augment and channels.symmetric
    return Ground(
        folder, patches, plain, centre, spread, told.head, levels, augment, absent, told.faithful
    )


def member_seeds(seed: int, members: int) -> list[int]:
    """Return a seed for each member."""
    return [int(np.random.SeedSequence([seed, m]).generate_state(1)[0]) for m in range(members)]


def _shape(channels: GroupChannels, told: GsoilcpmSettings) -> BranchShape:
    return BranchShape(
        branches=channels.branches(told.embedding, told.faithful),
        width=told.width,
        merged=told.merged,
        dense=told.dense,
        dropout=told.dropout,
        between="none" if told.faithful else "gelu",
        group_dropout=0.0 if told.faithful else told.group_dropout,
    )


def asked(
    nets: FittedBranches, held: GroupSet, rows: LearningRows, part: int
) -> tuple[Said, Floats, Ints]:
    """Return what nets say of a part of the rows, its targets and depths."""
    mine = np.flatnonzero(rows.part == part)
    said = nets.of_rows(held, rows.patch[mine], rows.extra[mine])
    return nets.together(said), rows.target[mine], rows.depth[mine]


def calibrated(
    nets: FittedBranches,
    held: GroupSet,
    rows: LearningRows,
    told: GsoilcpmSettings,
    depths: tuple[Depth, ...],
    pairs: tuple[Pair, ...],
    largest: Floats,
) -> Predictive:
    """Ask the nets about rows that taught them nothing."""
    last = rows.part == CALIBRATE
    return calibrate(
        asked(nets, held, rows, STOP),
        asked(nets, held, rows, CALIBRATE),
        rows.weight[last],
        rows.block[last],
        len(depths),
        log1p=told.transform == "log1p",
        interval="residual" if told.head == "mean" else "quantile",
        pairs=pairs,
        largest=largest,
    )


def counts(rows: LearningRows) -> dict[str, int]:
    """Return how many rows did what."""
    return {
        "learned from": int((rows.part == LEARN).sum()),
        "stopped by": int((rows.part == STOP).sum()),
        "calibrated with": int((rows.part == CALIBRATE).sum()),
    }


def summary_of(samples: Samples) -> dict[str, Any]:
    """Return what samples are, in plain values."""
    table = samples.table
    year = table["year"].to_numpy(np.float64)
    dated = year[np.isfinite(year)]
    return {
        "rows": len(samples),
        "profiles": int(table["profile_id"].nunique()),
        "sources": sorted(table["source"].astype(str).unique())[:50],
        "extent_deg": [
            round(float(f(table[k])), 3) for k in ("lon", "lat") for f in (np.min, np.max)
        ],
        "years": [float(dated.min()), float(dated.max())] if dated.size else [],
        "target": {q: round(float(np.quantile(samples.y, q)), 3) for q in (0.05, 0.5, 0.95)},
    }


def scores(
    nets: FittedBranches, predictive: Predictive, held: GroupSet, rows: LearningRows
) -> dict[str, Any]:
    """Return how good nets are on the calibration part, on the original scale."""
    from edaphos.kernels.metrics import metrics

    if (rows.part == CALIBRATE).sum() < 2:
        return {}
    said, target, depth = asked(nets, held, rows, CALIBRATE)
    mean = predictive.mean(said, depth)
    y = np.expm1(target) if predictive.log1p else target
    found = metrics(y, mean)
    return {f"calibration_{k}": round(float(found[k]), 4) for k in ("MAE", "CCC")}
