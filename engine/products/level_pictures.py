"""Pictures of observed and predicted values by level: shares, and what is predicted where."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..assess.assessment import Assessment
from ..assess.crossval import DEPTH_ONLY, FULL
from ..assess.levels import level_bounds, level_table
from .charts import COLOURS, chart, legend_below
from .colours import INK
from .pictures import Labels, Picture, finish, style
from .report_tables import main_split
from .scales import number
from .validation_pictures import assessed_quantity

#: Between the entries of legends.
SPACES = {"handletextpad": 0.4, "columnspacing": 1.2, "borderpad": 0.3}
#: Models drawn beside the observations, at most.
MOST_MODELS = 4
#: Rows observed in a level below which no quantiles are drawn.
FEWEST_ROWS = 5


def level_pictures(assessment: Assessment, labels: Labels) -> tuple[Picture, ...]:
    """Return the two pictures of the main split; none where nothing was predicted."""
    split = main_split(assessment)
    quantity, units = assessed_quantity(assessment)
    observed = assessment.rows["obs"].to_numpy(float)
    predicted = {
        label: assessment.out_of_fold(split, model)["mean"].to_numpy(float)
        for model, label in _models(assessment, split).items()
    }
    bounds = level_bounds(observed, quantity)
    table = level_table(observed, predicted, bounds) if bounds else pd.DataFrame()
    if table.empty or not table["n"].sum():
        return ()
    return (_shares(table, units, labels), _spreads(table, units, labels))


def _models(assessment: Assessment, split: str) -> dict[str, str]:
    """Return the models that are drawn, with what they are called."""
    p = assessment.predictions
    there = [str(m) for m in dict.fromkeys(p.loc[p["split"] == split, "model"])]
    others = [m for m in there if m not in (FULL, DEPTH_ONLY)]
    named = {FULL: "predicted" if not others else "this model", **{m: m for m in others}}
    if DEPTH_ONLY in there:
        named[DEPTH_ONLY] = "depth alone"
    return dict(list(named.items())[:MOST_MODELS])


def _shares(table: pd.DataFrame, units: str, labels: Labels) -> Picture:
    title = "How often each level is observed and predicted"
    models, levels = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["level"]))
    width = 0.8 / len(models)
    with style():
        figure, ax = chart(
            title, labels, tall=2.7, foot=0.74 + 0.2 * -(-len(models) // 3), left=0.62
        )
        words = []
        for i, model in enumerate(models):
            share = 100 * table.loc[table["model"] == model, "share"].to_numpy(float)
            places = np.arange(len(levels)) + (i - (len(models) - 1) / 2) * width
            ax.bar(places, share, 0.88 * width, color=_colour(i), label=model, lw=0, zorder=2)
            told = (f"{level} {s:.0f} %" for level, s in zip(levels, share, strict=True))
            words.append(f"{model}: {', '.join(told)}")
        ax.set_xticks(np.arange(len(levels)), [level.replace("-", "–") for level in levels])
        ax.tick_params(axis="x", length=0, labelcolor=INK)
        ax.set_ylabel("share of values, %")
        ax.set_xlabel(units)
        ax.grid(axis="y", zorder=0)
        ax.set_axisbelow(True)
        legend_below(figure, ax, min(len(models), 3), **SPACES)
        return finish(
            figure, "levels_share", title, f"{title}, {units}, out of fold. {'; '.join(words)}."
        )


def _spreads(table: pd.DataFrame, units: str, labels: Labels) -> Picture:
    title = "What is predicted where so much was observed"
    models, levels = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["level"]))
    tall = (0.2 + 0.13 * len(models)) * len(levels) + 0.2
    with style():
        figure, ax = chart(
            title, labels, tall=tall, foot=0.74 + 0.2 * -(-len(models) // 3), left=0.8
        )
        words = []
        for i, model in enumerate(models):
            rows = table[(table["model"] == model) & (table["n"] >= FEWEST_ROWS)]
            places = [levels.index(level) for level in rows["level"]]
            shifted = np.array(places) + (i - (len(models) - 1) / 2) * 0.72 / len(models)
            for ends, thick in ((("q05", "q95"), 1.1), (("q25", "q75"), 3.6)):
                low, high = (np.maximum(rows[end].to_numpy(float), 0.0) for end in ends)
                ax.hlines(shifted, low, high, color=_colour(i), lw=thick, alpha=0.6, zorder=2)
            ax.plot(
                rows["q50"], shifted, "o", color=_colour(i), ms=4.5, mec="none", label=model,
                zorder=3,
            )  # fmt: skip
            told = (f"{row.level} {number(row.q50)}" for row in rows.itertuples())
            words.append(f"{model}: {', '.join(told)}")
        # levels are steps of a factor: a scale that shows each, and 0
        ax.set_xscale("symlog", linthresh=1.0, linscale=0.3)
        ax.xaxis.set_major_formatter(lambda value, _: number(value))
        ax.set_xlim(left=0)
        ax.set_yticks(np.arange(len(levels)), [level.replace("-", "–") for level in levels])
        ax.set_ylim(len(levels) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.spines["left"].set_visible(False)
        ax.set_ylabel(f"observed, {units}")
        ax.set_xlabel(f"{units}: median, middle half and 90 % of values")
        ax.grid(axis="x", zorder=0)
        ax.set_axisbelow(True)
        legend_below(figure, ax, min(len(models), 3), **SPACES)
        return finish(
            figure,
            "levels_spread",
            title,
            f"{title}, {units}, out of fold: medians by observed level. {'; '.join(words)}.",
        )


def _colour(i: int) -> str:
    return INK if i == 0 else COLOURS[(i - 1) % len(COLOURS)]
