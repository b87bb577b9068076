"""NetCDF and Zarr variables, by window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, did_you_mean
from .axes import Axis, NativeGrid
from .native import Rect, unreadable
from .spec import LayerSpec

#: NetCDF's library serves one thread at a time; xarray guards values, not what opening reads.
_ONE_AT_A_TIME = RLock()


@dataclass(frozen=True)
class XarrayNative:
    """A variable of NetCDF files or Zarr stores, read by window."""

    where: str
    arrays: tuple[Any, ...]
    time_dim: str
    y_dim: str
    x_dim: str
    grid: NativeGrid
    units: str
    long_name: str
    mean_dim: str = ""
    weights: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return len(self.arrays) * (self.arrays[0].sizes[self.time_dim] if self.time_dim else 1)

    def read(self, step: int, rect: Rect) -> NDArray[np.float32]:
        """Return a stored window."""
        each = self.arrays[0].sizes[self.time_dim] if self.time_dim else 1
        index: dict[str, Any] = {
            self.y_dim: slice(rect.row0, rect.row1),
            self.x_dim: slice(rect.col0, rect.col1),
        }
        if self.time_dim:
            index[self.time_dim] = step % each
        try:
            window = self.arrays[step // each].isel(index)
            with _ONE_AT_A_TIME:
                values = window.transpose(
                    *filter(None, (self.mean_dim, self.y_dim, self.x_dim))
                ).values
        except (OSError, RuntimeError, ValueError) as error:
            raise unreadable(self.where, error) from error
        if self.mean_dim:
            values = np.average(values.astype(np.float64), axis=0, weights=self.weights)
        return np.asarray(values, dtype=np.float32)


def open_xarray(spec: LayerSpec, files: list[Path]) -> XarrayNative:
    """Open one variable of files that share one grid."""
    with _ONE_AT_A_TIME:
        return _open_xarray(spec, files)


def _open_xarray(spec: LayerSpec, files: list[Path]) -> XarrayNative:
    where = f'layer "{spec.name}", {spec.file}'
    arrays = [_select(_open_variable(spec, path), spec, where) for path in files]
    array = arrays[0]
    x_dim, y_dim = _find_dim(array, "x", where), _find_dim(array, "y", where)
    for other, path in zip(arrays[1:], files[1:], strict=True):
        for dim in (x_dim, y_dim):
            if dim not in other.coords or not np.array_equal(other[dim].values, array[dim].values):
                raise InputError(f"{where}: {path.name} has another {dim} axis than the first file")
    mean_dim = next((dim for dim, value in spec.select if isinstance(value, tuple)), "")
    kept = {x_dim, y_dim, mean_dim}
    rest = [dim for dim in array.dims if dim not in kept and array.sizes[dim] > 1]
    arrays = [a.squeeze([d for d in a.dims if d not in {*kept, *rest}], drop=True) for a in arrays]
    if len(rest) > 1 or (rest and spec.steps == 1):
        sizes = ", ".join(f"{dim} ({array.sizes[dim]})" for dim in rest)
        raise InputError(
            f"{where}: besides {y_dim} and {x_dim} the variable has {sizes}; declare "
            f'time = "monthly" or "yearly" for a time axis, or pick one with '
            f"select = {{ {rest[0]} = <value> }}"
        )
    if rest and len(files) == 1:
        _refuse_other_steps(array, str(rest[0]), spec, where)
    grid = NativeGrid(
        _axis(array, x_dim, where), _axis(array, y_dim, where), _xarray_crs(array, x_dim, y_dim),
        "unknown", rows_certain=True,
    )  # fmt: skip
    attributes = array.attrs
    return XarrayNative(
        where, tuple(arrays), str(rest[0]) if rest else "", y_dim, x_dim, grid,
        str(attributes.get("units", "")), str(attributes.get("long_name", "")),
        mean_dim, spec.weights,
    )  # fmt: skip


def _open_variable(spec: LayerSpec, path: Path) -> Any:
    import xarray as xr

    try:
        raw = (
            xr.open_zarr(path, chunks=None, decode_cf=False, consolidated=False)
            if path.suffix.lower() == ".zarr"
            else xr.open_dataset(path, decode_cf=False)
        )
        if spec.ignore_file_nodata:
            for name in raw.data_vars:
                for attribute in ("_FillValue", "missing_value"):
                    raw[name].attrs.pop(attribute, None)
        # "all" keeps the grid mapping beside the variable, which the CRS is read from.
        dataset = xr.decode_cf(raw, decode_times=False, decode_coords="all")
    except (OSError, ValueError, KeyError) as error:
        raise unreadable(f'layer "{spec.name}", {path}', error) from error
    names = [str(name) for name in dataset.data_vars]
    if spec.variable not in names:
        said = f'no variable "{spec.variable}"' if spec.variable else "variable is not declared"
        raise InputError(
            f'layer "{spec.name}", {path}: {said}; {did_you_mean(spec.variable, names)} '
            f"(the file holds {', '.join(names)})"
        )
    return dataset[spec.variable]


def _select(array: Any, spec: LayerSpec, where: str) -> Any:
    for dim, value in spec.select:
        if dim not in array.dims:
            raise InputError(
                f"{where}: select names {dim}; found {', '.join(map(str, array.dims))}"
            )
        if isinstance(value, tuple):
            array = array.isel({dim: [_position(array, dim, each, where) for each in value]})
        else:
            array = array.isel({dim: _position(array, dim, value, where)}, drop=True)
    return array


def _position(array: Any, dim: str, value: float, where: str) -> int:
    """Return where along a dimension a value of its coordinate lies, or a position as it is."""
    if dim in array.coords:
        known = np.asarray(array[dim].values, dtype=float)
        at = np.flatnonzero(np.isclose(known, value))
        if len(at) == 0:
            raise InputError(f"{where}: select {dim} = {value:g}, found {known.tolist()}")
        return int(at[0])
    if not 0 <= value < array.sizes[dim]:
        raise InputError(
            f"{where}: select {dim} = {value:g}, expected a position from 0 to "
            f"{array.sizes[dim] - 1}"
        )
    return int(value)


def _refuse_other_steps(array: Any, dim: str, spec: LayerSpec, where: str) -> None:
    """Refuse months or years that the file itself says are others, or in another order."""
    if dim not in array.coords or array.sizes[dim] != spec.steps:
        return
    expected = list(range(1, 13)) if spec.time == "monthly" else list(spec.years)
    found = _months_or_years(array[dim], spec.time == "monthly")
    if found is not None and found != expected:
        raise InputError(
            f"{where}: {dim} holds {spec.time.removesuffix('ly')}s {found}, expected {expected}; "
            "correct years, or put the file in order"
        )


def _months_or_years(axis: Any, monthly: bool) -> list[int] | None:
    """Return the months or years of a time axis, or None where it does not tell."""
    import xarray as xr

    if "since" in str(axis.attrs.get("units", "")):
        try:
            dates = xr.decode_cf(axis.to_dataset(name="dates"))[axis.dims[0]].dt
        except (ValueError, OverflowError, TypeError, AttributeError):  # "months since" and such
            return None
        return [int(value) for value in (dates.month if monthly else dates.year).values]
    values = np.asarray(axis.values)
    if values.dtype.kind not in "iuf" or not np.array_equal(values, np.rint(values)):
        return None
    told = sorted(values) == list(range(1, 13)) if monthly else values.min() >= 1000
    return [int(value) for value in values] if told else None


_UNITS = {
    "x": {"degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"},
    "y": {"degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"},
}
_STANDARD = {
    "x": {"longitude", "projection_x_coordinate"},
    "y": {"latitude", "projection_y_coordinate"},
}
_NAMES = {"x": {"x", "lon", "longitude", "easting"}, "y": {"y", "lat", "latitude", "northing"}}


def _find_dim(array: Any, axis: str, where: str) -> str:
    """Find the x or y dimension by CF units, standard name, axis attribute, then by its name."""
    for dim in array.dims:
        attributes = array[dim].attrs if dim in array.coords else {}
        if (
            str(attributes.get("units", "")).lower() in _UNITS[axis]
            or attributes.get("standard_name") in _STANDARD[axis]
            or str(attributes.get("axis", "")).lower() == axis
        ):
            return str(dim)
    for dim in array.dims:
        if str(dim).lower() in _NAMES[axis]:
            return str(dim)
    raise InputError(
        f"{where}: no {'longitude (x)' if axis == 'x' else 'latitude (y)'} dimension among "
        f"{', '.join(map(str, array.dims))}; curvilinear and unstructured grids must be warped "
        "first, a plain one needs CF attributes (units degrees_east and degrees_north)"
    )


def _axis(array: Any, dim: str, where: str) -> Axis:
    if dim not in array.coords:
        raise InputError(f"{where}: dimension {dim} has no coordinates; add them to the file")
    values = np.asarray(array[dim].values, dtype=np.float64)
    if len(values) < 2:
        raise InputError(f"{where}: dimension {dim} has {len(values)} cell(s), expected at least 2")
    step = (values[-1] - values[0]) / (len(values) - 1)
    even = values[0] + step * np.arange(len(values))
    if step == 0 or np.abs(values - even).max() > 0.02 * abs(step):
        raise InputError(
            f"{where}: {dim} is not evenly spaced (from {values[0]:g} to {values[-1]:g}, steps "
            f"from {np.diff(values).min():g} to {np.diff(values).max():g}); warp it to a regular "
            "grid first"
        )
    return Axis(float(values[0]), float(step), len(values))


def _xarray_crs(array: Any, x_dim: str, y_dim: str) -> str:
    """Return the CRS of the CF grid mapping, or WGS 84 where CF units are degrees."""
    import rioxarray  # noqa: F401  (registers the accessor)

    found = array.rio.crs
    if found is not None:
        return str(found.to_wkt())
    units = [str(array[dim].attrs.get("units", "")).lower() for dim in (x_dim, y_dim)]
    return "EPSG:4326" if units[0] in _UNITS["x"] and units[1] in _UNITS["y"] else ""
