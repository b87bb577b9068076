"""Schemes: which nets are trained on which layers, one training after another or side by side.

Every training is a job of :mod:`edaphos.engine.conv.jobs`: what is done is kept beside the patches,
so that a run that was cut off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edaphos.kernels.conv_net import ConvShape, build

from ..place import Place
from ..progress import QUIET, Reporter
from ..training import TrainSpec, predict, train
from ..training_curve import Curve, Training
from ..whole_folder import is_whole, whole_folder
from .channels import Channels
from .jobs import Job, run_jobs
from .learning_rows import LEARN, STOP, Floats, Ints, LearningRows, by_depth, by_patch
from .patches import PatchStore
from .source import PatchSource
from .weights import NetCard, load_net, save_net

if TYPE_CHECKING:
    from distributed import Client

    from edaphos.kernels.patch_net import PatchNet

#: Rows of a depth below which its range is that of all depths.
FEW_ROWS = 30
NET, CURVE, ROWS = "net.safetensors", "curve.json", "rows.npz"


@dataclass(frozen=True)
class Ground:
    """What all trainings of one fit share, in a folder that workers can read.

    Parameters
    ----------
    folder
        Holds the rows.
    patches
        Folder of the patches.
    card
        What is kept beside weights; it names the channels.
    shape, spec
        Net and training.
    levels
        Quantiles that nets give beside the mean.
    augment
        Whether patches are mirrored and turned.
    centre, spread
        Of the target at each depth, on the scale that is learned.
    """

    folder: Path
    patches: Path
    card: NetCard
    shape: ConvShape
    spec: TrainSpec
    levels: tuple[float, ...]
    augment: bool
    centre: tuple[float, ...]
    spread: tuple[float, ...]


@dataclass(frozen=True)
class Task:
    """One training.

    Parameters
    ----------
    ground
        What it shares with others.
    name
        What its curve is called.
    depth
        The depth whose layers it learns from; None for all.
    heads
        Dense parts: 1, or one for each depth.
    sees_depth
        Whether top and bottom join after the convolutions.
    seed
        Of first weights, order, dropout and turns.
    start
        Folder of the net that it goes on from; None for a new one.
    freeze_until
        Stages of it that stay as they are.
    keep_statistics
        Whether it goes on normalising by the statistics that it has.
    """

    ground: Ground
    name: str
    depth: int | None
    heads: int
    sees_depth: bool
    seed: int
    start: Place | None = None
    freeze_until: int = 0
    keep_statistics: bool = False


@dataclass(frozen=True)
class Trained:
    """A net, how its training went, and whether it is still what the training began with."""

    net: PatchNet
    training: Training
    as_it_began: bool = False


def target_scale(rows: LearningRows, depths: int, apart: bool) -> tuple[Floats, Floats]:
    """Return weighted mean and standard deviation of the target at each depth, from rows to learn.

    Those of all depths together unless they are learned `apart`, and where a depth has none.
    """
    learn = rows.part == LEARN

    def of(chosen: np.ndarray) -> tuple[float, float]:
        y, w = rows.target[chosen], rows.weight[chosen]
        centre = float(np.average(y, weights=w))
        return centre, float(np.sqrt(np.average((y - centre) ** 2, weights=w))) or 1.0

    found = [of(learn)] * depths
    for d in range(depths) if apart else ():
        mine = learn & (rows.depth == d)
        if mine.any():
            found[d] = of(mine)
    centre, spread = np.array(found).T
    return centre, spread


def target_range(rows: LearningRows, depths: int) -> tuple[Floats, Floats]:
    """Return the least and the largest target at each depth, of the rows to learn from.

    A depth with fewer than :data:`FEW_ROWS` of them takes those of all depths.
    """
    learn = rows.part == LEARN
    found = []
    for d in range(depths):
        mine = learn & (rows.depth == d)
        y = rows.target[mine if mine.sum() >= FEW_ROWS else learn]
        found.append((float(y.min()), float(y.max())))
    low, high = np.array(found).T
    return low, high


def run_tasks(
    tasks: Sequence[Task],
    *,
    client: Client | None = None,
    reporter: Reporter = QUIET,
) -> list[Place]:
    """Do trainings that are not done yet; return the folder of each.

    Those of a fold stay in its task, as there are folds enough for all workers, unless GPUs are to
    be had.
    """
    if not tasks:
        return []
    jobs = [Job({"depth": t.name, "seed": t.seed, "frozen": t.freeze_until}, t) for t in tasks]
    folder = tasks[0].ground.folder
    return run_jobs(
        jobs,
        _train,
        folder,
        client=client,
        hand_on="gpu",
        processes=tasks[0].ground.spec.processes,
        reporter=reporter,
    )


def load_trained(folder: Place) -> Trained:
    """Read what a training left."""
    net, _ = load_net(folder / NET)
    told = json.loads((folder / CURVE).read_text())
    training = Training(**{**told["training"], "curve": Curve.from_json(told["training"]["curve"])})
    return Trained(net, training, told["as_it_began"])


def lay_ground(rows: LearningRows, folder: Path) -> None:
    """Keep the rows where trainings find them."""
    if not is_whole(folder / "rows"):
        with whole_folder(folder / "rows") as partial:
            rows.save(partial / ROWS)


def digest_of(*parts: Any) -> str:
    """Return a short digest of JSON values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _train(task: Task, out: Path, begun: Place) -> None:
    """Do one training; a job of :func:`run_tasks`."""
    import torch

    from edaphos.kernels.layered_net import Layered
    from edaphos.kernels.losses import MeanAndQuantiles, weighted_mse

    ground = task.ground
    rows = LearningRows.load(ground.folder / "rows" / ROWS)
    groups, stops = _groups(rows, task)
    target, weight, layers = _arrays(rows, groups, task)
    channels = Channels.from_json(ground.card.channels)
    first = rows.patch[np.where(groups >= 0, groups, groups.max(axis=1)[:, None])[:, 0]]
    source = PatchSource(
        PatchStore.open(ground.patches),
        channels,
        first,
        target,
        weight,
        None if task.heads > 1 else layers,
        augment=ground.augment and channels.symmetric,
        size=ground.shape.patch,
    )
    learn, stop = np.flatnonzero(~stops), np.flatnonzero(stops)
    layers_each = max(1.0, float((groups[learn] >= 0).sum() / max(len(learn), 1)))
    spec = replace(
        ground.spec, seed=task.seed, batch=max(2, round(ground.spec.batch / layers_each))
    )
    loss: Any = MeanAndQuantiles(ground.levels) if ground.levels else weighted_mse
    net = _first(task)
    module: Any = net
    if task.heads == 1:
        module = Layered(net, keep_statistics=task.keep_statistics)

    def judge() -> float:
        said = torch.from_numpy(predict(module, source, stop, spec))
        there = (torch.from_numpy(a[stop]).float() for a in (target, weight))
        return float(loss(said, *there))

    before = judge() if task.start is not None else np.inf
    for stage in net.stages()[: task.freeze_until]:
        for part in stage:
            part.requires_grad_(False)
    curve = train(
        module,
        source,
        learn,
        stop,
        spec,
        loss=loss,
        checkpoint=begun / "checkpoint.safetensors",
        identity={"training": task.name, "rows": rows.digest},
    )
    worse = not curve.best_validation < before if task.start is not None else False
    save_net(out / NET, _first(task) if worse else net, ground.card)
    learned, stopped = (int((groups[part] >= 0).sum()) for part in (learn, stop))
    training = Training(task.name, curve, task.seed, learned, stopped, _loss_name(ground))
    told = {
        "training": {**asdict(training), "curve": curve.to_json()},
        "as_it_began": worse,
    }
    (out / CURVE).write_text(json.dumps(told) + "\n")


def _first(task: Task) -> PatchNet:
    """Return the net that a training begins with."""
    if task.start is not None:
        return load_net(task.start / NET)[0]
    ground = task.ground
    outputs, extra = 1 + len(ground.levels), 2 if task.sees_depth else 0
    bands = len(ground.card.bands)
    return build(ground.shape, bands, outputs, task.heads, extra, seed=task.seed)


def _groups(rows: LearningRows, task: Task) -> tuple[Ints, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return rows by patch, ``(groups, m)`` with -1 for none, and which groups stop training."""
    found = []
    for part in (LEARN, STOP):
        mine = rows.part == part
        if task.depth is not None:
            mine &= rows.depth == task.depth
        chosen = np.flatnonzero(mine)
        patch = rows.patch[chosen]
        places = (
            by_depth(patch, rows.depth[chosen], task.heads) if task.heads > 1 else by_patch(patch)
        )
        found.append(np.where(places >= 0, chosen[places], -1))
    groups = np.concatenate(found)
    stops = np.repeat([False, True], [len(part) for part in found])
    width = groups.shape[1] if task.heads > 1 else int((groups >= 0).sum(axis=1).max(initial=1))
    return groups[:, :width], stops


def _arrays(rows: LearningRows, groups: Ints, task: Task) -> tuple[Floats, Floats, Floats]:
    """Return standardised targets and weights ``(groups, m)``, and what nets see of layers."""
    there, ground = groups >= 0, task.ground
    depth = rows.depth[groups]
    centre, spread = np.array(ground.centre)[depth], np.array(ground.spread)[depth]
    target = np.where(there, (rows.target[groups] - centre) / spread, 0.0)
    weight = np.where(there, rows.weight[groups], 0.0)
    extra = rows.extra[groups] if task.sees_depth else np.zeros((*groups.shape, 0))
    layers = np.concatenate([extra * there[..., None], there[..., None]], axis=2)
    return target, weight, layers


def _loss_name(ground: Ground) -> str:
    name = "mean squared error of the standardised target"
    return f"{name}, and quantile loss" if ground.levels else name
