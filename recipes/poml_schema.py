"""The schema of a hybrid map in space and time: covariates, climate, drivers, process, forest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .config import Table
from .rothc_schema import CoverTable, SoilDomainTable

Year = Annotated[int, Field(ge=1000, le=3000)]
Month = Annotated[int, Field(ge=1, le=12)]


class WeatherTable(Table):
    """Monthly climate, the same every year or changing."""

    temperature: str = Field(
        "temperature", description="°C: monthly cube variable, or beginning of twelve yearly names"
    )
    rain: str = Field("rain", description="mm, likewise")
    evapotranspiration: str = Field(
        "",
        description="potential evapotranspiration, mm, likewise; left out: Thornthwaite's, from "
        "temperature and latitude",
    )
    transient: bool = Field(
        False,
        description="climate of each year: temperature_01 to temperature_12 are yearly variables",
    )
    normals: bool = Field(
        False,
        description="with transient: spin up under the monthly variables of the same names, not "
        "the mean over the years up to the start, or the first ten",
    )


class ClassCoverTable(CoverTable):
    """Plant cover and quality of litter, by land cover class."""

    variable: str = Field(
        "", description="cube variable of classes; left out: the same everywhere, as [model.plants]"
    )


class PlantsTable(Table):
    """Plants where no land cover is given."""

    dpm_rpm: float = Field(
        1.44, gt=0, le=100, description="ratio of decomposable to resistant litter; 1.44: crops"
    )
    months: tuple[Month, ...] = Field(
        tuple(range(1, 13)), description="months in which plants cover the soil"
    )


class InputDriverTable(Table):
    """What the carbon input is proportional to, from year to year."""

    kind: Literal["none", "miami", "variable"] = Field(
        "none",
        description="none (the same every year); miami: NPP of each year's climate; variable: a "
        "yearly cube variable, such as fertiliser or NPP",
    )
    variable: str = Field("", description="the cube variable")
    base: Literal["start", "mean"] | None = Field(
        None,
        description="what of it goes with the input at the start: start (that year's value, as of "
        "fertiliser) or mean (of the years of the spin-up, for what follows the weather, such as "
        "NPP); left out: mean of miami, start of a variable",
    )

    @model_validator(mode="after")
    def _named(self) -> InputDriverTable:
        if (self.kind == "variable") != bool(self.variable):
            raise ValueError('give variable with kind = "variable", and only then')
        return self


class ProcessTable(Table):
    """The process model that carries stocks through the years."""

    kind: str = Field(
        "rothc",
        pattern=r"^(rothc|icbm|[\w.]+:\w+)$",
        description='rothc, icbm, or your own as "package.module:Class"',
    )
    calibrate: bool = Field(True, description="fit it to sites with two dates or more")
    mu_anchor: Literal["printed", "start"] = Field(
        "printed",
        description="RothC's microbial rate: as printed, or relative to its value at the start",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="further arguments of it")


class LearnerTable(Table):
    """The forest."""

    trees: int = Field(200, ge=1, le=5000, description="trees")
    min_samples_leaf: int = Field(1, ge=1, description="rows in a leaf at least")
    max_features: float | Literal["sqrt"] = Field(
        "sqrt", description="features tried at each split: a share, or sqrt"
    )
    weight_mode: Literal["draw", "impurity"] = Field(
        "draw",
        description="what weights do: draw (scikit-learn from 1.9 on: chance of being drawn) or "
        "impurity (before: weight in splits and leaf means)",
    )


class UncertaintyTable(Table):
    """How sure the hybrid is of stocks and of their changes."""

    members: int = Field(
        10, ge=0, le=200, multiple_of=2, description="members of the ensemble; 0: means alone"
    )
    folds: int = Field(5, ge=2, le=20, description="inner folds that errors are learned from")
    block_deg: float = Field(1.0, gt=0, le=45, description="side of their spatial blocks, degrees")
    measurement_error: float = Field(
        0.0, ge=0, description="standard deviation of measuring a stock, kg/m²; 0: not known"
    )
    measurement_percent: float = Field(
        0.0, ge=0, le=100, description="the same in % of the stock; give one of the two"
    )
    temperature: float = Field(0.5, ge=0, description="sd of members' temperature, °C")
    rain: float = Field(10.0, ge=0, le=50, description="sd of their rain, %")
    follows: float = Field(
        0.5, ge=0, le=2, description="sd of the power with which input follows its driver, about 1"
    )
    input_trend: float = Field(
        5.0, ge=0, le=50, description="sd of a trend of the input beside its driver, % a decade"
    )
    validate_intervals: bool = Field(
        True, description="cross-validation learns and judges intervals, too, which takes longer"
    )

    @model_validator(mode="after")
    def _one_error(self) -> UncertaintyTable:
        if self.measurement_error and self.measurement_percent:
            raise ValueError("give measurement_error or measurement_percent, not both")
        return self


class PomlTable(Table):
    """A process model and a forest, alone and joined, for every year (Zhang et al. 2024)."""

    kind: Literal["poml"] = Field(description="hybrid in space and time")
    static: tuple[str, ...] = Field(
        (), description="covariates of the forest that do not change; a monthly one gives twelve"
    )
    yearly: tuple[str, ...] = Field((), description="covariates of the forest for each year")
    climate_features: bool = Field(
        True,
        description="the forest also gets temperature, rain and evapotranspiration of the year",
    )
    first: Year | None = Field(
        None, description="first year that sites are trained on; that of the map by default"
    )
    last: Year | None = Field(None, description="last of them; that of the map by default")
    clay: str = Field("clay", description="static cube variable, %")
    w_p: Annotated[float, Field(ge=0, le=1)] | Literal["tuned"] = Field(
        0.5,
        description="share of the weight that simulations get: 0 the forest alone, 1 the process "
        'alone, or "tuned" by inner folds',
    )
    coupling: Literal["poml", "guarded", "covariate", "residual"] = Field(
        "poml",
        description="poml as in the paper; guarded: simulations bridged to later samples and "
        "trusted as far as held-out dates allow; covariate: the process as a covariate; residual: "
        "the forest learns what the process leaves",
    )
    emit: tuple[Literal["ml", "po", "poml"], ...] = Field(
        ("ml", "po", "poml"),
        min_length=1,
        description="mapped: ml forest alone, po process from the forest's stock, poml hybrid; "
        "cells where one of them has no value are left out of all",
    )
    climate: WeatherTable = Field(WeatherTable(), description="monthly climate")
    cover: ClassCoverTable = Field(
        ClassCoverTable(variable=""), description="plants by land cover class"
    )
    plants: PlantsTable = Field(PlantsTable(), description="plants, the same everywhere")
    driver: InputDriverTable = Field(InputDriverTable(), description="what scales the input")
    process: ProcessTable = Field(ProcessTable(), description="the process model")
    learner: LearnerTable = Field(LearnerTable(), description="the forest")
    uncertainty: UncertaintyTable = Field(
        UncertaintyTable(), description="intervals and sureness of changes"
    )

    domain: SoilDomainTable = Field(
        SoilDomainTable(), description="soils left out, of which sites teach nothing"
    )

    @model_validator(mode="after")
    def _once(self) -> PomlTable:
        if len(set(self.emit)) < len(self.emit):
            raise ValueError("emit names one twice")
        both = sorted(set(self.static) & set(self.yearly))
        if both:
            raise ValueError(f"{both[0]} stands under static and under yearly; keep one")
        return self

    def settings(self, years: tuple[int, ...], depth_cm: float) -> dict[str, Any]:
        """Return what the engine's model takes, as plain data."""
        told = self.model_dump(exclude={"kind", "cover"})
        told["plants"] |= {"cover": self.cover.model_dump()}
        told["emit"] = tuple(name for name in ("ml", "po", "poml") if name in self.emit)
        return {**told, "years": years, "depth_cm": depth_cm}
