"""The schema of a model of the world and of the regions that it is fine-tuned to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .config import Table
from .conv_schema import TrainingTable

Size = Annotated[int, Field(ge=1, le=4096)]
Share = Annotated[float, Field(ge=0, lt=1)]
Way = Literal["zero_shot", "head", "all", "gradual", "adapters"]
#: What the net of a start has decided.
DECIDED = (
    *("faithful", "width", "merged", "dense", "dropout", "group_dropout", "embedding", "head"),
    *("sees_year", "transform", "members", "kept_places", "kept_rows"),
)
#: What says which places teach a model of the world, and means nothing where a region does.
OF_WORLD = ("without", "buffer_km", "unlabelled")
#: What fine-tuning is told under a key of its own.
ELSEWHERE = {
    "parts": "fine_tuning.parts",
    "part_deg": "fine_tuning.part_deg",
    "training.epochs": "fine_tuning.epochs",
    "training.batch": "fine_tuning.batch",
    "training.patience": "fine_tuning.patience",
}
#: West, south, east, north, degrees.
Bounds = tuple[
    Annotated[float, Field(ge=-180, le=180)],
    Annotated[float, Field(ge=-90, le=90)],
    Annotated[float, Field(ge=-180, le=180)],
    Annotated[float, Field(ge=-90, le=90)],
]


class GroupTable(Table):
    """A group of covariates, read by a branch of its own."""

    name: str = Field(min_length=1, description="climate, relief, vegetation, parent material, …")
    covariates: tuple[str, ...] = Field(min_length=1, description="cube variables")
    window: int = Field(
        1, ge=1, le=99, description="cells along a side of the square that the branch sees, odd"
    )


class UnlabelledTable(Table):
    """How branches learn covariates where no sample was taken, before they learn a target."""

    places: int = Field(
        0, ge=0, le=5_000_000, description="drawn evenly over the map's soil; 0: none"
    )
    hidden_groups: Share = Field(0.25, description="share of places that a group is hidden from")
    hidden_covariates: Share = Field(
        0.25, description="share of those left that a single covariate is hidden from"
    )
    epochs: int = Field(50, ge=1, description="epochs at most")
    patience: int = Field(5, ge=1, description="as in training")


class TuningTable(Table):
    """How a model of the world becomes one of a region."""

    ways: tuple[Way, ...] = Field(
        ("zero_shot", "head", "all"),
        min_length=1,
        description="ways that are tried; the region's own training profiles choose one: as it is, "
        "dense layers, all layers; gradual: one layer after another, adapters: changes of low rank",
    )
    correction: Literal["none", "shift", "scale"] = Field(
        "scale",
        description="of what the world's model says, if that lowers the error: a shift, or a line",
    )
    rate_share: float = Field(
        1.0, gt=0, le=1, description="learning rate, share of the pre-training's"
    )
    epochs: int = Field(200, ge=1, description="epochs at most")
    patience: int = Field(15, ge=1, description="as in training")
    batch: int = Field(32, ge=2, description="places in a batch")
    l2_sp: float = Field(0.0, ge=0, description="how strongly weights are drawn to the world's")
    coral: float = Field(
        0.0, ge=0, description="how strongly the covariance of features is drawn to the world's"
    )
    adversarial: float = Field(
        0.0,
        ge=0,
        description="how strongly features are kept from telling region and world apart; needs "
        "kept_places in the model of the world",
    )
    rank: int = Field(4, ge=1, le=256, description="of the changes of low rank")
    parts: int = Field(
        5,
        ge=3,
        le=50,
        description="parts of the region's rows, and nets that are averaged: each net never sees "
        "one part, another stops it",
    )
    part_deg: float = Field(0.5, gt=0, le=45, description="side of their blocks, degrees")
    forests: int = Field(
        60,
        ge=0,
        le=5000,
        description="trees of each forest beside the nets, 0 for nets alone: one of the region's "
        "rows, one of these and of the world's kept_rows; the map is the weighted mean of all",
    )
    trust_units: bool = Field(
        False,
        description="take targets as they are, though they look as in other units, and covariates "
        "that mostly lie beyond the world's",
    )


class GsoilcpmTable(Table):
    """One model of the world, fine-tuned to regions (GSoilCPM, Zhang L. et al. 2025)."""

    kind: Literal["gsoilcpm"] = Field(description="nets with a branch for each group")
    groups: tuple[GroupTable, ...] = Field((), description="groups of covariates")
    start: str | None = Field(
        None, description="folder of a model of the world to fine-tune; its groups are then known"
    )
    start_digest: str = Field("", description="SHA-256 that it must have")
    lacking: tuple[str, ...] = Field(
        (), description="groups of it that the region's cube does not have"
    )
    own: tuple[GroupTable, ...] = Field(
        (), description="groups that a region's cube has and start has not: branches of their own"
    )
    stride: int | None = Field(
        None,
        ge=1,
        description="cells from one cell of a window to the next, where a start learned on coarser "
        "cells: as many keep its ground, 1 keeps its number of cells",
    )
    faithful: bool = Field(
        False, description="the released network: one cell, affine until the first ReLU"
    )
    width: Size = Field(32, description="channels of a branch")
    merged: Size = Field(128, description="units that join the branches")
    dense: tuple[Size, ...] = Field((256, 128), description="units of the hidden dense layers")
    dropout: tuple[Share, ...] = Field((0.2, 0.5), description="share dropped after each of them")
    group_dropout: Share = Field(
        0.1, description="share of rows that a group is hidden from, so that nets do without it"
    )
    embedding: int = Field(8, ge=0, le=256, description="numbers that classes of a cell become")
    head: Literal["mean", "quantile", "gaussian"] = Field(
        "mean", description="what nets say beside the mean: nothing, quantiles, a variance"
    )
    sees_year: bool = Field(False, description="whether the year of a profile is an input")
    transform: Literal["log1p", "none"] = Field("log1p", description="scale that is learned")
    augment: bool = Field(True, description="mirror and turn squares")
    members: int = Field(1, ge=1, le=100, description="nets of different seeds that are averaged")
    training: TrainingTable = Field(TrainingTable(), description="how it is trained")
    parts: int = Field(8, ge=3, le=50, description="parts of the training layers by spatial block")
    part_deg: float = Field(5.0, gt=0, le=45, description="side of these blocks, degrees")
    without: tuple[Bounds, ...] = Field(
        (),
        description="regions (west, south, east, north) whose profiles teach it nothing; those of "
        "[[regions]] are among them",
    )
    buffer_km: float = Field(
        200.0, ge=0, le=5000, description="nor do profiles within this distance of them"
    )
    unlabelled: UnlabelledTable = Field(
        UnlabelledTable(), description="what is learned from covariates alone, first"
    )
    kept_places: int = Field(
        0,
        ge=0,
        le=2048,
        description="training places whose covariates are kept with the model, for "
        "fine_tuning.adversarial; who has the same maps can find their cells",
    )
    kept_rows: int = Field(
        0,
        ge=0,
        le=5_000_000,
        description="training rows that are kept with the model, with targets and without "
        "coordinates, for a forest of region and world beside a region's nets",
    )
    fine_tuning: TuningTable = Field(TuningTable(), description="how a region is learned")
    licence: str = Field("", description="of the weights, kept with them")

    @property
    def covariates(self) -> tuple[str, ...] | None:
        """All cube variables that it names; None where they are those of a start."""
        return tuple(name for group in self.groups for name in group.covariates) or None

    @model_validator(mode="after")
    def _known(self) -> GsoilcpmTable:
        if bool(self.groups) == bool(self.start):
            raise ValueError(
                "give either groups, to learn a model of the world, or start, the folder of one to "
                "fine-tune"
            )
        if self.start:
            self._check_begun()
        from edaphos.engine.branches.settings import settings_from
        from edaphos.engine.errors import InputError

        try:
            settings_from(self.settings())  # says what does not fit
        except InputError as error:
            raise ValueError(str(error)) from None
        if len(self.dropout) != len(self.dense):
            raise ValueError(f"dropout: one for each of {len(self.dense)} hidden dense layers")
        return self

    def _check_begun(self) -> None:
        """Refuse what is told of a net that a start has made already."""
        told = {*self.model_fields_set}
        told |= {f"training.{name}" for name in self.training.model_fields_set}
        problems = [
            f"{names} ({words})"
            for keys, words in (
                (DECIDED, "decided by the recipe that start was learned with"),
                (OF_WORLD, "of a model of the world alone"),
            )
            if (names := ", ".join(key for key in keys if key in told))
        ]
        problems += [f"{key} (give {own})" for key, own in ELSEWHERE.items() if key in told]
        if problems:
            raise ValueError(
                f"with a start these would change nothing: {'; '.join(problems)}; move them, or "
                "leave them out"
            )

    def settings(self) -> dict[str, Any]:
        """Return what the engine's model takes, as plain data."""
        return self.model_dump(exclude={"kind"})


class RegionTable(Table):
    """A region that the model of the world is fine-tuned to, with a map of its own."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="short name, for its folder")
    bounds: Bounds | None = Field(None, description="west, south, east, north, degrees")
    boundary: str | None = Field(
        None,
        description="instead of bounds: file of polygons (GeoJSON, GeoPackage, shapefile), in the "
        "folder of data unless absolute; nothing outside is mapped",
    )
    profiles: str | None = Field(
        None,
        description="its profiles (CSV); by default those of the recipe; those outside of it "
        "are left out",
    )
    cube: str | None = Field(
        None,
        description="its own cube, of finer covariates; by default the recipe's, and its cells",
    )
    resolution: float | None = Field(
        None, gt=0, description="cell size, units of its grid's CRS; by default the cube's finest"
    )
    own: tuple[str, ...] = Field(
        (),
        description="variables of its own cube that the model of the world does not read: they get "
        "a branch, learned from its profiles alone",
    )
    windows: Literal["ground", "cells"] = Field(
        "ground",
        description="what windows keep where its cells are finer than the world's: their ground, "
        "by cells that lie apart, or their number of cells",
    )
    block_deg: float | None = Field(
        None,
        gt=0,
        le=45,
        description="side of the blocks of its cross-validation, degrees; by default 1, or less "
        "where the region is small, so that it holds some 40",
    )

    @model_validator(mode="after")
    def _ordered(self) -> RegionTable:
        if (self.bounds is None) == (self.boundary is None):
            raise ValueError("give either bounds or boundary, a file of polygons")
        if self.bounds is None:
            return self
        west, south, east, north = self.bounds
        if west >= east or south >= north:
            raise ValueError(f"bounds: west, south, east, north in this order, found {self.bounds}")
        return self
