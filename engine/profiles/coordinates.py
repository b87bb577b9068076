"""Coordinates of soil profiles: missing, out of range, swapped, or from 0 to 360 degrees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .audit import Audit
from .readers import RawProfiles

#: Coordinates beyond are no degrees, however mistaken.
PROJECTED = 1000.0
#: Tells land from sea: ``land(lon, lat)`` -> bool, shape ``(n,)``.
LandTest = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def check_whole_file(raw: RawProfiles, land: LandTest | None) -> None:
    """Refuse a file whose longitudes and latitudes are swapped, or run from 0 to 360.

    Raises
    ------
    InputError
        Where half of the latitudes (of 20 or more rows a tenth) lie beyond 90 degrees and no
        longitude does; where a fifth of the points lie in the open sea and on land when swapped; or
        where a tenth of the longitudes lie between 180 and 360 and none is negative. Where most
        points lie beyond 1,000 in both: these are metres of a projected CRS.
    """
    table = raw.table
    lon, lat = (table[name].to_numpy(np.float64) for name in ("lon", "lat"))
    there = np.isfinite(lon) & np.isfinite(lat)
    far = there & (np.minimum(np.abs(lon), np.abs(lat)) > PROJECTED)
    if far.sum() > 0.5 * there.sum():
        raise InputError(
            f"{raw.file.path}: longitudes run from {lon[there].min():g} to {lon[there].max():g} "
            f"and latitudes from {lat[there].min():g} to {lat[there].max():g}: these are no "
            "degrees but metres of a projected CRS. Convert them to degrees (EPSG:4326) "
            "first, or give a GeoPackage, whose CRS is known"
        )
    good = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lon) <= 360) & (np.abs(lat) <= 360)
    lon, lat = lon[good], lat[good]
    if not len(lon):
        return
    columns = raw.summary.columns
    fix = f'columns.lon = "{columns["lat"]}" and columns.lat = "{columns["lon"]}"'
    beyond = float(np.mean((np.abs(lat) > 90) & (np.abs(lat) <= 180)))
    if (np.abs(lon) <= 90).all() and (beyond >= 0.5 or (beyond >= 0.1 and len(lat) >= 20)):
        raise InputError(
            f"{raw.file.path}: longitude and latitude are swapped: {beyond:.0%} of the values in "
            f'"{columns["lat"]}" lie beyond 90 degrees and none in "{columns["lon"]}" does. '
            f"Set {fix}"
        )
    if (lon > 180).mean() >= 0.1 and (lon >= 0).all():
        raise InputError(
            f"{raw.file.path}: longitudes run from {lon.min():g} to {lon.max():g}; -180 to 180 was "
            'expected. Set units.lon = "0..360"'
        )
    if land is not None:
        usable = (np.abs(lon) <= 180) & (np.abs(lat) <= 90)
        lon, lat = lon[usable], lat[usable]
        share = float(swapped_by_land(lon, lat, land).mean()) if len(lon) else 0.0
        if share >= 0.2:
            raise InputError(
                f"{raw.file.path}: longitude and latitude are probably swapped: {share:.0%} of the "
                f"points lie in the open sea, and on land the other way round. Set {fix}"
            )


def check_coordinates(audit: Audit, land: LandTest | None) -> None:
    """Drop layers that cannot be placed on the map."""
    lon, lat = audit.values("lon"), audit.values("lat")
    audit.drop(
        ~(np.isfinite(lon) & np.isfinite(lat)), "coordinates_missing", "no longitude or latitude"
    )
    lon, lat = audit.values("lon"), audit.values("lat")
    swapped = (np.abs(lat) > 90) & (np.abs(lat) <= 180) & (np.abs(lon) <= 90)
    audit.drop(
        swapped,
        "coordinates_swapped",
        "latitude beyond 90 degrees: longitude and latitude are probably swapped",
    )
    lon, lat = audit.values("lon"), audit.values("lat")
    outside = (np.abs(lon) > 180) | (np.abs(lat) > 90)
    audit.drop(
        outside, "coordinates_out_of_range", "longitude beyond 180 or latitude beyond 90 degrees"
    )
    null = (audit.values("lon") == 0) & (audit.values("lat") == 0)
    audit.drop(null, "coordinates_zero", "longitude and latitude are both 0")
    if land is not None:
        mask = swapped_by_land(audit.values("lon"), audit.values("lat"), land)
        audit.drop(
            mask,
            "coordinates_swapped",
            "lies in the open sea, and on land with longitude and latitude swapped",
        )


def swapped_by_land(
    lon: NDArray[np.float64], lat: NDArray[np.float64], land: LandTest
) -> NDArray[np.bool_]:
    """Mark points far from land whose mirror image (lat, lon) is on land, Antarctica apart.

    "Far" is no land at the point nor a quarter degree around it, so that mangroves and small
    islands are not suspected.
    """
    suspect: NDArray[np.bool_] = (np.abs(lon) <= 90) & (lon > -60)
    places = np.flatnonzero(suspect)
    for dx in (0.0, -0.25, 0.25):
        for dy in (0.0, -0.25, 0.25):
            if not len(places):
                break
            x = (lon[places] + dx + 180.0) % 360.0 - 180.0
            places = places[~land(x, np.clip(lat[places] + dy, -89.99, 89.99))]
    places = places[land(lat[places], lon[places])] if len(places) else places
    marked = np.zeros(len(lon), bool)
    marked[places] = True
    return marked
