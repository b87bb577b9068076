"""The virtual soil: what the soil is at every point of a virtual Earth, to any depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .virtual_fields import Field, nugget, turn_with_depth
from .virtual_process import (
    ClimateState,
    ProcessParameters,
    climate_state,
    content,
    log_density,
)

Floats = NDArray[np.float64]

#: Said on every picture, in the report and in the metadata of every file.
VIRTUAL_BANNER = "Virtual soil: not a map of the real world"


@dataclass(frozen=True)
class CovariateNames:
    """What the cube calls the variables that the virtual world is made from.

    Parameters
    ----------
    temperature, rain
        Monthly normals, °C and mm.
    relief
        Topographic position index, m: hollows below 0, ridges above.
    slope
        Degrees.
    koeppen
        Class variable, by whose groups maps are judged.
    """

    temperature: str = "temperature"
    rain: str = "rain"
    relief: str = "tpi_50km"
    slope: str = "slope"
    koeppen: str = "koeppen"

    @property
    def truth(self) -> tuple[str, ...]:
        """Names of the variables the truth depends on."""
        return self.temperature, self.rain, self.relief

    def rename(self, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return cube values under the names of this class's fields."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: values[theirs] for name, theirs in mine.items() if theirs in values}


@dataclass(frozen=True)
class Strengths:
    """How strong each source of variation is: standard deviations of ln(carbon density).

    Parameters
    ----------
    broad, regional
        Hidden fields, correlated over about 1500 and 150 km.
    local
        Field of a few km: varies within a map cell.
    pedon
        Nugget: two soil profiles a few metres apart.
    clay
        Standard deviation of the hidden clay field in logits; works through RothC.
    wetness
        Multiplies the hidden drainage (relief position and a field of its own); works through
        water-logging.
    rooting
        Multiplies the hidden rooting field; works through the decline with depth.
    measurement
        Relative standard deviation of a laboratory's SOC content (not part of the truth).
    """

    broad: float = 0.30
    regional: float = 0.35
    local: float = 0.32
    pedon: float = 0.32
    clay: float = 1.2
    wetness: float = 1.0
    rooting: float = 1.0
    measurement: float = 0.10


@dataclass(frozen=True)
class Ranges:
    """Practical ranges (correlation 0.05) of the hidden fields in km."""

    broad: float = 1500.0
    regional: float = 150.0
    local: float = 8.0
    clay: float = 600.0
    wetness: float = 100.0
    rooting: float = 400.0


@dataclass(frozen=True)
class Hidden:
    """Hidden properties of points, each of the points' shape."""

    clay: Floats  # %
    wetness: Floats
    rooting: Floats
    shared: tuple[Floats, Floats]  # log residual of topsoil and subsoil that a cell shares
    inside: tuple[Floats, Floats]  # log residual of topsoil and subsoil that varies in a cell


@dataclass(frozen=True)
class VirtualSoil:
    """A documented process plus what makes soil hard, at any point of a virtual Earth.

    Everything is a pure function of the place, the climate given and the seed: no state.

    Parameters
    ----------
    seed
        Makes the hidden fields.
    strengths, ranges, process
        See their classes.
    """

    seed: int = 0
    strengths: Strengths = field(default_factory=Strengths)
    ranges: Ranges = field(default_factory=Ranges)
    process: ProcessParameters = field(default_factory=ProcessParameters)

    def hidden(self, lon: Floats, lat: Floats, relief: NDArray[Any]) -> Hidden:
        """Return the hidden properties of points.

        Parameters
        ----------
        lon, lat
            Degrees, one shape.
        relief
            Height above the surroundings in m: hollows are wet, ridges are dry.
        """
        s, r = self.strengths, self.ranges

        def grf(name: str, range_km: float) -> Floats:
            return Field(name, range_km, self.seed)(lon, lat)

        clay = 4.0 + 66.0 / (1.0 + np.exp(1.0 - s.clay * grf("clay", r.clay)))
        hollow = -np.tanh(np.nan_to_num(np.asarray(relief, np.float64)) / 80.0)
        wetness = s.wetness * (0.8 * grf("wetness", r.wetness) + 0.6 * hollow)
        shared = tuple(
            s.broad * grf(f"broad {part}", r.broad)
            + s.regional * grf(f"regional {part}", r.regional)
            for part in ("top", "sub")
        )
        inside = tuple(
            s.local * grf(f"local {part}", r.local)
            + s.pedon * nugget(f"pedon {part}", lon, lat, self.seed)
            for part in ("top", "sub")
        )
        return Hidden(
            clay=clay,
            wetness=wetness,
            rooting=s.rooting * grf("rooting", r.rooting),
            shared=(shared[0], shared[1]),
            inside=(inside[0], inside[1]),
        )

    def soc_of(
        self, state: ClimateState, hidden: Hidden, top: ArrayLike, bottom: ArrayLike
    ) -> Floats:
        """Return the mean SOC content (g/kg) of layers from climate state and hidden properties."""
        top, bottom = np.asarray(top, np.float64), np.asarray(bottom, np.float64)
        total: Floats = np.zeros(())
        for node, weight in _GAUSS:
            z = top + node * (bottom - top)
            log_rho = log_density(
                state, hidden.clay, hidden.wetness, hidden.rooting, z, self.process
            )
            residual = turn_with_depth(*hidden.shared, z) + turn_with_depth(*hidden.inside, z)
            total = total + weight * content(np.exp(log_rho + residual))
        return total

    def soc(
        self,
        lon: Floats,
        lat: Floats,
        top: ArrayLike,
        bottom: ArrayLike,
        climate: Mapping[str, NDArray[Any]],
    ) -> Floats:
        """Return the true mean SOC content (g/kg) of soil layers at points.

        Parameters
        ----------
        lon, lat
            Degrees, shape ``(n,)`` or any other.
        top, bottom
            Depths in cm, broadcastable to it.
        climate
            ``temperature`` (°C) and ``rain`` (mm), ``(12, ...)``, and ``relief`` (m), ``(...)``,
            of the grid cell that holds the point.
        """
        hidden = self.hidden(np.asarray(lon, float), np.asarray(lat, float), climate["relief"])
        return self.soc_of(climate_state(climate), hidden, top, bottom)


#: Two-point Gauss-Legendre rule on (0, 1): exact for a cubic decline within the layer.
_GAUSS = ((0.5 - 0.5 / 3.0**0.5, 0.5), (0.5 + 0.5 / 3.0**0.5, 0.5))
