"""What RothC's kernels take: forcing, soil and state as arrays, pixels side by side in memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

KernelArrays = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array]

Scales = tuple[float, float, float, float]

#: Pixels that a thread takes at once.
BLOCK = 16_384


@dataclass(frozen=True)
class Forcing:
    """What drives RothC, each ``(n, pixel)``: row ``t % n`` is used in month t.

    So `n` is all months, 12 where every year is the same, or 1 where nothing changes.

    Parameters
    ----------
    temperature
        Mean air temperature of the month, °C.
    rain
        mm in the month.
    evaporation
        mm in the month: from an open pan, or potential evapotranspiration; the functions' argument
        ``evaporation_factor`` says which (0.75 or 1).
    cover
        1 where plants cover the soil in that month, 0 where it is bare.
    plant_input
        Carbon from plants, t C/ha in the month.
    dpm_rpm
        Ratio of decomposable to resistant material in it (1.44 crops, 0.67 grass, 0.25 forest).
    manure
        Carbon from farmyard manure, t C/ha in the month; none by default.
    rate_factor
        Multiplies all rate constants in the month, such as 1.1 under tillage; 1 by default.
    """

    temperature: Array
    rain: Array
    evaporation: Array
    cover: Array
    plant_input: Array
    dpm_rpm: Array
    manure: Array | None = None
    rate_factor: Array | None = None

    def __post_init__(self) -> None:
        arrays = {f.name: getattr(self, f.name) for f in fields(Forcing)}
        pixels = {name: a.shape for name, a in arrays.items() if a is not None}
        if len({shape[1:] for shape in pixels.values()}) != 1 or any(
            len(shape) != 2 or shape[0] < 1 for shape in pixels.values()
        ):
            raise ValueError(f"forcing must be (months, pixels) with the same pixels: {pixels}")

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.temperature.shape[1])

    @property
    def scales(self) -> Scales:
        """What the numbers of temperature, rain, evaporation and plant input are multiplied by."""
        return 1.0, 1.0, 1.0, 1.0


@dataclass(frozen=True)
class PackedForcing(Forcing):
    """Forcing whose temperature, rain, evaporation and plant input are stored as integers.

    Half or a quarter of the bytes, and so faster where memory is the limit; see :func:`packed`.

    Parameters
    ----------
    scale
        What each of the four is multiplied by.
    """

    scale: Scales = (1.0, 1.0, 1.0, 1.0)

    @property
    def scales(self) -> Scales:
        """What the numbers of temperature, rain, evaporation and plant input are multiplied by."""
        return self.scale


@dataclass(frozen=True)
class Soil:
    """What does not change with time, each ``(pixel,)``: clay %, depth of the layer cm."""

    clay: Array
    depth: Array


@dataclass(frozen=True)
class State:
    """Where a soil stands.

    Parameters
    ----------
    pools
        DPM, RPM, BIO and HUM, ``(4, pixel)`` t C/ha; IOM is apart, as it never changes.
    deficit
        Soil moisture deficit, ``(pixel,)`` mm, at most 0.
    """

    pools: Array
    deficit: Array


@dataclass(frozen=True)
class Microbial:
    """Rates multiplied by ``mu = mu_max BIO / (km + BIO)`` (Zhang et al. 2024); `km` in t C/ha."""

    mu_max: float
    km: float


def forcing_arrays(forcing: Forcing, soil: Soil, dtype: np.dtype[Any]) -> KernelArrays:
    """Return the arrays that kernels take: forcing as it is stored, shares and soil in `dtype`.

    Temperature, rain, evaporation, cover, plant input, share of it that is DPM, manure, rate
    factor, clay, depth, each contiguous; manure and rate factor are ``(1, 0)`` where there is none.
    Clay is missing where cover is missing in any month, as kernels would take a missing cover for
    bare soil.
    """
    ratio = np.asarray(forcing.dpm_rpm, dtype)
    none = np.empty((1, 0), dtype)
    pixels = (forcing.pixels,)
    clay = np.ascontiguousarray(np.broadcast_to(soil.clay, pixels), dtype)
    if forcing.cover.dtype.kind == "f":
        clay = np.where(np.isnan(forcing.cover).any(axis=0), dtype.type(np.nan), clay)
    return (
        np.ascontiguousarray(forcing.temperature),
        np.ascontiguousarray(forcing.rain),
        np.ascontiguousarray(forcing.evaporation),
        np.ascontiguousarray(forcing.cover),
        np.ascontiguousarray(forcing.plant_input),
        np.ascontiguousarray(ratio / (1 + ratio)),
        none if forcing.manure is None else np.ascontiguousarray(forcing.manure),
        none if forcing.rate_factor is None else np.ascontiguousarray(forcing.rate_factor),
        clay,
        np.ascontiguousarray(np.broadcast_to(soil.depth, pixels), dtype),
    )


def units(forcing: Forcing, evaporation_factor: float, dtype: np.dtype[Any]) -> Array:
    """Return what kernels multiply stored numbers by, ``(4,)``.

    Temperature; rain; evaporation relative to rain, so that ``(rain - evaporation * u) * u_rain``
    has but one way of being fused; plant input.
    """
    temperature, rain, evaporation, plant = forcing.scales
    return np.array([temperature, rain, evaporation * evaporation_factor / rain, plant], dtype)


def packed(forcing: Forcing) -> PackedForcing:
    """Return forcing packed into int16, each quantity in steps of 1/32767 of its largest value.

    Temperatures of up to 40 °C then are in steps of 0.0012 °C.

    Raises
    ------
    ValueError
        Values are missing: integers have no NaN.
    """
    found: dict[str, Array] = {}
    scale = []
    for name in ("temperature", "rain", "evaporation", "plant_input"):
        values = getattr(forcing, name)
        largest = float(np.abs(values).max())
        if not np.isfinite(largest):
            raise ValueError(f"{name} has missing or infinite values, and integers have none")
        scale.append(largest / 32767 if largest > 0 else 1.0)
        found[name] = np.rint(values / scale[-1]).astype(np.int16)
    rest = ("cover", "dpm_rpm", "manure", "rate_factor")
    kept = {name: getattr(forcing, name) for name in rest}
    return PackedForcing(**found, **kept, scale=(scale[0], scale[1], scale[2], scale[3]))


def missing(arrays: KernelArrays) -> Array:
    """Return NaN for pixels of missing soil and 0 for others, ``(pixel,)``.

    Without its soil a deficit has no bound; adding this at the beginning makes it missing.
    """
    clay, depth = arrays[8:]
    return np.asarray((clay + depth) * 0)


def over_blocks(run: Callable[[int, int], None], pixels: int, threads: int) -> None:
    """Call ``run(first, last)`` for blocks of pixels; the blocks do not depend on `threads`.

    Kernels release the GIL, and each block writes its own pixels only.
    """
    blocks = [(first, min(first + BLOCK, pixels)) for first in range(0, pixels, BLOCK)]
    if threads <= 1 or len(blocks) <= 1:
        for first, last in blocks:
            run(first, last)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda block: run(*block), blocks))
