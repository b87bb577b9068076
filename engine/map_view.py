"""Opening a finished (or growing) map as a CF-complete, lazy ``xarray.Dataset``."""

from __future__ import annotations

import rioxarray  # noqa: F401 - gives the dataset its ``.rio`` accessor
import xarray as xr

from .errors import InputError
from .map_store import MAP
from .place import Place, place
from .produce import is_complete
from .run import Run
from .store import zarr_store


def open_map(run: str | Place) -> xr.Dataset:
    """Open the map of a run lazily.

    Parameters
    ----------
    run
        The run's folder, or its address in a bucket.

    Returns
    -------
    xarray.Dataset
        Dims ``(depth, year, y, x)``; values decoded to float32 with NaN for missing, in the units
        each variable states; ``depth_bounds`` in cm; ``status`` with CF flags, as stored. Its
        attribute ``complete`` is false as long as tiles are missing.
    """
    path = place(run)
    if not (path / MAP).exists():
        raise InputError(f"{path}: there is no {MAP} in this run yet; make it with `edaphos run`")
    store = zarr_store(path / MAP, read_only=True)
    dataset = xr.open_zarr(
        store, consolidated=False, chunks={}, decode_coords="all", mask_and_scale=True
    )
    raw = xr.open_zarr(store, consolidated=False, chunks={}, mask_and_scale=False)
    dataset["status"] = raw["status"].assign_coords(dataset["status"].coords)
    dataset.encoding["source"] = str(path / MAP)
    dataset.attrs["complete"] = is_complete(Run.open(path))
    return dataset
