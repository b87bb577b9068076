"""Which column of a file holds what: mappings checked, well-known names recognised."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from ..errors import InputError, did_you_mean
from .schema import COLUMNS, REQUIRED, ProfileFile

#: Well-known column names, lower case, without punctuation, in order of preference.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "profile_id": ("profileid", "profile", "pid", "profilename", "siteid", "site", "id"),
    "source": ("source", "database", "dataset"),
    "lon": ("lon", "longitude", "long", "x", "xcoord", "lonwgs84", "longitudewgs84", "londd"),
    "lat": ("lat", "latitude", "y", "ycoord", "latwgs84", "latitudewgs84", "latdd"),
    "year": ("year", "date", "samplingyear", "sampyear", "yr", "samplingdate", "orgcdate"),
    "top_cm": ("topcm", "top", "topdepth", "upperdepth", "depthtop", "hzdept", "upperdepthcm",
               "mindepth", "depthfrom", "topdep", "udepth", "lyrtop"),
    "bottom_cm": ("bottomcm", "bottom", "botcm", "bot", "bottomdepth", "lowerdepth", "depthbottom",
                  "hzdepb", "lowerdepthcm", "maxdepth", "depthto", "botdep", "ldepth", "lyrbot"),
    "soc_g_kg": ("socgkg", "soc", "orgc", "oc", "orgcvalueavg", "orgcarbon", "organiccarbon",
                 "orcdrc", "socpct", "ocpct", "socpercent", "lyrsoc", "corg", "soc%", "oc%"),
    "bulk_density_g_cm3": ("bulkdensitygcm3", "bulkdensity", "bd", "bdgcm3", "bdkgm3", "bdod",
                           "bld", "db", "lyrbd", "bdfiodvalueavg"),
    "coarse_fraction": ("coarsefraction", "coarsefragments", "cf", "cfvo", "coarse", "crfvol",
                        "gravel", "cfvovalueavg", "cfpct"),
    "clay_pct": ("claypct", "clay", "claypercent", "clayvalueavg", "cly", "clay%"),
    "sand_pct": ("sandpct", "sand", "sandpercent", "sandvalueavg", "snd", "sand%"),
    "silt_pct": ("siltpct", "silt", "siltpercent", "siltvalueavg", "slt", "silt%"),
    "nitrogen_g_kg": ("nitrogengkg", "totalnitrogengkg", "tngkg", "nitrogen", "totalnitrogen",
                      "totaln", "tn", "ntot", "nitkjd", "nitkjdvalueavg", "lyrntot"),
    "litter": ("litter",),
    "positional_uncertainty": ("positionaluncertainty", "positionuncertainty"),
}  # fmt: skip

#: Column names of SOC that state per cent.
_PERCENT = re.compile(r"(%|pct|percent)", re.IGNORECASE)


def plain(name: str) -> str:
    """Return a column name in lower case without blanks and punctuation.

    >>> plain("Upper_Depth (cm)")
    'upperdepthcm'
    """
    return re.sub(r"[^a-z0-9%]", "", name.lower())


def take_columns(
    found: Sequence[str], file: ProfileFile, *, has_points: bool = False
) -> dict[str, str]:
    """Return our column names to the file's: first as mapped, then by well-known names.

    Parameters
    ----------
    found
        Column names of the file.
    file
        Its description, with the user's mapping.
    has_points
        The file has point geometries, so that coordinates need no column.

    Raises
    ------
    InputError
        Where a mapped column does not exist or a required one cannot be found.
    """
    taken: dict[str, str] = {}
    for ours, theirs in file.columns.items():
        if theirs not in found:
            raise InputError(
                f'{file.path}: columns.{ours} = "{theirs}": no such column; '
                f"{did_you_mean(theirs, found)} (columns: {', '.join(found)})"
            )
        taken[ours] = theirs
    free = {plain(name): name for name in reversed(found) if name not in taken.values()}
    for ours, names in SYNONYMS.items():
        if ours not in taken:
            match = next((free[name] for name in names if name in free), None)
            if match is not None:
                taken[ours] = match
    _check_required(found, taken, file, has_points)
    return {ours: taken[ours] for ours in COLUMNS if ours in taken}


def soc_unit(file: ProfileFile, taken: Mapping[str, str]) -> str:
    """Return the unit of SOC: declared, or per cent where the column's name says so."""
    if "soc" not in file.units and _PERCENT.search(taken["soc_g_kg"]):
        return "%"
    return file.unit("soc")


def _check_required(
    found: Sequence[str], taken: Mapping[str, str], file: ProfileFile, has_points: bool
) -> None:
    needed = [c for c in REQUIRED if not (has_points and c in ("lon", "lat"))]
    missing = [name for name in needed if name not in taken]
    if not missing:
        return
    depth = [name for name in missing if name in ("top_cm", "bottom_cm")]
    what = "layers without depth cannot be used: " if len(depth) == 2 else ""
    hints = "; ".join(
        f'columns.{name} = "{_nearest(name, found) or "..."}" ({COLUMNS[name]})' for name in missing
    )
    raise InputError(
        f"{file.path}: {what}no column for {', '.join(missing)} among {', '.join(found)}. "
        f"Name it in the mapping, such as {hints}"
    )


def _nearest(ours: str, found: Sequence[str]) -> str | None:
    names = {plain(name): name for name in found}
    for word in (plain(ours), *SYNONYMS[ours]):
        near = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
        if near:
            return names[near[0]]
    return None
