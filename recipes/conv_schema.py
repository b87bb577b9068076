"""The schema of convolutional nets over depth: net, scheme, training, fine-tuning, intervals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edaphos.kernels.conv_net import ConvShape

from .config import Table

Size = Annotated[int, Field(ge=1, le=4096)]


class ShapeTable(Table):
    """Sizes of the net; they are defaults of edaphos, as the paper prints none."""

    patch: int = Field(9, ge=1, le=99, description="cells along a side of what it sees, odd")
    channels: tuple[Size, ...] = Field((32, 64, 128), description="of each convolution")
    kernels: tuple[Size, ...] = Field((3, 3, 2), description="side of each convolution, cells")
    padding: int = Field(
        0, ge=0, le=9, description="zeros around what a convolution reads; maps are then slow"
    )
    pool_after: tuple[int, ...] = Field(
        (2,), description="convolutions, counted from 1, that 2 x 2 max pooling follows"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="share of values dropped in training")
    dense: tuple[Size, ...] = Field((128, 64), description="units of the hidden dense layers")
    activation: Literal["swish", "relu"] = Field("swish", description="swish or relu")
    batch_norm: bool = Field(True, description="normalise by batch")

    @model_validator(mode="after")
    def _fits(self) -> ShapeTable:
        ConvShape(**self.model_dump())  # says what does not fit
        return self


class TrainingTable(Table):
    """How nets are trained."""

    epochs: int = Field(600, ge=1, description="epochs at most")
    batch: int = Field(256, ge=2, description="layers in a batch")
    rate: float = Field(1e-3, gt=0, le=1, description="learning rate of Adam at the start")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW; 0 is Adam")
    schedule: Literal["cosine", "plateau", "constant"] = Field(
        "plateau",
        description="of the rate: cosine falls to 0 over all epochs, plateau halves it where "
        "nothing gets better",
    )
    patience: int = Field(
        20, ge=1, description="epochs without a lower validation loss that end a training"
    )
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    precision: Literal["float32", "bf16"] = Field("float32", description="of the forward pass")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a GPU if there is one"
    )
    threads: int = Field(
        1, ge=1, le=64, description="of torch on the CPU; the last bits of the weights depend on it"
    )
    processes: int = Field(
        1,
        ge=1,
        le=1024,
        description="workers of the cluster that train one net together, each with its part of "
        "every batch",
    )


class FineTuningTable(Table):
    """How the net of all depths becomes one for each."""

    freeze_until: int = Field(
        2,
        ge=0,
        description="stages that stay as they are: convolutions, then dense layers; all of them: "
        "no fine-tuning",
    )
    statistics: Literal["keep", "renew"] = Field(
        "keep", description="of normalisation in tuned stages: those of all depths, or of each"
    )
    rate_share: float = Field(0.1, gt=0, le=1, description="learning rate, share of the training's")
    epochs: int = Field(100, ge=1, description="epochs at most")
    patience: int = Field(10, ge=1, description="as in training")


class ChoiceTable(Table):
    """How covariates are chosen, by the layers that nets learn from."""

    weak: float = Field(0.05, ge=0, le=1, description="least correlation with the target")
    twin: float = Field(
        0.8, ge=0, le=1, description="largest correlation between two that are kept"
    )
    batches: tuple[Size, ...] = Field(
        (10, 20, 30, 37, 40, 50), description="numbers of covariates that are tried"
    )
    folds: int = Field(5, ge=2, le=20, description="inner folds that judge them")
    block_deg: float = Field(5.0, gt=0, le=45, description="side of their blocks, degrees")


class ConvTable(Table):
    """Convolutional nets that see what lies around a place (Han et al. 2025)."""

    kind: Literal["conv"] = Field(description="convolutional nets over depth")
    covariates: tuple[str, ...] = Field(min_length=1, description="cube variables to learn from")
    scheme: Literal["transfer", "pooled", "per_depth", "multitask"] = Field(
        "transfer",
        description="transfer: one net for all depths, copied and fine-tuned for each; pooled: "
        "that net alone; per_depth: a net for each; multitask: shared convolutions",
    )
    transform: Literal["log1p", "none"] = Field(
        "log1p", description="scale that is learned; predictions are on the original one"
    )
    choose: Literal["all", "filter"] = Field(
        "all", description="all covariates, or those that pass the filter"
    )
    scaling: Literal["z-score", "min-max"] = Field("z-score", description="of amounts")
    mask: Literal["any", "each", "none"] = Field(
        "any", description="channels that tell what is missing: one, one for each band with gaps"
    )
    augment: bool = Field(
        True, description="mirror and turn patches, where no covariate depends on the compass"
    )
    members: int = Field(1, ge=1, le=100, description="nets of different seeds that are averaged")
    interval: Literal["residual", "quantile", "ensemble", "dropout"] = Field(
        "residual",
        description="where quantiles come from before they are calibrated: residuals by depth, "
        "outputs of the nets, differences of members, or of draws of dropout",
    )
    passes: int = Field(20, ge=2, le=200, description="draws of dropout")
    parts: int = Field(
        8,
        ge=3,
        le=50,
        description="parts of the training layers by spatial block: one stops trainings, one "
        "calibrates, the others teach",
    )
    part_deg: float = Field(5.0, gt=0, le=45, description="side of these blocks, degrees")
    map_device: Literal["cpu", "cuda"] = Field(
        "cpu", description="where maps are made; cuda asks for workers with a GPU"
    )
    map_precision: Literal["float32", "bf16"] = Field(
        "float32", description="of making maps; the error of bf16 is measured and told"
    )
    shape: ShapeTable = Field(ShapeTable(), description="sizes of the net")
    training: TrainingTable = Field(TrainingTable(), description="how it is trained")
    fine_tuning: FineTuningTable = Field(FineTuningTable(), description="how it is fine-tuned")
    choice: ChoiceTable = Field(ChoiceTable(), description="how covariates are chosen")

    @model_validator(mode="after")
    def _adds_up(self) -> ConvTable:
        stages = len(self.shape.channels) + len(self.shape.dense) + 1
        if self.fine_tuning.freeze_until > stages:
            raise ValueError(
                f"fine_tuning.freeze_until: the net has {stages} stages, found "
                f"{self.fine_tuning.freeze_until}"
            )
        if self.interval == "ensemble" and self.members < 2:
            raise ValueError('interval = "ensemble" needs members = 2 or more')
        if self.interval == "dropout" and self.shape.dropout == 0:
            raise ValueError('interval = "dropout" needs a shape.dropout above 0')
        return self

    def settings(self) -> dict[str, Any]:
        """Return what the engine's model takes, as plain data."""
        return self.model_dump(exclude={"kind"})
