"""What a RothC map is told: phases, scenarios, drivers, cover, domain, ensemble.

Plain frozen dataclasses; recipes fill them from TOML, models save them as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_type_hints

from .soil_domain import SoilDomain

T = TypeVar("T")


@dataclass(frozen=True)
class Evaporation:
    """Where evapotranspiration comes from.

    Parameters
    ----------
    method
        ``thornthwaite`` (from temperature and latitude), ``hargreaves`` (from `minimum` and
        `maximum`), or ``given`` (the cube variable `variable`).
    variable, minimum, maximum
        Monthly cube variables.
    pan
        Whether what is ``given`` is open-pan evaporation, of which RothC takes 0.75.
    """

    method: Literal["thornthwaite", "hargreaves", "given"] = "thornthwaite"
    variable: str = ""
    minimum: str = ""
    maximum: str = ""
    pan: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """Cube variables it reads."""
        wanted = {"given": (self.variable,), "hargreaves": (self.minimum, self.maximum)}
        return wanted.get(self.method, ())


@dataclass(frozen=True)
class Clay:
    """Where clay comes from: a cube variable, or a forest on covariates and profiles.

    Parameters
    ----------
    variable
        Cube variable, %; "" if a forest is to be trained.
    covariates
        What the forest learns clay from.
    trees, min_samples_leaf, max_features
        Of the forest.
    """

    variable: str = ""
    covariates: tuple[str, ...] = ()
    trees: int = 100
    min_samples_leaf: int = 5
    max_features: float | Literal["sqrt"] = "sqrt"


@dataclass(frozen=True)
class Stock:
    """The initial stock.

    Parameters
    ----------
    variable
        Cube variable.
    start
        The year at whose end it stands.
    units
        ``t ha-1`` or ``kg m-2``.
    """

    variable: str = "stock"
    start: int = 2000
    units: Literal["t ha-1", "kg m-2"] = "t ha-1"

    @property
    def factor(self) -> float:
        """From its units to t/ha."""
        return 10.0 if self.units == "kg m-2" else 1.0


@dataclass(frozen=True)
class Driver:
    """What scales the carbon input from year to year, relative to the start.

    Parameters
    ----------
    kind
        ``none``; ``miami``: net primary productivity after Lieth 1975, from the year's temperature
        and rain; ``variable``: a yearly cube variable (NPP, fertiliser), over its value in the
        start year.
    variable
        The cube variable.
    """

    kind: Literal["none", "miami", "variable"] = "none"
    variable: str = ""


@dataclass(frozen=True)
class Change:
    """A stated anomaly of climate, growing linearly from the start: °C and % of rain a decade."""

    temperature_per_decade: float = 0.0
    rain_percent_per_decade: float = 0.0

    @property
    def none(self) -> bool:
        """Whether every year has the climate of the start."""
        return self.temperature_per_decade == 0 and self.rain_percent_per_decade == 0


@dataclass(frozen=True)
class Cover:
    """Plant cover and quality of litter, by land cover class.

    Parameters
    ----------
    variable
        Cube variable of classes.
    legend
        A legend known here (``igbp``, ``ibis``), or "" where `dpm_rpm` says it all.
    dpm_rpm
        DPM/RPM ratio of classes, instead of the legend's; 0 leaves a class out as not soil.
    bare, seasonal
        Classes that are bare all year, and those covered only in months warmer than `growing_degc`,
        instead of the legend's.
    growing_degc
        Monthly mean, °C.
    """

    variable: str = "landcover"
    legend: str = "igbp"
    dpm_rpm: Mapping[str, float] = field(default_factory=dict)
    bare: tuple[int, ...] | None = None
    seasonal: tuple[int, ...] | None = None
    growing_degc: float = 5.0


@dataclass(frozen=True)
class Domain(SoilDomain):
    """Where RothC does not hold, or hardly.

    Parameters
    ----------
    input_over_npp
        Cells are flagged whose stock takes more carbon input than this many times the net primary
        productivity of the Miami model, 0.48 of its dry matter being carbon; 0 flags none.
    """

    input_over_npp: float = 1.0


@dataclass(frozen=True)
class Ensemble:
    """Runs with disturbed inputs, from which the interval comes.

    Parameters
    ----------
    members
        Number of runs, even; 0 runs once, without an interval.
    temperature
        Standard deviation, °C, the same in every month.
    rain, stock
        Relative standard deviation, %.
    clay
        Relative standard deviation, %, of a given clay; a clay forest's own interval goes instead.
    """

    members: int = 0
    temperature: float = 0.5
    rain: float = 10.0
    clay: float = 10.0
    stock: float = 20.0


@dataclass(frozen=True)
class RothCSettings:
    """Everything a RothC map is told.

    Parameters
    ----------
    years
        Years mapped, ascending, from the stock's ``start`` on; stocks are those of their last day.
    warm_up
        Last year of the warm-up: until then the input follows the driver alone, after it also a
        scenario's factor.
    scenarios
        Factor on the input after the warm-up, by name.
    temperature, rain
        Monthly cube variables, °C and mm.
    depth_cm
        Of the layer that the stock is for, and of the moisture deficit.
    steps
        Under a climate that repeats, a year can be taken at once, exactly (``years``), or month by
        month, which gives the same to rounding (``months``).
    emit
        What is mapped beside the stock: ``pools``, ``co2``, ``input``.
    """

    years: tuple[int, ...] = (2000,)
    warm_up: int | None = None
    scenarios: Mapping[str, float] = field(default_factory=lambda: {"bau": 1.0})
    temperature: str = "temperature"
    rain: str = "rain"
    depth_cm: float = 30.0
    steps: Literal["years", "months"] = "years"
    emit: tuple[str, ...] = ()
    evaporation: Evaporation = Evaporation()
    clay: Clay = Clay()
    stock: Stock = Stock()
    driver: Driver = Driver()
    change: Change = Change()
    cover: Cover = Cover()
    domain: Domain = Domain()
    ensemble: Ensemble = Ensemble()

    @property
    def last_warm_up(self) -> int:
        """Last year without a scenario's factor."""
        return self.stock.start if self.warm_up is None else self.warm_up

    @property
    def run_years(self) -> tuple[int, ...]:
        """Years that are simulated: from the one after the start to the last mapped."""
        return tuple(range(self.stock.start + 1, self.years[-1] + 1))


def from_plain(kind: type[T], raw: Mapping[str, Any]) -> T:
    """Build nested dataclasses from plain data, as ``dataclasses.asdict`` and JSON give them."""
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        if item.name not in raw:
            continue
        value, hint = raw[item.name], hints[item.name]
        if is_dataclass(hint):
            value = value if is_dataclass(value) else from_plain(hint, value)  # type: ignore[arg-type]
        elif isinstance(value, list):
            value = tuple(value)
        elif isinstance(value, Mapping):
            value = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        values[item.name] = value
    unknown = set(raw) - {item.name for item in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**values)
