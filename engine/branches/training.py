"""Trainings of nets of branches, each a job: from scratch, or from a net of the world.

What is done is kept beside the set, and a training in the middle goes on from its checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edaphos.kernels.branch_shape import BranchShape, build

from ..conv.jobs import Job, run_jobs
from ..conv.learning_rows import LEARN, STOP, Floats, Ints, LearningRows, by_patch
from ..place import Place
from ..progress import QUIET, Reporter
from ..training import TrainSpec, train
from ..training_curve import Curve, Training
from .group_set import GroupSet
from .groups import GroupChannels
from .kept_places import KeptPlaces
from .net_file import load_net, save_net
from .settings import Head, Way
from .source import GroupSource

if TYPE_CHECKING:
    from distributed import Client

    from edaphos.kernels.adversarial import Adversary
    from edaphos.kernels.branch_net import BranchNet

NET, CURVE, ROWS = "net.safetensors", "curve.json", "rows.npz"
#: Rows that the covariance of features is taken over, at most.
MOST_ROWS = 4096


@dataclass(frozen=True)
class Ground:
    """What all trainings of one fit share.

    Parameters
    ----------
    folder
        Holds the rows, and what trainings leave.
    patches
        Folder of the set.
    channels
        As :meth:`GroupChannels.to_json` tells them.
    centre, spread
        Of the target, on the scale that is learned.
    head, levels
        What nets say beside the mean.
    augment, absent, plain
        As :class:`~edaphos.engine.branches.source.GroupSource` has them.
    """

    folder: Path
    patches: Path
    channels: list[dict[str, Any]]
    centre: float
    spread: float
    head: Head
    levels: tuple[float, ...]
    augment: bool
    absent: tuple[str, ...]
    plain: bool


@dataclass(frozen=True)
class Task:
    """One training.

    Parameters
    ----------
    ground, spec
        What it shares with others, and how it trains.
    name, seed
        What its curve is called; of first weights, order, dropout and turns.
    shape, outputs, extra
        Of a new net; not looked at where there is a `start`.
    start
        File of the net that it goes on from.
    way
        What is trained of it.
    speed
        How many times faster than the net a classifier of domains learns.
    encoder
        File of a net whose branches a new net begins with.
    kept
        File of places of the world that features are aligned with, if `adversarial` is above 0.
    l2_sp, coral, adversarial, rank
        As :class:`~edaphos.engine.branches.settings.Tuning` has them.
    """

    ground: Ground
    spec: TrainSpec
    name: str
    seed: int
    shape: BranchShape | None = None
    outputs: int = 1
    extra: int = 0
    start: Place | None = None
    way: Way = "all"
    l2_sp: float = 0.0
    coral: float = 0.0
    adversarial: float = 0.0
    rank: int = 4
    speed: float = 1.0
    encoder: Place | None = None
    kept: Place | None = None


@dataclass(frozen=True)
class Trained:
    """A net, how its training went, and the covariance of its features over rows learned from."""

    net: BranchNet
    training: Training
    covariance: Any


def run_tasks(
    tasks: Sequence[Task], client: Client | None = None, reporter: Reporter = QUIET
) -> list[Trained]:
    """Do trainings that are not done yet, and read what they left.

    Each by ``processes`` workers of `client` together, where its spec says so.
    """
    if not tasks:
        return []
    jobs = [Job({"net": t.name, "way": t.way, "seed": t.seed}, t) for t in tasks]
    places = run_jobs(
        jobs,
        _train,
        tasks[0].ground.folder,
        client=client,
        hand_on="gpu",
        processes=tasks[0].spec.processes,
        reporter=reporter,
    )
    return [load_trained(place) for place in places]


def load_trained(folder: Place) -> Trained:
    """Read what a training left."""
    net, covariance = load_net(folder / NET)
    told = json.loads((folder / CURVE).read_text())
    return Trained(net, Training(**{**told, "curve": Curve.from_json(told["curve"])}), covariance)


def _train(task: Task, out: Path, begun: Place) -> None:
    """Do one training; a job of :func:`run_tasks`."""
    from edaphos.kernels.losses import MeanAndQuantiles, gaussian, weighted_mse
    from edaphos.kernels.transfer import (
        Aligned,
        Anchored,
        Penalised,
        add_adapters,
        merge_adapters,
    )

    ground = task.ground
    rows = LearningRows.load(ground.folder / "rows" / ROWS)
    source, learn, stop = _source(ground, rows)
    plain_loss: Any = {"mean": weighted_mse, "gaussian": gaussian}.get(ground.head) or (
        MeanAndQuantiles(ground.levels)
    )
    covariance = None
    if task.start is not None:
        net, covariance = load_net(task.start)
    else:
        assert task.shape is not None  # a new net needs sizes
        net = build(task.shape, task.outputs, task.extra, seed=task.seed)
        if task.encoder is not None:
            known = load_net(task.encoder)[0]
            net.branches.load_state_dict(known.branches.state_dict())
            net.merge.load_state_dict(known.merge.state_dict())
    curves = []
    steps = _steps(net, task)
    for number, trained in enumerate(steps, 1):
        if task.way == "adapters" and task.start is not None:
            add_adapters(net, task.rank, task.seed)
        else:
            net.requires_grad_(False)
            for layer in trained:
                layer.requires_grad_(True)
        penalties: list[Any] = []
        if task.l2_sp:
            penalties.append(Anchored(net, task.l2_sp))
        aligned = None
        if task.coral and covariance is not None:
            aligned = Aligned(net.head[-1][0], covariance, task.coral)
            penalties.append(aligned)
        adversary = None
        if task.kept is not None and task.adversarial:  # the last: it calls the net again
            adversary = _adversary(net, task, number)
            penalties.append(adversary)
        checkpoint = begun / f"checkpoint-{number}.safetensors"
        identity = {"training": task.name, "way": task.way, "rows": rows.digest, "step": number}
        loss = Penalised(plain_loss, penalties)
        curves.append(
            train(
                net, source, learn, stop, task.spec,
                loss=loss, checkpoint=checkpoint, identity=identity,
            )
        )  # fmt: skip
        if aligned is not None:
            aligned.remove()
        if adversary is not None:
            adversary.remove()
        if task.way == "adapters" and task.start is not None:
            merge_adapters(net)
    net.requires_grad_(True)
    save_net(out / NET, net, _covariance(net, source, learn))
    training = Training(
        task.name,
        joined(curves),
        task.seed,
        int((rows.part == LEARN).sum()),
        int((rows.part == STOP).sum()),
        _loss_name(ground),
    )
    told = {**asdict(training), "curve": training.curve.to_json()}
    (out / CURVE).write_text(json.dumps(told) + "\n")


def _adversary(net: BranchNet, task: Task, step: int) -> Adversary:
    """Return what aligns features with those of the world's places, by a new classifier.

    It learns as fast as a net that begins anew, whatever the rate of fine-tuning.
    """
    from edaphos.kernels.adversarial import Adversary

    assert task.kept is not None  # or nothing is aligned
    ground = task.ground
    channels = GroupChannels.from_json(ground.channels)
    others = KeptPlaces.load(task.kept).inputs(channels, ground.absent, ground.plain)
    return Adversary(
        net,
        net.head[-1][0],
        others,
        task.adversarial,
        speed=task.speed,
        seed=task.seed + step,
    )


def _steps(net: BranchNet, task: Task) -> list[list[Any]]:
    """Return the layers that are trained, one training after another."""
    stages = [list(stage) for stage in net.stages()]
    every = [layer for stage in stages for layer in stage]
    if task.start is None or task.way in ("all", "adapters"):
        return [every]
    if task.way == "head":
        return [[layer for stage in stages[2:] for layer in stage]]
    return [
        [layer for stage in stages[first:] for layer in stage]
        for first in range(len(stages) - 1, -1, -1)
    ]


def joined(curves: Sequence[Curve]) -> Curve:
    """Return the course of trainings that followed one another, each from the best of the last."""
    if len(curves) == 1:
        return curves[0]
    validation = tuple(v for c in curves for v in c.validation)
    return Curve(
        tuple(v for c in curves for v in c.train),
        validation,
        tuple(v for c in curves for v in c.rate),
        int(np.nanargmin(validation)) + 1 if np.isfinite(validation).any() else len(validation),
        curves[-1].stopped,
        sum(c.seconds for c in curves),
    )


def _source(ground: Ground, rows: LearningRows) -> tuple[GroupSource, Ints, Ints]:
    """Return the batches, and which of their rows are learned from and which stop trainings."""
    found = []
    for part in (LEARN, STOP):
        chosen = np.flatnonzero(rows.part == part)
        places = by_patch(rows.patch[chosen])
        found.append(np.where(places >= 0, chosen[places], -1))
    groups = np.concatenate(found)
    width = int((groups >= 0).sum(axis=1).max(initial=1))
    groups = groups[:, :width]
    target, weight, layers = arrays(rows, groups, ground.centre, ground.spread)
    source = GroupSource(
        GroupSet.open(ground.patches),
        GroupChannels.from_json(ground.channels),
        rows.patch[groups[:, 0]],
        target,
        weight,
        layers,
        augment=ground.augment,
        absent=ground.absent,
        plain=ground.plain,
    )
    learn = np.arange(len(found[0]))
    return source, learn, np.arange(len(found[0]), len(groups))


def arrays(
    rows: LearningRows, groups: Ints, centre: float, spread: float
) -> tuple[Floats, Floats, Floats]:
    """Return targets and weights ``(places, m)``, and what nets see of layers."""
    there = groups >= 0
    target = np.where(there, (rows.target[groups] - centre) / spread, 0.0)
    weight = np.where(there, rows.weight[groups], 0.0)
    layers = np.concatenate([rows.extra[groups] * there[..., None], there[..., None]], axis=2)
    return target, weight, layers


def _covariance(net: BranchNet, source: GroupSource, rows: Ints) -> Any:
    """Return the covariance of what the last layer reads, over some of the rows learned from."""
    import torch

    from edaphos.kernels.transfer import Aligned, covariance

    layer = net.head[-1][0]
    seen = Aligned(layer, np.zeros((layer.in_features, layer.in_features)), 0.0)
    step = max(1, len(rows) // MOST_ROWS)
    with torch.inference_mode():
        net.eval()(*source.batch(rows[::step], None).inputs)
        found = covariance(seen.features)
    seen.remove()
    return found.numpy()


def _loss_name(ground: Ground) -> str:
    name = "mean squared error of the standardised target"
    return {
        "mean": name,
        "quantile": f"{name}, and quantile loss",
        "gaussian": "negative log likelihood of the standardised target, less a constant",
    }[ground.head]
