"""Sites and years: what hybrids of a process model and a learner are fitted to and predict.

Arrays over S sites and Y consecutive years. The cells of a map tile are sites without stocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Floats = NDArray[np.float64]
Array = NDArray[Any]
InputBase = Literal["start", "mean"]


def _columns(array: Array, sites: Array) -> Array:
    """Return some columns in row order, as kernels take them; fancy indexing would turn them."""
    chosen = np.flatnonzero(sites) if sites.dtype == bool else sites
    return np.take(array, chosen, axis=1)


@dataclass(frozen=True, eq=False)
class Climate:
    """Monthly weather of sites, each ``(months, S)``.

    Parameters
    ----------
    temperature
        Mean air temperature of the month, °C.
    rain
        mm in the month.
    evapotranspiration
        Potential, mm in the month (not open-pan evaporation).
    """

    temperature: Array
    rain: Array
    evapotranspiration: Array

    @property
    def months(self) -> int:
        """Rows: 12 where every year is the same, else 12 for each year."""
        return len(self.temperature)

    def take(self, sites: Array) -> Climate:
        """Return some sites."""
        return Climate(*(_columns(a, sites) for a in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Drivers:
    """What drives a process model at S sites over Y consecutive years.

    Parameters
    ----------
    years
        ``(Y,)``, consecutive.
    climate
        Of the years: 12 rows if every year is the same, else 12 Y rows, from January on.
    input_driver
        What the carbon input is proportional to (fertiliser, net primary productivity), ``(Y, S)``,
        not negative; only its ratio to `input_base` counts.
    cover
        ``(12, S)``, 1 in months when plants cover the soil.
    dpm_rpm
        Ratio of decomposable to resistant plant material, ``(S,)``.
    clay
        ``(S,)`` %.
    depth_cm
        Of the layer whose stock is simulated.
    normals
        Climate of the spin-up, 12 rows; if None the mean of the years up to the start, or of the
        first ten where those are fewer, with the mean rates of these years. Under means of weather
        that varies, stated here, stocks drift for no other reason: rates do not go in proportion.
    input_base
        The driver that goes with the input of equilibrium: ``start``, that of a site's first year,
        for what people decide, such as fertiliser; ``mean``, its mean over the years of the
        spin-up (see `normals`), for what follows the weather, such as productivity, whose good or
        bad year at the start would else raise or lower all input that follows.
    """

    years: NDArray[np.int64]
    climate: Climate
    input_driver: Array
    cover: Array
    dpm_rpm: Array
    clay: Array
    depth_cm: float = 30.0
    normals: Climate | None = None
    input_base: InputBase = "start"

    def __post_init__(self) -> None:
        years, sites = len(self.years), self.clay.shape
        if years == 0 or (np.diff(self.years) != 1).any():
            raise InputError(f"years of drivers must be consecutive, found {self.years.tolist()}")
        shapes = {
            "temperature": (self.climate.temperature, (self.climate.months, *sites)),
            "rain": (self.climate.rain, (self.climate.months, *sites)),
            "evapotranspiration": (
                self.climate.evapotranspiration,
                (self.climate.months, *sites),
            ),
            "input_driver": (self.input_driver, (years, *sites)),
            "cover": (self.cover, (12, *sites)),
            "dpm_rpm": (self.dpm_rpm, sites),
        }
        for name, (array, wanted) in shapes.items():
            if array.shape != wanted:
                raise InputError(f"drivers: {name} has shape {array.shape}, expected {wanted}")
        if self.input_base not in ("start", "mean"):
            raise InputError(
                f'input_base of drivers is "start" or "mean", found "{self.input_base}"'
            )
        if self.climate.months not in (12, 12 * years):
            raise InputError(
                f"drivers: climate has {self.climate.months} months, expected 12 or {12 * years}"
            )

    @property
    def sites(self) -> int:
        """Number of sites."""
        return int(self.clay.shape[0])

    def take(self, sites: Array) -> Drivers:
        """Return some sites, by positions or a mask."""
        return replace(
            self,
            climate=self.climate.take(sites),
            input_driver=_columns(self.input_driver, sites),
            cover=_columns(self.cover, sites),
            dpm_rpm=self.dpm_rpm[sites],
            clay=self.clay[sites],
            normals=None if self.normals is None else self.normals.take(sites),
        )


@dataclass(frozen=True, eq=False)
class SiteYears:
    """Stocks of sites in some of the years, with covariates and drivers in all of them.

    Parameters
    ----------
    drivers
        Of the process model; they also say which years.
    stock
        Observed at the end of a year, ``(S, Y)`` kg/m²; NaN where not sampled.
    static
        Covariates that do not change, ``(S, p)`` float32.
    yearly
        Covariates of each year, ``(S, Y, q)`` float32.
    static_names, yearly_names
        Their names.
    lon, lat
        ``(S,)`` degrees.
    source
        Data source of each site, ``(S,)``.
    weight
        Of each site's observations (declustering), ``(S,)``, 1 by default.
    """

    drivers: Drivers
    stock: Floats
    static: NDArray[np.float32]
    yearly: NDArray[np.float32]
    static_names: tuple[str, ...]
    yearly_names: tuple[str, ...]
    lon: Floats
    lat: Floats
    source: NDArray[Any] = field(default_factory=lambda: np.empty(0, object))
    weight: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        sites, years = self.drivers.sites, len(self.drivers.years)
        if self.source.size == 0:
            object.__setattr__(self, "source", np.full(sites, "", object))
        if self.weight.size == 0:
            object.__setattr__(self, "weight", np.ones(sites))
        shapes = {
            "stock": (self.stock.shape, (sites, years)),
            "static": (self.static.shape, (sites, len(self.static_names))),
            "yearly": (self.yearly.shape, (sites, years, len(self.yearly_names))),
            "lon": (self.lon.shape, (sites,)),
            "lat": (self.lat.shape, (sites,)),
            "source": (self.source.shape, (sites,)),
            "weight": (self.weight.shape, (sites,)),
        }
        for name, (found, wanted) in shapes.items():
            if found != wanted:
                raise InputError(f"sites and years: {name} has shape {found}, expected {wanted}")

    @property
    def years(self) -> NDArray[np.int64]:
        """Calendar years, ``(Y,)``."""
        return self.drivers.years

    @property
    def sampled(self) -> NDArray[np.bool_]:
        """Where a stock was observed, ``(S, Y)``."""
        return np.isfinite(self.stock)

    @property
    def first(self) -> NDArray[np.int64]:
        """Position of each site's first sampled year, ``(S,)``; -1 where there is none."""
        sampled = self.sampled
        return np.where(sampled.any(axis=1), sampled.argmax(axis=1), -1)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of :meth:`rows`."""
        return (*self.static_names, *self.yearly_names)

    def rows(self, site: NDArray[np.intp], year: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return covariates of (site, year) pairs as rows, ``(n, p + q)`` float32."""
        return np.concatenate([self.static[site], self.yearly[site, year]], axis=1)

    def take(self, sites: Array) -> SiteYears:
        """Return some sites, by positions or a mask."""
        return replace(
            self,
            drivers=self.drivers.take(sites),
            **{
                name: getattr(self, name)[sites]
                for name in ("stock", "static", "yearly", "lon", "lat", "source", "weight")
            },
        )

    def without_stock(self) -> SiteYears:
        """Return the same sites as if none had been sampled."""
        return replace(self, stock=np.full_like(self.stock, np.nan))
