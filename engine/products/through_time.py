"""What a report shows of change through time: moving maps, trends by region, models compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..assess.assessment import Assessment
from ..place import Place
from ..store import write_atomically
from .animation import Animation, animate
from .canvas import Canvas
from .layers import years_of
from .pictures import Picture
from .report_tables import main_split, split_label
from .slider import Slider, make_slider
from .spacetime_figures import arms_in, mean_through_time, predicted_observed, same_sites
from .spacetime_maps import (
    changes,
    chosen_years,
    of_last_year,
    read_arm_maps,
    side_by_side,
    significant,
)
from .tables import count
from .trends import Trends, trend_charts, trend_sheet
from .validation_pictures import assessed_quantity
from .words import ARMS, capital, listed
from .yearly_maps import read_yearly_maps

#: In a run's folder.
TRENDS = "trends.csv"


@dataclass(frozen=True)
class Figures:
    """Pictures that belong together, and what they show.

    Parameters
    ----------
    heading, caption
        Above and below them.
    pictures
        Side by side if they are charts.
    sheet
        Whether the picture is a sheet of small ones, that wants room.
    """

    heading: str
    caption: str
    pictures: tuple[Picture, ...]
    sheet: bool = False


@dataclass(frozen=True)
class ThroughTime:
    """What there is to show of change through time; what is absent has no data.

    Parameters
    ----------
    slider
        Maps of every year to move through.
    animations
        The same as moving pictures.
    trends
        Means by region.
    panels
        Charts of the trends by what they show.
    sheet
        All of them on one.
    figures
        Models compared.
    """

    slider: Slider | None = None
    animations: tuple[Animation, ...] = ()
    trends: Trends | None = None
    panels: Mapping[str, tuple[Picture, ...]] | None = None
    sheet: Picture | None = None
    figures: tuple[Figures, ...] = ()

    def every(self) -> list[Picture]:
        """Return all still pictures, each once."""
        found = [picture for group in self.figures for picture in group.pictures]
        return found + ([self.sheet] if self.sheet else [])

    def save(self, run: Place, pictures: Place) -> None:
        """Write the page of maps and the table of trends; moving pictures beside others."""
        for animation in self.animations:
            animation.save(pictures)
        if self.slider:
            write_atomically(run / f"{self.slider.name}.html", self.slider.page)
        if self.trends:
            write_atomically(run / TRENDS, self.trends.table.to_csv(index=False))


def draw_through_time(
    ds: xr.Dataset,
    canvas: Canvas,
    assessment: Assessment | None = None,
    trends: Trends | None = None,
    significance: Sequence[Mapping[str, Any]] = (),
    small: xr.Dataset | None = None,
) -> ThroughTime | None:
    """Draw what there is of change through time, None for a map of one year.

    Parameters
    ----------
    ds
        As ``open_map`` returns it.
    canvas
        Of the report's maps.
    assessment
        Predictions of held-out sites and years, where the model compares several.
    trends
        Means by region, for a map of several models.
    significance
        What was found significant, as the run's manifest holds it.
    small
        The same map in coarser cells, which every year is read from instead; see
        :func:`~edaphos.engine.products.pyramid.coarse_level`.
    """
    if len(years_of(ds)) < 2:
        return None
    slider, animations = _moving(ds if small is None else small, canvas, trends)
    if trends is None:
        return ThroughTime(slider, animations) if slider else None
    charts = trend_charts(trends, canvas.labels)
    since = min(trends.table["year"])
    return ThroughTime(
        slider=slider,
        animations=animations,
        trends=trends,
        panels={"Mean stock": charts["stock"], f"Change since {since}": charts["change"]},
        sheet=trend_sheet(trends, canvas.labels),
        figures=(*_against_samples(canvas, assessment), *_maps(ds, canvas, trends, significance)),
    )


def _moving(
    ds: xr.Dataset, canvas: Canvas, trends: Trends | None
) -> tuple[Slider | None, tuple[Animation, ...]]:
    maps = read_yearly_maps(ds)
    if maps is None:
        return None, ()
    means = {}
    if trends is not None:
        whole = trends.lines(trends.regions[0], "stock")
        means = {label: line.values for label, line in whole.items()}
    slider = make_slider(maps, canvas.labels, means)
    return slider, tuple(animate(maps, shown, canvas.labels) for shown in ("value", "change"))


def _against_samples(canvas: Canvas, assessment: Assessment | None) -> list[Figures]:
    """Return predictions against observations, and the means of both through time."""
    if assessment is None or assessment.arm_rows.empty:
        return []
    rows = assessment.arm_rows
    splits = list(dict.fromkeys(rows["split"]))
    split = main_split(assessment)
    split = split if split in splits else splits[0]
    rows, units = rows[rows["split"] == split], assessed_quantity(assessment)[1]
    if not np.isfinite(rows["observed"]).any():
        return []
    how = f"Left out: {split_label(split)}, the same for all models."
    own = (
        " The process with its own start was given the first sample of each place left out, so it "
        "has none to predict there, and is no peer of the others."
        if any("own start" in arm for arm in arms_in(rows))
        else ""
    )
    scatter = Figures(
        "Predicted against observed",
        f"Each point is a sample of a place that the model had not seen. {how} The line is one to "
        f"one; the few values beyond the axes lie on their edges.{own}",
        predicted_observed(rows, units, canvas.labels),
    )
    title = f"Mean stock of {count(rows['site'].nunique())} places, held out"
    through = Figures(
        "The mean through time",
        "Lines are the mean over all places that are held out, in every year, sampled or not. "
        f"{how} Points are the mean of the samples of a year, with 1.96 standard errors. "
        f"{_whose(rows)}",
        (mean_through_time(rows, units, canvas.labels, title),),
    )
    return [scatter, through]


def _whose(rows: pd.DataFrame) -> str:
    if same_sites(rows):
        return "Every place was sampled in each of these years."
    return (
        "Not every place was sampled in each of these years, so points are of other places than "
        "lines, and may lie off them for that reason alone."
    )


def _maps(
    ds: xr.Dataset, canvas: Canvas, trends: Trends, significance: Sequence[Mapping[str, Any]]
) -> list[Figures]:
    """Return the models' maps in chosen years, and their changes."""
    years = chosen_years(ds)
    stock = trends.table[trends.table["quantity"] == "stock"]
    begins = {str(arm): int(year) for arm, year in stock.groupby("model")["year"].min().items()}
    maps = read_arm_maps(ds, canvas, years, begins)
    found = of_last_year(ds, significance)
    side = Figures(
        "Maps side by side",
        f"The stock in {listed([str(year) for year in years])} by each model, on one colour scale.",
        (side_by_side(maps, canvas, years),),
        sheet=True,
    )
    late = [arm for arm, year in maps.since.items() if year > years[0]]
    begun = "".join(f" {capital(ARMS[arm])} begins in {maps.since[arm]}." for arm in late)
    changed = Figures(
        "Where stocks change",
        f"Change from the first to the last year by each model, on one colour scale.{begun} "
        f"{_sure(found, list(maps.values))}",
        (changes(maps, canvas, years[-1], significant(ds, canvas, found)),),
        sheet=True,
    )
    return [side, changed]


def _sure(found: Mapping[str, Mapping[str, Any]], arms: list[str]) -> str:
    """Return what dots mean, how much of the map has them, and which models are not tested."""
    if not found:
        return "The map holds no test of the change, so nothing says where it is more than chance."
    words = []
    for arm, one in found.items():
        name = capital(ARMS[arm])
        if one["threshold"] < 0:
            words.append(
                f"{name}: in no cell is the change distinguishable from none (false discovery "
                f"rate {one['q']:g})."
            )
        else:
            words.append(
                f"{name}: dots lie where the change of most cells is distinguishable from none, "
                f"which holds for a gain on {100 * one['gain_share']:.1f} % of the area and for a "
                f"loss on {100 * one['loss_share']:.1f} % (false discovery rate {one['q']:g}: p up "
                f"to {one['threshold']:.2g})."
            )
    rest = [ARMS[arm] for arm in arms if arm not in found]
    if rest:
        words.append(f"{capital(listed(rest))}: not tested.")
    return " ".join(words)
