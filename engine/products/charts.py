"""Charts of an assessment: observed against predicted, coverage and skill with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from .colours import ACCENT, BAND, CARBON, GOLD, INK, MUTED, RULE, TEAL, VIOLET
from .pictures import Labels, Picture, blank, finish, style
from .scales import number

WIDTH = 4.6
#: Of series, in order.
COLOURS = (ACCENT, TEAL, VIOLET, GOLD, MUTED)
#: Years that are each marked on an axis; of more, round ones are.
MOST_YEARS = 7
#: Characters of a name in a legend that wants a line of its own.
LONG = 28
#: Years that each have a dot on a line.
MOST_MARKED = 12
_DASHES = ("-", "--", ":")


@dataclass(frozen=True)
class Series:
    """Estimates with intervals, one for each label of a chart.

    Parameters
    ----------
    name
        For the legend.
    labels
        What each estimate is for.
    values, low, high
        Estimates and the bounds of their intervals (NaN: none).
    """

    name: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, name: str, table: pd.DataFrame, metric: str, labels: Sequence[str]) -> Series:
        """Take a metric of the groups `labels` from a table of metrics, in that order."""
        rows = table.set_index("group").reindex(list(labels))

        def column(key: str) -> tuple[float, ...]:
            return tuple(float(v) for v in rows[key]) if key in rows else (np.nan,) * len(rows)

        return cls(
            name, tuple(labels), column(metric), column(f"{metric}_low"), column(f"{metric}_high")
        )


def observed_predicted(
    observed: NDArray[np.float64],
    predicted: NDArray[np.float64],
    *,
    name: str,
    title: str,
    note: str,
    units: str,
    labels: Labels,
    how: str = "predicted out of fold",
) -> Picture:
    """Draw predictions against observations as a density on logarithmic axes.

    `how` tells the vertical axis.
    """
    use = np.isfinite(observed) & np.isfinite(predicted)
    low, high = _log_range(observed[use], predicted[use])
    edges = np.geomspace(low, high, 61)
    counts, _, _ = np.histogram2d(
        np.clip(predicted[use], low, high), np.clip(observed[use], low, high), bins=(edges, edges)
    )
    with style():
        figure, ax = chart(title, labels, tall=4.1, foot=0.72)
        level = np.log1p(counts) / np.log1p(max(counts.max(), 1))
        image = np.asarray(
            CARBON(0.12 + 0.88 * np.rint(level * 60) / 60, bytes=True), np.uint8
        ).copy()
        image[counts == 0] = 0
        ax.imshow(
            np.flipud(image), extent=(0, 1, 0, 1), interpolation="none", zorder=2, aspect="auto"
        )
        ax.plot([0, 1], [0, 1], color=TEAL, lw=1.1, zorder=3)
        ticks = [v for p in range(-2, 5) for v in (10.0**p,) if low <= v <= high]
        places = [float(np.log(v / low) / np.log(high / low)) for v in ticks]
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(places, [number(v) for v in ticks])
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.grid(zorder=1)
        ax.set_xlabel(f"observed, {units}")
        ax.set_ylabel(f"{how}, {units}")
        ax.text(0.035, 0.955, note, transform=ax.transAxes, fontsize=8.5, va="top", color=INK)
        return finish(
            figure,
            name,
            title,
            f"Density of {int(use.sum()):,} predictions against observations, logarithmic axes, "
            f"with the one-to-one line. {note}".replace("\n", "; "),
        )


def depth_chart(
    series: Sequence[Series],
    *,
    name: str,
    title: str,
    axis: str,
    labels: Labels,
    target: tuple[float, float, float] | None = None,
) -> Picture:
    """Draw estimates by group, depths downwards, with intervals.

    Parameters
    ----------
    series
        All with the same labels.
    axis
        What the horizontal axis says.
    target
        A wanted value and the band around it that passes.
    """
    groups = series[0].labels
    tall = 0.36 * len(groups) + 0.3
    with style():
        figure, ax = chart(title, labels, tall=tall, foot=0.95, left=1.15)
        if target:
            ax.axvspan(target[1], target[2], color=BAND, lw=0, zorder=0)
            ax.axvline(target[0], color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=1)
        for i, one in enumerate(series):
            shift = (i - (len(series) - 1) / 2) * 0.2
            _whiskers(ax, one, np.arange(len(groups)) + shift, COLOURS[i % len(COLOURS)])
        ax.set_yticks(np.arange(len(groups)), [_depth_words(g) for g in groups])
        ax.set_ylim(len(groups) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x", zorder=0)
        ax.set_axisbelow(True)
        ax.set_xlabel(axis)
        ax.margins(x=0.08)
        if len(series) > 1:
            spaces = {"handletextpad": 0.3, "columnspacing": 1.2, "borderpad": 0.3}
            legend_below(figure, ax, len(series), **spaces)
        words = "; ".join(_series_words(one) for one in series)
        return finish(figure, name, title, f"{title}. {words}.")


def legend_below(figure: Figure, ax: Axes, columns: int, **spaces: float) -> None:
    """Write what the marks of `ax` mean at the foot of a chart, in so many columns."""
    handles, names = ax.get_legend_handles_labels()
    place = (0.0, 0.14 / figure.get_figheight())
    figure.legend(handles, names, loc="lower left", bbox_to_anchor=place, ncols=columns, **spaces)


@dataclass(frozen=True)
class YearLine:
    """A value by year.

    Parameters
    ----------
    values
        By year, NaN where there is none.
    low, high
        Bounds of a band or of whiskers, by year; for some years or for none.
    colour
        Of the line; the next of a series by default.
    points
        Whether there are only single years, drawn as points with whiskers.
    """

    values: Mapping[int, float]
    low: Mapping[int, float] = field(default_factory=dict)
    high: Mapping[int, float] = field(default_factory=dict)
    colour: str = ""
    points: bool = False


def year_chart(
    lines: Mapping[str, Mapping[int, float] | YearLine],
    *,
    name: str,
    title: str,
    axis: str,
    labels: Labels,
    limits: tuple[float, float] | None = None,
) -> Picture:
    """Draw a value by year for each of `lines`; the vertical axis need not begin at zero.

    Parameters
    ----------
    limits
        Of the vertical axis; around the values by default.
    """
    told = {k: v if isinstance(v, YearLine) else YearLine(v) for k, v in lines.items()}
    with style():
        across = 1 if max(map(len, lines)) > LONG else 2
        foot = 0.6 + 0.2 * -(-len(lines) // across)
        figure, ax = chart(title, labels, tall=2.7, foot=foot, left=0.78)
        draw_years(ax, told, limits)
        ax.set_ylabel(axis)
        legend_below(figure, ax, across)
        return finish(figure, name, title, f"{title}, {axis}. {years_in_words(told)}.")


def draw_years(
    ax: Axes, lines: Mapping[str, YearLine], limits: tuple[float, float] | None = None
) -> None:
    """Draw lines, bands and points by year into axes, with years and numbers at their edges."""
    for i, (label, line) in enumerate(lines.items()):
        years = sorted(line.values)
        values = [line.values[year] for year in years]
        colour = line.colour or COLOURS[i % len(COLOURS)]
        told = [y for y in years if y in line.low and y in line.high]
        low, high = ([bound[y] for y in told] for bound in (line.low, line.high))
        if line.points:
            ax.vlines(told, low, high, color=colour, lw=1.4, zorder=4)
            ax.plot(years, values, "o", color=colour, ms=5, label=label, zorder=5)
            continue
        if told:
            ax.fill_between(told, low, high, color=colour, alpha=0.16, lw=0, zorder=1)
        dot = "o" if len(years) <= MOST_MARKED else "none"
        dash = _DASHES[i // len(COLOURS) % len(_DASHES)]
        style_of: dict[str, Any] = {
            "color": colour,
            "ls": dash,
            "lw": 1.6,
            "marker": dot,
            "ms": 3.5,
        }
        ax.plot(years, values, label=label, zorder=3, **style_of)
    shown = sorted({year for line in lines.values() for year in line.values})
    few = len(shown) <= MOST_YEARS
    ax.xaxis.set_major_locator(
        FixedLocator(shown) if few else MaxNLocator(integer=True, nbins=MOST_YEARS)
    )
    ax.yaxis.set_major_formatter(lambda value, _: number(value))
    ax.grid(axis="y", zorder=0)
    ax.set_axisbelow(True)
    ax.margins(y=0.12)
    if limits:
        ax.set_ylim(*limits)
        if limits[0] < 0 < limits[1]:
            ax.axhline(0, color=MUTED, lw=0.9, zorder=0.5)


def years_in_words(lines: Mapping[str, YearLine]) -> str:
    """Return what a chart by year shows: every value, or the ends of a long line."""
    found = []
    for label, line in lines.items():
        held = [(year, v) for year, v in sorted(line.values.items()) if np.isfinite(v)]
        if len(held) > MOST_MARKED:
            held = [held[0], held[-1]]
        found.append(f"{label}: {', '.join(f'{year} {number(value)}' for year, value in held)}")
    return "; ".join(found)


def _whiskers(ax: Axes, one: Series, places: NDArray[np.floating[Any]], colour: str) -> None:
    for place, low, high in zip(places, one.low, one.high, strict=True):
        if np.isfinite(low) and np.isfinite(high):
            ax.plot([low, high], [place, place], color=colour, lw=1.6, alpha=0.55, zorder=2)
    ax.plot(
        one.values, places, "o", color=colour, ms=5, mec="none", label=one.name, zorder=3, ls="none"
    )


def _depth_words(group: str) -> str:
    return group.replace("-", "–") if group.endswith("cm") else group


def _series_words(one: Series) -> str:
    found = [
        f"{label} {value:.2f}"
        for label, value in zip(one.labels, one.values, strict=True)
        if np.isfinite(value)
    ]
    return f"{one.name}: {', '.join(found)}"


def chart(
    title: str,
    labels: Labels,
    *,
    tall: float,
    foot: float,
    left: float = 0.62,
) -> tuple[Figure, Axes]:
    """Return a figure with title, banner and caption, and its axes; sizes are in inches.

    Parameters
    ----------
    tall
        Height of the axes.
    foot, left
        Room below and left of them.
    """
    head = 0.62 if labels.banner else 0.4
    height = head + tall + foot
    figure = blank(WIDTH, height)
    ax = figure.add_axes(
        (left / WIDTH, foot / height, (WIDTH - left - 0.16) / WIDTH, tall / height)
    )
    figure.text(0.015, 1 - 0.16 / height, title, fontsize=10, fontweight="bold", va="center")
    if labels.banner:
        place = 1 - 0.38 / height
        figure.text(
            0.015, place, labels.banner, fontsize=8, fontweight="bold", color=ACCENT, va="center"
        )
    figure.text(0.015, 0.08 / height, labels.caption, fontsize=6.5, color=MUTED, va="center")
    ax.tick_params(color=RULE)
    return figure, ax


def _log_range(
    observed: NDArray[np.float64], predicted: NDArray[np.float64]
) -> tuple[float, float]:
    """Bounds of both axes: the 0.5 to 99.9 percentile of what is positive."""
    found = np.concatenate([observed, predicted])
    found = found[found > 0]
    if not len(found):
        return 0.1, 100.0
    low, high = (float(v) for v in np.percentile(found, [0.5, 99.9]))
    return low * 0.8, max(high * 1.25, low * 10)


def split_names() -> Mapping[str, str]:
    """Return splits as people call them."""
    return {
        "block": "spatial blocks",
        "profile": "by profile",
        "random": "random rows",
        "source": "by source",
        "knndm": "as far as the map (kNNDM)",
    }
