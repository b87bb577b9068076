"""A study of whole profiles as tables: skill by depth and split, drivers, other surveys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..assess.crossval import FULL
from ..assess.partial import DEPENDENCE, METHODS
from ..assess.parts import SCALES
from ..assess.profile_study import ProfileStudy
from .report_tables import split_label
from .scales import pretty_units
from .tables import DASH, Table, count, estimate, fixed, interval, signed

#: What the scales of a model of stocks are called.
_SCALE = {"stock": "Stock of the layer", "density": "Stock for each centimetre"}
_HEADS = ("R²", "r²", "RMSE", "ME", "CCC", "mean measured", "mean predicted")


def study_part(study: ProfileStudy | None, units: str) -> dict[str, Any] | None:
    """Return what a report says of a study, None without one."""
    if study is None:
        return None
    return {"tables": study_tables(study, units), "notes": list(study.notes)}


def study_tables(study: ProfileStudy, units: str) -> list[Table]:
    """Return the tables of a study, those that hold something.

    Parameters
    ----------
    study
        The study.
    units
        Of the target, UDUNITS, for scales that are none of a model of stocks.
    """
    found = _scores(study.scores, units) + _flattery(study.flattery)
    found += _independent(study.independent, units)
    found += _measured(study) + _partial(study.partial) + _means(study.means, units)
    return found


def scale_title(scale: str) -> str:
    """Return what a scale is called."""
    return _SCALE.get(scale, "As predicted")


def scale_units(scale: str, units: str) -> str:
    """Return the units of a scale as people write them."""
    return pretty_units(SCALES.get(scale, units)).replace("kg m-3", "kg/m³")


def group_words(group: str) -> str:
    """Return a part of the profile as people write it."""
    return "all depths" if group == "all" else group.replace("-", "–")


def _score_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    bias = interval(row["ME_low"], row["ME_high"])
    return (
        count(row["n"]),
        estimate(row, "R2"),
        estimate(row, "r2"),
        estimate(row, "RMSE"),
        f"{signed(row['ME'])} {bias}".strip(),
        estimate(row, "CCC"),
        fixed(row["mean_obs"]),
        fixed(row["mean_pred"]),
    )


def _scores(scores: pd.DataFrame, units: str) -> list[Table]:
    if scores.empty:
        return []
    found = []
    shown = scores[scores["model"] == FULL]
    for scale in dict.fromkeys(shown["scale"]):
        rows = [
            (split_label(row["split"]), group_words(row["group"]), *_score_cells(row))
            for row in shown[shown["scale"] == scale].to_dict("records")
        ]
        found.append(
            Table(
                f"{scale_title(scale)}, {scale_units(scale, units)}: by what is left out and depth",
                ("<left out", "<depth", "n", *_HEADS),
                tuple(rows),
                "R² is 1 − SSE/SST, r² the squared correlation, which bias does not lower. ME is "
                "predicted minus measured. In brackets: 95 % interval from a bootstrap over "
                "spatial blocks."
                + (
                    " Thick layers hold more carbon, and the model is told how thick they are: "
                    "that alone gives R², which the stock for each centimetre does without."
                    if scale == "stock"
                    else ""
                ),
            )
        )
    return found


def _flattery(flattery: pd.DataFrame) -> list[Table]:
    if flattery.empty:
        return []
    chosen = flattery[flattery["metric"] == "R2"]
    rows = [
        (
            split_label(row["split"]),
            scale_title(row["scale"]).lower(),
            group_words(row["group"]),
            count(row["n"]),
            fixed(row["value"]),
            fixed(row["other"]),
            signed(row["difference"]),
            interval(row["low"], row["high"]) or DASH,
        )
        for row in chosen.to_dict("records")
    ]
    return [
        Table(
            "R² of each way of leaving out, less that of spatial blocks",
            ("<left out", "<scale", "<depth", "n", "R²", "blocks", "difference", "95 % interval"),
            tuple(rows),
            "The same rows, predicted twice. Where rows are left out at random, other layers of "
            "the same profile have been learned from: what that adds to R² is leak, not skill.",
        )
    ]


def _independent(scores: pd.DataFrame, units: str) -> list[Table]:
    if scores.empty:
        return []
    rows = [
        (
            f"{scale_title(row['scale'])}, {scale_units(row['scale'], units)}",
            group_words(row["group"]),
            count(row["blocks"]),
            *_score_cells(row),
        )
        for row in scores.to_dict("records")
    ]
    return [
        Table(
            "Profiles of other surveys, predicted at the intervals they were sampled at",
            ("<scale", "<depth", "sites", "n", *_HEADS),
            tuple(rows),
            "By the model that makes the map. In brackets: 95 % interval from a bootstrap over "
            "sites; none for fewer than five.",
        )
    ]


def _measured(study: ProfileStudy) -> list[Table]:
    if study.measured.empty:
        return []
    keys = ["model", "split", "scale", "group"]
    gains = study.measured_gain
    held = {
        tuple(row[k] for k in keys): row
        for row in gains[gains["metric"] == "R2"].to_dict("records")
    }
    scale = list(dict.fromkeys(study.measured["scale"]))[-1]
    rows = []
    for row in study.measured[study.measured["scale"] == scale].to_dict("records"):
        gain = held.get(tuple(row[k] for k in keys))
        told = DASH
        if gain is not None:
            told = f"{signed(gain['difference'])} {interval(gain['low'], gain['high'])}".strip()
        rows.append(
            (
                row["model"],
                split_label(row["split"]),
                group_words(row["group"]),
                count(row["n"]),
                estimate(row, "R2"),
                estimate(row, "r2"),
                told,
            )
        )
    return [
        Table(
            f"Models told of what was measured on the layer, {scale_title(scale).lower()}",
            ("<model", "<left out", "<depth", "n", "R²", "r²", "R² gained"),
            tuple(rows),
            "Total nitrogen is measured on the same sample and follows carbon closely: it fills "
            "gaps in profiles, and says little of a map, which would need a grid of it.",
        )
    ]


def _partial(partial: pd.DataFrame) -> list[Table]:
    if partial.empty:
        return []
    lines: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in partial.to_dict("records"):
        lines.setdefault((row["group"], row["driver"]), {})[row["method"]] = row
    rows = []
    for (group, driver), by_method in lines.items():
        cells: list[str] = [group_words(group), driver, count(next(iter(by_method.values()))["n"])]
        note = ""
        for method in METHODS:
            one = by_method[method]
            note = str(one["note"]) if isinstance(one["note"], str) else note
            cells += [
                f"{fixed(one['r'])} {interval(one['low'], one['high'])}".strip(),
                _p(one["p"]),
                _p(one["p_holm"]),
            ]
        rows.append((*cells, note))
    heads = [head for m in METHODS for head in (f"{m}", "p", "p, Holm")]
    return [
        Table(
            "Partial correlation of carbon content with each driver, the others held",
            ("<depth", "<driver", "n", *heads, "<note"),
            tuple(rows),
            f"{DEPENDENCE} Holm's adjustment is over the drivers of one depth.",
        )
    ]


def _p(value: float) -> str:
    if pd.isna(value):
        return DASH
    return "<0.001" if value < 0.001 else fixed(value, 3)


def _means(means: pd.DataFrame, units: str) -> list[Table]:
    if means.empty:
        return []
    rows: Sequence[tuple[str, ...]] = [
        (
            f"{row['top_cm']:g}–{row['bottom_cm']:g} cm",
            count(row["n"]),
            fixed(row["measured"]),
            fixed(row["predicted"]),
        )
        for row in means.to_dict("records")
    ]
    scale = "density" if units == "kg m-2" else "other"
    return [
        Table(
            f"Means by depth, {scale_units(scale, units)}",
            ("<depth", "n", "measured", "predicted"),
            tuple(rows),
            "Of the layers that hold the middle of each interval.",
        )
    ]
