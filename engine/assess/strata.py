"""Groups of rows that a map is judged by: depth, source, climate zone, size of the prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.kernels.climate import KOEPPEN_NAMES, koeppen

from ..errors import InputError
from ..models.protocol import DISSIMILARITY
from ..samples import Samples, feature_names
from .scoring import Floats, Predictions, Stratum

#: GlobalSoilMap depth intervals, cm.
DEPTHS: tuple[tuple[int, int], ...] = (
    (0, 5), (5, 15), (15, 30), (30, 60), (60, 100), (100, 200),
)  # fmt: skip
ABOVE, BELOW = "above 0 cm", "200+ cm"
DEPTH_LABELS: tuple[str, ...] = (ABOVE, *(f"{top}-{bottom} cm" for top, bottom in DEPTHS), BELOW)
INSIDE, OUTSIDE = "inside", "outside"
TERCILES: tuple[str, ...] = ("low", "middle", "high")


@dataclass(frozen=True)
class KoeppenSource:
    """Where the climate zone of a row comes from.

    Parameters
    ----------
    climate
        Monthly variables of mean temperature (°C) and precipitation (mm) to classify; taken
        where the samples hold all twelve months of both.
    column
        Otherwise, the column with class codes.
    names
        Class symbols by code for that column; default the order of Beck et al. 2018. Codes that
        have no name are refused, as another legend would give wrong zones without a word.
    """

    climate: tuple[str, str] = ("temperature", "rain")
    column: str = "koeppen"
    names: Mapping[int, str] = field(default_factory=lambda: dict(KOEPPEN_NAMES))


def depth_groups(top: Floats, bottom: Floats) -> NDArray[np.int64]:
    """Return the index into :data:`DEPTH_LABELS` of each layer, by its midpoint.

    An interval holds its upper bound. A layer that starts above the mineral surface (top < 0) is
    in a group of its own.
    """
    edges = np.array([DEPTHS[0][0], *(bottom for _, bottom in DEPTHS)], float)
    groups = np.searchsorted(edges, (top + bottom) / 2, side="right")
    return np.where(top < 0, 0, groups).astype(np.int64)


def koeppen_zones(samples: Samples, source: KoeppenSource) -> NDArray[np.str_] | None:
    """Return the Köppen-Geiger symbol of each row, ``""`` where unknown; None without the data.

    Raises
    ------
    InputError
        If temperatures cannot be °C, or codes are not in the legend.
    """
    table = samples.table
    months = [feature_names(variable, "monthly") for variable in source.climate]
    if all(name in table for names in months for name in names):
        temperature, rain = (table[list(names)].to_numpy(np.float64).T for names in months)
        if np.nanmin(temperature, initial=0) < -90 or np.nanmax(temperature, initial=0) > 60:
            raise InputError(
                f'variable "{source.climate[0]}": expected monthly means in °C, found values '
                f"from {np.nanmin(temperature):g} to {np.nanmax(temperature):g}; give its scale"
            )
        return _symbols(koeppen(temperature, rain), KOEPPEN_NAMES)
    if source.column not in table:
        return None
    codes = np.nan_to_num(table[source.column].to_numpy(np.float64), nan=-1).astype(np.int64)
    unknown = sorted(set(codes[codes >= 0].tolist()) - set(source.names) - {0})
    if unknown:
        raise InputError(
            f'column "{source.column}" holds codes that the legend has no name for '
            f"({', '.join(map(str, unknown[:5]))}): expected {min(source.names)} to "
            f"{max(source.names)}; give the legend of its source"
        )
    return _symbols(codes, source.names)


def row_strata(samples: Samples, zones: NDArray[np.str_] | None) -> list[Stratum]:
    """Return the groupings that do not depend on predictions.

    ``all``, ``topsoil`` (0-30 cm), ``depth``, ``source``, ``source_depth`` and, where zones are
    known, ``koeppen_group`` (first letter), ``koeppen_zone`` and ``koeppen_depth`` (groups by
    depth, named as ``"A, 0-5 cm"``).
    """
    depth = depth_groups(samples.top, samples.bottom)
    shallow = (depth >= 1) & (depth <= 3)
    sources, source = np.unique(samples.table["source"].astype(str), return_inverse=True)
    by_source = Stratum("source", tuple(map(str, sources)), source.astype(np.int64))
    strata = [
        Stratum("all", ("all",), np.zeros(len(samples), np.int64)),
        Stratum("topsoil", ("0-30 cm",), np.where(shallow, 0, -1).astype(np.int64)),
        Stratum("depth", DEPTH_LABELS, depth),
        by_source,
        _by_depth("source_depth", by_source, depth),
    ]
    if zones is not None:
        strata.append(_of_text("koeppen_group", zones.astype("U1")))
        strata.append(_of_text("koeppen_zone", zones))
        strata.append(_by_depth("koeppen_depth", strata[-2], depth))
    return strata


def applicability_strata(predictions: Predictions, samples: Samples) -> list[Stratum]:
    """Group rows by whether they lie inside the model's area of applicability, and by depth.

    By the dissimilarity to its training rows that the model gives, as a multiple of its threshold
    (``engine/applicability.py``); none for a model without.
    """
    found = predictions.beside.get(DISSIMILARITY)
    if found is None or not np.isfinite(found).any():
        return []
    codes = np.where(np.isfinite(found), np.where(found > 1, 1, 0), -1).astype(np.int64)
    inside = Stratum("applicability", (INSIDE, OUTSIDE), codes)
    depth = depth_groups(samples.top, samples.bottom)
    return [inside, _by_depth("applicability_depth", inside, depth)]


def tercile_stratum(mean: Floats) -> Stratum:
    """Group rows by the size of their prediction: lowest, middle and highest third."""
    finite = np.isfinite(mean)
    codes = np.full(len(mean), -1, np.int64)
    if finite.any():
        cuts = np.quantile(mean[finite], [1 / 3, 2 / 3])
        codes[finite] = np.searchsorted(cuts, mean[finite], side="left")
    return Stratum("prediction_tercile", TERCILES, codes)


def row_table(samples: Samples, zones: NDArray[np.str_] | None) -> pd.DataFrame:
    """Return what tells rows apart in tables and figures; ``row`` is the position in samples."""
    columns = ["profile_id", "source", "lon", "lat", "year", "top_cm", "bottom_cm", "weight"]
    table = samples.table[columns].reset_index(drop=True)
    table.insert(0, "row", np.arange(len(samples)))
    groups = depth_groups(samples.top, samples.bottom)
    return table.assign(
        obs=samples.y,
        depth=np.array(DEPTH_LABELS)[groups],
        koeppen="" if zones is None else zones,
    )


def _by_depth(by: str, stratum: Stratum, depth: NDArray[np.int64]) -> Stratum:
    """Cross a grouping with depth."""
    codes = np.where(stratum.codes < 0, -1, stratum.codes * len(DEPTH_LABELS) + depth)
    labels = (f"{name}, {label}" for name in stratum.labels for label in DEPTH_LABELS)
    return Stratum(by, tuple(labels), codes)


def _of_text(by: str, text: NDArray[np.str_]) -> Stratum:
    labels = np.unique(text[text != ""])
    codes = np.searchsorted(labels, text)
    return Stratum(by, tuple(map(str, labels)), np.where(text == "", -1, codes).astype(np.int64))


def _symbols(codes: NDArray[np.integer], names: Mapping[int, str]) -> NDArray[np.str_]:
    return np.array([names.get(int(code), "") for code in codes], dtype="U8")
