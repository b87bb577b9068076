"""The column forms in which WoSIS is published: per-property tables (2023) and wide tables.

Batjes, Calisto and de Sousa 2024 (Earth Syst. Sci. Data 16, 4735) describe the snapshot of December
2023: ``wosis_202312_<property>.tsv`` with ``profile_id``, ``upper_depth``, ``lower_depth`` and
``value_avg``. The 2019 snapshot and the "latest" form have one column for each value
(``orgc_value_avg``), the latter with coordinates as ``X`` and ``Y``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..errors import InputError

_NAME = re.compile(r"(?P<stem>wosis_\d{6})_(?P<property>\w+)\.tsv(\.gz)?$")
_KEYS = ("profile_id", "upper_depth", "lower_depth")
_ORGC = (*_KEYS, "value_avg", "longitude", "latitude")
_OPTIONAL = ("layer_id", "positional_uncertainty", "date", "litter")

#: Bulk densities of the fine earth, kg/dm3 (= g/cm3): oven dry, air dry, at 33 kPa. Those of the
#: whole soil (bdws*) are not read: a stock from them would count coarse fragments twice.
BULK_DENSITIES = ("bdfiod", "bdfiad", "bdfi33")

#: Our column and its WoSIS properties, in order of preference.
PROPERTIES = {
    "bulk_density_g_cm3": BULK_DENSITIES,
    "coarse_fraction": ("cfvo",),
    "clay_pct": ("clay",),
    "sand_pct": ("sand",),
    "silt_pct": ("silt",),
    "nitrogen_g_kg": ("nitkjd",),
}

#: WoSIS columns of the wide forms, in order of preference.
_WIDE = {
    "profile_id": ("profile_id",),
    "lon": ("X", "longitude"),
    "lat": ("Y", "latitude"),
    "top_cm": ("upper_depth",),
    "bottom_cm": ("lower_depth",),
    "soc_g_kg": ("orgc_value_avg",),
    "year": ("orgc_date", "date"),
    "litter": ("litter",),
    "positional_uncertainty": ("positional_uncertainty",),
    **{ours: tuple(f"{p}_value_avg" for p in names) for ours, names in PROPERTIES.items()},
}

#: Units of all WoSIS tables.
UNITS = {
    "soc": "g/kg",
    "bulk_density": "g/cm3",
    "coarse_fraction": "%",
    "texture": "%",
    "nitrogen": "g/kg",
    "depth": "cm",
    "lon": "-180..180",
}


def is_wosis2023(path: Path, header: Sequence[str]) -> bool:
    """Tell whether a file is a per-property table by its name and columns."""
    return _NAME.search(path.name) is not None and set(_ORGC) <= set(header)


def is_wosis_wide(header: Sequence[str]) -> bool:
    """Tell whether a table has the columns of the 2019 snapshot or of "latest"."""
    return {"orgc_value_avg", "upper_depth", "lower_depth"} <= set(header)


def wosis_wide_columns(header: Sequence[str]) -> dict[str, str]:
    """Return our columns to those of a wide WoSIS table, as far as it has them."""
    found = {
        ours: next((name for name in names if name in header), None)
        for ours, names in _WIDE.items()
    }
    return {ours: name for ours, name in found.items() if name is not None}


def read_wosis2023(path: Path) -> tuple[pd.DataFrame, dict[str, str], dict[str, str]]:
    """Read organic carbon and join the other properties that lie beside it.

    Parameters
    ----------
    path
        The folder, or its ``wosis_<yyyymm>_orgc.tsv``.

    Returns
    -------
    table, columns, units
        A row for each row of the table of organic carbon, in its order; our columns to the table's;
        units. Values of a property repeated for one layer are averaged before the join, so that no
        row is multiplied.
    """
    orgc = _orgc_table(path)
    stem = _stem(orgc)
    table = _read(orgc, [*_ORGC], _OPTIONAL).rename(columns={"value_avg": "orgc"})
    taken = {
        "profile_id": "profile_id",
        "lon": "longitude",
        "lat": "latitude",
        "top_cm": "upper_depth",
        "bottom_cm": "lower_depth",
        "soc_g_kg": "orgc",
        "year": "date",
        "litter": "litter",
        "positional_uncertainty": "positional_uncertainty",
    }
    for ours, names in PROPERTIES.items():
        for name in names:
            sibling = _sibling(orgc, stem, name)
            if sibling is not None:
                values = _property(sibling, table)
                table[ours] = (
                    table[ours].where(table[ours].notna(), values) if ours in table else values
                )
                taken[ours] = ours
    return table, {k: v for k, v in taken.items() if v in table}, dict(UNITS)


def _orgc_table(path: Path) -> Path:
    if not path.is_dir():
        if _NAME.search(path.name) is None:
            raise InputError(
                f"{path}: a table named wosis_<yyyymm>_orgc.tsv was expected for format wosis2023"
            )
        return path
    found = sorted(
        p for p in path.iterdir() if (m := _NAME.search(p.name)) and m["property"] == "orgc"
    )
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise InputError(
            f"{path}: one table named wosis_<yyyymm>_orgc.tsv was expected, found {names}; "
            "give the file itself"
        )
    return found[0]


def _stem(orgc: Path) -> str:
    match = _NAME.search(orgc.name)
    if match is None or match["property"] != "orgc":
        raise InputError(
            f"{orgc}: the table of organic carbon (wosis_<yyyymm>_orgc.tsv) was expected"
        )
    return match["stem"]


def _sibling(orgc: Path, stem: str, name: str) -> Path | None:
    paths = (orgc.with_name(f"{stem}_{name}.tsv{end}") for end in ("", ".gz"))
    return next((path for path in paths if path.exists()), None)


def _read(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    try:
        header = list(pd.read_csv(path, sep="\t", nrows=0).columns)
        missing = [name for name in needed if name not in header]
        if missing:
            raise InputError(
                f"{path}: a WoSIS table with the columns {', '.join(needed)} was expected; it "
                f"lacks {', '.join(missing)} (found: {', '.join(header)})"
            )
        used = [*needed, *[name for name in optional if name in header]]
        return pd.read_csv(
            path, sep="\t", usecols=used, dtype={"profile_id": "str"}, low_memory=False
        )
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a WoSIS table: {error}") from error


def _property(path: Path, table: pd.DataFrame) -> pd.Series[float]:
    """Return a property's mean value for each row of `table`, NaN where it has none."""
    other = _read(path, [*_KEYS, "value_avg"], ["layer_id"])
    keys = [*_KEYS, *(["layer_id"] if "layer_id" in table and "layer_id" in other else [])]
    mean = other.groupby(keys, as_index=False)["value_avg"].mean()
    values = table[keys].merge(mean, on=keys, how="left")["value_avg"]
    return values.set_axis(table.index).astype(float)
