"""The table of soil layers: its columns, how a file is described, and the rules it must meet."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import InputError, did_you_mean

Format = Literal["auto", "csv", "wosis2023", "wosis", "gpkg", "parquet"]

#: Columns of a profile table and what they hold; optional ones that a file lacks are missing (NaN).
COLUMNS: Mapping[str, str] = {
    "profile_id": "identifier, unique over sources: source:name",
    "source": "database the layer comes from",
    "lon": "longitude, degrees east, -180 to 180, WGS 84",
    "lat": "latitude, degrees north, WGS 84",
    "year": "year of sampling; missing where undated",
    "top_cm": "upper depth, cm below the surface of the mineral soil",
    "bottom_cm": "lower depth, cm",
    "soc_g_kg": "organic carbon of the fine earth, g/kg",
    "bulk_density_g_cm3": "bulk density, g/cm3",
    "coarse_fraction": "coarse fragments, volume fraction 0 to 1",
    "clay_pct": "clay, % by mass of the fine earth",
    "sand_pct": "sand, % by mass of the fine earth",
    "silt_pct": "silt, % by mass of the fine earth",
    "nitrogen_g_kg": "total nitrogen of the fine earth, g/kg",
    "litter": "true for a litter layer",
    "positional_uncertainty": "class of positional uncertainty, as the source states it",
}

#: Columns a file must have.
REQUIRED: tuple[str, ...] = ("lon", "lat", "top_cm", "bottom_cm", "soc_g_kg")

#: Columns that hold numbers.
NUMERIC: tuple[str, ...] = (
    "lon",
    "lat",
    "top_cm",
    "bottom_cm",
    "soc_g_kg",
    "bulk_density_g_cm3",
    "coarse_fraction",
    "clay_pct",
    "sand_pct",
    "silt_pct",
    "nitrogen_g_kg",
)

#: Measured properties besides SOC, which duplicates may complete.
PROPERTIES: tuple[str, ...] = (
    "bulk_density_g_cm3",
    "coarse_fraction",
    "clay_pct",
    "sand_pct",
    "silt_pct",
    "nitrogen_g_kg",
)

#: Units that may be declared, the first being the default. ``auto``: inferred for each source.
#: ``SOM``: the column holds organic matter, 1 / 1.724 of which is organic carbon.
UNITS: Mapping[str, tuple[str, ...]] = {
    "soc": ("g/kg", "%", "SOM g/kg", "SOM %"),
    "bulk_density": ("auto", "g/cm3", "kg/m3"),
    "coarse_fraction": ("auto", "fraction", "%"),
    "texture": ("%", "g/kg", "fraction"),
    "nitrogen": ("g/kg", "%"),
    "depth": ("cm", "m", "mm"),
    "lon": ("-180..180", "0..360"),
}


@dataclass(frozen=True)
class ProfileFile:
    """A file of soil layers and how to read it.

    Parameters
    ----------
    path
        File; for ``wosis2023`` also the folder of the per-property tables.
    format
        ``auto`` tells the format by the file's name and header.
    columns
        Our column names (:data:`COLUMNS`) to the file's. Columns not named are found by well-known
        names (``upper_depth``, ``X``, ``orgc_value_avg`` …).
    units
        Declared units (:data:`UNITS`), such as ``{"soc": "%"}``.
    source
        Name of the source, for files without a source column; the file's stem by default.
    layer
        Layer of a GeoPackage with several.
    assume_units
        Believe the declared units where the range of the values speaks against them.
    licence, citation
        As stated at the source; they travel into the report.
    """

    path: Path | str
    format: Format = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    layer: str | None = None
    assume_units: bool = False
    licence: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in COLUMNS:
                raise InputError(
                    f"{self.path}: columns.{name}: no such column of a profile table; "
                    f"{did_you_mean(name, COLUMNS)}"
                )
        for name, unit in self.units.items():
            if name not in UNITS:
                raise InputError(
                    f"{self.path}: units.{name}: no unit to declare; {did_you_mean(name, UNITS)}"
                )
            if unit not in UNITS[name]:
                raise InputError(
                    f'{self.path}: units.{name} = "{unit}": expected one of '
                    f"{', '.join(UNITS[name])}"
                )

    def unit(self, name: str) -> str:
        """Return the declared unit of a quantity, or its default."""
        return self.units.get(name, UNITS[name][0])


@dataclass(frozen=True)
class QARules:
    """What a soil layer must meet to be used.

    Parameters
    ----------
    max_soc_g_kg
        Highest organic carbon kept: 580 g/kg is organic matter alone (van Bemmelen factor 1.724).
    min_bd, max_bd
        Range of bulk density, g/cm3; values outside are set to missing, their layers are kept.
    max_texture_sum
        Sum of clay, sand and silt, %, above which the layer is flagged.
    min_year, max_year
        Years outside are set to missing; `max_year` None is the current year.
    surface_organic
        Litter, and layers above the mineral soil (negative depth, or the old upward notation
        3-0 cm): ``drop``, or ``flag`` to keep them with negative depths.
    missing_soc
        Layers without organic carbon: ``drop``, or ``flag`` to keep them for another property.
    zero_soc
        Zeros, which are often values below detection: ``flag`` or ``drop``.
    suspect_places
        Places with 20 or more topsoil layers that all hold less than 1 g/kg, a sign of wrong units:
        ``drop`` or ``flag``.
    duplicates
        Repeated layers, copied profiles, and profiles that two sources share: ``drop`` or ``flag``.
    prefer
        Sources in order of preference among duplicates; the rest follow in order of appearance.
    complete
        Give the kept profile the year and properties that only its duplicate in another source has.
    replicates
        Several values for one profile, year and depth: ``keep`` (flagged) or ``mean``.
    exclude_sources
        Sources left out, such as a data set of mangroves that would colour whole coasts.
    exclude_positions
        Classes of positional uncertainty left out, such as ``Over 10 km``.
    duplicate_distance_deg
        Largest difference in longitude and latitude between duplicates across sources.
    location_decimals
        Decimals of a degree to which coordinates are rounded for ``location_id``; three are 110 m.
    """

    max_soc_g_kg: float = 580.0
    min_bd: float = 0.05
    max_bd: float = 2.2
    max_texture_sum: float = 105.0
    min_year: int = 1900
    max_year: int | None = None
    surface_organic: Literal["drop", "flag"] = "drop"
    missing_soc: Literal["drop", "flag"] = "drop"
    zero_soc: Literal["flag", "drop"] = "flag"
    suspect_places: Literal["drop", "flag"] = "drop"
    duplicates: Literal["drop", "flag"] = "drop"
    prefer: Sequence[str] = ()
    complete: bool = True
    replicates: Literal["keep", "mean"] = "keep"
    exclude_sources: Sequence[str] = ()
    exclude_positions: Sequence[str] = ()
    duplicate_distance_deg: float = 0.01
    location_decimals: int = 3

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise InputError(
                    f'profile rules: {name} = "{value}": expected {" or ".join(known)}'
                )
        for name in ("prefer", "exclude_sources", "exclude_positions"):
            if isinstance(getattr(self, name), str):
                raise InputError(f"profile rules: {name}: a list of names was expected")

    def check_names(self, sources: Sequence[str]) -> None:
        """Refuse a misspelt source; one that is merely absent is no error.

        Raises
        ------
        InputError
            Where a name is not among `sources` but much like one of them.
        """
        plain = {source.lower(): source for source in sources}
        for name in (*self.exclude_sources, *self.prefer):
            near = difflib.get_close_matches(name.lower(), plain, n=1, cutoff=0.75)
            if name not in sources and near:
                raise InputError(
                    f'profile rules: no source "{name}"; did you mean "{plain[near[0]]}"? '
                    f"(sources: {', '.join(sources)})"
                )


#: Values of the rules that are choices.
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "surface_organic": ("drop", "flag"),
    "missing_soc": ("drop", "flag"),
    "zero_soc": ("flag", "drop"),
    "suspect_places": ("drop", "flag"),
    "duplicates": ("drop", "flag"),
    "replicates": ("keep", "mean"),
}
