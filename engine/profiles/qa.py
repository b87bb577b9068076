"""The rules that soil layers must meet, in the order in which they are applied."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .audit import Audit
from .duplicates import complete, copied_profiles, repeated_layers, shared_profiles
from .schema import NUMERIC, QARules

#: From 12 % organic carbon a saturated clay-free soil is organic material (USDA Soil Taxonomy).
ORGANIC_SOC_G_KG = 120.0
#: Total nitrogen of organic matter hardly exceeds this; higher values are of another unit.
MOST_NITROGEN = 60.0


def check_selection(audit: Audit, rules: QARules) -> None:
    """Leave out the sources and classes of position that the user excludes."""
    unwanted = audit.table["source"].isin(list(rules.exclude_sources)).to_numpy()
    audit.drop(unwanted, "source_excluded", "the source is excluded by the rules")
    vague = audit.table["positional_uncertainty"].isin(list(rules.exclude_positions)).to_numpy()
    audit.drop(vague, "position_excluded", "its class of positional uncertainty is excluded")


def check_identity(audit: Audit) -> None:
    """Make identifiers unique over sources, and make one where a layer has none."""
    table = audit.table
    made = table["profile_id"].isna()
    place = table["lon"].map("{:.5f}".format) + "," + table["lat"].map("{:.5f}".format)
    year = table["year"].map(lambda y: "undated" if np.isnan(y) else f"{y:.0f}")
    name = table["profile_id"].where(~made, "@" + place + "," + year)
    audit.table = table.assign(profile_id=table["source"] + ":" + name.astype(str), made_id=made)
    why = "no profile identifier: layers of one place and year are taken as one profile"
    audit.flag(made.to_numpy(), "profile_id_made", why)


def check_numbers(audit: Audit) -> None:
    """Report cells that hold no number; they count as missing from here on."""
    if not audit.table["unreadable"].ne("").any():
        return
    for column in NUMERIC:
        mask = audit.table["unreadable"].str.contains(column, regex=False).to_numpy(bool)
        audit.flag(mask, "not_a_number", f"{column} holds no number and counts as missing")


def check_depths(audit: Audit, rules: QARules) -> None:
    """Drop layers without usable depths; layers above the mineral soil have a rule of their own."""
    top, bottom = audit.values("top_cm"), audit.values("bottom_cm")
    audit.drop(~np.isfinite(top), "depth_missing", "no upper depth")
    top, bottom = audit.values("top_cm"), audit.values("bottom_cm")
    audit.drop(~np.isfinite(bottom), "bottom_missing", "no lower depth")
    _check_surface(audit, rules)
    top, bottom = audit.values("top_cm"), audit.values("bottom_cm")
    audit.drop(top == bottom, "zero_thickness", "upper and lower depth are equal")
    top, bottom = audit.values("top_cm"), audit.values("bottom_cm")
    audit.drop(top > bottom, "depth_reversed", "upper depth below lower depth")
    thick = audit.values("bottom_cm") - audit.values("top_cm") > 300
    audit.flag(thick, "very_thick_layer", "thicker than 3 m")
    deepest = audit.table.groupby("profile_id")["bottom_cm"].transform("max").to_numpy(np.float64)
    audit.flag(
        deepest < 5, "very_shallow_profile", "the whole profile is under 5 cm: depths may be in m"
    )


def _check_surface(audit: Audit, rules: QARules) -> None:
    top, bottom, soc = (audit.values(c) for c in ("top_cm", "bottom_cm", "soc_g_kg"))
    litter = audit.table["litter"].to_numpy(bool)
    # The old notation counts organic layers upward from the mineral soil: Oi 16-2, Oa 2-0.
    upward = (top > bottom) & (bottom >= 0) & ((bottom == 0) | (soc >= ORGANIC_SOC_G_KG))
    surface = litter | (top < 0) | upward
    why = "litter, or an organic layer above the mineral soil (negative depth or upward notation)"
    if rules.surface_organic == "flag":
        for column, values in (("top_cm", -top), ("bottom_cm", -bottom)):
            audit.convert(
                upward,
                column,
                values,
                "upward_notation",
                "depth above the mineral soil made negative",
            )
    audit.drop_or_flag(rules.surface_organic, surface, "surface_organic_layer", why)


def check_soc(audit: Audit, rules: QARules) -> None:
    """Drop layers without a possible organic carbon content; without any, as the rules say."""
    soc = audit.values("soc_g_kg")
    audit.drop_or_flag(rules.missing_soc, ~np.isfinite(soc), "soc_missing", "no organic carbon")
    audit.drop(audit.values("soc_g_kg") < 0, "soc_negative", "organic carbon below 0")
    high = audit.values("soc_g_kg") > rules.max_soc_g_kg
    audit.drop(high, "soc_too_high", f"organic carbon above {rules.max_soc_g_kg:g} g/kg")
    why = "organic carbon is 0, often a value below detection"
    audit.drop_or_flag(rules.zero_soc, audit.values("soc_g_kg") == 0, "soc_zero", why)
    table = audit.table.assign(
        topsoil=(audit.values("top_cm") < 30) & (audit.values("top_cm") >= 0)
    )
    place = table.groupby([table["source"], table["lon"].round(5), table["lat"].round(5)])
    count = place["topsoil"].transform("sum").to_numpy(np.float64)
    highest = place["soc_g_kg"].transform("max").to_numpy(np.float64)
    why = (
        "20 or more topsoil layers at this place, all layers under 1 g/kg: units are probably wrong"
    )
    audit.drop_or_flag(rules.suspect_places, (count >= 20) & (highest < 1), "suspect_place", why)
    organic = audit.values("soc_g_kg") >= ORGANIC_SOC_G_KG
    audit.flag(organic, "organic_soil", f"organic soil material, {ORGANIC_SOC_G_KG:g} g/kg or more")


def check_years(audit: Audit, rules: QARules) -> None:
    """Set impossible years to missing."""
    last = rules.max_year or datetime.datetime.now(datetime.UTC).year
    year = audit.values("year")
    wrong = np.isfinite(year) & ((year < rules.min_year) | (year > last))
    audit.blank(wrong, "year", "year_out_of_range", f"year outside {rules.min_year} to {last}")


def check_properties(audit: Audit, rules: QARules) -> None:
    """Set impossible properties to missing; their layers stay."""
    bd = audit.values("bulk_density_g_cm3")
    wrong = (bd < rules.min_bd) | (bd > rules.max_bd)
    why = f"bulk density outside {rules.min_bd:g} to {rules.max_bd:g} g/cm3"
    audit.blank(wrong, "bulk_density_g_cm3", "bulk_density_out_of_range", why)
    coarse = audit.values("coarse_fraction")
    audit.blank(
        (coarse < 0) | (coarse >= 1),
        "coarse_fraction",
        "coarse_fraction_out_of_range",
        "coarse fraction outside 0 to 1",
    )
    for column in ("clay_pct", "sand_pct", "silt_pct"):
        values = audit.values(column)
        audit.blank(
            (values < 0) | (values > 100),
            column,
            "texture_out_of_range",
            f"{column} outside 0 to 100 %",
        )
    nitrogen = audit.values("nitrogen_g_kg")
    audit.blank(
        (nitrogen < 0) | (nitrogen > MOST_NITROGEN),
        "nitrogen_g_kg",
        "nitrogen_out_of_range",
        f"total nitrogen outside 0 to {MOST_NITROGEN:g} g/kg",
    )
    texture = audit.table[["clay_pct", "sand_pct", "silt_pct"]]
    total = texture.sum(axis=1, min_count=2).to_numpy(np.float64)
    full = texture.notna().all(axis=1).to_numpy()
    off = (total > rules.max_texture_sum) | (full & (total < 200.0 - rules.max_texture_sum))
    audit.flag(off, "texture_sum", "clay, sand and silt do not add up to 100 %")


def check_duplicates(audit: Audit, rules: QARules) -> None:
    """Find repeated layers, copied profiles and profiles that sources share."""
    repeated = repeated_layers(audit.table)
    made = audit.table["made_id"].to_numpy(bool)
    why = "repeats a layer of the same profile, year and depths in all values"
    audit.drop_or_flag(rules.duplicates, repeated & ~made, "duplicate_layer", why)
    made, repeated = audit.table["made_id"].to_numpy(bool), repeated_layers(audit.table)
    why = "repeats another layer, but without a profile identifier may be a neighbouring plot"
    audit.flag(repeated & made, "repeated_value", why)
    mask, original = copied_profiles(audit.table, rules.location_decimals)
    why = "all layers repeat those of another profile of this source at the same place"
    detail = pd.Series(original, dtype=object).map(lambda name: f"{why}: {name}").to_numpy(object)
    if rules.duplicates == "drop":
        audit.drop(mask, "duplicate_profile", why, detail)
    else:
        audit.flag(mask, "duplicate_profile", why)
    _check_shared(audit, rules)


def source_order(table: pd.DataFrame, prefer: Sequence[str]) -> list[str]:
    """Return sources in order of preference, the unnamed ones by appearance."""
    found = [str(name) for name in table["source"].unique()]
    return [*[name for name in prefer if name in found], *[n for n in found if n not in prefer]]


def _check_shared(audit: Audit, rules: QARules) -> None:
    order = source_order(audit.table, rules.prefer)
    if len(order) < 2:
        return
    shared = shared_profiles(audit.table, order, rules.duplicate_distance_deg)
    if rules.complete and rules.duplicates == "drop":
        table, filled = complete(audit.table, shared)
        for column in filled:
            why = f"{column} taken from the same profile in another source"
            mask = filled[column].to_numpy(bool)
            audit.convert(mask, column, table[column].to_numpy(), "completed", why)
    kept = audit.table["profile_id"].map(
        dict(zip(shared["profile_id"], shared["kept"], strict=True))
    )
    mask = kept.notna().to_numpy()
    why = "the same profile is kept from a preferred source"
    if rules.duplicates == "drop":
        detail = [f"{why}: {name}" if isinstance(name, str) else "" for name in kept]
        audit.drop(mask, "shared_profile", why, np.array(detail, dtype=object))
    else:
        audit.flag(mask, "shared_profile", why)


def check_layers(audit: Audit, rules: QARules) -> None:
    """Count undated layers, and replicates, overlaps and gaps within a profile and year."""
    audit.flag(np.isnan(audit.values("year")), "undated", "no year: for static models only")
    keys = ["profile_id", "year", "top_cm", "bottom_cm"]
    count = audit.table.groupby(keys, dropna=False)["soc_g_kg"].transform("size").to_numpy(np.int64)
    if rules.replicates == "mean":
        _merge_replicates(audit, keys, count > 1)
        count = np.ones(len(audit), np.int64)
    audit.table = audit.table.assign(replicates=count)
    audit.flag(count > 1, "replicates", "several values for one profile, year and depth")
    overlap, gap = _overlaps_and_gaps(audit.table)
    audit.flag(
        overlap,
        "overlapping_layers",
        "begins above the end of a shallower layer of its profile and year",
    )
    audit.flag(gap, "gap_above", "not sampled between this layer and the one above")
    places = audit.table.groupby("profile_id")[["lon", "lat"]]
    extent = places.transform("max") - places.transform("min")
    spread = (extent.to_numpy(np.float64) > 0.01).any(axis=1)
    audit.flag(
        spread,
        "profile_at_several_places",
        "layers of one profile lie more than 0.01 degrees apart",
    )
    years = audit.table.groupby("profile_id")["year"].transform("nunique").to_numpy(np.int64)
    audit.flag(years > 1, "profile_in_several_years", "a time series")


def _merge_replicates(audit: Audit, keys: list[str], several: NDArray[np.bool_]) -> None:
    group = audit.table.groupby(keys, dropna=False)
    for column in (
        "soc_g_kg",
        "bulk_density_g_cm3",
        "coarse_fraction",
        "clay_pct",
        "sand_pct",
        "silt_pct",
        "nitrogen_g_kg",
    ):
        mean = group[column].transform("mean").to_numpy(np.float64)
        changed = several & np.isfinite(mean)
        if column == "soc_g_kg":
            why = "mean of the values for one profile, year and depth"
            audit.convert(changed, column, mean, "replicates_averaged", why)
        else:
            values = audit.values(column)
            audit.table = audit.table.assign(**{column: np.where(changed, mean, values)})
    later = audit.table.duplicated(keys).to_numpy()
    audit.drop(later, "replicate_merged", "merged into the mean of its profile, year and depth")


def _overlaps_and_gaps(table: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark layers that begin above, or below, the deepest end of those before them."""
    keys: list[Any] = ["profile_id", "year"]
    layers = table.drop_duplicates([*keys, "top_cm", "bottom_cm"])
    layers = layers.sort_values([*keys, "top_cm", "bottom_cm"])
    group = layers.groupby(keys, dropna=False, sort=False)
    deepest = group["bottom_cm"].cummax()
    before = deepest.groupby([layers[k] for k in keys], dropna=False, sort=False).shift()
    gap = (layers["top_cm"] - before).reindex(table.index)
    return (gap < -0.01).to_numpy(), (gap > 0.01).to_numpy()
