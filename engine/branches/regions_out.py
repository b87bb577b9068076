"""What a model of the world may not learn from, so that it can be judged there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..samples import Samples
from .settings import Box

#: Mean radius of the Earth, km (IUGG).
EARTH_KM = 6371.0088
#: Places nearer than this many degrees may have one code.
CODE_DEG = 1e-3


def distance_km(
    lon: NDArray[np.float64], lat: NDArray[np.float64], box: Box
) -> NDArray[np.float64]:
    """Return about how far places lie from a box of longitudes and latitudes, 0 inside.

    To the nearest point of the box by longitude and latitude, along a great circle.
    """
    west, south, east, north = box
    middle = (west + east) / 2
    away = (lon - middle + 180) % 360 - 180
    near_lon = np.clip(away, west - middle, east - middle)
    near_lat = np.clip(lat, south, north)
    dlon, a, b = np.radians(away - near_lon), np.radians(lat), np.radians(near_lat)
    half = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(dlon / 2) ** 2
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1))))


def outside(samples: Samples, regions: Sequence[Box], buffer_km: float) -> Samples:
    """Return the samples that lie in none of the regions, nor within `buffer_km` of one.

    Raises
    ------
    InputError
        None does.
    """
    lon, lat = (samples.table[k].to_numpy(np.float64) for k in ("lon", "lat"))
    kept = np.ones(len(samples), bool)
    for box in regions:
        kept &= distance_km(lon, lat, box) > buffer_km
    if not kept.any():
        raise InputError(
            f"all {len(samples):,} samples lie in the regions left out or within {buffer_km:g} km "
            "of them: nothing is left for the model of the world to learn from"
        )
    return samples if kept.all() else samples.take(kept)


def codes_of_rows(samples: Samples) -> NDArray[np.uint32]:
    """Return a code of each row's place, ``(n,)``.

    A multiplicative hash of longitude and latitude in steps of :data:`CODE_DEG`: some fifteen
    places of the Earth share each code, so that a code alone tells no coordinates; who knows a
    place can ask whether it is among them. 1 in 4 billion pairs of places share one by chance.
    """
    steps = [
        np.rint(samples.table[k].to_numpy(np.float64) / CODE_DEG).astype(np.int64).view(np.uint64)
        for k in ("lon", "lat")
    ]
    mixed = steps[0] * np.uint64(0x9E3779B97F4A7C15) ^ steps[1] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((mixed >> np.uint64(32)).astype(np.uint32))


def place_codes(samples: Samples) -> NDArray[np.uint32]:
    """Return a code of each different place, ascending, as :func:`codes_of_rows` has it."""
    return np.unique(codes_of_rows(samples))
