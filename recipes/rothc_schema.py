"""The schema of a RothC map: phases, scenarios, driver, cover, domain, ensemble."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from .config import Table

Year = Annotated[int, Field(ge=1000, le=3000)]
Classes = dict[str, tuple[int, ...]]


class EvaporationTable(Table):
    """Where evapotranspiration comes from."""

    method: Literal["thornthwaite", "hargreaves", "given"] = Field(
        "thornthwaite",
        description="thornthwaite (temperature and latitude), hargreaves (minimum, maximum), given",
    )
    variable: str = Field("", description="monthly cube variable that is given, mm")
    minimum: str = Field("", description="monthly minimum temperature, for hargreaves")
    maximum: str = Field("", description="monthly maximum temperature, for hargreaves")
    pan: bool = Field(
        False, description="what is given is open-pan evaporation: RothC takes 0.75 of it"
    )

    @model_validator(mode="after")
    def _named(self) -> EvaporationTable:
        if self.pan and self.method != "given":
            raise ValueError(f'pan is for method = "given"; {self.method} has no pan')
        needed = {"given": ("variable",), "hargreaves": ("minimum", "maximum")}
        for name in needed.get(self.method, ()):
            if not getattr(self, name):
                raise ValueError(f'method = "{self.method}" needs {name}')
        return self


class ClayTable(Table):
    """Where clay comes from: a cube variable, or a forest on covariates and profiles."""

    variable: str = Field("", description="cube variable, %; leave it out to train a forest")
    covariates: tuple[str, ...] = Field((), description="what a forest learns clay from")
    trees: int = Field(100, ge=1, le=5000, description="trees of the forest")
    min_samples_leaf: int = Field(5, ge=1, description="rows in a leaf at least")
    max_features: float | Literal["sqrt"] = Field(
        "sqrt", description="features tried at each split: a share, or sqrt"
    )


class StockTable(Table):
    """The initial stock."""

    variable: str = Field(description="cube variable")
    start: Year = Field(description="the year at whose end it stands")
    units: Literal["t ha-1", "kg m-2"] = Field("t ha-1", description="its units")


class DriverTable(Table):
    """What scales the carbon input from year to year, relative to the start."""

    kind: Literal["none", "miami", "variable"] = Field(
        "none",
        description="none; miami: NPP from climate, which [model.change] alone alters; variable: a "
        "yearly cube variable",
    )
    variable: str = Field("", description="the cube variable")

    @model_validator(mode="after")
    def _named(self) -> DriverTable:
        if (self.kind == "variable") != bool(self.variable):
            raise ValueError('give variable with kind = "variable", and only then')
        return self


class ChangeTable(Table):
    """A stated anomaly of climate that grows linearly from the start (an assumption, no data)."""

    temperature_per_decade: float = Field(0.0, ge=-5, le=5, description="°C a decade")
    rain_percent_per_decade: float = Field(0.0, ge=-50, le=50, description="% of rain a decade")


class CoverTable(Table):
    """Plant cover and quality of litter, by land cover class."""

    variable: str = Field("landcover", description="cube variable of classes")
    legend: Literal["igbp", "ibis", ""] = Field(
        "igbp", description='what its classes mean; "" where dpm_rpm says it all'
    )
    dpm_rpm: dict[str, float] = Field(
        default_factory=dict,
        description="ratio of classes, instead of the legend's; 0: carries no soil",
    )
    bare: tuple[int, ...] | None = Field(
        None, description="classes bare all year, if not the legend's"
    )
    seasonal: tuple[int, ...] | None = Field(
        None, description="classes covered only in the growing months, if not the legend's"
    )
    growing_degc: float = Field(5.0, description="months warmer than this are growing months, °C")

    @field_validator("dpm_rpm")
    @classmethod
    def _classes(cls, ratios: dict[str, float]) -> dict[str, float]:
        for code, value in ratios.items():
            if not code.isdigit() or not 0 <= value <= 100:
                raise ValueError(f"expected class = ratio, such as 12 = 1.44, found {code}={value}")
        return ratios


class SoilDomainTable(Table):
    """Soils that a process model of aerated mineral soils does not hold for."""

    organic_above: float = Field(200.0, gt=0, description="stock, t/ha, of an organic soil")
    frozen_below: float = Field(-2.0, description="mean annual temperature of frozen ground, °C")
    wetland: Classes = Field(default_factory=dict, description="variable = classes left out as wet")
    drained: Classes = Field(
        default_factory=dict, description="variable = classes that are no wetland all the same"
    )
    mangrove: Classes = Field(default_factory=dict, description="variable = classes left out")
    paddy: Classes = Field(default_factory=dict, description="variable = classes mapped, flagged")


class DomainTable(SoilDomainTable):
    """Where RothC does not hold: cells left out with a reason, or flagged."""

    input_over_npp: float = Field(
        1.0,
        ge=0,
        description="cells that need more input than so many times the Miami NPP are flagged; 0: "
        "none",
    )


class EnsembleTable(Table):
    """Runs with disturbed inputs, from which the 90 % interval comes."""

    members: int = Field(
        0, ge=0, le=1000, multiple_of=2, description="number of runs, even; 0: no interval"
    )
    temperature: float = Field(0.5, ge=0, description="standard deviation, °C")
    rain: float = Field(10.0, ge=0, le=50, description="relative standard deviation, %")
    clay: float = Field(
        10.0, ge=0, le=50, description="the same of a given clay; a forest has its own"
    )
    stock: float = Field(20.0, ge=0, le=50, description="the same of the initial stock, %")


def _told_by_name(name: str) -> float | None:
    """Return the factor that reports read from a scenario's name, None where they read none."""
    if name == "bau":
        return 1.0
    sign = {"plus": 1, "minus": -1}.get(name.rstrip("0123456789"))
    percent = name[len(name.rstrip("0123456789")) :]
    return None if sign is None or not percent else 1 + sign * int(percent) / 100


class RothCTable(Table):
    """RothC-26.3 from an initial stock map, under scenarios of carbon input."""

    kind: Literal["rothc"] = Field(description="RothC")
    temperature: str = Field("temperature", description="monthly cube variable, °C")
    rain: str = Field("rain", description="monthly cube variable, mm")
    warm_up: Year | None = Field(
        None, description="last year without a scenario's factor; the start by default"
    )
    scenarios: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")], float] = Field(
        default_factory=lambda: {"bau": 1.0},
        min_length=1,
        description="factor on the carbon input after the warm-up, by name",
    )
    steps: Literal["years", "months"] = Field(
        "years", description="of a repeating climate: a year at once (exact), or month by month"
    )
    emit: tuple[Literal["pools", "co2", "input"], ...] = Field(
        (), description="mapped beside the stock"
    )
    stock: StockTable = Field(description="the initial stock")
    clay: ClayTable = Field(ClayTable(), description="where clay comes from")
    cover: CoverTable = Field(CoverTable(), description="vegetation")
    evaporation: EvaporationTable = Field(EvaporationTable(), description="evapotranspiration")
    driver: DriverTable = Field(DriverTable(), description="what scales the input in time")
    change: ChangeTable = Field(ChangeTable(), description="anomaly of climate")
    domain: DomainTable = Field(DomainTable(), description="where RothC holds")
    ensemble: EnsembleTable = Field(EnsembleTable(), description="interval")

    @field_validator("scenarios")
    @classmethod
    def _positive(cls, scenarios: dict[str, float]) -> dict[str, float]:
        for name, factor in scenarios.items():
            if not 0 <= factor <= 10:
                raise ValueError(f"factor of {name} must be 0 to 10, such as 1.05, found {factor}")
            told = _told_by_name(name)
            if told is not None and abs(told - factor) > 1e-9:
                raise ValueError(
                    f'"{name}" is shown as an input times {told:g}, and its factor is {factor}; '
                    "rename the scenario or correct the factor"
                )
        return scenarios
