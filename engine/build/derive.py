"""Layers computed from other layers at build: terrain, climate summaries, the soil mask."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from edaphos.kernels import bioclim, terrain

from ..cube.layout import DIRECTIONAL, Kind, Time, Variable
from ..errors import InputError, did_you_mean
from .axes import wraps
from .fields import Counts, Field, latitudes, spacing
from .native import Rect
from .regrid import Regridded
from .soil_mask import soil_mask
from .spec import ClimateSpec, CubeSpec, TerrainSpec

_TPI = re.compile(r"tpi_(\d+(?:\.\d+)?)km")
_TERRAIN = ("slope", "aspect_sin", "aspect_cos", "tpi_<radius>km")

Summary = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True)
class _Output:
    """One climate summary: which monthly layer it is of, units, name and how it is computed."""

    of: str
    units: str
    long_name: str
    compute: Summary


#: Climate summaries by the name a recipe asks for.
CLIMATE_OUTPUTS: dict[str, _Output] = {
    "temperature_mean": _Output(
        "temperature", "degC", "annual mean temperature (bio01)", bioclim.annual_mean
    ),
    "temperature_seasonality": _Output(
        "temperature",
        "degC",
        "standard deviation of monthly mean temperature (bio04 / 100)",
        bioclim.seasonality,
    ),
    "temperature_warmest": _Output(
        "temperature", "degC", "mean temperature of the warmest month", bioclim.highest
    ),
    "temperature_coldest": _Output(
        "temperature", "degC", "mean temperature of the coldest month", bioclim.lowest
    ),
    "temperature_range": _Output(
        "temperature", "degC", "warmest minus coldest monthly mean temperature", bioclim.spread
    ),
    "rain_annual": _Output("rain", "mm", "annual rain (bio12)", bioclim.annual_sum),
    "rain_wettest": _Output("rain", "mm", "rain of the wettest month (bio13)", bioclim.highest),
    "rain_driest": _Output("rain", "mm", "rain of the driest month (bio14)", bioclim.lowest),
    "rain_seasonality": _Output(
        "rain", "%", "coefficient of variation of monthly rain (bio15)", bioclim.rain_seasonality
    ),
}


def derive(
    spec: CubeSpec, fields: Mapping[str, Field], variables: Mapping[str, Variable]
) -> Iterator[tuple[Variable, Field]]:
    """Yield each derived variable, not yet placed in a stack, and its field.

    Raises
    ------
    InputError
        Where an output is unknown or a layer it needs is absent or of another kind.
    """
    known = _Layers(fields, variables)
    for wanted in spec.terrain:
        yield from _terrain(wanted, known)
    for summary in spec.climate:
        yield from _climate(summary, known)
    if spec.soil_mask is not None:
        mask = spec.soil_mask
        land = known.get(mask.land, "soil_mask.land", "amount", "static")
        cover = known.get(mask.landcover, "soil_mask.landcover", "class", "static")
        parents = tuple(name for name in (mask.land, mask.landcover) if name)
        variable = known.child("soil_mask", parents, "1", "where soil can be", kind="class")
        yield variable, soil_mask(mask, land, cover)


@dataclass(frozen=True)
class _Layers:
    """The layers at hand, looked up with errors that name what asked for them."""

    fields: Mapping[str, Field]
    variables: Mapping[str, Variable]

    def get(self, name: str, asked_by: str, kind: Kind, time: Time) -> Field | None:
        """Return a layer's field, or None for the empty name."""
        if not name:
            return None
        if name not in self.fields:
            raise InputError(
                f'{asked_by} names "{name}", which is no layer: {did_you_mean(name, self.fields)}'
            )
        found = self.variables[name]
        if (found.kind, found.time) != (kind, time):
            raise InputError(
                f'{asked_by} expects a layer with kind = "{kind}", time = "{time}"; "{name}" is '
                f'"{found.kind}", "{found.time}"'
            )
        return self.fields[name]

    def need(self, name: str, asked_by: str, kind: Kind, time: Time) -> Field:
        """Return a layer's field, which must be named."""
        found = self.get(name, asked_by, kind, time)
        if found is None:
            raise InputError(f"{asked_by} is needed for the outputs asked for; name a layer")
        return found

    def child(
        self, name: str, parents: tuple[str, ...], units: str, long_name: str, kind: Kind = "amount"
    ) -> Variable:
        """Return a variable derived from others, with their sources, licences and citations."""
        known = [self.variables[parent] for parent in parents]
        return Variable(
            name=name,
            kind=kind,
            time="static",
            stack="",
            band=0,
            units=units,
            long_name=long_name,
            source=_joined(v.source for v in known),
            licence=_joined(v.licence for v in known),
            citation=_joined(v.citation for v in known),
            derived_from=parents,
            directional=name in DIRECTIONAL,
        )


def _joined(texts: Iterator[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


@dataclass(frozen=True)
class DerivedField:
    """A field computed from windows of others by `compute(rect)`."""

    geobox: GeoBox
    kind: Kind
    compute: Callable[[Rect], NDArray[Any]]
    steps: int = 1

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a window, which may leave the grid."""
        del step  # derived layers are static
        return np.asarray(self.compute(rect), np.float32)

    def counts(self, step: int, rect: Rect, values: NDArray[np.float32]) -> Counts:
        """Nothing is filled or cut here; the parents count their own."""
        del step, rect, values
        return Counts()


# -- terrain --------------------------------------------------------------------------------------


def _terrain(spec: TerrainSpec, layers: _Layers) -> Iterator[tuple[Variable, Field]]:
    field = layers.need(spec.elevation, "terrain.elevation", "amount", "static")
    relief = _Relief(field, floor=spec.below_sea == "zero")
    for output in spec.outputs:
        if match := _TPI.fullmatch(output):
            radius = 1000 * float(match[1])
            text = f"topographic position index, disk of {match[1]} km"
            units, compute = "m", _bound(relief.position_index, radius)
            if radius < relief.height:
                raise InputError(
                    f"terrain: {output} has a radius below one cell of {spec.elevation} "
                    f"({relief.height / 1000:.3g} km); ask for a larger one"
                )
        elif output in _TERRAIN:
            units, text = ("degrees", "slope") if output == "slope" else ("1", output[-3:])
            text = text if output == "slope" else f"{text} of the downslope direction from north"
            compute = _bound(relief.gradient, output)
        else:
            raise InputError(
                f'terrain: no output "{output}"; {did_you_mean(output, _TERRAIN)} '
                f"(known: {', '.join(_TERRAIN)})"
            )
        variable = layers.child(output, (spec.elevation,), units, text)
        yield variable, DerivedField(field.geobox, "amount", compute)


def _bound(function: Callable[[Rect, Any], NDArray[Any]], value: Any) -> Callable[[Rect], Any]:
    return lambda rect: function(rect, value)


@dataclass(frozen=True)
class _Relief:
    """Windows of an elevation field and what is computed from them."""

    field: Field
    floor: bool

    @property
    def height(self) -> float:
        """Cell height in m."""
        dy = spacing(self.field.geobox)[1]
        degrees = self.field.geobox.crs.geographic
        return math.radians(dy) * terrain.EARTH_RADIUS if degrees else dy

    def elevation(self, rect: Rect) -> NDArray[np.float32]:
        z = self.field.read(0, rect)
        return np.maximum(z, np.float32(0)) if self.floor else z

    def gradient(self, rect: Rect, output: str) -> NDArray[np.float64]:
        geobox = self.field.geobox
        dx = spacing(geobox)[0]
        rows = latitudes(geobox, rect)
        widths = terrain.row_widths(rows, dx) if geobox.crs.geographic else np.full(len(rows), dx)
        east, north = terrain.gradient(self.elevation(rect.grown(1, 1)), widths, self.height)
        if output == "slope":
            return terrain.slope_degrees(east, north)
        return terrain.aspect_sin_cos(east, north)[0 if output == "aspect_sin" else 1]

    def position_index(self, rect: Rect, radius: float) -> NDArray[np.float64]:
        geobox = self.field.geobox
        dx, dy = spacing(geobox)
        if geobox.crs.geographic:
            most = (geobox.shape[1] - 1) // 2
            rows = latitudes(geobox, rect)
            if not wraps(geobox):
                most = geobox.shape[1]
            half = terrain.disk_half_widths(rows, dy, dx, radius, most)
        else:
            half = terrain.disk_half_widths_planar(rect.shape[0], dy, dx, radius)
        margin = max(int(half.max()), 0)
        z = self.elevation(rect.grown(half.shape[1] // 2, margin))
        return terrain.position_index(z, half, margin)


# -- climate --------------------------------------------------------------------------------------


def _climate(spec: ClimateSpec, layers: _Layers) -> Iterator[tuple[Variable, Field]]:
    for output in spec.outputs:
        if output == "koeppen":
            yield _koeppen(spec, layers)
            continue
        if output not in CLIMATE_OUTPUTS:
            known = (*CLIMATE_OUTPUTS, "koeppen")
            raise InputError(f'climate: no output "{output}"; {did_you_mean(output, known)}')
        how = CLIMATE_OUTPUTS[output]
        name = spec.temperature if how.of == "temperature" else spec.rain
        field = layers.need(name, f"climate.{how.of}", "amount", "monthly")
        variable = layers.child(output, (name,), how.units, how.long_name)
        yield variable, DerivedField(field.geobox, "amount", _bound(_summary, (field, how.compute)))


def _summary(rect: Rect, chosen: tuple[Field, Summary]) -> NDArray[np.float64]:
    field, compute = chosen
    return compute(_months(field, rect))


def _months(field: Field, rect: Rect) -> NDArray[np.float32]:
    return np.stack([field.read(month, rect) for month in range(12)])


def _koeppen(spec: ClimateSpec, layers: _Layers) -> tuple[Variable, Field]:
    """Return the Köppen-Geiger class, on the finer of the two grids."""
    temperature = layers.need(spec.temperature, "climate.temperature", "amount", "monthly")
    rain = layers.need(spec.rain, "climate.rain", "amount", "monthly")
    finer = min((temperature, rain), key=lambda field: spacing(field.geobox)[0]).geobox
    pair = tuple(
        field if field.geobox == finer else Regridded(field, finer) for field in (temperature, rain)
    )
    variable = layers.child(
        "koeppen",
        (spec.temperature, spec.rain),
        "1",
        "Köppen-Geiger class, codes of Beck et al. 2018",
        kind="class",
    )
    variable = replace(variable, citation=f"{variable.citation}; Peel et al. 2007".lstrip("; "))
    return variable, DerivedField(finer, "class", _bound(_koeppen_codes, pair))


def _koeppen_codes(rect: Rect, pair: tuple[Field, Field]) -> NDArray[np.float32]:
    from edaphos.kernels.climate import KOEPPEN_MISSING, koeppen

    codes = koeppen(_months(pair[0], rect), _months(pair[1], rect))
    return np.where(codes == KOEPPEN_MISSING, np.nan, codes).astype(np.float32)
