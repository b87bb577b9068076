"""Coverage of intervals of every level: the curve, and tables beside it."""

from __future__ import annotations

import pandas as pd

from ..assess.assessment import Assessment
from ..assess.crossval import FULL
from ..assess.strata import ABOVE, BELOW
from .charts import COLOURS, chart, legend_below
from .colours import BAND, INK, MUTED
from .level_pictures import SPACES
from .pictures import Labels, Picture, finish, style
from .report_tables import main_split, split_label
from .tables import Table, estimate, fixed

_DASHES = ("-", "--")


def interval_pictures(assessment: Assessment, labels: Labels) -> tuple[Picture, ...]:
    """Return the coverage curve of the main split; none for a model without quantiles."""
    table = _curves(assessment)
    if table["nominal"].nunique() < 2:
        return ()
    title = "Do intervals hold what they promise?"
    groups = [g for g in dict.fromkeys(table["group"]) if g not in (ABOVE, BELOW)]
    with style():
        rows = -(-len(groups) // 4)
        figure, ax = chart(title, labels, tall=3.3, foot=0.62 + 0.2 * rows, left=0.62)
        ends = (float(table["nominal"].min()), float(table["nominal"].max()))
        room = 0.02
        ax.fill_between(ends, [e - 0.03 for e in ends], [e + 0.03 for e in ends], color=BAND, lw=0)
        ax.plot(ends, ends, color=MUTED, lw=0.9, ls=(0, (4, 3)))
        words = []
        for i, group in enumerate(groups):
            own = table[table["group"] == group].sort_values("nominal")
            overall = group == "all"
            colour = INK if overall else COLOURS[(i - 1) % len(COLOURS)]
            dash = _DASHES[(i - 1) // len(COLOURS) % 2] if i else "-"
            if overall:
                ax.vlines(own["nominal"], own["PICP_low"], own["PICP_high"], color=colour, lw=1.2)
            ax.plot(
                own["nominal"], own["PICP"], color=colour, ls=dash, lw=1.8 if overall else 1.0,
                marker="o", ms=4 if overall else 2.5, label=group.replace("-", "–"),
                zorder=4 if overall else 3,
            )  # fmt: skip
            told = (f"{row.nominal:g} {row.PICP:.2f}" for row in own.itertuples())
            words.append(f"{group}: {', '.join(told)}")
        ax.set_xticks(sorted(table["nominal"].unique()))
        ax.set_xlim(ends[0] - room, ends[1] + room)
        ax.grid(zorder=0)
        ax.set_axisbelow(True)
        ax.set_xlabel("share that the interval is to hold")
        ax.set_ylabel("share of observations inside")
        legend_below(figure, ax, 4, **SPACES)
        return (finish(figure, "coverage_curve", title, f"{title} {'; '.join(words)}."),)


def interval_score_tables(assessment: Assessment, units: str) -> list[Table]:
    """Return scores of intervals of every level, and of the whole distribution by depth."""
    table = _curves(assessment)
    if table.empty:
        return []
    split = main_split(assessment)
    overall = table[table["group"] == "all"].sort_values("nominal")
    rows = [
        (
            f"{100 * row['nominal']:g} %",
            estimate(row, "PICP"),
            fixed(row["below"]),
            fixed(row["above"]),
            estimate(row, "MPIW", 1),
            estimate(row, "IS", 1),
        )
        for row in overall.to_dict("records")
    ]
    found = [
        Table(
            f"Intervals of every level, {split_label(split)}",
            ("<interval", "holds", "below it", "above it", f"width, {units}", f"score, {units}"),
            tuple(rows),
            "Shares of observations. The interval score adds to the width what misses cost; less "
            "is better, and widening without need makes it more.",
        )
    ]
    depths = pd.concat([assessment.table(split), assessment.table(split, "depth")])
    if "CRPS" in depths and depths["CRPS"].notna().any():
        by_depth = [
            (
                str(row["group"]).replace("-", "–"),
                estimate(row, "CRPS", 2),
                estimate(row, "IS", 1),
                estimate(row, "PICP"),
                fixed(row["MPIW"], 1),
            )
            for row in depths.to_dict("records")
        ]
        found.append(
            Table(
                f"The predicted distribution by depth, {split_label(split)}",
                ("<depth", f"CRPS, {units}", f"score90, {units}", "PICP90", f"width90, {units}"),
                tuple(by_depth),
                "CRPS is the error of the whole distribution, as told by its quantiles; of a "
                "prediction without spread it is the mean absolute error.",
            )
        )
    return found


def _curves(assessment: Assessment) -> pd.DataFrame:
    """Return the intervals of the assessed model in the main split, of all rows and by depth."""
    table = assessment.intervals
    if table.empty:
        return pd.DataFrame({"nominal": [], "group": []})
    chosen = (table["split"] == main_split(assessment)) & (table["model"] == FULL)
    return table[chosen & table["by"].isin(["all", "depth"])]
