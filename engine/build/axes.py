"""Recognising how a source lies on the Earth, and putting it in one order.

Every source is brought to: rows from north to south, columns from west to east, longitudes from
-180, a transform that gives the outer corner of the first cell. What is unambiguous is put in order
and noted; what could be read in two ways is refused until the recipe says how.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..errors import InputError
from .spec import LayerSpec

#: Deviations up to this part of a cell are rounding noise of stored coordinates.
_NOISE = 0.01


@dataclass(frozen=True)
class Axis:
    """A regular axis as stored: coordinate of the first cell, signed step, cells."""

    first: float
    step: float
    size: int

    @property
    def res(self) -> float:
        """Cell size."""
        return abs(self.step)

    @property
    def low(self) -> float:
        """Smallest coordinate."""
        return min(self.first, self.first + self.step * (self.size - 1))

    @property
    def high(self) -> float:
        """Largest coordinate."""
        return max(self.first, self.first + self.step * (self.size - 1))

    def moved(self, cells: float) -> Axis:
        """Return the axis moved towards larger coordinates by some cells."""
        return replace(self, first=self.first + cells * self.res)


@dataclass(frozen=True)
class NativeGrid:
    """The axes of a source as stored.

    ``labels`` says what its coordinates mark: ``centres`` is known (a GeoTIFF's transform, a
    packaged set), ``unknown`` is what NetCDF and Zarr coordinates are until looked at.
    """

    x: Axis
    y: Axis
    crs: str
    labels: Literal["centres", "unknown"]
    #: Whether rows from south to north are beyond doubt (coordinate arrays say so).
    rows_certain: bool


@dataclass(frozen=True)
class Layout:
    """The normal order of a source and how its stored rows and columns map to it.

    Normal row r is stored row r, or ``rows - 1 - r`` if `flip_rows`. Columns are flipped first;
    normal column c is then stored column ``(c + roll) % columns``; stored columns beyond are
    duplicates and never read.
    """

    geobox: GeoBox
    stored_columns: int
    flip_rows: bool = False
    flip_columns: bool = False
    roll: int = 0
    notes: tuple[str, ...] = ()

    @property
    def wraps(self) -> bool:
        """Whether columns close around the globe."""
        return wraps(self.geobox)


def wraps(geobox: GeoBox) -> bool:
    """Return whether the columns of a longitude-latitude grid close around the globe."""
    return bool(geobox.crs.geographic) and abs(geobox.shape[1] * geobox.affine.a - 360) < 1e-6


def lay_out(native: NativeGrid, spec: LayerSpec, file: str) -> Layout:
    """Return the layout of a source in normal order.

    Raises
    ------
    InputError
        Where the source can be read in more than one way and the layer does not say which.
    """
    where = f'layer "{spec.name}", {file}'
    crs = _crs(native.crs, spec, where)
    x, y, notes = native.x, native.y, []
    if crs.is_geographic:
        _refuse_swapped(x, y, where)
    x, y = _centred(native, spec, where, crs.is_geographic)
    x, y = _snapped(x, crs, 360), _snapped(y, crs, 180)
    if y.step > 0:
        if not native.rows_certain and spec.rows != "south-up":
            raise InputError(
                f"{where}: rows run from south to north (the transform's e is "
                f'{y.step:g}, expected negative). If that is so, declare rows = "south-up"; if the '
                "raster is merely mirrored, mend the file"
            )
        notes.append("rows stored from south to north: reordered")
    elif spec.rows == "south-up":
        raise InputError(
            f'{where}: declared rows = "south-up", found rows from north to south; remove the line'
        )
    if x.step < 0:
        notes.append("columns stored from east to west: reordered")
    columns, roll, west = _longitudes(x, crs, spec, where, notes)
    affine = Affine(x.res, 0.0, west, 0.0, -y.res, _tidy(y.high + y.res / 2, y.res))
    geobox = GeoBox((y.size, columns), affine, crs.to_string())
    return Layout(geobox, x.size, y.step > 0, x.step < 0, roll, tuple(notes))


def _crs(found: str, spec: LayerSpec, where: str) -> CRS:
    if not found and not spec.crs:
        raise InputError(
            f"{where}: no CRS found. Say which it is in the layer, such as "
            'crs = "EPSG:4326" for longitude and latitude'
        )
    text = spec.crs or found
    try:
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f'{where}: crs = "{text}" is not a known CRS ({error})') from error
    if spec.crs and found and not CRS.from_user_input(found).equals(crs, ignore_axis_order=True):
        raise InputError(
            f'{where}: declared crs = "{spec.crs}", but the file says "{found}"; remove the line '
            "or mend the file"
        )
    return crs


def _refuse_swapped(x: Axis, y: Axis, where: str) -> None:
    if max(-y.low, y.high) > 90 + y.res * (1 + _NOISE):
        raise InputError(
            f"{where}: the axis read as latitude runs from {y.low:g} to {y.high:g}, beyond ±90 "
            f"(longitude: {x.low:g} to {x.high:g}): longitude and latitude look swapped. "
            "If so, declare swapped_axes = true; if the file is projected, declare its CRS as "
            'crs = "EPSG:…"'
        )


def _centred(native: NativeGrid, spec: LayerSpec, where: str, degrees: bool) -> tuple[Axis, Axis]:
    """Return axes of cell centres, from what the coordinates label."""
    x, y = native.x, native.y
    if native.labels == "centres":
        if spec.cells:
            raise InputError(
                f'{where}: cells = "{spec.cells}" is declared, but its cells are known from the '
                "file's transform or from bounds; remove the line, and declare bounds = [west, "
                "south, east, north] of the outer edges if the file errs"
            )
        if degrees:
            _refuse_half_cell_off(y, where)
        return x, y
    if spec.cells == "corner-lower-left":
        return x.moved(0.5), y.moved(0.5)
    if spec.cells == "corner-upper-left":
        return x.moved(0.5), y.moved(-0.5)
    evidence = _corner_evidence(x, y) if degrees and spec.cells != "center" else ""
    if evidence:
        raise InputError(
            f"{where}: coordinates seem to label corners of cells, not centres: {evidence}. "
            'Declare cells = "corner-lower-left" or "corner-upper-left", or cells = "center" if '
            "they are centres all the same"
        )
    return x, y


def _leaves_globe(y: Axis) -> tuple[bool, bool]:
    """Whether cells around these centres leave the globe in the south, in the north."""
    slack = y.res * _NOISE
    return y.low - y.res / 2 < -90 - slack, y.high + y.res / 2 > 90 + slack


def _refuse_half_cell_off(y: Axis, where: str) -> None:
    south, north = _leaves_globe(y)
    if south != north:
        raise InputError(
            f"{where}: the raster reaches from latitude {y.low - y.res / 2:g} to "
            f"{y.high + y.res / 2:g}, beyond one pole: its georeference seems off by part of "
            "a cell. Declare bounds = [west, south, east, north] of its outer edges"
        )


def _corner_evidence(x: Axis, y: Axis) -> str:
    south, north = _leaves_globe(y)
    if south and north:  # a lattice with points on both poles, such as 90, 89.75, …, -90
        return ""
    if south or north:
        pole = "south" if south else "north"
        return (
            f"latitudes run from {y.low:g} to {y.high:g} in steps of {y.res:g}, so cells around "
            f"them would reach beyond the {pole} pole"
        )
    closes = abs(x.size * x.res - 360) < x.res * _NOISE
    if closes and min(abs(x.low + 180), abs(x.low)) < x.res * _NOISE:
        return f"longitudes run from exactly {x.low:g} to {x.high:g} in steps of {x.res:g}"
    return ""


def _snapped(axis: Axis, crs: CRS, around: float) -> Axis:
    """Remove the rounding noise of stored degrees: 0.3333333 becomes 1/3, 19.99999 becomes 20."""
    if not crs.is_geographic:
        return axis
    near = Fraction(axis.res).limit_denominator(14_400)
    closes = around / max(1, round(around / axis.res))
    for exact in (closes, float(near)):
        if abs(exact - axis.res) * axis.size < _NOISE * axis.res:
            low = _tidy(axis.low, exact / 2)
            step = exact if axis.step > 0 else -exact
            first = low if step > 0 else low + exact * (axis.size - 1)
            return Axis(first, step, axis.size)
    return axis


def _tidy(value: float, unit: float) -> float:
    """Round to a whole number of `unit` if it is one but for noise."""
    whole = round(value / unit)
    if abs(value / unit - whole) > 2 * _NOISE:
        return value
    return float(whole * Fraction(unit).limit_denominator(28_800)) if unit < 1e3 else whole * unit


def _longitudes(
    x: Axis, crs: CRS, spec: LayerSpec, where: str, notes: list[str]
) -> tuple[int, int, float]:
    """Return columns kept, the stored column that comes first, and the west edge."""
    west = x.low - x.res / 2
    if not crs.is_geographic:
        if spec.longitudes:
            raise InputError(f"{where}: longitudes is declared, but the CRS is projected")
        return x.size, 0, west
    columns = x.size
    around = round(360 / x.res)
    if x.size > around and abs(around * x.res - 360) < _NOISE * x.res:
        columns = around
        notes.append(f"{x.size - around} column(s) that repeat the first: left out")
    east = west + columns * x.res
    found = ""
    if east > 180 + x.res * (0.5 + _NOISE) or west < -180 - x.res * (0.5 + _NOISE):
        found = "0-360" if abs(west) <= x.res * (0.5 + _NOISE) else "shifted"
        if west >= 0 and east <= 360 + x.res * (0.5 + _NOISE):
            found = "0-360"
    if found != spec.longitudes:
        _refuse_longitudes(found, x, spec, where)
    if not found:
        return columns, 0, _tidy(west, x.res / 2)
    if abs(columns * x.res - 360) < _NOISE * x.res:
        roll = round((-180 - west) / x.res) % columns
        first = west + roll * x.res
        turns = round((first + 180) / 360)
        notes.append(f"longitudes from {x.low:g} to {x.high:g}: rolled to start at -180")
        return columns, roll, _tidy(first - 360 * turns, x.res / 2)
    turns = 1 if west >= 180 - x.res * _NOISE else -1 if east <= -180 + x.res * _NOISE else 0
    if turns == 0 and not (west >= -180 and east <= 180):
        raise InputError(
            f"{where}: longitudes run from {west:g} to {east:g}, across the antimeridian, and do "
            "not close around the globe; cut the file there and give two layers, or warp it"
        )
    notes.append(f"longitudes from {x.low:g} to {x.high:g}: moved by {-360 * turns}")
    return columns, 0, _tidy(west - 360 * turns, x.res / 2)


def _refuse_longitudes(found: str, x: Axis, spec: LayerSpec, where: str) -> None:
    run = f"longitudes run from {x.low:g} to {x.high:g}"
    if not found:
        raise InputError(
            f'{where}: declared longitudes = "{spec.longitudes}", but {run}; remove the line'
        )
    raise InputError(
        f"{where}: {run}, expected -180 to 180. If that is how the file counts, declare "
        f'longitudes = "{found}"'
    )
