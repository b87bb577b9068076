"""Fitting: from samples to calibrated nets, with nothing learned from any other rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..covariate_choice import CovariateChoice, choose_covariates
from ..errors import InputError
from ..models.conv_settings import FineTuning
from ..models.protocol import Depth
from ..place import Place
from ..progress import QUIET, Reporter
from ..run import versions
from ..samples import Samples
from ..training_curve import Training
from .channels import Channels
from .fitted import FittedNets
from .learning_rows import CALIBRATE, LEARN, STOP, Floats, Ints, LearningRows, learning_rows
from .patches import PatchStore, patches_of
from .planes import Plane, plane_name
from .predictive import Pair, Predictive, Said, calibrate
from .schemes import (
    Ground,
    Task,
    digest_of,
    lay_ground,
    load_trained,
    run_tasks,
    target_range,
    target_scale,
)
from .weights import NetCard

if TYPE_CHECKING:
    from distributed import Client

    from edaphos.kernels.patch_net import PatchNet

    from ..models.conv_settings import ConvSettings

#: Patches that the error of a precision is measured on, at most.
MOST_PATCHES = 256
#: Rows to learn from, and rows to stop by, that a depth needs for a net of its own.
FEWEST_ROWS = 2, 1


@dataclass(frozen=True)
class Fit:
    """What was fitted.

    Parameters
    ----------
    nets
        The nets.
    predictive
        How what they say becomes a distribution.
    card
        What is kept beside weights.
    rows
        How many rows taught them, stopped them and calibrated them, by name.
    limited
        Of the rows that calibrated them, where nets said more or less than they learned from.
    as_it_began
        Names of fine-tunings that made nothing better, so that the net of all depths stayed.
    trainings
        How trainings went; empty for a model that was loaded.
    choice
        Which covariates were chosen; None where all are taken.
    rounding
        What a precision of maps other than float32 changes, as a share of the spread of what nets
        say.
    """

    nets: FittedNets
    predictive: Predictive
    card: NetCard
    rows: Mapping[str, int]
    limited: int
    as_it_began: tuple[str, ...] = ()
    trainings: tuple[Training, ...] = ()
    choice: CovariateChoice | None = None
    rounding: float = 0.0


def fit_nets(
    samples: Samples,
    told: ConvSettings,
    depths: tuple[Depth, ...],
    quantiles: tuple[float, ...],
    pairs: tuple[Pair, ...],
    *,
    seed: int,
    client: Client | None = None,
    reporter: Reporter = QUIET,
) -> Fit:
    """Choose covariates, train nets, and calibrate them.

    Parameters
    ----------
    samples
        The training rows, with patches.
    told
        The settings.
    depths
        Intervals that are mapped, cm.
    quantiles, pairs
        Levels that are mapped beside the mean, and those that bound intervals.
    seed
        Of everything random.
    client
        Where to train; here, or on the cluster whose task this is, without one.
    reporter
        Where progress goes.

    Raises
    ------
    InputError
        Samples without patches, with too few rows or places, or no covariate that is worth keeping.
    """
    patches_of(samples)
    assert samples.patches is not None  # or the line above raises
    store = PatchStore.open(samples.patches)
    log1p = told.transform == "log1p"
    rows = learning_rows(
        samples, depths, log1p=log1p, parts=told.parts, part_deg=told.part_deg, seed=seed
    )
    planes, choice = _planes(samples.take(rows.part == LEARN), store, told, seed)
    channels = Channels.fit(
        store,
        rows.patch[rows.part == LEARN],
        scaling=told.scaling,
        mask=told.mask,
        planes=planes,
        size=told.shape.patch,
    )
    apart = told.scheme in ("per_depth", "multitask")
    centre, spread = target_scale(rows, len(depths), apart)
    low, high = target_range(rows, len(depths))
    card = NetCard(
        bands=channels.names,
        channels=channels.to_json(),
        target=samples.target[0],
        units=samples.target[1],
        scaling={"transform": told.transform, "centre": centre.tolist(), "spread": spread.tolist()},
        variables={name: store.variables[name] for name, _ in channels.planes},
        crs=store.crs,
        cell=store.cell,
    )
    levels = quantiles if told.interval == "quantile" else ()
    same = (rows.digest, store.digest, asdict(card), depths, levels, seed, versions(("torch",)))
    folder = trainings_folder(samples.patches)
    ground = Ground(
        folder=folder / digest_of(*same, asdict(told)),
        patches=samples.patches,
        card=card,
        shape=told.shape,
        spec=told.training,
        levels=levels,
        augment=told.augment,
        centre=tuple(centre.tolist()),
        spread=tuple(spread.tolist()),
    )
    # the net for all depths is trained once, for transfer and for a pooled net beside it
    alike = told if told.scheme == "per_depth" else replace(told, fine_tuning=FineTuning())
    alike = replace(alike, scheme="pooled") if told.scheme == "transfer" else alike
    first = replace(ground, folder=folder / digest_of(*same, asdict(alike)))
    for each in {first.folder, ground.folder} if told.scheme == "transfer" else {first.folder}:
        lay_ground(rows, each)
    do = partial(run_tasks, client=client, reporter=reporter)
    trained = _train(rows, first, ground, told, depths, seed, do)
    nets = FittedNets(
        members=tuple(tuple(member) for member in trained.members),
        channels=channels,
        depths=depths,
        centre=centre,
        spread=spread,
        low=low,
        high=high,
        passes=told.draws,
        seed=seed,
    )
    rounding = 0.0
    if told.map_precision != "float32":
        places = np.unique(rows.patch[rows.part == CALIBRATE])[:MOST_PATCHES]
        rounding = nets.rounding(store, places, told.map_precision)
    predictive, limited = _calibrated(nets, store, rows, samples, told, levels, pairs)
    return Fit(
        nets=nets,
        predictive=predictive,
        card=card,
        rows={
            "learned from": int((rows.part == LEARN).sum()),
            "stopped by": int((rows.part == STOP).sum()),
            "calibrated with": int((rows.part == CALIBRATE).sum()),
        },
        limited=limited,
        as_it_began=trained.as_it_began,
        trainings=tuple(trained.trainings),
        choice=choice,
        rounding=rounding,
    )


def trainings_folder(patches: Path) -> Path:
    """Return where trainings leave what they did, beside the patches that they learn from."""
    return patches.with_name(f"{patches.name}-trainings")


def _planes(
    learn: Samples, store: PatchStore, told: ConvSettings, seed: int
) -> tuple[tuple[Plane, ...], CovariateChoice | None]:
    """Return the planes that nets see, in the order of the store, and why others are left out."""
    known = tuple(plane for plane in store.planes if plane[0] in told.covariates)
    if told.choose == "all":
        return known, None
    names = {plane_name(plane): plane for plane in known}
    spec = replace(told.choice, seed=seed)
    choice = choose_covariates(learn, tuple(names), spec, scale=told.transform)
    if not choice.kept:
        raise InputError(
            f"none of {len(names)} covariates is correlated with the target by "
            f'{told.choice.weak:g} or more in {len(learn):,} training rows: set choose = "all", '
            "or give others"
        )
    return tuple(plane for name, plane in names.items() if name in choice.kept), choice


@dataclass(frozen=True)
class _Nets:
    """Nets by member, then by depth or one for all; their trainings; depths left as they began."""

    members: list[list[PatchNet]]
    trainings: list[Training]
    as_it_began: tuple[str, ...] = ()


def _train(
    rows: LearningRows,
    first: Ground,
    tuned: Ground,
    told: ConvSettings,
    depths: tuple[Depth, ...],
    seed: int,
    run: Callable[[list[Task]], list[Place]],
) -> _Nets:
    """Do all trainings of a scheme, those that begin anew and those that go on from them."""
    names = [f"{top:g}-{bottom:g} cm" for top, bottom in depths]
    members, every = range(told.members), range(len(depths))

    def task(member: int, depth: int | None, ground: Ground = first, **other: Any) -> Task:
        key = [seed, member, 0 if depth is None else depth + 1]
        own = int(np.random.SeedSequence(key).generate_state(1)[0])
        name = "all depths" if depth is None else names[depth]
        return Task(ground, name, depth, seed=own, **other)

    if told.scheme == "per_depth":
        for d in every:
            if not _enough(rows, d):
                raise InputError(
                    f"a net for each depth needs rows to learn from and rows to stop by in each, "
                    f"and {names[d]} has {(rows.depth == d).sum()} rows in all: leave that depth "
                    "out of map.depths, or take another scheme"
                )
        plan = [task(m, d, heads=1, sees_depth=False) for m in members for d in every]
        found = [load_trained(place) for place in run(plan)]
        nets = [[t.net for t in found[m * len(depths) :][: len(depths)]] for m in members]
        return _Nets(nets, [t.training for t in found])
    heads = len(depths) if told.scheme == "multitask" else 1
    plan = [task(m, None, heads=heads, sees_depth=heads == 1) for m in members]
    places = run(plan)
    begun = [load_trained(place) for place in places]
    pooled = _Nets([[t.net] for t in begun], [t.training for t in begun])
    if told.scheme != "transfer" or told.freezes_all:
        return pooled
    tuning = {
        "freeze_until": told.fine_tuning.freeze_until,
        "keep_statistics": told.fine_tuning.statistics == "keep",
    }
    ground = replace(tuned, spec=told.fine_tuned)
    plan = [
        task(m, d, ground, heads=1, sees_depth=True, start=places[m], **tuning)
        for m in members
        for d in every
        if _enough(rows, d)
    ]
    found = [load_trained(place) for place in run(plan)]
    of = {(t.start, t.depth): one for t, one in zip(plan, found, strict=True)}
    nets = [
        [of[places[m], d].net if (places[m], d) in of else begun[m].net for d in every]
        for m in members
    ]
    left = {t.training.name for t in found if t.as_it_began}
    left |= {names[d] for d in every if not _enough(rows, d)}
    return _Nets(
        nets,
        [*pooled.trainings, *(t.training for t in found)],
        tuple(name for name in names if name in left),
    )


def _enough(rows: LearningRows, depth: int) -> bool:
    """Whether a depth has rows to learn from and to stop by."""
    mine = rows.depth == depth
    counts = [int((mine & (rows.part == part)).sum()) for part in (LEARN, STOP)]
    return all(n >= least for n, least in zip(counts, FEWEST_ROWS, strict=True))


def _calibrated(
    nets: FittedNets,
    store: PatchStore,
    rows: LearningRows,
    samples: Samples,
    told: ConvSettings,
    levels: tuple[float, ...],
    pairs: tuple[Pair, ...],
) -> tuple[Predictive, int]:
    """Ask the nets about rows that taught them nothing; count those where they were limited."""

    def asked(part: int) -> tuple[Said, Floats, Ints]:
        mine = np.flatnonzero(rows.part == part)
        some, depth = samples.take(mine), rows.depth[mine]
        said = nets.of_rows(store, rows.patch[mine], depth, some.top, some.bottom)
        return nets.together(said, levels, depth), rows.target[mine], depth

    last, asked_last = rows.part == CALIBRATE, asked(CALIBRATE)
    predictive = calibrate(
        asked(STOP),
        asked_last,
        rows.weight[last],
        rows.block[last],
        len(nets.depths),
        log1p=told.transform == "log1p",
        interval=told.interval,
        pairs=pairs,
        largest=nets.high,
    )
    return predictive, int(asked_last[0].limited.sum())
