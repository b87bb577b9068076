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
#: Places without samples from which branches can learn anything.
FEWEST_UNLABELLED = 100
#: Places of the world that are kept with a model, at most.
MOST_KEPT = 2048
#: West, south, east, north, degrees.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Unlabelled:
    """How branches learn covariates, by telling hidden ones, before they learn a target.

    Covariates exist where no sample was taken: branches and what joins them are first trained to
    say, of places drawn evenly over a map's soil, hidden covariates from the others (masked
    autoencoders: He K. et al. 2022, CVPR, 15979-15988; inpainting of features: Pathak et al. 2016,
    CVPR, 2536-2544).

    Parameters
    ----------
    places
        Drawn; 0 for none.
    hidden_groups, hidden_covariates
        Share of places that a group is hidden from, each on its own, and share of those left that a
        single covariate is hidden from, with all its months.
    epochs, patience
        As of a training; batch, rate and the rest are those of the training on samples.
    """

    places: int = 0
    hidden_groups: float = 0.25
    hidden_covariates: float = 0.25
    epochs: int = 50
    patience: int = 5

    def __post_init__(self) -> None:
        if self.places and self.places < FEWEST_UNLABELLED:
            raise InputError(
                f"unlabelled.places must be {FEWEST_UNLABELLED} or more, or 0 for none, found "
                f"{self.places}"
            )
        if not all(0 <= share < 1 for share in (self.hidden_groups, self.hidden_covariates)):
            raise InputError("unlabelled: hidden_groups, hidden_covariates must be in [0, 1)")
        if not self.hidden_groups + self.hidden_covariates:
            raise InputError(
                "unlabelled: hidden_groups and hidden_covariates are both 0, so that nothing is "
                "hidden and nothing learned; set one of them above 0"
            )
        if min(self.epochs, self.patience) < 1:
            raise InputError("unlabelled: epochs and patience must be 1 or more")


@dataclass(frozen=True)
class Tuning:
    """How a model of the world becomes one of a region.

    Parameters
    ----------
    ways
        Those that are tried; the one with the smallest error over parts of the region's own
        training profiles, by nets that these did not teach, is kept. ``zero_shot``: the model as
        it is.
        ``head``: the dense layers are trained. ``all``: all layers. Not by default, ``gradual``:
        the last layer, then one more after another; ``adapters``: changes of low rank (LoRA).
    correction
        Of what the model of the world says as it is, on the scale that is learned, by the other
        parts: ``shift``, ``scale`` (a straight line, its slope within .2 and 5) or ``none``.
        Kept where it lowers that error. Ways that train on these rows are not corrected by them.
    rate_share
        Learning rate, as a share of `training.rate`, which recipes of regions that are written for
        a model of the world take from it.
    epochs, patience, batch
        As of a training.
    l2_sp
        Strength with which weights are drawn to those of the world.
    coral
        Strength with which the covariance of the last features is drawn to that of the world.
    adversarial
        Strength with which the last features are made such that a classifier does not tell places
        of the region from those of the world that are kept with its model (`kept_places`).
    rank
        Of adapters.
    parts
        Parts that the region's training rows are cut into by blocks, and nets of the way that is
        kept: each net never sees one part, the next stops its training. What is held out chooses
        and, where there are locations enough, calibrates intervals.
    part_deg
        Side of these blocks, degrees; halved until there are enough.
    forests
        Trees of each forest beside the nets, 0 for nets alone: one of the region's rows, and one of
        these and of rows that the model of the world keeps (`kept_rows`). What is mapped is the
        mean of all, weighted by what each says of rows held out. Nets are alone in any case with
        `faithful` or `sees_year`.
    trust_units
        Take targets as they are, though they look as if they were in other units, and covariates
        that mostly lie beyond the world's.
    """

    ways: tuple[Way, ...] = ("zero_shot", "head", "all")
    correction: Literal["none", "shift", "scale"] = "scale"
    rate_share: float = 1.0
    epochs: int = 200
    patience: int = 15
    batch: int = 32
    l2_sp: float = 0.0
    coral: float = 0.0
    adversarial: float = 0.0
    rank: int = 4
    parts: int = 5
    part_deg: float = 0.5
    forests: int = 60
    trust_units: bool = False

    def __post_init__(self) -> None:
        if not self.ways or not set(self.ways) <= set(WAYS):
            raise InputError(
                f"fine_tuning.ways: some of {', '.join(WAYS)}, found {', '.join(self.ways)}"
            )
        if self.parts < 3:
            raise InputError(f"fine_tuning.parts must be 3 or more, found {self.parts}")
        if min(self.l2_sp, self.coral, self.adversarial) < 0 or self.rank < 1:
            raise InputError(
                "fine_tuning: l2_sp, coral and adversarial must be 0 or more, rank 1 or more"
            )
        if self.forests < 0:
            raise InputError(f"fine_tuning.forests must be 0 or more trees, found {self.forests}")
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
    unlabelled
        How branches learn covariates first, where no sample was taken.
    kept_places
        Training places whose covariates are kept with the model, for `fine_tuning.adversarial`: no
        target and no coordinates, but who has maps of the same covariates can find the cells.
    kept_rows
        Training rows that are kept with the model, with targets and without coordinates, for the
        forest of region and world beside a region's nets.
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
    unlabelled: Unlabelled = field(default_factory=Unlabelled)
    kept_places: int = 0
    kept_rows: int = 0
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
        if self.own and self.fine_tuning.adversarial:
            raise InputError(
                "own: fine_tuning.adversarial compares a region with places of the world, which "
                "have no covariates of the region's own; leave one of the two out"
            )
        if self.start is not None and self.training.processes > 1:
            raise InputError(
                f"training.processes = {self.training.processes}: ways of fine-tuning are spread "
                "over workers, each trained by one; set it to 1 where there is a start"
            )
        if self.stride is not None and self.stride < 1:
            raise InputError(f"stride must be 1 or more, found {self.stride}")
        if self.parts < 3:
            raise InputError(f"parts must be 3 or more, found {self.parts}")
        if self.unlabelled.places:
            self._check_unlabelled()
        if not 0 <= self.kept_places <= MOST_KEPT:
            raise InputError(f"kept_places must be 0 to {MOST_KEPT}, found {self.kept_places}")
        if self.kept_rows < 0:
            raise InputError(f"kept_rows must be 0 or more, found {self.kept_rows}")
        if self.start is None and self.fine_tuning.adversarial and not self.kept_places:
            raise InputError(
                "fine_tuning.adversarial compares regions with places of the world, and this model "
                "of the world keeps none: set kept_places, to 512 for one"
            )
        if self.members < 1:
            raise InputError(f"members must be 1 or more, found {self.members}")

    def _check_unlabelled(self) -> None:
        """Refuse places without samples where nothing learns from them."""
        if self.start is not None:
            raise InputError(
                "unlabelled.places: the model of the world has learned its covariates; leave it "
                "out where there is a start"
            )
        if self.faithful:
            raise InputError(
                "unlabelled.places: the released network cannot tell what is hidden from a mean; "
                "set faithful = false"
            )
        if sum(len(group.covariates) for group in self.groups) < 2:
            raise InputError("unlabelled.places: one covariate alone cannot be told from others")

    @property
    def forests(self) -> int:
        """Trees of the forests beside a region's nets.

        None beside the released network, nor beside nets that see the year, which forests do not:
        they would damp what changes.
        """
        return 0 if self.faithful or self.sees_year else self.fine_tuning.forests

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
    kinds = ("training", TrainSpec), ("fine_tuning", Tuning), ("unlabelled", Unlabelled)
    for name, kind in kinds:
        held = told.get(name, {})
        if isinstance(held, Mapping):
            told[name] = from_plain(kind, held)
    for name in ("lacking", "dense", "dropout"):
        if name in told:
            told[name] = tuple(told[name])
    return GsoilcpmSettings(**told)
