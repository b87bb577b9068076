"""The picture of a site's run: its pools through time, and measured stocks beside their sum."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .products.colours import ACCENT, BAND, GOLD, INK, MUTED, TEAL, VIOLET
from .products.pictures import Picture, blank, finish, style
from .rothc_checks import SPIN_UP_MONTHS
from .rothc_measured import Measured
from .rothc_site import SiteResult

#: Bottom to top, as the pools are stacked.
STACK = {"IOM": MUTED, "HUM": ACCENT, "BIO": VIOLET, "RPM": GOLD, "DPM": TEAL}
#: Runs of more years than this are drawn by the end of each year.
YEARS_BY_MONTH = 40
SIZE = (7.2, 4.2)

Floats = NDArray[np.float64]


def pool_picture(
    months: pd.DataFrame, *, title: str, note: str = "", measured: Measured | None = None
) -> Picture:
    """Draw the pools of a month table, stacked, so that their top is soil organic carbon.

    Parameters
    ----------
    months
        In the official columns, at least one row.
    title, note
        Above, and in small below.
    measured
        Drawn as points.
    """
    if len(months) > 12 * YEARS_BY_MONTH:
        months = months[months["Month"] == 12]
    time = months["Year"].to_numpy(np.float64) + months["Month"].to_numpy(np.float64) / 12
    stacked = [months[f"{pool}_t_C_ha"].to_numpy(np.float64) for pool in STACK]
    total = months["SOC_t_C_ha"].to_numpy(np.float64)
    with style():
        figure = blank(*SIZE)
        ax = figure.add_axes((0.085, 0.15, 0.8, 0.74))
        layers = ax.stackplot(time, stacked, colors=list(STACK.values()), alpha=0.75, lw=0)
        for layer in layers:
            layer.set_edgecolor("none")
        ax.plot(time, total, color=INK, lw=1.0)
        if measured is not None:
            ax.plot(
                measured.year, measured.soc, "o", color=INK, mfc="white", ms=5, label="measured"
            )
            ax.legend(loc="upper left")
        _name_layers(ax, stacked)
        ax.set_xlim(time[0], max(time[-1], time[0] + 1 / 12))
        ax.set_ylim(0, 1.12 * max(total.max(), 0 if measured is None else measured.soc.max(), 1e-6))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("year")
        ax.set_ylabel("soil organic carbon, t C/ha")
        ax.grid(axis="y", color=BAND)
        ax.set_axisbelow(True)
        figure.text(0.015, 0.955, title, fontsize=10, fontweight="bold", va="center")
        figure.text(0.015, 0.03, note, fontsize=6.5, color=MUTED, va="center")
        alt = (
            f"{title}: pools stacked, {months['Year'].iloc[0]} to {months['Year'].iloc[-1]}; "
            f"soil organic carbon "
            f"goes from {total[0]:.1f} to {total[-1]:.1f} t C/ha."
        )
        return finish(figure, "pools", title, alt)


def result_picture(result: SiteResult, title: str, measured: Measured | None = None) -> Picture:
    """Draw a site's run; a run of no months shows its equilibrium."""
    months = result.months()
    if not len(months):
        months = result.years().assign(Month=12)
    site = result.site
    note = f"clay {site.clay:g} %, {site.depth:g} cm, IOM {site.iom:g} t C/ha"
    return pool_picture(months, title=title, note=note, measured=measured)


def outside(result: SiteResult, measured: Measured) -> list[str]:
    """Return a note where stocks were measured when the site was not run; they are not drawn."""
    first, last = result.site.year[[min(SPIN_UP_MONTHS, result.site.months - 1), -1]].tolist()
    years = measured.year[(measured.year < first) | (measured.year > last + 1)]
    if not years.size:
        return []
    named = ", ".join(f"{year:g}" for year in years)
    return [f"{measured.source}: {named} outside the run, {first} to {last}; not drawn"]


def _name_layers(ax: Axes, stacked: list[Floats]) -> None:
    """Write each pool's name at the right of its layer, pushed apart where layers are thin."""
    tops = np.cumsum([values[-1] for values in stacked])
    middles = tops - np.array([values[-1] for values in stacked]) / 2
    gap = 0.055 * max(float(tops[-1]), 1e-6)
    places = middles.copy()
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    for (pool, colour), place in zip(STACK.items(), places, strict=True):
        ax.annotate(
            pool,
            (1.01, place),
            xycoords=("axes fraction", "data"),
            color=colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
        )
