"""The schema of a beta model: its covariates, ecosystems, topsoil, and how it is fitted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edaphos.engine.errors import InputError
from edaphos.engine.models.beta_settings import IGBP, IGBP_SHARES, BetaSettings

from .config import Table

Share = Annotated[float, Field(ge=0, le=1)]


class EcosystemsTable(Table):
    """Which classes are which ecosystem: one forest of beta for each."""

    variable: str = Field("landcover", description="cube variable of the classes")
    classes: dict[str, tuple[int, ...]] = Field(
        default_factory=lambda: dict(IGBP),
        min_length=1,
        description="classes of each ecosystem; IGBP: forests 1-5 are forest, shrublands, savannas "
        "and grassland 6-10 grassland, cropland and its mosaic 12, 14 cropland",
    )
    shares: dict[str, dict[str, Share]] = Field(
        default_factory=lambda: {str(c): dict(s) for c, s in IGBP_SHARES.items()},
        description="of a class that is a mosaic, the share of its area by ecosystem, in totals",
    )
    land: str = Field(
        "", description="cube variable of the land fraction of cells, for totals; all land if empty"
    )


class TopsoilTable(Table):
    """Where the stock comes from that beta spreads over depth."""

    variable: str = Field(
        "", description="cube variable of the stock; a forest of 0-20 cm by these profiles if empty"
    )
    units: Literal["t ha-1", "kg m-2"] = Field("t ha-1", description="its units")
    bottom_cm: float = Field(20.0, gt=0, le=100, description="it is the stock of 0 to this depth")

    @model_validator(mode="after")
    def _own_depth(self) -> TopsoilTable:
        if not self.variable and self.bottom_cm != 20:
            raise ValueError("bottom_cm is of a given stock; that of profiles is of 0-20 cm")
        return self


class FragmentsTable(Table):
    """A scenario of coarse fragments, for totals where no profile tells any."""

    mean: float = Field(gt=0, lt=1, description="volume fraction of the soil, mean over all land")
    sd: float = Field(0.0, ge=0, lt=0.5, description="how sure that mean is, standard deviation")
    source: str = Field(description="where that comes from; printed beside the totals")


class BetaTable(Table):
    """The beta model: layers from a topsoil stock and the fall of carbon with depth."""

    kind: Literal["beta"] = Field("beta", description="beta model")
    covariates: tuple[str, ...] = Field(
        min_length=1, description="cube variables that topsoil stock and soil are learned from"
    )
    beta_covariates: tuple[str, ...] = Field(
        ("temperature_mean", "rain_annual"),
        description="cube variables that beta is learned from, beside soil",
    )
    soil: tuple[Literal["soc", "bulk_density", "clay"], ...] = Field(
        ("soc", "bulk_density", "clay"),
        description="properties of 0-20 cm that beta is learned from; of cells as the model's own "
        "forests map them",
    )
    soil_values: Literal["measured", "mapped"] = Field(
        "measured",
        description="soil that beta forests learn from: as measured, as in the paper, or as mapped "
        "by forests that have not seen the profile's block, which is what a map has",
    )
    fit: Literal["normalised", "raw"] = Field(
        "normalised",
        description="shares of 0-100 cm as (1 - beta^d) / (1 - beta^100), or raw as 1 - beta^d, "
        "which makes beta too small: of a beta of 0.9786 the stock of 0-100 cm is 14 % too low",
    )
    trees: int = Field(100, ge=1, le=5000, description="trees of each forest")
    min_samples_leaf: int = Field(5, ge=1, description="rows in a leaf at least")
    max_features: float = Field(0.33, gt=0, le=1, description="features tried at each split")
    ecosystems: EcosystemsTable = Field(EcosystemsTable(), description="classes of ecosystems")
    topsoil: TopsoilTable = Field(TopsoilTable(), description="the stock of the topsoil")
    fragments: FragmentsTable | None = Field(None, description="a scenario of coarse fragments")

    @model_validator(mode="after")
    def _known(self) -> BetaTable:
        try:
            BetaSettings.of(self.settings())
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    def settings(self) -> dict[str, Any]:
        """Return the settings of the engine's model, as plain data."""
        told = self.model_dump(exclude={"kind", "fit", "fragments"})
        top = told.pop("topsoil")
        factor = 0.1 if top.pop("units") == "t ha-1" else 1.0
        told["ecosystems"].pop("land")
        return {**told, "form": self.fit, "topsoil": {**top, "factor": factor}}
