"""What a convolutional model over depth is told: net, scheme, training, intervals."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from edaphos.kernels.conv_net import ConvShape

from ..conv.channels import Mask, Scaling
from ..covariate_choice import ChoiceSpec
from ..errors import InputError
from ..training_spec import TrainSpec, check_rate_share

Scheme = Literal["transfer", "per_depth", "pooled", "multitask"]
Interval = Literal["residual", "quantile", "ensemble", "dropout"]
Transform = Literal["log1p", "none"]


@dataclass(frozen=True)
class FineTuning:
    """How a net for all depths becomes one for each (Han et al. 2025).

    Parameters
    ----------
    freeze_until
        Stages that stay as they are, from the first convolution on: convolution blocks, then dense
        layers, each with the statistics of its normalisation. With all of them nothing is tuned.
    statistics
        Of the normalisation in stages that are tuned: ``keep`` those of all depths, or ``renew``
        them with batches of one depth, which takes away what the net says of the depth before it
        learns it anew.
    rate_share
        Learning rate, as a share of that of the training on all depths.
    epochs, patience
        As of a training.
    """

    freeze_until: int = 2
    statistics: Literal["keep", "renew"] = "keep"
    rate_share: float = 0.1
    epochs: int = 100
    patience: int = 10

    def __post_init__(self) -> None:
        if self.freeze_until < 0:
            raise InputError(
                f"fine_tuning.freeze_until must be 0 or more, found {self.freeze_until}"
            )
        check_rate_share(self.rate_share)


@dataclass(frozen=True)
class ConvSettings:
    """All that a :class:`~edaphos.engine.models.conv.ConvModel` is told but depths and seed.

    Parameters
    ----------
    covariates
        Cube variables that the net sees, before the filter.
    scheme
        ``transfer``: one net is trained on the layers of all depths, with depth as input, copied
        for each depth, and fine-tuned to it. ``pooled``: that one net, and no more. ``per_depth``:
        a net for each depth from its layers alone. ``multitask``: shared convolutions, and dense
        layers for each depth, trained together; a missing depth counts for nothing.
    shape, training, fine_tuning
        See there. Early stopping looks at the validation part of the training rows.
    choose, choice
        ``filter`` leaves out covariates that are weak or twins, by what the training rows say
        (``engine/covariate_choice.py``); ``all`` takes all.
    transform
        Scale that is learned: ``log1p`` or ``none``. Maps are on the original scale, the mean being
        the arithmetic mean: each depth's residuals in the calibration part are put back on before
        the transform is undone (the smearing of Duan 1983, *JASA* 78, 605-610).
    scaling, mask
        Of the channels (:class:`~edaphos.engine.conv.channels.Channels`).
    augment
        Mirror and turn training patches, where no covariate depends on the compass.
    members
        Nets that differ by their seed, whose predictions are averaged.
    interval
        Where quantiles come from before they are calibrated: ``residual`` (one width for each depth
        on the scale that is learned), ``quantile`` (outputs of the net beside the mean),
        ``ensemble`` (how members differ, and the residuals) or ``dropout`` (how draws of dropout
        differ, and the residuals).
    passes
        Draws of dropout.
    parts
        Parts that the training rows are cut into by whole spatial blocks: one of them stops the
        training early, another calibrates means and intervals; nets learn from the others.
    part_deg
        Side of these blocks, degrees; halved until there are enough.
    map_device
        Where maps are made: ``cpu`` or ``cuda``, which asks for workers with a GPU.
    map_precision
        In what maps are made: ``float32``, or ``bf16``, whose error is measured on calibration
        patches and told in the map's metadata.
    """

    covariates: tuple[str, ...]
    scheme: Scheme = "transfer"
    shape: ConvShape = field(default_factory=ConvShape)
    training: TrainSpec = field(default_factory=TrainSpec)
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    choose: Literal["all", "filter"] = "all"
    choice: ChoiceSpec = field(default_factory=ChoiceSpec)
    transform: Transform = "log1p"
    scaling: Scaling = "z-score"
    mask: Mask = "any"
    augment: bool = True
    members: int = 1
    interval: Interval = "residual"
    passes: int = 20
    parts: int = 8
    part_deg: float = 5.0
    map_device: Literal["cpu", "cuda"] = "cpu"
    map_precision: Literal["float32", "bf16"] = "float32"

    def __post_init__(self) -> None:
        stages = len(self.shape.channels) + len(self.shape.dense) + 1
        if self.fine_tuning.freeze_until > stages:
            raise InputError(
                f"fine_tuning.freeze_until: the net has {stages} stages, found "
                f"{self.fine_tuning.freeze_until}"
            )
        if self.members < (2 if self.interval == "ensemble" else 1):
            raise InputError(
                f'members: interval = "{self.interval}" needs at least '
                f"{2 if self.interval == 'ensemble' else 1}, found {self.members}"
            )
        if self.interval == "dropout" and (self.passes < 2 or self.shape.dropout == 0):
            raise InputError(
                'interval = "dropout" needs 2 passes or more and a shape.dropout above 0, found '
                f"{self.passes} and {self.shape.dropout:g}"
            )
        if self.parts < 3:
            raise InputError(
                f"parts must be 3 or more, to learn from, to stop by and to calibrate with; found "
                f"{self.parts}"
            )

    @property
    def freezes_all(self) -> bool:
        """Whether fine-tuning has nothing left to tune."""
        stages = len(self.shape.channels) + len(self.shape.dense) + 1
        return self.fine_tuning.freeze_until == stages

    @property
    def draws(self) -> int:
        """Draws of dropout beside each net."""
        return self.passes if self.interval == "dropout" else 0

    @property
    def fine_tuned(self) -> TrainSpec:
        """How copies are fine-tuned."""
        tuning = self.fine_tuning
        return replace(
            self.training,
            rate=self.training.rate * tuning.rate_share,
            epochs=tuning.epochs,
            patience=tuning.patience,
        )


def pairs_of(quantiles: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Return the quantiles that bound an interval about the median, lower and upper.

    Raises
    ------
    InputError
        One has no counterpart: 0.05 goes with 0.95.

    Examples
    --------
    >>> pairs_of((0.05, 0.5, 0.95))
    ((0.05, 0.95),)
    """
    held = {round(q, 9) for q in quantiles}
    for q in held:
        if round(1 - q, 9) not in held:
            raise InputError(
                f"map.quantiles: intervals of a net are calibrated as a whole, so {q:g} needs "
                f"{1 - q:g} beside it"
            )
    return tuple((q, round(1 - q, 9)) for q in sorted(held) if q < 0.5)
