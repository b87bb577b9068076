"""Small source files in every format and oddity, all showing the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine

from edaphos.engine.build.native import Rect
from edaphos.engine.build.sources import Source, open_source
from edaphos.engine.build.spec import LayerSpec
from edaphos.engine.build.staging import is_staged, stage


def globe(step: float = 10.0, seed: int = 0, months: int = 0) -> np.ndarray:
    """Random values of the whole globe, north-up from -180, with some missing."""
    rng = np.random.default_rng(seed)
    shape = (round(180 / step), round(360 / step))
    values = rng.normal(10, 30, (months, *shape) if months else shape).astype(np.float32)
    values[..., 2, 3] = np.nan
    return values


def write_tif(
    path: Path,
    values: np.ndarray,
    transform: Affine | None = None,
    crs: str | None = "EPSG:4326",
    nodata: float | None = None,
    **profile: object,
) -> Path:
    """Write bands ``(y, x)`` or ``(band, y, x)``; by default over the whole globe."""
    bands = values if values.ndim == 3 else values[None]
    rows, columns = bands.shape[1:]
    if transform is None:
        transform = Affine(360 / columns, 0, -180, 0, -180 / rows, 90)
    profile = {
        "driver": "GTiff", "height": rows, "width": columns, "count": len(bands),
        "dtype": bands.dtype, "crs": crs, "transform": transform, "nodata": nodata, **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)
    return path


def centres(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and descending latitudes of the cells of a globe."""
    rows, columns = values.shape[-2:]
    dy, dx = 180 / rows, 360 / columns
    return -180 + dx * (np.arange(columns) + 0.5), 90 - dy * (np.arange(rows) + 0.5)


def dataset(
    values: np.ndarray,
    lon: np.ndarray | None = None,
    lat: np.ndarray | None = None,
    dims: Sequence[str] = ("time", "lat", "lon"),
    **coords: object,
) -> xr.Dataset:
    """Return a CF dataset with the variable ``t``."""
    own_lon, own_lat = centres(values)
    lon, lat = own_lon if lon is None else lon, own_lat if lat is None else lat
    array = xr.DataArray(
        values, dims=dims[-values.ndim :], attrs={"units": "degC", "long_name": "warmth"}
    )
    made = xr.Dataset({"t": array}, coords=coords)
    return made.assign_coords(
        lon=("lon", lon, {"units": "degrees_east"}), lat=("lat", lat, {"units": "degrees_north"})
    )


def layer(file: str | Path, kind: str = "amount", **known: object) -> LayerSpec:
    """Return a layer called ``t``; NetCDF and Zarr read the variable ``t``."""
    spec: dict[str, object] = {"name": "t", "file": str(file), "kind": kind}
    if Path(str(file)).suffix in {".nc", ".zarr"}:
        spec["variable"] = "t"
    return LayerSpec(**{**spec, **known})  # type: ignore[arg-type]


def opened(folder: Path, spec: LayerSpec) -> Source:
    """Open a source, staged first where it must be."""
    staging = folder / "staged"
    if is_staged(spec):
        stage(spec, [folder / name for name in spec.paths], staging)
    return open_source(spec, folder, staging)


def whole(source: Source, step: int = 0) -> np.ndarray:
    """Read a step in one window."""
    rows, columns = source.geobox.shape
    return source.read(step, Rect(0, rows, 0, columns))
