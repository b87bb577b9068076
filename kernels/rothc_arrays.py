"""What RothC's kernels take: forcing, soil and state as arrays, pixels side by side in memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

Array = NDArray[Any]

KernelArrays = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array]

Scales = tuple[float, float, float, float]

#: Pixels that a thread takes at once: whole blocks.
BLOCK = 16_384
#: Bytes of a month in a block of forcing: with the state of its pixels it fills the first cache.
BLOCK_BYTES = 1024


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
        shapes = {name: a.shape for name, a in arrays.items() if a is not None}
        if any(len(shape) not in (2, 3) or shape[-2] < 1 for shape in shapes.values()) or (
            len({(*shape[:-2], shape[-1]) for shape in shapes.values()}) != 1
        ):
            raise ValueError(f"forcing must be (months, pixels) with the same pixels: {shapes}")

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.temperature.shape[1])

    @property
    def scales(self) -> Scales:
        """What the numbers of temperature, rain, evaporation and plant input are multiplied by."""
        return 1.0, 1.0, 1.0, 1.0


@dataclass(frozen=True)
class StoredForcing(Forcing):
    """Forcing laid out in memory for speed: see :func:`packed` and :func:`blocked`.

    Parameters
    ----------
    scale
        What temperature, rain, evaporation and plant input are multiplied by.
    count
        Number of pixels where arrays are in blocks; the last block may hold more.
    """

    scale: Scales = (1.0, 1.0, 1.0, 1.0)
    count: int | None = None

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.temperature.shape[1]) if self.count is None else self.count

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
    """Return the arrays that kernels take: forcing as it is stored, the others in `dtype`.

    Temperature, rain, evaporation, cover, plant input, share of it that is DPM, manure, rate
    factor, each ``(block, months, width)``, rows of all pixels being one block; then clay and
    depth, ``(pixel,)``. All are contiguous; manure and rate factor are empty where there is none.
    Clay is missing where cover is missing in any month, as kernels would take a missing cover for
    bare soil.

    Cover is bytes of 0 and 1, and every array is read-only, however it is given: a kernel is
    compiled, for seconds, anew for each combination of types that it is called with.
    """
    ratio = np.asarray(forcing.dpm_rpm, dtype)
    pixels = (forcing.pixels,)
    clay = np.ascontiguousarray(np.broadcast_to(soil.clay, pixels), dtype)
    cover = forcing.cover
    if cover.dtype.kind == "f":
        lacking = np.isnan(cover).any(axis=-2).reshape(-1)[: forcing.pixels]
        clay = np.where(lacking, dtype.type(np.nan), clay)
    if cover.dtype != np.uint8:
        cover = (cover > 0).view(np.uint8)

    def rows(array: Array | None, kind: np.dtype[Any] | None = None) -> Array:
        if array is None:
            return read_only(np.empty((1, 1, 0), kind))
        whole = np.ascontiguousarray(array, kind)
        return read_only(whole if whole.ndim == 3 else whole[None])

    return (
        rows(forcing.temperature),
        rows(forcing.rain),
        rows(forcing.evaporation),
        rows(cover),
        rows(forcing.plant_input),
        rows(ratio / (1 + ratio)),
        rows(forcing.manure, dtype),
        rows(forcing.rate_factor, dtype),
        read_only(clay),
        read_only(np.ascontiguousarray(np.broadcast_to(soil.depth, pixels), dtype)),
    )


def read_only(array: Array) -> Array:
    """Return a view that cannot be written to, which to Numba is a type of its own."""
    view = array.view()
    view.flags.writeable = False
    return view


def one_block(arrays: KernelArrays) -> KernelArrays:
    """Return the arrays with forcing as rows of all pixels, ``(months, pixel)``.

    Raises
    ------
    ValueError
        The forcing is in blocks.
    """
    if len(arrays[0]) != 1:
        raise ValueError("this takes forcing in rows of months, not in blocks")
    t, r, e, c, p, s, m, f = (a[0] for a in arrays[:8])
    return t, r, e, c, p, s, m, f, *arrays[8:]


def units(forcing: Forcing, evaporation_factor: float, dtype: np.dtype[Any]) -> Array:
    """Return what kernels multiply stored numbers by, ``(4,)``.

    Temperature; rain; evaporation relative to rain, so that ``(rain - evaporation * u) * u_rain``
    has but one way of being fused; plant input.
    """
    temperature, rain, evaporation, plant = forcing.scales
    return np.array([temperature, rain, evaporation * evaporation_factor / rain, plant], dtype)


def packed(forcing: Forcing) -> StoredForcing:
    """Return forcing packed into int16: half or a quarter of the bytes to read.

    Temperature, rain, evaporation and plant input are each in steps of 1/32767 of the largest
    value; temperatures of up to 40 °C, say, in steps of 0.0012 °C.

    Raises
    ------
    ValueError
        Values are missing: integers have no NaN.
    """
    found: dict[str, Array] = {}
    steps = []
    names = ("temperature", "rain", "evaporation", "plant_input")
    for name, scale in zip(names, forcing.scales, strict=True):
        values = getattr(forcing, name)
        largest = float(np.abs(values).max())
        if not np.isfinite(largest):
            raise ValueError(f"{name} has missing or infinite values, and integers have none")
        step = largest / 32767 if largest > 0 else 1.0
        found[name] = np.rint(values / step).astype(np.int16)
        steps.append(step * scale)
    scales: Scales = (steps[0], steps[1], steps[2], steps[3])
    return replace(_stored(forcing), **found, scale=scales)  # type: ignore[arg-type]


def blocked(forcing: Forcing, width: int | None = None) -> StoredForcing:
    """Return forcing in blocks of pixels, ``(block, months, width)``.

    A block's months then follow one another in memory, which is read in one stream: faster than
    rows of all pixels where every month differs. `width` is 128 for float64, 256 for float32 and
    512 for packed forcing, if not given; it divides 16,384.
    """
    if forcing.temperature.ndim == 3:
        raise ValueError("the forcing is in blocks already")
    width = width or BLOCK_BYTES // forcing.temperature.itemsize
    if BLOCK % width:
        raise ValueError(f"a block's width must divide {BLOCK}, found {width}")
    blocks = -(-forcing.pixels // width)
    spare = blocks * width - forcing.pixels

    def cut(rows: Array) -> Array:
        whole = np.pad(rows, ((0, 0), (0, spare)), mode="edge") if spare else rows
        return np.ascontiguousarray(whole.reshape(len(rows), blocks, width).swapaxes(0, 1))

    arrays = {f.name: getattr(forcing, f.name) for f in fields(Forcing)}
    found = {name: cut(a) for name, a in arrays.items() if a is not None}
    return replace(_stored(forcing), **found, count=forcing.pixels)  # type: ignore[arg-type]


def _stored(forcing: Forcing) -> StoredForcing:
    return forcing if isinstance(forcing, StoredForcing) else StoredForcing(**vars(forcing))


@kernel()
def row_after(row: int, length: int) -> int:
    """Return the row that follows, the first after the last; a remainder would take longer."""
    return row + 1 if row + 1 < length else 0


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
