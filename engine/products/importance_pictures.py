"""Pictures of what a model uses its covariates for: what each is worth, and its curve."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..assess.assessment import Assessment
from ..importance import DEPTH
from .charts import COLOURS, chart, legend_below
from .colours import ACCENT, INK
from .level_pictures import SPACES
from .pictures import Labels, Picture, finish, style
from .scales import number
from .validation_pictures import assessed_quantity

#: Covariates that are drawn, at most: what each is worth, and curves.
MOST, MOST_CURVES = 20, 6


def importance_pictures(assessment: Assessment, labels: Labels) -> tuple[Picture, ...]:
    """Return what covariates are worth, and the curves of those worth most; none if not asked."""
    table = assessment.importance
    if table.empty:
        return ()
    overall = table[table["by"] == "all"].dropna(subset=["loss"])
    curves = assessment.dependence
    known = set(curves["covariate"]) if len(curves) else set()
    drawn = [name for name in overall["covariate"] if name in known][:MOST_CURVES]
    units = assessed_quantity(assessment)[1]
    return (
        _worth(overall.head(MOST), labels),
        *(_curve(curves[curves["covariate"] == name], name, units, labels) for name in drawn),
    )


def _worth(table: pd.DataFrame, labels: Labels) -> Picture:
    title = "What each covariate is worth"
    places = np.arange(len(table))
    with style():
        figure, ax = chart(title, labels, tall=0.24 * len(table) + 0.2, foot=0.62, left=1.75)
        bounded = table["low"].notna() & table["high"].notna()
        ax.hlines(
            places[bounded], table["low"][bounded], table["high"][bounded], color=ACCENT, lw=1.6,
            alpha=0.55,
        )  # fmt: skip
        ax.plot(table["loss"], places, "o", color=ACCENT, ms=5, mec="none")
        ax.set_yticks(places, [_words(name) for name in table["covariate"]])
        ax.set_ylim(len(table) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x", zorder=0)
        ax.set_axisbelow(True)
        ax.set_xlabel("R² (log scale) lost where its values are shuffled")
        told = (f"{row.covariate} {row.loss:.2f}" for row in table.itertuples())
        return finish(figure, "importance", title, f"{title}, on rows left out: {', '.join(told)}.")


def _curve(table: pd.DataFrame, name: str, units: str, labels: Labels) -> Picture:
    title = f"Along {_words(name)}"
    classes = bool(table["classes"].iloc[0])
    with style():
        figure, ax = chart(title, labels, tall=2.1, foot=0.82, left=0.62)
        words = []
        layers = list(table.groupby(["top_cm", "bottom_cm"], sort=True))
        for i, ((top, bottom), own) in enumerate(layers):
            ordered = own.sort_values("value")
            x = np.arange(len(ordered)) if classes else ordered["value"].to_numpy()
            colour, depth = COLOURS[i], f"{top:g}–{bottom:g} cm"
            if classes:
                at = x + (i - (len(layers) - 1) / 2) * 0.2
                ax.vlines(at, ordered["q10"], ordered["q90"], color=colour, lw=1.4, alpha=0.5)
                ax.plot(at, ordered["mean"], "o", color=colour, ms=4, label=depth)
            else:
                ax.fill_between(x, ordered["q10"], ordered["q90"], color=colour, alpha=0.15, lw=0)
                ax.plot(x, ordered["mean"], color=colour, lw=1.6, label=depth)
            ends = ordered.iloc[[0, -1]]
            told = (f"{number(row.value)} {number(row.mean)}" for row in ends.itertuples())
            words.append(f"{depth}: {', '.join(told)}")
        if classes:
            values = sorted(table["value"].unique())
            ax.set_xticks(np.arange(len(values)), [f"{v:g}" for v in values])
        ax.set_ylim(bottom=min(0.0, float(table["q10"].min())))
        ax.set_xlabel("class" if classes else _words(name))
        ax.set_ylabel(f"mean predicted, {units}")
        ax.grid(axis="y", zorder=0)
        ax.set_axisbelow(True)
        legend_below(figure, ax, 3, **SPACES)
        return finish(figure, f"along_{name}", title, f"{title}, {units}: {'; '.join(words)}.")


def _words(name: str) -> str:
    return "depth of the layer" if name == DEPTH else name.replace("_", " ")
