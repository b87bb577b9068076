"""Layers and profiles that occur more than once, within a source or in two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .schema import PROPERTIES

#: Everything that makes two rows of one profile the same measurement.
_LAYER = ("year", "top_cm", "bottom_cm", "soc_g_kg", *PROPERTIES)


def repeated_layers(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark rows that repeat one of the same profile in place, year, depths and all values."""
    return table.duplicated(["profile_id", "lon", "lat", *_LAYER]).to_numpy()


def copied_profiles(table: pd.DataFrame, decimals: int) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Mark profiles that repeat another of the same source at the same place under another name.

    All layers must agree in year, depths and all values, and there must be two or more of them: one
    rounded value alone is often shared by neighbouring plots.

    Returns
    -------
    mask, original
        Shape ``(n,)``: rows of the copies, and the name of the profile that is kept.
    """
    layers = table[["source", "profile_id"]].assign(
        lon=table["lon"].round(decimals), lat=table["lat"].round(decimals)
    )
    values = table[list(_LAYER)].round(6)
    layers["print"] = pd.util.hash_pandas_object(values, index=False).to_numpy()
    keys = ["source", "lon", "lat", "profile_id"]
    prints = layers.groupby(keys, sort=False)["print"].agg(["sum", "size"]).reset_index()
    prints = prints[prints["size"] >= 2]
    group = prints.groupby(["source", "lon", "lat", "sum", "size"], sort=False)["profile_id"]
    first = group.transform("first")
    copies = prints.assign(first=first)[first != prints["profile_id"]]
    original = table["profile_id"].map(
        dict(zip(copies["profile_id"], copies["first"], strict=True))
    )
    return original.notna().to_numpy(), original.to_numpy(object)


def shared_profiles(table: pd.DataFrame, order: Sequence[str], distance_deg: float) -> pd.DataFrame:
    """Return profiles that two sources share.

    Two profiles are one where their coordinates differ by at most `distance_deg` and at least half
    of the layers of the one with fewer, and two of them, agree in depth (to 1 cm) and SOC (to the
    rounding of two significant digits or of whole g/kg). A profile of one layer must lie within a
    fifth of that distance and agree to two significant digits.

    Parameters
    ----------
    table
        Soil layers.
    order
        Sources, the preferred ones first.

    Returns
    -------
    pandas.DataFrame
        ``profile_id`` of the duplicate, ``kept`` (the profile of the preferred source it repeats)
        and ``layers`` in agreement, one row for each duplicate.
    """
    pairs = _candidates(table, order, distance_deg)
    high = pairs["soc_kept"].clip(lower=pairs["soc"])
    half_digit = 0.5 * 10.0 ** (np.floor(np.log10(high.clip(lower=1e-3))) - 1.0)
    gap = (pairs["soc"] - pairs["soc_kept"]).abs()
    fine = gap <= half_digit + 1e-9
    pairs = pairs[gap <= half_digit.clip(lower=0.5) + 1e-9].assign(fine=fine)
    near = (pairs["lon"] - pairs["lon_kept"]).abs().clip(
        lower=(pairs["lat"] - pairs["lat_kept"]).abs()
    ) <= distance_deg / 5.0
    pairs["strict"] = pairs["fine"] & near
    pairs["depth"] = pairs["top"] * 1e5 + pairs["bottom"]
    found = (
        pairs.groupby(["profile_id", "kept"], sort=True)
        .agg(layers=("depth", "nunique"), strict=("strict", "any"))
        .reset_index()
    )
    size = table.drop_duplicates(["profile_id", "top_cm", "bottom_cm"]).groupby("profile_id").size()
    fewer = np.minimum(found["profile_id"].map(size), found["kept"].map(size))
    same = (found["layers"] >= 2) & (found["layers"] >= 0.5 * fewer)
    same |= (fewer == 1) & found["strict"]
    found = found[same].sort_values(["profile_id", "layers", "kept"], ascending=[True, False, True])
    result: pd.DataFrame = found.drop_duplicates("profile_id")[["profile_id", "kept", "layers"]]
    return result.reset_index(drop=True)


def complete(table: pd.DataFrame, shared: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give kept profiles the year and properties that only their duplicates have.

    A property is taken from the layer of the same depth (to 1 cm), the year from the profile.

    Returns
    -------
    table, filled
        The table, and a boolean table of the values that were filled, with the same index.
    """
    names = [*PROPERTIES, "year"]
    filled = pd.DataFrame(False, index=table.index, columns=names)
    if shared.empty:
        return table, filled
    donors = table.merge(shared[["profile_id", "kept"]], on="profile_id")
    donors = donors.assign(top=donors["top_cm"].round(), bottom=donors["bottom_cm"].round())
    by_layer = donors.groupby(["kept", "top", "bottom"])[list(PROPERTIES)].first()
    by_profile = donors.groupby("kept")["year"].first()
    index = pd.MultiIndex.from_arrays(
        [table["profile_id"], table["top_cm"].round(), table["bottom_cm"].round()]
    )
    new = by_layer.reindex(index).set_axis(table.index)
    new["year"] = table["profile_id"].map(by_profile).astype(float)
    old = table[names]
    filled = old.isna() & new[names].notna()
    return table.assign(
        **{name: old[name].where(~filled[name], new[name]) for name in names}
    ), filled


def _candidates(table: pd.DataFrame, order: Sequence[str], distance_deg: float) -> pd.DataFrame:
    """Pair layers of equal depth in different sources, at most `distance_deg` apart."""
    rank = table["source"].map({source: i for i, source in enumerate(order)})
    layers = pd.DataFrame(
        {
            "profile_id": table["profile_id"],
            "rank": rank,
            "lon": table["lon"],
            "lat": table["lat"],
            "top": table["top_cm"].round(),
            "bottom": table["bottom_cm"].round(),
            "soc": table["soc_g_kg"],
        }
    ).drop_duplicates()
    found = []
    # Two points within the distance share a cell of twice that size in one of four shifted grids.
    for shift_x, shift_y in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        cells = layers.assign(
            x=np.floor(layers["lon"] / (2 * distance_deg) + shift_x).astype(np.int64),
            y=np.floor(layers["lat"] / (2 * distance_deg) + shift_y).astype(np.int64),
        )
        keys = ["x", "y", "top", "bottom"]
        cells = cells[cells.groupby(keys)["rank"].transform("nunique") > 1]
        for rank_kept, kept in cells.groupby("rank"):
            rest = cells[cells["rank"] > rank_kept]
            pairs = rest.merge(kept, on=keys, suffixes=("", "_kept"))
            near = (pairs["lon"] - pairs["lon_kept"]).abs() <= distance_deg + 1e-9
            near &= (pairs["lat"] - pairs["lat_kept"]).abs() <= distance_deg + 1e-9
            found.append(pairs[near])
    columns = [
        "profile_id",
        "kept",
        "lon",
        "lat",
        "lon_kept",
        "lat_kept",
        "top",
        "bottom",
        "soc",
        "soc_kept",
    ]
    if not found:
        return pd.DataFrame(columns=columns)
    joined = pd.concat(found).rename(columns={"profile_id_kept": "kept"})[columns]
    return joined.drop_duplicates(ignore_index=True)
