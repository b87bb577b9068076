"""The process behind the virtual soil: RothC's pools at steady state, spread over depth.

Everything here is a function of one place's climate and of three hidden properties (clay,
wetness, rooting). It stands for nature in a virtual world; it is no map model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Decomposition rates of RothC-26.3, 1/yr (Coleman & Jenkinson 1996).
K_DPM, K_RPM, K_BIO, K_HUM = 10.0, 0.3, 0.66, 0.02
#: Share of plant input that is decomposable (DPM:RPM = 1.44, crops and improved grassland).
DPM_SHARE = 0.59
#: Mean retardation of decomposition by plant cover (RothC: 0.6 covered, 1 bare).
COVER = 0.6
#: Rate modifier that never vanishes: decomposition under snow, photodegradation in deserts.
RATE_UNDER_SNOW = 0.06
#: Carbon in dry matter of plants.
CARBON_IN_PLANTS = 0.45
#: Carbon input over rate modifier, kg/m² a year, at which the climate response turns.
REFERENCE_DRIVE = 0.3
#: Density of organic matter and of the mineral matrix, g/cm³ (Adams 1973).
DENSITY_ORGANIC, DENSITY_MINERAL = 0.244, 1.55
#: Organic matter in g for each g of carbon (van Bemmelen).
OM_PER_CARBON = 1.724
#: Depth, cm, in which RothC's stock lies.
STOCK_DEPTH = 30.0


@dataclass(frozen=True)
class ProcessParameters:
    """Settings of the process; the defaults are tuned to look like the real world.

    Parameters
    ----------
    soil_input_share
        Share of net primary production that reaches the pools of the upper 30 cm.
    protection
        Factor on RothC's residence time, for what RothC leaves out (aggregates, minerals other
        than clay); the one calibrated constant of the level.
    climate_response
        Exponent of input over decomposition rate: 1 is first-order kinetics; less, because
        microbes and vegetation adapt, so that climate explains less than a pure model says.
    wet_slowdown
        Largest factor by which water-logging slows decomposition.
    deep_share, deep_efold_cm
        Share of the surface's carbon density that declines slowly, and its e-folding depth.
    """

    soil_input_share: float = 0.60
    protection: float = 1.75
    climate_response: float = 0.75
    wet_slowdown: float = 4.5
    deep_share: float = 0.36
    deep_efold_cm: float = 220.0


@dataclass(frozen=True)
class ClimateState:
    """What the process needs of the climate of each place (arrays of one shape)."""

    carbon_input: Floats  # kg C m⁻² yr⁻¹
    rate: Floats  # RothC's rate modifier, mean of the year, without cover and wetness
    humidity: Floats  # rain over potential evapotranspiration, yearly
    thaw: Floats  # share of the year above 0 °C


def climate_state(climate: Mapping[str, NDArray[Any]]) -> ClimateState:
    """Return carbon input and rate modifiers of a climate.

    Parameters
    ----------
    climate
        ``temperature`` in °C and ``rain`` in mm for each month, shape ``(12, ...)``.

    Notes
    -----
    Input: Miami model of net primary production (Lieth 1975), g dry matter m⁻² yr⁻¹::

        min(3000 / (1 + exp(1.315 - 0.119 T)), 3000 (1 - exp(-0.000664 P)))

    Temperature: RothC, ``47.91 / (1 + exp(106.06 / (T + 18.27)))``, zero below -18.27 °C.
    Moisture: RothC's range of 0.2 to 1, linear in the month's rain over potential
    evapotranspiration, itself Holdridge's (1967) 58.93 mm a year and °C of biotemperature.
    """
    temperature = np.asarray(climate["temperature"], np.float64)
    rain = np.maximum(np.asarray(climate["rain"], np.float64), 0.0)
    yearly = temperature.mean(axis=0)
    production = 3000.0 * np.minimum(
        1.0 / (1.0 + np.exp(1.315 - 0.119 * yearly)), 1.0 - np.exp(-0.000664 * rain.sum(axis=0))
    )
    evaporation = 58.93 / 12.0 * np.clip(temperature, 0.0, 30.0)
    supply = np.minimum(rain / np.maximum(evaporation, 1.0), 1.0)
    shifted = np.maximum(temperature + 18.27, 0.15)
    warmth = 47.91 / (1.0 + np.exp(np.minimum(106.06 / shifted, 700.0)))
    return ClimateState(
        carbon_input=production * CARBON_IN_PLANTS / 1000.0,
        rate=np.mean(warmth * (0.2 + 0.8 * supply), axis=0),
        humidity=rain.sum(axis=0) / np.maximum(evaporation.sum(axis=0), 250.0),
        thaw=np.mean(1.0 / (1.0 + np.exp(-temperature / 2.0)), axis=0),
    )


def residence_time(clay: Floats) -> Floats:
    """Return steady-state carbon over input, years at rate modifier 1, for clay in %.

    Closed form of RothC's steady state: all input ends as decomposed carbon, of which
    ``1 / (x + 1)`` returns as BIO (46 %) and HUM (54 %) each time, so their formation is
    ``input / x``, with ``x = 1.67 (1.85 + 1.60 exp(-0.0786 clay))``.
    """
    x = 1.67 * (1.85 + 1.60 * np.exp(-0.0786 * np.asarray(clay, np.float64)))
    fresh = DPM_SHARE / K_DPM + (1.0 - DPM_SHARE) / K_RPM
    return np.asarray(fresh + (0.46 / K_BIO + 0.54 / K_HUM) / x)


def waterlogging(state: ClimateState, wetness: Floats) -> Floats:
    """Return the degree of water-logging, 0 to 1, from humidity and the hidden wetness.

    Half-way where ``ln(rain / evapotranspiration) + 0.45 wetness + 1.8 (1 - thaw)`` reaches 1.6:
    frozen ground below keeps water from draining.
    """
    perched = 1.8 * (1.0 - state.thaw)
    excess = np.log(np.maximum(state.humidity, 1e-3)) + perched + 0.45 * wetness
    return np.asarray(1.0 / (1.0 + np.exp(-(excess - 1.6) / 0.28)))


def log_density(
    state: ClimateState,
    clay: Floats,
    wetness: Floats,
    rooting: Floats,
    depth: Floats | float,
    parameters: ProcessParameters,
) -> Floats:
    """Return the natural logarithm of the carbon density in kg m⁻³ at `depth` (cm).

    The stock of the upper 30 cm is RothC's steady state (tempered: ``climate_response``) plus its
    inert pool, ``0.049 C^1.139`` with C in t/ha (Falloon et al. 1998). It is spread as
    ``(1 - w) exp(-z / l) + w exp(-z / d)``, where the e-folding depth `l` grows from forests and
    tundra to dry land (root profiles of Jackson et al. 1996), with water-logging (peat,
    cryoturbation) and with the hidden `rooting`.
    """
    wet = waterlogging(state, wetness)
    slow = 1.0 + (parameters.wet_slowdown - 1.0) * wet
    slow = slow * np.exp(0.12 * wetness)  # drainage matters a little in dry soils too
    inputs = np.maximum(state.carbon_input * parameters.soil_input_share, 1e-4)
    drive = inputs / (state.rate * COVER + RATE_UNDER_SNOW)
    tempered = REFERENCE_DRIVE * (drive / REFERENCE_DRIVE) ** parameters.climate_response
    active = tempered * slow * residence_time(clay) * parameters.protection
    stock = active + 0.1 * 0.049 * (10.0 * active) ** 1.139
    dry = 1.0 / (1.0 + state.humidity)
    efold = (16.0 + 22.0 * dry + 25.0 * wet) * np.exp(0.22 * rooting)
    deep, share = parameters.deep_efold_cm, parameters.deep_share
    z = np.asarray(depth, np.float64)
    profile = (1.0 - share) * np.exp(-z / efold) + share * np.exp(-z / deep)
    integral = (1.0 - share) * efold * (1.0 - np.exp(-STOCK_DEPTH / efold)) + share * deep * (
        1.0 - np.exp(-STOCK_DEPTH / deep)
    )
    return np.asarray(np.log(stock * profile / (integral / 100.0)))


def content(density: Floats) -> Floats:
    """Return SOC content in g/kg for a carbon density in kg m⁻³.

    Bulk density mixes organic and mineral matter (Adams 1973), which makes content over density
    ``1 / BD = OM / 0.244 + (1 - OM) / 1.55``; solved for content. Density levels off at 98 % of
    that of pure organic matter, so content stays below about 510 g/kg.
    """
    om = OM_PER_CARBON / 1000.0
    pure = 1000.0 * DENSITY_ORGANIC / OM_PER_CARBON  # kg C m⁻³ of organic matter alone
    ceiling = 0.98 * pure
    full = np.asarray(density, np.float64) / ceiling
    rho = ceiling * full / np.cbrt(1.0 + full * full * full)
    slope = om * (1.0 / DENSITY_ORGANIC - 1.0 / DENSITY_MINERAL)
    return np.asarray(rho / DENSITY_MINERAL / (1.0 - rho * slope))
