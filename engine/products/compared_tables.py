"""Models under the same folds as tables: how each scores, and what the assessed one gains."""

from __future__ import annotations

import pandas as pd

from ..assess.assessment import Assessment
from ..assess.crossval import DEPTH_ONLY, FULL
from .report_tables import main_split, score_cells, score_heads, split_label
from .tables import DASH, Table, count, fixed, interval, signed

#: Scores of the paired differences, with what they are called.
SHOWN = {
    "R2": "R²", "R2_log1p": "R², log scale", "CCC": "CCC", "RMSE": "RMSE", "MAE": "MAE",
    "IS": "interval score",
}  # fmt: skip
THIS = "this model"


def compared_tables(assessment: Assessment, units: str) -> list[Table]:
    """Return scores of each model, paired differences, and those by depth; nothing without others.

    Parameters
    ----------
    assessment
        With models that were compared.
    units
        Of the target, as people write them.
    """
    table = assessment.compared
    if table.empty:
        return []
    splits = list(dict.fromkeys(table["split"]))
    main = main_split(assessment)
    split = main if main in splits else splits[0]
    here = table[table["split"] == split]
    return [
        _scores(assessment, split, units),
        _differences(here, split),
        *_by_depth(here, split, units),
    ]


def _scores(assessment: Assessment, split: str, units: str) -> Table:
    others = [m for m in dict.fromkeys(assessment.metrics["model"]) if m not in (FULL, DEPTH_ONLY)]
    models = {FULL: THIS, **{name: name for name in others}, DEPTH_ONLY: "depth alone"}
    rows = []
    for model, label in models.items():
        found = assessment.table(split, model=model)
        if len(found):
            rows.append((label, *score_cells(dict(found.iloc[0]))))
    return Table(
        f"Models under the same folds, {split_label(split)}",
        ("<model", "n", *score_heads(units)),
        tuple(rows),
        "Each was trained anew in every fold and asked for the rows left out, which were used for "
        "nothing in it.",
    )


def _differences(table: pd.DataFrame, split: str) -> Table:
    rows = [
        (
            str(line["against"]),
            SHOWN[line["metric"]],
            fixed(line["value"]),
            fixed(line["other"]),
            signed(line["difference"]),
            interval(line["low"], line["high"]) or DASH,
        )
        for line in table[table["by"] == "all"].to_dict("records")
        if line["metric"] in SHOWN
    ]
    return Table(
        f"This model less each other one, {split_label(split)}",
        ("<against", "<score", THIS, "the other", "difference", "95 % interval"),
        tuple(rows),
        "On the rows that all models predict. The interval is that of the paired difference over "
        "spatial blocks: where it holds 0, these data show no difference.",
    )


def _by_depth(table: pd.DataFrame, split: str, units: str) -> list[Table]:
    """Return the differences in RMSE at each depth, and how many of them are beyond chance."""
    chosen = table[(table["by"] == "depth") & (table["metric"] == "RMSE")]
    names = list(dict.fromkeys(chosen["against"]))
    depths = list(dict.fromkeys(chosen["group"]))
    if not depths:
        return []
    held = {(line["group"], line["against"]): line for line in chosen.to_dict("records")}

    def cell(line: dict[str, float] | None) -> str:
        if line is None:
            return DASH
        return f"{signed(line['difference'])} {interval(line['low'], line['high'])}".strip()

    rows = [
        (
            str(depth).replace("-", "–"),
            count(next(int(li["n"]) for (d, _), li in held.items() if d == depth)),
            *(cell(held.get((depth, name))) for name in names),
        )
        for depth in depths
    ]
    sure = [
        f"{name}: smaller in {sum(li['high'] < 0 for li in of)}, larger in "
        f"{sum(li['low'] > 0 for li in of)} of {len(of)}"
        for name in names
        if (of := [li for (_, n), li in held.items() if n == name])
    ]
    return [
        Table(
            f"RMSE of this model less that of each other one by depth, {units}, "
            f"{split_label(split)}",
            ("<depth", "n", *names),
            tuple(rows),
            f"Depths in which the interval leaves 0 out. {'; '.join(sure)}.",
        )
    ]
