"""Learning covariates without samples: branches tell those that are hidden from the others.

A hidden covariate is one whose raw values are missing, so that nets see it as they see a gap on
the map or a group that a region lacks: zeros, and less in the channel that tells what is there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.branch_shape import BranchShape, build

from ..conv.augment import augmented
from ..conv.channels import Band, Channels
from ..conv.jobs import Job, run_jobs
from ..conv.patch_statistics import raw_patches
from ..conv.schemes import digest_of
from ..conv.source import BUDGET
from ..need_torch import need_torch
from ..place import Place
from ..progress import QUIET, Reporter
from ..run import versions
from ..training import TrainSpec, train
from ..training_curve import Curve, Training
from ..training_spec import Batch, IntArray
from .group_set import GroupSet, ShardedStore
from .groups import GroupChannels
from .net_file import save_net
from .settings import Unlabelled

if TYPE_CHECKING:
    from distributed import Client

NET, CURVE = "net.safetensors", "curve.json"
NAME = "covariates, without samples"
LOSS = "squared error of hidden amounts, cross-entropy of hidden classes; 1 knows nothing"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """One training without samples.

    Parameters
    ----------
    held
        Folder of the set.
    channels
        As :meth:`GroupChannels.to_json` tells them.
    shape
        Of the net.
    hiding, spec
        What is hidden, and how it trains.
    learn, stop
        Places of the set that are learned from and that stop the training.
    """

    held: Path
    channels: list[dict[str, Any]]
    shape: BranchShape
    hiding: Unlabelled
    spec: TrainSpec
    learn: IntArray
    stop: IntArray


@dataclass(frozen=True)
class Encoded:
    """File of a net whose branches know covariates, and how its training went."""

    file: Place
    training: Training


def encode(
    held: GroupSet,
    channels: GroupChannels,
    shape: BranchShape,
    hiding: Unlabelled,
    spec: TrainSpec,
    parts: tuple[IntArray, IntArray],
    seeds: Sequence[int],
    folder: Path,
    client: Client | None = None,
    reporter: Reporter = QUIET,
) -> list[Encoded]:
    """Train one net a seed to tell hidden covariates; those that are done are read.

    Nothing of it depends on samples, so that folds of a cross-validation share what they need.

    Parameters
    ----------
    held, channels
        The set, and how channels are made of it.
    shape
        Of the nets that are to begin with these branches.
    hiding, spec
        What is hidden; the training on samples.
    parts
        Places that are learned from, and those that stop trainings.
    folder
        Where trainings leave what they did.
    client, reporter
        As for :func:`~edaphos.engine.conv.jobs.run_jobs`.
    """
    spec = replace(spec, epochs=hiding.epochs, patience=hiding.patience)
    shape = replace(shape, dense=(), dropout=(), group_dropout=0.0)
    plain = channels.to_json()
    digest = digest_of(
        held.digest,
        plain,
        asdict(shape),
        asdict(hiding),
        asdict(spec),
        *(part.tolist() for part in parts),
        versions(("torch",)),
    )
    jobs = [
        Job(
            {"net": "covariates", "seed": seed},
            Encoding(held.folder, plain, shape, hiding, replace(spec, seed=seed), *parts),
            digest,
        )
        for seed in seeds
    ]
    places = run_jobs(
        jobs,
        _encode,
        folder,
        client=client,
        hand_on="gpu",
        processes=spec.processes,
        reporter=reporter,
        label="covariates",
    )
    found = []
    for place in places:
        told = json.loads((place / CURVE).read_text())
        training = Training(**{**told, "curve": Curve.from_json(told["curve"])})
        found.append(Encoded(place / NET, training))
    return found


def _encode(task: Encoding, out: Path, begun: Place) -> None:
    """Do one training; a job of :func:`encode`."""
    from edaphos.kernels.losses import Reconstruction

    channels = GroupChannels.from_json(task.channels)
    place = np.concatenate([task.learn, task.stop])
    source = MaskedSource(GroupSet.open(task.held), channels, place, task.hiding, task.spec.seed)
    rows = np.arange(len(place))
    learn, stop = rows[: len(task.learn)], rows[len(task.learn) :]
    codes = tuple(max(1, band.channels) for band in source.bands)
    net = build(task.shape, sum(codes), seed=task.spec.seed)
    curve = train(
        net,
        source,
        learn,
        stop,
        task.spec,
        loss=Reconstruction(codes),
        checkpoint=begun / "checkpoint.safetensors",
    )
    save_net(out / NET, net)
    training = Training(NAME, curve, task.spec.seed, len(learn), len(stop), LOSS)
    told = {**asdict(training), "curve": curve.to_json()}
    (out / CURVE).write_text(json.dumps(told) + "\n")


class MaskedSource:
    """Places with covariates hidden from them; for :func:`edaphos.engine.training.train`.

    The target of a place is what its centre cell holds of each band: an amount as a channel has
    it, the position of a class's code. Only what is hidden and known has weight. While learning
    each batch hides anew; for places that stop the training the same is hidden in every epoch.

    Parameters
    ----------
    held, channels
        The set, and how channels are made of it.
    place
        Position in the set of each row's place, ``(n,)``.
    hiding, seed
        What is hidden, and of what is hidden outside of training.
    budget
        Bytes of raw squares that may be kept.
    """

    def __init__(
        self,
        held: GroupSet,
        channels: GroupChannels,
        place: IntArray,
        hiding: Unlabelled,
        seed: int,
        *,
        budget: int = BUDGET,
    ) -> None:
        self.place, self.hiding = np.asarray(place, np.int64), hiding
        self.bands = [band for one in channels.channels for band in one.bands]
        self.turns = channels.symmetric
        self.groups = [
            _Group(held.of(group.window), one, group.window)
            for group, one in zip(channels.groups, channels.channels, strict=True)
        ]
        names = list(dict.fromkeys(band.plane[0] for band in self.bands))
        self.covariate = np.array([names.index(band.plane[0]) for band in self.bands])
        sizes = [len(one.bands) for one in channels.channels]
        group = np.repeat(np.arange(len(sizes)), sizes)
        self.group_of = group[[self.covariate.tolist().index(k) for k in range(len(names))]]
        self.first = np.cumsum([0, *sizes])
        if sum(g.bytes_each for g in self.groups) * len(self.place) <= budget:
            for one in self.groups:
                one.keep(self.place)
        centre = [self._raw(k, np.arange(len(self.place)), True) for k in range(len(self.groups))]
        self.target, self.known = _told(self.bands, np.concatenate(centre, axis=1))
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x41DE]))
        self.hidden = hidden(len(self.place), self.group_of, hiding, rng)

    def batch(self, rows: IntArray, rng: np.random.Generator | None, first: int = 0) -> Batch:
        """Return these rows; `rng` draws what is hidden, and how squares are turned.

        Draws for `first` rows that are before these are passed over.
        """
        torch = need_torch()
        away = self.hidden[rows]
        turns = None
        if rng is not None:
            turns = int(rng.integers(2**62)) if self.turns else None
            away = hidden(first + len(rows), self.group_of, self.hiding, rng)[first:]
        away = away[:, self.covariate]
        found = []
        for k, one in enumerate(self.groups):
            raw = self._raw(k, rows)
            raw[away[:, self.first[k] : self.first[k + 1]]] = np.nan
            x = one.channels.assemble(raw)
            # one draw for all groups: what is north in one is north in the others
            x = x if turns is None else augmented(x, np.random.default_rng(turns), first)
            found.append(torch.from_numpy(x))
        weight = (away & self.known[rows]).astype(np.float32)
        layers = torch.ones(len(rows), 1, 1)
        target = torch.from_numpy(self.target[rows])
        return Batch((*found, layers), target, torch.from_numpy(weight))

    def _raw(self, k: int, rows: IntArray, centre: bool = False) -> Floats:
        """Return raw planes of a group, ``(n, planes, y, x)``, or of the centre cell alone."""
        one = self.groups[k]
        if one.kept is None:
            read = raw_patches(
                one.store, self.place[rows], one.positions, 1 if centre else one.side
            )
        else:
            read = one.kept[rows]
        middle = read.shape[-1] // 2
        return read[:, :, middle, middle] if centre else read


class _Group:
    """Raw squares of a group."""

    def __init__(self, store: ShardedStore, channels: Channels, side: int) -> None:
        self.store, self.channels, self.side = store, channels, side
        self.positions = np.array([store.planes.index(plane) for plane in channels.planes])
        self.bytes_each = 4 * len(self.positions) * side**2
        self.kept: Floats | None = None

    def keep(self, place: IntArray) -> None:
        self.kept = raw_patches(self.store, place, self.positions, self.side)


def hidden(
    number: int, group_of: IntArray, hiding: Unlabelled, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw which covariates are hidden from each of some places, ``(number, covariates)``.

    Whole groups are never all hidden from a place, and one covariate or more is hidden from it.
    What single covariates hide may be all of a group that is left, where it has few.

    Parameters
    ----------
    group_of
        Group of each covariate, from 0.

    >>> few = Unlabelled(100, hidden_groups=0.9, hidden_covariates=0.0)
    >>> hidden(3, np.array([0, 0, 1]), few, np.random.default_rng(0)).any(axis=1)
    array([ True,  True,  True])
    """
    groups, every = int(group_of.max()) + 1, np.arange(number)
    of_group, left, of_one, one = rng.spawn(4)  # so that fewer places are the first of more
    away = of_group.random((number, groups)) < hiding.hidden_groups
    away[every, left.integers(groups, size=number)] &= ~away.all(axis=1)
    alone = of_one.random((number, len(group_of))) < hiding.hidden_covariates
    found = away[:, group_of] | alone
    found[every, one.integers(len(group_of), size=number)] |= ~found.any(axis=1)
    return np.asarray(found)


def _told(bands: Sequence[Band], values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what is to be told of raw values, and where there is something, ``(n, bands)``.

    A band that was constant in training is never told, nor a class that it did not hold.
    """
    target = np.zeros(values.shape, np.float32)
    known = np.isfinite(values)
    for k, band in enumerate(bands):
        if band.kind == "class":
            codes = np.array(band.codes, np.float32)
            at = np.searchsorted(codes, values[:, k]).clip(0, max(0, len(codes) - 1))
            known[:, k] &= (codes[at] == values[:, k]) if len(codes) > 1 else False
            target[:, k] = at
        else:
            known[:, k] &= band.factor != 0
            amount = (values[:, k] - np.float32(band.centre)) * np.float32(band.factor)
            target[:, k] = amount
    return np.where(known, target, np.float32(0)), known
