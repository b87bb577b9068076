"""The comparison of process, forest and hybrid as tables, beside what was published of it."""

from __future__ import annotations

from itertools import groupby

import pandas as pd

from ..assess.arms import ALL, SHARED
from .report_tables import split_label
from .tables import Table, count, fixed, signed

#: Zhang L. et al. 2024: RMSE (kg/m²) and CCC by 5 folds of location, 428 paddy sites, 0-20 cm.
PUBLISHED = (
    ("process, own start (PO), 2000 only", 0.53, 0.63),
    ("forest alone (ML)", 0.36, 0.80),
    ("hybrid (POML)", 0.29, 0.88),
)


def arm_tables(arms: pd.DataFrame, kind: str = "poml") -> list[Table]:
    """Return a table for each split, and what was published; nothing where nothing is compared.

    Of other models than the hybrid (`kind`) only the rows that all arms predict are shown.
    """
    if arms.empty:
        return []
    if kind != "poml":
        return _shared(arms)
    found = []
    for split, lines in groupby(arms.to_dict("records"), key=lambda line: line["split"]):
        rows = [
            (
                str(line["arm"]),
                {ALL: "all samples", SHARED: "samples that all predict"}.get(
                    line["rows"], str(line["rows"])
                ),
                count(line["n"]),
                fixed(line["RMSE"]),
                fixed(line["CCC"]),
                signed(line["ME"]),
            )
            for line in lines
        ]
        found.append(
            Table(
                f"Process, forest and hybrid, left out: {split_label(str(split))}",
                ("<arm", "<samples", "n", "RMSE, kg/m²", "CCC", "ME, kg/m²"),
                tuple(rows),
                "Same folds for all. The process with its own start was given the first sample of "
                "each place left out, which the others were not: it is no peer of theirs.",
            )
        )
    published = tuple((arm, fixed(rmse), fixed(ccc)) for arm, rmse, ccc in PUBLISHED)
    note = (
        "428 paddy sites in 1980 and 2000, 0-20 cm, 5 folds of places. The order of the arms may "
        "be compared with the tables above; the figures may not, as they depend on how much "
        "stocks differ in the region, on the depth, and on how far places left out lie from others."
    )
    return [*found, Table("As published (Zhang et al. 2024)", ("<arm", "RMSE, kg/m²", "CCC"),
                          published, note)]  # fmt: skip


def _shared(arms: pd.DataFrame) -> list[Table]:
    """Return one table for each split, of the rows that all arms predict."""
    found = []
    shared = arms[arms["rows"] == SHARED]
    for split, lines in shared.groupby("split", sort=False):
        rows = [
            (
                str(line["arm"]),
                count(line["n"]),
                fixed(line["RMSE"]),
                fixed(line["CCC"]),
                signed(line["ME"]),
                fixed(line["R2"]),
            )
            for line in lines.to_dict("records")
        ]
        found.append(
            Table(
                f"Given what was measured above, left out: {split_label(str(split))}",
                ("<prediction", "n", "RMSE, kg/m²", "CCC", "ME, kg/m²", "R²"),
                tuple(rows),
                "Same folds and same layers for all.",
            )
        )
    return found
