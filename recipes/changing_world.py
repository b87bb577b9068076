"""A virtual region that changes: relief, soil, weather and fertiliser of each year, as files.

All of it is invented. Weather is a monsoon climate with a warming of 0.3 °C a decade and years that
differ; fertiliser grows everywhere, at a pace of its own in each place. What no file holds lies in
``changing_truth.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .virtual_fields import Field

Floats = NDArray[np.float64]

#: West, south, east, north of the region, degrees.
BOUNDS = (104.0, 22.0, 120.0, 38.0)
#: Cell size of the files, degrees.
CELL = 0.25
#: Degrees beyond the region that the files reach, so that no map cell lies at their edge.
MARGIN = 1.0
WARMING = 0.03


@dataclass(frozen=True)
class ChangingWorld:
    """The region.

    Parameters
    ----------
    years
        Consecutive calendar years.
    seed
        Of its fields and years.
    """

    years: tuple[int, ...]
    seed: int = 0

    def field(self, name: str, range_km: float, lon: Floats, lat: Floats) -> Floats:
        """Return a standard normal field of the place."""
        return Field(f"changing {name}", range_km, self.seed)(lon, lat)

    def land(self, lon: Floats, lat: Floats) -> dict[str, Floats]:
        """Return what does not change, ``(y, x)`` each: land, elevation (m), clay (%)."""
        coast = (118.0 - lon) / 1.5 + 0.8 * self.field("coast", 400, lon, lat)
        hills = np.exp(0.6 * self.field("hills", 350, lon, lat))
        elevation = 250 * hills * np.clip((120 - lon) / 8, 0.05, 2.0)
        clay = 24 + 8 * self.field("clay", 300, lon, lat) - 3 * self.field("hills", 350, lon, lat)
        return {
            "land": (coast > -1).astype(float),
            "elevation": elevation,
            "clay": np.clip(clay, 4, 60),
        }

    def weather(self, lon: Floats, lat: Floats) -> dict[str, Floats]:
        """Return temperature (°C) and rain (mm), ``(year, 12, y, x)`` each."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, 1]))
        years = np.arange(len(self.years))[:, None, None, None]
        season = np.cos(2 * np.pi * (np.arange(12) - 6.3) / 12)[:, None, None]
        elevation = self.land(lon, lat)["elevation"]
        mean = 24 - 0.62 * (lat - 22) - 0.0055 * elevation
        warm = WARMING * years + 0.45 * rng.standard_normal((len(self.years), 1, 1, 1))
        tilt = 0.3 * rng.standard_normal((len(self.years), 1, 1, 1)) * (lat - 30) / 8
        months = 0.8 * rng.standard_normal((len(self.years), 12, 1, 1))
        temperature = mean + (6 + 0.5 * (lat - 22)) * season + warm + tilt + months
        wet = 1500 - 55 * (lat - 22) + 160 * self.field("rain", 500, lon, lat)
        share = 1 + 0.75 * season
        good = np.exp(0.14 * rng.standard_normal((len(self.years), 1, 1, 1)))
        odd = np.exp(0.3 * rng.standard_normal((len(self.years), 12, 1, 1)))
        rain = np.maximum(wet, 250) / 12 * share * good * odd
        return {"temperature": temperature, "rain": rain}

    def fertiliser(self, lon: Floats, lat: Floats) -> Floats:
        """Return mineral fertiliser, kg/ha, ``(year, y, x)``: a logistic growth."""
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, 2]))
        years = np.array(self.years, float)[:, None, None]
        start = 60 * np.exp(0.3 * self.field("fertiliser", 400, lon, lat))
        growth = 1.3 * np.exp(0.4 * self.field("growth", 450, lon, lat))
        middle = self.years[0] + 9 + 3 * self.field("middle", 600, lon, lat)
        rise = growth / (1 + np.exp(-(years - middle) / 3.5))
        shock = np.exp(0.05 * rng.standard_normal((len(self.years), 1, 1)))
        return start * (1 + rise) * shock

    def write(self, folder: Path) -> None:
        """Write ``land.nc``, ``weather.nc`` and ``fertiliser.nc``, each whole or not at all."""
        west, south, east, north = BOUNDS
        x = np.arange(west - MARGIN + CELL / 2, east + MARGIN, CELL)
        y = np.arange(north + MARGIN - CELL / 2, south - MARGIN, -CELL)
        lon, lat = np.meshgrid(x, y)
        axes = {"year": np.array(self.years), "month": np.arange(1, 13), "y": y, "x": x}
        _write(folder / "land.nc", self.land(lon, lat), axes, ("y", "x"))
        _write(folder / "weather.nc", self.weather(lon, lat), axes, ("year", "month", "y", "x"))
        grown = {"fertiliser": self.fertiliser(lon, lat)}
        _write(folder / "fertiliser.nc", grown, axes, ("year", "y", "x"))


def _write(
    path: Path, values: dict[str, Floats], axes: dict[str, NDArray[np.generic]], dims: Sequence[str]
) -> None:
    if path.exists():
        return
    dataset = xr.Dataset(
        {name: (dims, array.astype(np.float32)) for name, array in values.items()},
        coords={name: axes[name] for name in dims},
    )
    dataset["y"].attrs = {"standard_name": "latitude", "units": "degrees_north"}
    dataset["x"].attrs = {"standard_name": "longitude", "units": "degrees_east"}
    partial = path.with_suffix(".partial")
    dataset.to_netcdf(partial)
    partial.rename(path)
