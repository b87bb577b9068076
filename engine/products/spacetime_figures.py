"""Figures of a hybrid in space and time against samples it had not seen, by model.

In the manner of figures 5 and 6 of Zhang L. et al. (2024), the paper of POML, for one's own data:
predictions against observations by year, and the mean through time beside that of the samples. Both
are of out-of-fold predictions of sites held out
(:func:`~edaphos.engine.assess.arms.arm_rows`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from edaphos.kernels.metrics import metrics

from ..assess.arms import ROW_KEYS
from .charts import YearLine, chart, year_chart
from .colours import ACCENT, GOLD, INK, MUTED, TEAL, VIOLET, WIDTH
from .pictures import Labels, Picture, finish, style
from .scales import number
from .tables import count, fixed
from .words import capital

#: Groups of years with colours of their own.
MOST_GROUPS = 5
#: Points that are drawn one by one; more become one image.
MOST_VECTORS = 1500
#: Standard errors that the mean of samples is uncertain by, for 95 %.
ERRORS = 1.96

Floats = NDArray[np.float64]


def arms_in(rows: pd.DataFrame) -> list[str]:
    """Return the models that rows hold predictions of."""
    return [str(column) for column in rows.columns if column not in ROW_KEYS]


def colour_of(arm: str) -> str:
    """Return the colour of a model's line, known by the short name at the end of its label.

    >>> colour_of("hybrid (POML)") == VIOLET, colour_of("mine") == GOLD
    (True, True)
    """
    if "own start" in arm:
        return MUTED
    short = {"(ML)": ACCENT, "(PO)": TEAL, "(POML)": VIOLET}
    return next((c for name, c in short.items() if arm.endswith(name)), GOLD)


# -- predictions against observations --------------------------------------------------------------


def predicted_observed(rows: pd.DataFrame, units: str, labels: Labels) -> tuple[Picture, ...]:
    """Draw predictions against observations for each model, on the same axes.

    Parameters
    ----------
    rows
        Of one split: ``year``, ``observed``, and a column for each model.
    units
        Of the values.
    labels
        Banner and caption.
    """
    sampled = rows[np.isfinite(rows["observed"])]
    arms = [arm for arm in arms_in(rows) if np.isfinite(sampled[arm]).any()]
    limits = _limits(sampled, arms)
    groups = _groups(sampled["year"].to_numpy(int))
    return tuple(
        _scatter(sampled, arm, groups, limits, units, labels, name=f"arms_scatter_{i}")
        for i, arm in enumerate(arms)
    )


@dataclass(frozen=True)
class _Group:
    """Years that share a colour."""

    label: str
    first: int
    last: int

    def holds(self, years: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (years >= self.first) & (years <= self.last)


def _groups(years: NDArray[np.int64]) -> list[_Group]:
    """Put years in groups of about as many samples, single years where they are few."""
    distinct = np.unique(years)
    if len(distinct) <= MOST_GROUPS:
        return [_Group(str(y), int(y), int(y)) for y in distinct]
    shares = np.linspace(0, 1, MOST_GROUPS + 1)[1:]
    ends = np.unique(np.quantile(years, shares, method="higher"))
    found, first = [], int(distinct[0])
    for end in ends:
        last = int(end)
        found.append(_Group(str(first) if first == last else f"{first}–{last}", first, last))
        later = distinct[distinct > last]
        first = int(later[0]) if len(later) else last
    return found


def _limits(sampled: pd.DataFrame, arms: list[str]) -> tuple[float, float]:
    """Return bounds of both axes: nearly all values; the few beyond lie on the edge."""
    values = sampled[["observed", *arms]].to_numpy(float)
    low, high = (float(v) for v in np.nanpercentile(values, [0.2, 99.8]))
    pad = 0.04 * (high - low) or 0.1
    return max(0.0, low - pad) if low >= 0 else low - pad, high + pad


def _scatter(
    sampled: pd.DataFrame,
    arm: str,
    groups: list[_Group],
    limits: tuple[float, float],
    units: str,
    labels: Labels,
    *,
    name: str,
) -> Picture:
    held = sampled[np.isfinite(sampled[arm])]
    observed, predicted = held["observed"].to_numpy(float), held[arm].to_numpy(float)
    years = held["year"].to_numpy(int)
    shown = [group for group in groups if group.holds(years).any()]
    title = capital(arm)
    with style():
        figure, ax = chart(title, labels, tall=3.75, foot=0.72 + 0.2 * len(shown))
        shades = np.empty(len(held), object)
        for group in shown:
            shades[group.holds(years)] = _shade(groups, group)
        _points(ax, observed, predicted, limits, shades)
        ax.plot(limits, limits, color=INK, lw=0.9, zorder=2)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(lambda value, _: number(value))
        ax.set_xlim(*limits)
        ax.set_ylim(*limits)
        ax.grid(zorder=0)
        ax.set_axisbelow(True)
        ax.set_xlabel(f"observed, {units}")
        ax.set_ylabel(f"predicted out of fold, {units}")
        overall = _scores(observed, predicted, units)
        ax.text(0.035, 0.965, overall, transform=ax.transAxes, fontsize=8.5, va="top", color=INK)
        words = {}
        for i, group in enumerate(shown):
            use = group.holds(years)
            words[group.label] = _scores(observed[use], predicted[use], units).replace("\n", ", ")
            bottom = (0.3 + 0.2 * (len(shown) - 1 - i)) / figure.get_figheight()
            colour = _shade(groups, group)
            figure.text(0.03, bottom, "●", fontsize=9, color=colour, va="center")
            text = f"{group.label}: {words[group.label]}"
            figure.text(0.07, bottom, text, fontsize=7.5, color=INK, va="center")
        said = "; ".join(f"{label}: {text}" for label, text in words.items())
        alt = (
            f"{title}: {len(held):,} predictions of held-out samples against observations, by "
            f"year, with the one-to-one line. {overall}. {said}."
        )
        return finish(figure, name, title, alt.replace("\n", ", "))


def _points(
    ax: Axes,
    observed: Floats,
    predicted: Floats,
    limits: tuple[float, float],
    shades: NDArray[np.object_],
) -> None:
    total = len(observed)
    mixed = np.random.default_rng(0).permutation(total)  # so that no year covers the others
    ax.scatter(
        np.clip(observed, *limits)[mixed],
        np.clip(predicted, *limits)[mixed],
        s=float(np.clip(9000 / max(total, 1), 4, 20)),
        color=list(shades[mixed]),
        alpha=0.75 if total < 400 else 0.55,
        linewidths=0,
        zorder=3,
        rasterized=total > MOST_VECTORS,
        clip_on=False,
    )


def _shade(groups: list[_Group], group: _Group) -> str:
    """Return the colour of a group of years: later ones darker, all seen on light and on dark."""
    place = groups.index(group) / max(1, len(groups) - 1)
    return str(to_hex(WIDTH(0.3 + 0.4 * place)))


def _scores(observed: Floats, predicted: Floats, units: str) -> str:
    found = metrics(observed, predicted)
    return (
        f"RMSE {fixed(found['RMSE'])} {units}\nCCC {fixed(found['CCC'])}\nn {count(len(observed))}"
    )


# -- the mean through time -------------------------------------------------------------------------


def mean_through_time(
    rows: pd.DataFrame, units: str, labels: Labels, title: str = "Mean stock of the sites"
) -> Picture:
    """Draw the mean of all held-out sites by model in each year, and that of the samples.

    Whiskers are 1.96 standard errors of the mean of the samples of a year.

    Parameters
    ----------
    rows
        Of one split: ``site``, ``year``, ``observed``, and a column for each model.
    """
    lines: dict[str, YearLine] = {}
    for arm in arms_in(rows):
        means = whole_means(rows, arm)
        if means:
            lines[arm] = YearLine(means, colour=colour_of(arm))
    mean, low, high = observed_means(rows)
    lines["samples, mean and 95 % interval"] = YearLine(mean, low, high, INK, points=True)
    return year_chart(
        lines,
        name="arms_through_time",
        title=title,
        axis=f"mean stock, {units}",
        labels=labels,
    )


def whole_means(rows: pd.DataFrame, arm: str) -> dict[int, float]:
    """Return a model's mean by year over the sites, for years in which it predicts them all.

    A mean over fewer sites would jump for no other reason than that.
    """
    held = rows[np.isfinite(rows[arm])]
    by_year = held.groupby("year")[arm].agg(["mean", "size"])
    if by_year.empty:
        return {}
    whole = by_year[by_year["size"] == by_year["size"].max()]
    return {int(year): float(value) for year, value in whole["mean"].items()}


def observed_means(
    rows: pd.DataFrame,
) -> tuple[Mapping[int, float], Mapping[int, float], Mapping[int, float]]:
    """Return the mean of the samples by year, and the bounds of its 95 % interval.

    Bounds are there for years of two samples or more.
    """
    by_year = rows[np.isfinite(rows["observed"])].groupby("year")["observed"]
    mean, spread, size = by_year.mean(), by_year.std(), by_year.size()
    error = (ERRORS * spread / np.sqrt(size)).dropna()
    return (
        {int(y): float(v) for y, v in mean.items()},
        {int(y): float(mean[y] - e) for y, e in error.items()},
        {int(y): float(mean[y] + e) for y, e in error.items()},
    )


def same_sites(rows: pd.DataFrame) -> bool:
    """Whether every site was sampled in each sampled year, so that means are of the same sites."""
    sampled = rows[np.isfinite(rows["observed"])]
    return bool((sampled.groupby("year")["site"].nunique() == rows["site"].nunique()).all())
