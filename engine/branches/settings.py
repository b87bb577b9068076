"""What a model of the world and its fine-tuning to a region are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from ..errors import InputError
from ..models.rothc_settings import from_plain
from ..training_spec import TrainSpec, check_rate_share
from .groups import Group, check_groups

Way = Literal["zero_shot", "head", "all", "gradual", "adapters"]
WAYS: tuple[Way, ...] = get_args(Way)
Head = Literal["mean", "quantile", "gaussian"]
#: West, south, east, north, degrees.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Tuning:
    """How a model of the world becomes one of a region.

    Parameters
    ----------
    ways
        Those that are tried; the one with the smallest error over the part of the region's own
        training profiles that stops trainings is kept. ``zero_shot``: the model as it is.
        ``head``: the dense layers are trained. ``all``: all layers. ``gradual``: the last layer,
        then one more after another. ``adapters``: changes of low rank (LoRA).
    correction
        Of what each way says, on the scale that is learned, by the rows learned from: ``shift``,
        ``scale`` (a straight line, its slope within .2 and 5) or ``none``. Kept where it lowers
        that error.
    rate_share
        Learning rate, as a share of that of pre-training.
    epochs, patience, batch
        As of a training.
    l2_sp
        Strength with which weights are drawn to those of the world.
    coral
        Strength with which the covariance of the last features is drawn to that of the world.
    rank
        Of adapters.
    parts
        Parts that the region's training rows are cut into by blocks; one stops trainings, and,
        where there are locations enough, one calibrates intervals.
    part_deg
        Side of these blocks, degrees; halved until there are enough.
    trust_units
        Take targets as they are, though they look as if they were in other units.
    """

    ways: tuple[Way, ...] = WAYS
    correction: Literal["none", "shift", "scale"] = "scale"
    rate_share: float = 0.1
    epochs: int = 200
    patience: int = 15
    batch: int = 32
    l2_sp: float = 0.0
    coral: float = 0.0
    rank: int = 4
    parts: int = 5
    part_deg: float = 0.5
    trust_units: bool = False

    def __post_init__(self) -> None:
        if not self.ways or not set(self.ways) <= set(WAYS):
            raise InputError(
                f"fine_tuning.ways: some of {', '.join(WAYS)}, found {', '.join(self.ways)}"
            )
        if self.parts < 3:
            raise InputError(f"fine_tuning.parts must be 3 or more, found {self.parts}")
        if min(self.l2_sp, self.coral) < 0 or self.rank < 1:
            raise InputError("fine_tuning: l2_sp and coral must be 0 or more, rank 1 or more")
        check_rate_share(self.rate_share)


@dataclass(frozen=True)
class GsoilcpmSettings:
    """All that a model with a branch for each group is told but depths, quantiles and seed.

    Parameters
    ----------
    groups
        Of covariates; empty for one that begins with a `start`, which has them.
    start
        Folder of a model of the world that is fine-tuned; without one a model is pre-trained.
    start_digest
        SHA-256 of its files, which are then checked; "" for none.
    lacking
        Groups of `start` that the region's cube does not have.
    stride
        Cells from one cell of a window to the next, so that windows on fine cells are of as much
        ground as those on the coarse cells of `start`; None: 1, and cells of another size are
        refused.
    own
        Groups that the region's cube has and `start` has not: each gets a branch, which is learned
        from the region's rows alone.
    faithful
        The released network: one cell, affine until the first ReLU, class codes as numbers, targets
        on their own scale, no depth.
    width, merged, dense, dropout, group_dropout
        Sizes (:class:`~edaphos.kernels.branch_shape.BranchShape`).
    embedding
        Numbers that a cell of a group with classes becomes first.
    head
        What nets say beside the mean: nothing, quantiles, or a variance (``gaussian``).
    sees_year
        Whether the year of a profile is an input; years are often confounded with sources.
    transform
        Scale that is learned: ``log1p`` or ``none``.
    augment
        Mirror and turn training squares, where no covariate depends on the compass.
    members
        Nets of different seeds that are averaged.
    training
        How nets are trained.
    parts, part_deg
        Parts of the training rows by spatial blocks: one stops trainings, one calibrates.
    without, buffer_km
        Regions (degrees) whose profiles, and those within the buffer, teach the model of the world
        nothing, so that it can be judged there.
    fine_tuning
        How a region is learned.
    licence
        Of the weights, kept with them.
    """

    groups: tuple[Group, ...] = ()
    start: str | None = None
    start_digest: str = ""
    lacking: tuple[str, ...] = ()
    stride: int | None = None
    own: tuple[Group, ...] = ()
    faithful: bool = False
    width: int = 32
    merged: int = 128
    dense: tuple[int, ...] = (256, 128)
    dropout: tuple[float, ...] = (0.2, 0.5)
    group_dropout: float = 0.1
    embedding: int = 8
    head: Head = "mean"
    sees_year: bool = False
    transform: Literal["log1p", "none"] = "log1p"
    augment: bool = True
    members: int = 1
    training: TrainSpec = field(default_factory=TrainSpec)
    parts: int = 8
    part_deg: float = 5.0
    without: tuple[Box, ...] = ()
    buffer_km: float = 200.0
    fine_tuning: Tuning = field(default_factory=Tuning)
    licence: str = ""

    def __post_init__(self) -> None:
        if self.start is None:
            check_groups(self.groups)
        if self.faithful and (self.transform != "none" or self.head != "mean" or self.sees_year):
            raise InputError(
                'faithful = true is the released network: it needs transform = "none", '
                'head = "mean" and sees_year = false'
            )
        if self.faithful and any(group.window > 1 for group in self.groups):
            raise InputError("faithful = true sees one cell: set every window to 1")
        if self.own and self.start is None:
            raise InputError("own: only a region has groups of its own; name them under groups")
        if self.stride is not None and self.stride < 1:
            raise InputError(f"stride must be 1 or more, found {self.stride}")
        if self.parts < 3:
            raise InputError(f"parts must be 3 or more, found {self.parts}")
        if self.members < 1:
            raise InputError(f"members must be 1 or more, found {self.members}")

    @property
    def tuned(self) -> TrainSpec:
        """How a region is trained: on one process, as its ways are spread over workers."""
        tuning = self.fine_tuning
        return replace(
            self.training,
            rate=self.training.rate * tuning.rate_share,
            epochs=tuning.epochs,
            patience=tuning.patience,
            batch=tuning.batch,
            processes=1,
        )


def settings_from(raw: GsoilcpmSettings | Mapping[str, Any]) -> GsoilcpmSettings:
    """Return settings from plain nested data, as ``dataclasses.asdict`` and JSON give them."""
    if isinstance(raw, GsoilcpmSettings):
        return raw
    told = dict(raw)
    groups = (g if isinstance(g, Group) else Group(**g) for g in told.get("groups", ()))
    told["groups"] = tuple(groups)
    told["own"] = tuple(g if isinstance(g, Group) else Group(**g) for g in told.get("own", ()))
    told["without"] = tuple(tuple(map(float, box)) for box in told.get("without", ()))
    for name, kind in (("training", TrainSpec), ("fine_tuning", Tuning)):
        held = told.get(name, {})
        if isinstance(held, Mapping):
            told[name] = from_plain(kind, held)
    for name in ("lacking", "dense", "dropout"):
        if name in told:
            told[name] = tuple(told[name])
    return GsoilcpmSettings(**told)
