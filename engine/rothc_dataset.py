"""RothC on an xarray Dataset: many places at once, by name, with units that are checked.

The variables have the names of :class:`~edaphos.engine.rothc_input.SiteInput`'s fields; what
they mean, and which units are understood, is written down here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from edaphos.kernels.rothc import POOLS
from edaphos.kernels.rothc_arrays import Soil

from .errors import InputError, did_you_mean
from .rothc_checks import (
    SOIL,
    SPIN_UP_MONTHS,
    Where,
    bounds,
    check_calendar,
    temperature_unit,
)
from .rothc_forcing import RATE_FACTOR, never_settles
from .rothc_input import SiteInput
from .rothc_site import MonthlyRun, SiteOptions, run_months

Array = NDArray[Any]

_MM = ("mm", "mm/month", "mm month-1", "kg m-2", "kg m-2 month-1")
_CARBON = ("t C/ha", "t ha-1", "t C ha-1", "t/ha", "Mg ha-1", "t ha-1 month-1", "t C ha-1 month-1")
_NONE = ("", "1", "-")
#: Units understood, by variable; none given is taken as the first.
UNITS: dict[str, tuple[str, ...]] = {
    "temperature": ("degC", "°C", "C", "celsius", "degrees_celsius", "degree_celsius", "deg_C"),
    "rain": _MM,
    "evaporation": _MM,
    "plant_input": _CARBON,
    "manure": _CARBON,
    "cover": _NONE,
    "dpm_rpm": _NONE,
    "modern": ("%", "percent"),
    RATE_FACTOR: _NONE,
    "clay": ("%", "percent"),
    "depth": ("cm",),
    "iom": _CARBON,
}
_ADVICE = {"K": "subtract 273.15", "kelvin": "subtract 273.15", "m": "multiply by 1000"}
#: Taken where a Dataset leaves them out.
DEFAULTS = {"manure": 0.0, "modern": 100.0}
OPTIONAL = (*DEFAULTS, RATE_FACTOR)


def run_dataset(dataset: xr.Dataset, options: SiteOptions | None = None) -> xr.Dataset:
    """Run RothC everywhere in a Dataset.

    Parameters
    ----------
    dataset
        ``temperature``, ``rain``, ``evaporation``, ``cover``, ``plant_input``, ``dpm_rpm`` and,
        if wanted, ``manure``, ``modern`` and ``rate_factor`` (multiplies all rate constants, such
        as 1.1 under tillage), over ``time`` (months, the first twelve being the year of the
        spin-up, the later ones consecutive) and any other dimensions, such as ``y`` and ``x``, or
        ``site``; ``clay``, ``depth`` and ``iom`` over those others. What lacks a dimension is the
        same along it; without ``time``, it is the same every month, the spin-up's included.
    options
        See there, but without a stock. The exact spin-up is much the faster.

    Returns
    -------
    xarray.Dataset
        ``dpm``, ``rpm``, ``bio``, ``hum``, ``soc``, ``co2``, ``moisture_deficit`` and
        ``delta14c`` by month after the spin-up year, ``soc_start`` and ``spin_up_months`` at its
        end. A place where anything is missing (NaN) in any month is missing, and so is one where
        carbon enters but no month of the spin-up year reaches -5 °C.

    Raises
    ------
    InputError
        A variable is missing, has other units, or holds impossible values; options with a stock.
    """
    options = options or SiteOptions()
    if options.stock is not None:
        raise InputError("dataset: a stock to begin from is for one site; call run_site for each")
    _check_variables(dataset)
    names = [name for name in UNITS if name in dataset]
    arrays = {name: dataset[name].astype(np.float64) for name in names}
    places = [d for name in names for d in dataset[name].dims if d != "time"]
    dims = list(dict.fromkeys(places))
    shape = tuple(dataset.sizes[d] for d in dims)
    months = dataset.sizes["time"]
    flat = {name: _flat(arrays[name], dims, dataset, name not in SOIL) for name in names}
    pixels = int(np.prod(shape))
    for name, value in DEFAULTS.items():
        flat.setdefault(name, np.full((months, pixels), value))
    use = np.ones(pixels, bool)
    for values in flat.values():
        use &= np.isfinite(values).all(axis=0) if values.ndim == 2 else np.isfinite(values)
    use &= ~never_settles({n: v for n, v in flat.items() if n not in SOIL})
    kept = {name: np.ascontiguousarray(values[..., use]) for name, values in flat.items()}
    _check_values(kept, np.flatnonzero(use), dims, shape)
    soil = Soil(kept["clay"], kept["depth"])
    monthly = {name: values for name, values in kept.items() if name not in SOIL}
    run = run_months(monthly, soil, kept["iom"], options)
    return _outcome(run, kept["iom"], dataset, dims, use)


def site_dataset(site: SiteInput) -> xr.Dataset:
    """Return a site's input as a Dataset that :func:`run_dataset` runs to the same end."""
    text = [f"{y:04d}-{m:02d}" for y, m in zip(site.year, site.month, strict=True)]
    time = np.array(text, dtype="datetime64[M]").astype("datetime64[s]")
    made = xr.Dataset(coords={"time": time})
    for name, units in UNITS.items():
        if name == RATE_FACTOR:  # the official file has none
            continue
        dims = () if name in SOIL else ("time",)
        made[name] = (dims, getattr(site, name), {"units": units[0]})
    return made


def _check_variables(dataset: xr.Dataset) -> None:
    for name in UNITS:
        if name not in dataset and name not in OPTIONAL:
            known = [str(v) for v in dataset.data_vars if v not in UNITS]
            raise InputError(
                f"dataset: no variable {name}; {did_you_mean(name, known) if known else 'add it'}"
            )
        if name in dataset:
            _check_units(name, str(dataset[name].attrs.get("units", UNITS[name][0])))
    if "time" not in dataset.dims:
        raise InputError("dataset: no dimension time; give months, the spin-up year first")
    for name in SOIL:
        if "time" in dataset[name].dims:
            raise InputError(f"dataset, variable {name}: varies in time; give one value a place")
    if "time" in dataset.coords:
        try:
            year, month = dataset["time"].dt.year.values, dataset["time"].dt.month.values
        except (AttributeError, TypeError):
            raise InputError("dataset, time: holds no dates; give the months as dates") from None
        check_calendar(year, month, Where("dataset"))
    elif dataset.sizes["time"] % SPIN_UP_MONTHS or not dataset.sizes["time"]:
        raise InputError(
            f"dataset: {dataset.sizes['time']} months; give whole years, the spin-up year first"
        )


def _check_units(name: str, units: str) -> None:
    plain = units.strip().lower()
    if plain not in {u.lower() for u in UNITS[name]}:
        advice = _ADVICE.get(units.strip(), f"convert it to {UNITS[name][0] or 'plain numbers'}")
        raise InputError(
            f'dataset, variable {name}: units "{units}", expected {UNITS[name][0] or "none"}; '
            f"{advice}"
        )


def _flat(array: xr.DataArray, dims: list[Hashable], dataset: xr.Dataset, timed: bool) -> Array:
    """Return values as (time, place) or (place,), repeated along what they lack."""
    wanted = ["time", *dims] if timed else dims
    sizes = {d: dataset.sizes[d] for d in wanted}
    full = array.expand_dims({d: n for d, n in sizes.items() if d not in array.dims})
    values = full.transpose(*wanted).to_numpy()
    return np.asarray(values.reshape((sizes["time"], -1) if timed else (-1,)))


def _check_values(
    kept: dict[str, Array], places: Array, dims: list[Hashable], shape: tuple[int, ...]
) -> None:
    """Refuse impossible values, naming the first place and month."""
    if not len(places):
        return
    unit = temperature_unit(kept["temperature"].ravel(), kept["evaporation"].ravel())
    if unit is not None:
        raise InputError(f"dataset, variable temperature: looks like {unit}; convert it to °C")
    for name, values in kept.items():
        low, high, advice = bounds(name)
        good = (values >= low) & (values <= high)
        if name == "cover":
            good &= values == np.rint(values)
        if good.all():
            continue
        *when, place = (int(i) for i in np.argwhere(~good)[0])
        index = np.unravel_index(int(places[place]), shape) if shape else ()
        where = dict(zip(map(str, dims), map(int, index), strict=True))
        where |= {"time": when[0]} if when else {}
        raise InputError(
            f"dataset, variable {name}, at {where}: found {values[*when, place]:g}, expected "
            f"{low:g} to {high:g}; {advice} ({int((~good).sum())} values are so)"
        )


def _outcome(
    run: MonthlyRun, iom: Array, dataset: xr.Dataset, dims: list[Hashable], use: Array
) -> xr.Dataset:
    later = dataset.isel(time=slice(SPIN_UP_MONTHS, None))
    shape = tuple(dataset.sizes[d] for d in dims)
    coords = {name: c for name, c in later.coords.items() if set(c.dims) <= {"time", *dims}}
    made = xr.Dataset(coords=coords)

    def put(name: str, values: Array, units: str, long_name: str) -> None:
        wide = np.full((*values.shape[:-1], len(use)), np.nan)
        wide[..., use] = values
        names = ("time", *dims) if values.ndim == 2 else tuple(dims)
        cells = wide.reshape((*values.shape[:-1], *shape))
        made[name] = (names, cells, {"units": units, "long_name": long_name})

    for i, pool in enumerate(POOLS):
        put(pool.lower(), run.pools[:, i], "t ha-1", f"carbon in {pool}, end of month")
    put("soc", run.pools.sum(axis=1) + iom, "t ha-1", "soil organic carbon, IOM included")
    put("co2", run.co2, "t ha-1", "carbon given off as CO2 in the month")
    put("moisture_deficit", run.deficit, "mm", "soil moisture deficit, 0 at field capacity")
    put("delta14c", run.delta14c, "1e-3", "Delta 14C of soil organic carbon, IOM included")
    put("soc_start", run.start.pools.sum(axis=0) + iom, "t ha-1", "carbon at equilibrium")
    put("spin_up_months", run.spin_up_months.astype(float), "1", "months of spin-up, 0: solved")
    made.attrs = {"Conventions": "CF-1.11", "source": "RothC-26.3 (edaphos)"}
    return made
