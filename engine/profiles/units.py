"""Units of soil properties told by the range of a whole source, never row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.stock import SOC_OF_SOM

from ..errors import InputError
from .audit import Audit
from .readers import RawProfiles

#: Plausible bulk densities in each unit; the ranges do not meet.
_BD_RANGE = {"g/cm3": (0.02, 3.0), "kg/m3": (20.0, 3000.0)}
#: Fewest topsoil layers and places from which the unit of SOC is judged.
_ENOUGH_LAYERS, _ENOUGH_PLACES = 30, 10
#: From each declared unit to g/kg of organic carbon.
_SOC_G_KG = {"g/kg": 1.0, "%": 10.0, "SOM g/kg": SOC_OF_SOM, "SOM %": 10.0 * SOC_OF_SOM}
#: More than what holds it, %: organic carbon of organic matter, and organic matter of soil.
_MOST_PERCENT = {"%": 60.0, "SOM %": 100.0}
#: Latitudes of the dry belts, where topsoils of 2-4 g/kg are common.
_DRY_BELT = (10.0, 36.0)


def declared_soc(raw: RawProfiles, exclude: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table with SOC in g/kg, after the declared unit was held against the values.

    Raises
    ------
    InputError
        Where a source declared in g/kg looks like %, or one in % cannot be %, unless the file says
        ``assume_units``. The sign of % is a median topsoil (upper depth below 20 cm) under 4 g/kg
        outside the dry belts of 10-36 degrees (under 2 g/kg where there is no soil outside them),
        with 99.5 % of the values up to 60, over at least 30 layers at 10 places. Among 5 degree
        cells of the open profile collections none in g/kg has it.
    """
    unit = raw.summary.units["soc"]
    factor = _SOC_G_KG[unit]
    what = "SOM" if unit.startswith("SOM") else "SOC"
    for source, rows in raw.table.groupby("source", sort=False):
        if raw.file.assume_units or source in exclude:
            continue
        where = f"{raw.file.path}: source {source}"
        if unit.endswith("g/kg"):
            evidence = percent_evidence(rows.assign(soc_g_kg=rows["soc_g_kg"] * factor))
            if evidence:
                raise InputError(
                    f"{where}: {what} is declared in g/kg but looks like %: {evidence}. Set "
                    f'units.soc = "{unit.replace("g/kg", "%")}", or assume_units = true if it is '
                    "g/kg"
                )
        else:
            most = _MOST_PERCENT[unit]
            high = rows["soc_g_kg"].gt(most)
            if high.sum() > max(1.0, 0.001 * len(rows)):
                holder = "organic matter" if what == "SOC" else "soil"
                raise InputError(
                    f"{where}: {what} is declared in %, but {high.sum():,} of {len(rows):,} values "
                    f"are above {most:g} (highest {rows['soc_g_kg'].max():g}), more than {holder} "
                    f'holds. Set units.soc = "{unit.replace("%", "g/kg")}", or assume_units = true'
                )
    return (
        raw.table if unit == "g/kg" else raw.table.assign(soc_g_kg=raw.table["soc_g_kg"] * factor)
    )


def percent_evidence(rows: pd.DataFrame) -> str:
    """Return what speaks for SOC in % in a source declared in g/kg, or an empty text."""
    topsoil = rows[rows["top_cm"].between(0, 19.9) & rows["soc_g_kg"].gt(0)]
    latitude = topsoil["lat"].abs()
    moist = topsoil[~latitude.between(*_DRY_BELT)]
    for layers, limit, where in (
        (moist, 4.0, " outside the dry belts"),
        (topsoil, 2.0, ""),
    ):
        places = len(layers[["lon", "lat"]].round(2).drop_duplicates())
        if len(layers) < _ENOUGH_LAYERS or places < _ENOUGH_PLACES:
            continue
        soc = layers["soc_g_kg"].to_numpy()
        median, high = float(np.median(soc)), float(np.quantile(soc, 0.995))
        if median < limit and high <= 60.0:
            return (
                f"{len(soc):,} topsoil layers at {places:,} places{where} have a median of "
                f"{median:.2g} (expected above {limit:g} g/kg), and 99.5 % of them are up to "
                f"{high:.3g}"
            )
    return ""


def convert_bulk_density(audit: Audit, declared: Sequence[str]) -> None:
    """Bring bulk density to g/cm3, its unit inferred for each source of each file.

    Parameters
    ----------
    declared
        Declared unit of each file; ``auto`` where none is.
    """
    for file_no, source in _sources(audit):
        values = audit.values("bulk_density_g_cm3")
        here = _rows(audit, file_no, source) & np.isfinite(values)
        if not here.any():
            continue
        unit, share = infer_bulk_density_unit(values[here])
        rule, told = "bulk_density_unit", declared[file_no]
        if unit is None:
            why = "neither g/cm3 nor kg/m3 fits the values"
            audit.blank(here, "bulk_density_g_cm3", rule, why)
            continue
        against = f", though declared {told}" if told not in ("auto", unit) else ""
        median = float(np.median(values[here]))
        why = f"taken as {unit} (median {median:.4g}, {share:.1%} plausible){against}"
        if unit == "kg/m3":
            audit.convert(here, "bulk_density_g_cm3", values * 1e-3, rule, why)
        else:
            audit.note(here, rule, why)


def infer_bulk_density_unit(values: NDArray[np.float64]) -> tuple[str | None, float]:
    """Return the unit whose plausible range holds most values, and their share.

    >>> infer_bulk_density_unit(np.array([1.2, 1.4, 1350.0]))
    ('g/cm3', 0.6666666666666666)
    """
    shares = {
        unit: float(np.mean((values >= low) & (values <= high)))
        for unit, (low, high) in _BD_RANGE.items()
    }
    unit = max(shares, key=lambda name: shares[name])
    return (unit, shares[unit]) if shares[unit] >= 0.5 else (None, shares[unit])


def convert_coarse_fraction(audit: Audit, declared: Sequence[str]) -> None:
    """Bring coarse fragments to a fraction; where not declared, values above 1 tell per cent."""
    for file_no, source in _sources(audit):
        values = audit.values("coarse_fraction")
        here = _rows(audit, file_no, source) & np.isfinite(values)
        told = declared[file_no]
        if told == "%":
            why = "taken as vol %, as declared"
        elif told == "auto" and here.any() and float(np.mean(values[here] > 1.0)) > 0.01:
            why = f"taken as vol % (highest {values[here].max():g})"
        else:
            continue
        audit.convert(here, "coarse_fraction", values / 100.0, "coarse_fragment_unit", why)


def convert_texture(audit: Audit, declared: Sequence[str]) -> None:
    """Bring clay, sand and silt from the declared unit to %."""
    factors = np.array([{"%": 1.0, "g/kg": 0.1, "fraction": 100.0}[unit] for unit in declared])
    factor = factors[audit.table["file_no"].to_numpy(np.int64)]
    for column in ("clay_pct", "sand_pct", "silt_pct"):
        values = audit.values(column)
        mask = (factor != 1.0) & np.isfinite(values)
        why = f"{column} converted from the declared unit"
        audit.convert(mask, column, values * factor, "texture_unit", why)


def _sources(audit: Audit) -> list[tuple[int, str]]:
    pairs = audit.table[["file_no", "source"]].drop_duplicates()
    return [(int(n), str(s)) for n, s in zip(pairs["file_no"], pairs["source"], strict=True)]


def _rows(audit: Audit, file_no: int, source: str) -> NDArray[np.bool_]:
    mask = (audit.table["file_no"] == file_no) & (audit.table["source"] == source)
    return mask.to_numpy(bool)
