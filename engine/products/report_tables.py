"""The tables of a report: validation, quality of profiles, totals, status, truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..assess.assessment import Assessment
from ..assess.crossval import DEPTH_ONLY, FULL
from ..status import MAPPED, Status
from .charts import split_names
from .scales import pretty_units
from .tables import DASH, Table, areas, count, digits_for, estimate, fixed, interval, signed
from .totals import Group, TotalRow, Totals

_QA_ORDER = {"dropped": 0, "converted": 1, "set missing": 2, "flagged": 3, "noted": 4}


def split_label(name: str) -> str:
    """Return a split's name as people say it."""
    return split_names().get(name, name)


def metric_tables(assessment: Assessment, units: str) -> list[Table]:
    """Return the tables of a validation: by split, by depth, source and climate, gain, flattery."""
    found = [_by_split(assessment, units)]
    first = main_split(assessment)
    for by, title in (
        ("depth", "By depth"),
        ("source", "By source"),
        ("applicability", "Inside and outside the area of applicability"),
        ("applicability_depth", "Inside and outside the area of applicability, by depth"),
        ("koeppen_group", "By Köppen group"),
        ("koeppen_depth", "By Köppen group and depth"),
        ("prediction_tercile", "By size of the prediction"),
    ):
        table = assessment.table(first, by)
        if len(table):
            found.append(_grouped(table, f"{title}, {split_label(first)}", units))
    return found + _difference_tables(assessment)


def main_split(assessment: Assessment) -> str:
    """Return the split that headline numbers come from: blocks where there are any."""
    present = list(dict.fromkeys(assessment.metrics["split"]))
    return "block" if "block" in present else str(present[0])


def headline(assessment: Assessment) -> dict[str, Any]:
    """Return the row of overall metrics of the main split."""
    table = assessment.table(main_split(assessment))
    return {} if table.empty else dict(table.iloc[0])


def _by_split(assessment: Assessment, units: str) -> Table:
    rows = []
    for split in dict.fromkeys(assessment.metrics["split"]):
        for model, label in ((FULL, split_label(split)), (DEPTH_ONLY, "… depth alone")):
            table = assessment.table(split, model=model)
            if len(table):
                rows.append((label, *score_cells(dict(table.iloc[0]))))
    return Table(
        "Ways of leaving data out, side by side",
        ("<split", "n", *score_heads(units)),
        tuple(rows),
        "In brackets: 95 % interval from a bootstrap over spatial blocks. R² is 1 − SSE/SST, "
        "r is Pearson's correlation. ME is predicted minus observed.",
    )


def score_heads(units: str) -> tuple[str, ...]:
    """Return the headings of :func:`score_cells`."""
    return (
        "R²",
        "R², log scale",
        "r",
        "CCC",
        "KGE",
        f"RMSE, {units}",
        f"MAE, {units}",
        f"ME, {units}",
        "PICP90",
        f"width, {units}",
    )


def score_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the scores of a row of an assessment's metrics as text."""
    return (
        count(row["n"]),
        estimate(row, "R2"),
        estimate(row, "R2_log1p"),
        fixed(row.get("r")),
        estimate(row, "CCC"),
        fixed(row.get("KGE")),
        estimate(row, "RMSE", 1),
        fixed(row.get("MAE"), 1),
        f"{signed(row.get('ME'), 1)} {interval(row.get('ME_low'), row.get('ME_high'), 1)}".strip(),
        estimate(row, "PICP"),
        fixed(row.get("MPIW"), 1),
    )


def _grouped(table: pd.DataFrame, title: str, units: str) -> Table:
    rows = [
        (str(row["group"]).replace("-", "–"), *score_cells(row)) for row in table.to_dict("records")
    ]
    return Table(title, ("<group", "n", *score_heads(units)), tuple(rows))


def _difference_tables(assessment: Assessment) -> list[Table]:
    found = []
    gain, data = assessment.gain, "soil"
    if assessment.settings.get("target", {}).get("name", "soc") == "soc":
        data = "soil carbon"
    if len(gain):
        rows = _differences(gain[gain["by"] == "all"], "split")
        found.append(
            Table(
                "What the covariates add to depth alone",
                ("<split", "<score", "full model", "depth alone", "gain", "95 % interval"),
                tuple(rows),
                f"Depth alone explains much of any {data} data; only the gain is the map's.",
            )
        )
    flattery = assessment.flattery
    if len(flattery):
        rows = _differences(flattery[flattery["by"] == "all"], "split")
        found.append(
            Table(
                "How much an easier split flatters",
                ("<split", "<score", "this split", "spatial blocks", "difference", "95 % interval"),
                tuple(rows),
                "Rows or profiles near training data are easier than the places a map is for.",
            )
        )
    return found


_SHOWN = {"R2": "R²", "R2_log1p": "R², log scale", "CCC": "CCC", "RMSE": "RMSE", "PICP": "PICP90"}


def _differences(table: pd.DataFrame, key: str) -> list[tuple[str, ...]]:
    return [
        (
            split_label(str(row[key])),
            _SHOWN[row["metric"]],
            fixed(row["value"]),
            fixed(row["other"]),
            signed(row["difference"]),
            interval(row["low"], row["high"]) or DASH,
        )
        for row in table.to_dict("records")
        if row["metric"] in _SHOWN
    ]


def qa_tables(qa: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a profile QA report (``QAReport.to_json``)."""
    sources = [
        (
            str(s["source"]),
            count(s["rows_in"]),
            count(s["rows_in"] - s["rows_kept"]),
            count(s["rows_kept"]),
            count(s["profiles_kept"]),
            count(s["undated_rows"]),
            fixed(s["median_soc_g_kg"], 1),
        )
        for s in qa.get("sources", [])
    ]
    merged: dict[tuple[str, str, str], list[Any]] = {}
    for line in qa.get("lines", []):
        key = (line["action"], line["rule"], line["why"])
        held = merged.setdefault(key, [0, 0, []])
        held[0] += line["rows"]
        held[1] += line["profiles"]
        held[2].append(line["source"])
    rules = [
        (rule.replace("_", " "), action, ", ".join(found), count(rows), count(profiles), why)
        for (action, rule, why), (rows, profiles, found) in sorted(
            merged.items(), key=lambda item: _QA_ORDER.get(item[0][0], 9)
        )
    ]
    return [
        Table(
            "Soil layers read and kept",
            (
                "<source", "rows read", "dropped", "kept", "profiles", "undated rows",
                "median SOC, g/kg",
            ),
            tuple(sources),
        ),
        Table(
            "What each rule did",
            ("<rule", "<action", "<sources", "rows", "profiles", "<why"),
            tuple(rules),
        ),
    ]  # fmt: skip


def totals_tables(
    totals: Totals, variable: str | None = None, year: int | None = None
) -> list[Table]:
    """Return area-weighted means and, for stocks, totals, of one variable and year if named."""
    groupings: tuple[tuple[Group, str], ...] = (
        ("all", "Whole map"),
        ("zone", "By climate zone"),
        ("status", "By status of the cell"),
    )
    found: list[Table] = []
    for by, title in groupings:
        rows = totals.select(by, variable, year)
        if not rows or (by == "status" and len({r.group for r in rows}) < 2):
            continue
        found.append(_totals_table(rows, title, totals.note if not found else ""))
    return found


def _totals_table(rows: Sequence[TotalRow], title: str, note: str) -> Table:
    stocks = any(r.total_pg is not None for r in rows)
    depths = list(dict.fromkeys(r.depth for r in rows))
    groups = list(dict.fromkeys(r.group for r in rows))
    years = list(dict.fromkeys(r.year for r in rows))
    units = pretty_units(rows[0].units)
    digits = digits_for([r.mean for r in rows]) if stocks else 1
    total_digits = digits_for([r.total_pg for r in rows])
    lines = []
    unit, texts = areas([r.area_km2 for r in rows])
    area_of = dict(zip(rows, texts, strict=True))
    for year in years:
        for group in groups:
            mine = {r.depth: r for r in rows if (r.group, r.year) == (group, year)}
            if not mine:
                continue
            any_row = next(iter(mine.values()))
            label = group if len(years) == 1 else f"{group}, {year}"
            cells = [fixed(mine[d].mean, digits) if d in mine else DASH for d in depths]
            totals = [fixed(mine[d].total_pg, total_digits) if d in mine else DASH for d in depths]
            lines.append(
                (
                    label,
                    count(any_row.cells),
                    area_of[any_row],
                    *cells,
                    *(totals if stocks else []),
                )
            )
    words = [d.replace("-", "–").replace("cm", " cm") for d in depths]
    heads = [f"{w}, mean" if stocks else w for w in words]
    heads += [f"{w}, Pg" for w in words] if stocks else []
    title = f"{title}: mean, {units}" + (", and total" if stocks else "")
    return Table(title, ("<cells", "number", f"area, {unit}", *heads), tuple(lines), note)


def status_table(
    counts: Mapping[str, int], stocks: Mapping[str, float] | None = None
) -> Table | None:
    """Return how many cells have which status, from the run's ``cells_by_status``.

    `stocks`, the run's ``initial_stock_pg``, tells what stock the cells of each status began with:
    what a total is with and without the cells left out.
    """
    known = [(s, counts[s.meaning]) for s in Status if s.meaning in counts]
    if not known:
        return None
    land = sum(cells for s, cells in known if s is not Status.SEA) or 1
    rows = tuple(
        (
            s.words,
            "yes" if s in MAPPED else "no",
            count(cells),
            DASH if s is Status.SEA else f"{fixed(100 * cells / land)} %",
            *((fixed(stocks.get(s.words)),) if stocks else ()),
        )
        for s, cells in known
    )
    heads: tuple[str, ...] = ("<status", "<has a value", "cells", "share of land")
    if not stocks:
        return Table("Cells by status", heads, rows)
    kept = sum(stocks.get(s.words, 0.0) for s, _ in known if s in MAPPED)
    no_soil = (Status.SEA, Status.WATER, Status.ICE, Status.URBAN, Status.OUTSIDE_BOUNDARY)
    soil = sum(stocks.get(s.words, 0.0) for s, _ in known if s not in no_soil)
    note = f"The initial stock is {fixed(soil)} Pg with the soils left out, "
    note += f"{fixed(kept)} Pg without them; cells of no soil count in neither."
    return Table("Cells by status", (*heads, "initial stock, Pg"), rows, note)


def truth_tables(table: pd.DataFrame) -> list[Table]:
    """Return a virtual world's errors everywhere, from ``TruthScore.table()``."""
    chosen = table[(table["group"] == "all") & (table["weighting"] == "area")]
    found = []
    for target, title in (
        ("cell mean", "Against the true mean of every cell"),
        ("fresh sample", "Against a fresh noisy sample in every cell"),
    ):
        plain = chosen[(chosen["target"] == target) & (chosen["scale"] == "g/kg")]
        logs = chosen[(chosen["target"] == target) & (chosen["scale"] == "log1p")]
        log_r2 = dict(zip(logs["depth"], logs["R2"], strict=True))
        rows = [
            (
                f"{row['depth']} cm".replace("-", "–"),
                count(row["n"]),
                fixed(row["R2"]),
                fixed(log_r2.get(row["depth"])),
                signed(row["ME"]),
                fixed(row["RMSE"]),
                fixed(row["PICP90"]),
                fixed(row["MPIW"], 1),
            )
            for row in plain.to_dict("records")
        ]
        if rows:
            found.append(
                Table(
                    title,
                    (
                        "<depth", "cells", "R²", "R², log scale", "ME, g/kg", "RMSE, g/kg",
                        "PICP90", "width, g/kg",
                    ),
                    tuple(rows),
                    "Weighted by cell area. ME is map minus truth.",
                )
            )  # fmt: skip
    return found
