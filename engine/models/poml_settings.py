"""What a hybrid map in space and time is told: years, covariates, drivers, process, learner.

Plain frozen dataclasses; recipes fill them from TOML, models save them as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edaphos.kernels.rothc import DPM_RPM

from ..errors import InputError
from ..hybrid.learners import ForestLearner, WeightMode
from ..hybrid.members import MemberSpec
from ..hybrid.process import Process
from ..hybrid.registry import process_named
from ..hybrid.site_years import InputBase
from ..hybrid.time_uncertainty import TimeSpec
from ..samples import feature_names
from .rothc_settings import Cover, Driver
from .soil_domain import SoilDomain

#: Quantities that may be mapped, in the order of the map's variables.
MAPPED = ("ml", "po", "poml")
#: Couplings that run the process on the map, too.
RUNS_PROCESS = ("covariate", "residual")
#: Couplings in which simulations are weighted rows.
WEIGHTED = ("poml", "guarded")
#: Appended to a monthly climate that stands beside a changing one, in columns of samples.
NORMAL = "_normal"


@dataclass(frozen=True)
class Weather:
    """Monthly climate.

    Parameters
    ----------
    temperature, rain
        °C and mm: monthly cube variables, or beginnings of the names of yearly ones.
    evapotranspiration
        The same of potential evapotranspiration, mm; Thornthwaite's from temperature and latitude
        where it is "".
    transient
        Whether the climate changes from year to year: ``temperature_01`` to ``temperature_12`` are
        then twelve yearly cube variables, and so on.
    normals
        With `transient`: spin up under the monthly variables ``temperature`` and ``rain`` of the
        cube, instead of the mean over the years up to the start, or the first ten.
    """

    temperature: str = "temperature"
    rain: str = "rain"
    evapotranspiration: str = ""
    transient: bool = False
    normals: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Temperature, rain, and evapotranspiration where it is given."""
        return tuple(n for n in (self.temperature, self.rain, self.evapotranspiration) if n)

    @property
    def monthly(self) -> tuple[str, ...]:
        """Monthly cube variables that it reads."""
        return self.names if self.normals or not self.transient else ()

    @property
    def yearly(self) -> tuple[str, ...]:
        """Yearly cube variables that it reads."""
        if not self.transient:
            return ()
        return tuple(month for name in self.names for month in feature_names(name, "monthly"))


@dataclass(frozen=True)
class Plants:
    """Plant cover and quality of litter: of land cover classes, or the same everywhere.

    Parameters
    ----------
    cover
        Classes; its ``variable`` is "" where the rest holds everywhere.
    dpm_rpm
        Ratio of decomposable to resistant plant material; 1.44 is that of crops.
    months
        Months (1 to 12) in which plants cover the soil.
    """

    cover: Cover = field(default_factory=lambda: Cover(variable=""))
    dpm_rpm: float = DPM_RPM["crop"]
    months: tuple[int, ...] = tuple(range(1, 13))


@dataclass(frozen=True)
class InputDriver(Driver):
    """What the carbon input is proportional to.

    Parameters
    ----------
    base
        Its value that goes with the input at the start: that of the ``start`` year, or the
        ``mean`` over the years of the spin-up, for what follows the weather. None: ``mean`` of
        ``miami``, ``start`` of a variable.
    """

    base: InputBase | None = None

    @property
    def told_base(self) -> InputBase:
        """The base, as stated or by kind."""
        return self.base or ("mean" if self.kind == "miami" else "start")


@dataclass(frozen=True)
class ProcessTold:
    """The process model.

    Parameters
    ----------
    kind
        ``rothc``, ``icbm``, or a class of one's own as ``package.module:Class``, that follows
        :class:`~edaphos.engine.hybrid.process.Process` and has ``to_json`` and ``from_json``.
    calibrate
        Whether it is fitted to the samples; a class of one's own says so itself.
    mu_anchor
        Of RothC: ``printed`` or ``start``.
    settings
        Further keyword arguments.
    """

    kind: str = "rothc"
    calibrate: bool = True
    mu_anchor: Literal["printed", "start"] = "printed"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Process:
        """Return the process, not calibrated."""
        own: dict[str, Any] = dict(self.settings)
        if self.kind == "rothc":
            own = {"calibrates": self.calibrate, "mu_anchor": self.mu_anchor, **own}
        elif self.kind == "icbm":
            own = {"calibrates": self.calibrate, **own}
        return process_named(self.kind, own)


@dataclass(frozen=True)
class LearnerTold:
    """The forest: as :class:`~edaphos.engine.hybrid.learners.ForestLearner` takes it."""

    trees: int = 200
    min_samples_leaf: int = 1
    max_features: float | Literal["sqrt"] = "sqrt"
    weight_mode: WeightMode = "draw"

    def build(self, seed: int, threads: int) -> ForestLearner:
        """Return a forest that has not grown."""
        return ForestLearner(**vars(self), seed=seed, threads=threads)


@dataclass(frozen=True)
class Uncertainty:
    """How sure the hybrid is of stocks and of their changes.

    Parameters
    ----------
    members
        Of the ensemble, even; 0 maps means alone.
    folds, block_deg
        Inner folds by spatial block, from which errors are learned, and the side of a block.
    measurement_error, measurement_percent
        Standard deviation of measuring a stock, kg/m² or %; 0: not known.
    temperature, rain, follows, input_trend
        How members' drivers differ: :class:`~edaphos.engine.hybrid.members.MemberSpec`.
    validate_intervals
        Whether cross-validation learns and judges intervals, too.
    """

    members: int = 10
    folds: int = 5
    block_deg: float = 1.0
    measurement_error: float = 0.0
    measurement_percent: float = 0.0
    temperature: float = 0.5
    rain: float = 10.0
    follows: float = 0.5
    input_trend: float = 5.0
    validate_intervals: bool = True

    def build(self) -> TimeSpec:
        """Return what is learned, and how."""
        told = MemberSpec(
            members=self.members,
            temperature=self.temperature,
            rain=self.rain,
            follows=self.follows,
            input_trend=self.input_trend,
        )
        return TimeSpec(
            told, self.folds, self.block_deg, self.measurement_error, self.measurement_percent
        )


@dataclass(frozen=True)
class PomlSettings:
    """Everything a hybrid map is told.

    Parameters
    ----------
    years
        Years mapped, ascending.
    first, last
        Years that sites are trained on and the process runs through; those of the map where None.
    depth_cm
        The stock is that of 0 to this depth.
    static, yearly
        Covariates of the forest that do not change (a monthly one gives twelve), and that do.
    climate_features
        Whether the forest also gets mean temperature, rain and evapotranspiration of each year.
    clay
        Static cube variable, %.
    w_p
        Share of the weight that simulations get, or ``tuned``.
    coupling
        How process and forest are joined: ``poml`` as in the paper, ``guarded``, ``covariate``,
        ``residual``.
    emit
        What is mapped, of :data:`MAPPED`: the forest alone, the process from the forest's start,
        the hybrid.
    domain
        Where a process model of mineral soils does not hold: sites there teach nothing, cells there
        are left out with a reason.
    """

    years: tuple[int, ...] = (1980, 2000)
    first: int | None = None
    last: int | None = None
    depth_cm: float = 30.0
    static: tuple[str, ...] = ()
    yearly: tuple[str, ...] = ()
    climate_features: bool = True
    clay: str = "clay"
    w_p: float | Literal["tuned"] = 0.5
    coupling: Literal["poml", "guarded", "covariate", "residual"] = "poml"
    emit: tuple[str, ...] = MAPPED
    climate: Weather = Weather()
    plants: Plants = Plants()
    driver: InputDriver = field(default_factory=InputDriver)
    process: ProcessTold = ProcessTold()
    learner: LearnerTold = LearnerTold()
    uncertainty: Uncertainty = Uncertainty()
    domain: SoilDomain = field(default_factory=SoilDomain)

    @property
    def has_interval(self) -> bool:
        """Whether intervals and changes are mapped beside the hybrid."""
        return "poml" in self.emit and self.uncertainty.members > 0

    @property
    def span(self) -> tuple[int, ...]:
        """All years that are simulated."""
        first = self.years[0] if self.first is None else self.first
        last = self.years[-1] if self.last is None else self.last
        return tuple(range(first, last + 1))

    @property
    def runs_process(self) -> bool:
        """Whether the map needs the process, and what drives it."""
        return "po" in self.emit or ("poml" in self.emit and self.coupling in RUNS_PROCESS)

    @property
    def drives(self) -> tuple[str, ...]:
        """Cube variables that drive the process beside the climate."""
        named = (self.clay, self.plants.cover.variable, self.driver.variable)
        return tuple(name for name in named if name)

    @property
    def changing(self) -> tuple[str, ...]:
        """Yearly cube variables."""
        driver = (self.driver.variable,) if self.driver.variable else ()
        return tuple(dict.fromkeys((*self.yearly, *self.climate.yearly, *driver)))

    @property
    def variables(self) -> tuple[str, ...]:
        """All cube variables, as samples need them."""
        climate = (*self.climate.monthly, *self.climate.yearly)
        read = (*self.static, *self.yearly, *climate, *self.drives, *self.domain.variables)
        return tuple(dict.fromkeys(read))

    @property
    def mapped_variables(self) -> tuple[str, ...]:
        """Cube variables that the map needs."""
        if self.runs_process:
            return self.variables
        climate = self.climate
        used = climate.yearly if climate.transient else climate.monthly
        read = (*self.static, *self.yearly, *(used if self.climate_features else ()))
        return tuple(dict.fromkeys((*read, *self.domain.variables)))

    @property
    def renamed(self) -> dict[str, str]:
        """Names that monthly variables begin with in samples, where theirs are taken."""
        if not self.climate.transient:
            return {}
        return {name: f"{name}{NORMAL}" for name in self.climate.monthly}


def check(told: PomlSettings) -> None:
    """Refuse settings that contradict each other."""
    if told.span[0] > told.years[0] or told.span[-1] < told.years[-1]:
        raise InputError(
            f"model.first and model.last span {told.span[0]} to {told.span[-1]}, and map.years "
            f"{told.years[0]} to {told.years[-1]}: the span must hold them"
        )
    if len(told.span) < 2:
        raise InputError(
            f"map.years: only {told.years[0]}; a hybrid in time needs a span of years: give "
            "map.years such as [1980, 1990, 2000], or model.first and model.last"
        )
    if not (told.static or told.yearly or told.climate_features):
        raise InputError("model.static, model.yearly: the forest has no covariate to learn from")
    seen = told.yearly or (told.climate_features and told.climate.transient)
    if "poml" in told.emit and told.coupling == "poml" and not seen:
        raise InputError(
            'model.yearly: the hybrid of coupling = "poml" tells years apart by yearly covariates '
            "alone, and there are none, so that its maps of all years would be the same. Name "
            "some, such as the driver; or set climate.transient = true with climate_features; or "
            'take coupling = "guarded"'
        )
    unknown = [name for name in told.emit if name not in MAPPED]
    if unknown or not told.emit:
        raise InputError(f"model.emit: expected some of {', '.join(MAPPED)}, found {told.emit}")
    if told.climate.normals and not told.climate.transient:
        raise InputError("model.climate.normals is for transient = true; without it, leave it out")
    if told.driver.kind == "miami" and not told.climate.transient:
        raise InputError(
            'model.driver.kind = "miami" follows the climate of each year, and model.climate is '
            "the same every year: set climate.transient = true, or name a yearly driver"
        )
    if told.has_interval and told.coupling in RUNS_PROCESS:
        raise InputError(
            f'model.coupling = "{told.coupling}" runs the process on the map, and its members '
            "cannot be kept: set model.uncertainty.members = 0, which maps means alone"
        )
    if told.w_p != "tuned" and not 0 <= float(told.w_p) <= 1:
        raise InputError(f'model.w_p: expected 0 to 1, or "tuned", found {told.w_p}')
