"""Errors of yearly maps of a virtual world, in a run's folder and as tables of its report."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..place import Place
from ..store import write_atomically
from .tables import DASH, Table, count, fixed, signed

#: In a run's folder; the note comes last, so that it marks a whole one.
ERRORS, ABOUT = "truth/arms.csv", "truth/about.txt"


@dataclass(frozen=True)
class ChangingTruth:
    """Errors by arm and year, and a note.

    ``arm, year, n, RMSE, CCC, ME, change_RMSE, trend_RMSE, inside, change_inside``; years as text,
    ``all`` for all of them.
    """

    errors: pd.DataFrame
    note: str


def save_errors(run: Place, errors: pd.DataFrame, note: str) -> None:
    """Write errors and what the truth is."""
    write_atomically(run / ERRORS, errors.to_csv(index=False))
    write_atomically(run / ABOUT, note)


def load_errors(run: Place) -> ChangingTruth | None:
    """Read what :func:`save_errors` wrote, None where it did not."""
    if not (run / ABOUT).is_file():
        return None
    errors = pd.read_csv(io.StringIO((run / ERRORS).read_text()), dtype={"year": str})
    return ChangingTruth(errors, (run / ABOUT).read_text())


def changing_tables(truth: ChangingTruth) -> list[Table]:
    """Return the errors over all years, and by year."""
    found = []
    overall = truth.errors["year"] == "all"
    for chosen, title in ((overall, "Against the truth, all years"), (~overall, "By year")):
        rows = tuple(_row(line) for line in truth.errors[chosen].to_dict("records"))
        heads = (
            "<map", "year", "cells", "RMSE", "CCC", "ME", "RMSE of the change", "of the trend",
            "inside the interval", "changes inside",
        )  # fmt: skip
        note = (
            "kg/m²; ME is map minus truth. The change is each cell's since the first year, the "
            "trend is that of the region's mean. The interval of 90 % is for a stock measured at "
            "a point, so that it should hold more of these, which have no noise; that of the "
            "change is for the true change."
        )
        found.append(Table(title, heads, rows, note if title.startswith("Against") else ""))
    return found


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(line["arm"]),
        str(line["year"]),
        count(line["n"]),
        fixed(line["RMSE"], 3),
        fixed(line["CCC"]),
        signed(line["ME"], 3),
        fixed(line["change_RMSE"], 3),
        fixed(line["trend_RMSE"], 3) if line["year"] == "all" else DASH,
        _percent(line["inside"]),
        _percent(line["change_inside"]),
    )


def _percent(share: float) -> str:
    return f"{fixed(100 * share, 0)} %" if math.isfinite(share) else DASH
