"""A study of whole profiles as pictures, of the kind of Wang et al. 2025 (Sci. Bull.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..assess.assessment import Assessment
from ..assess.crossval import FULL
from ..assess.partial import METHODS
from ..assess.parts import PART_LABELS, part_codes
from ..assess.profile_study import ProfileStudy
from .charts import Series, chart, depth_chart, legend_below, observed_predicted
from .colours import ACCENT, TEAL
from .pictures import Labels, Picture, finish, style
from .report_tables import split_label
from .scales import pretty_units
from .study_tables import group_words, scale_title, scale_units


@dataclass(frozen=True)
class StudyFigures:
    """Pictures that belong together."""

    heading: str
    pictures: tuple[Picture, ...]


def study_pictures(
    study: ProfileStudy, assessment: Assessment | None, units: str, labels: Labels
) -> tuple[StudyFigures, ...]:
    """Draw R² by split, observed against predicted, means by depth and partial correlations.

    Parameters
    ----------
    study, assessment
        The study, and the cross-validation that it is made of.
    units
        Of the target, UDUNITS.
    """
    found = []
    if len(study.scores):
        found.append(StudyFigures("How skill falls with depth", _skill(study.scores, labels)))
        if assessment is not None:
            found.append(_scatter(assessment, units, labels))
    if len(study.independent_rows):
        rows = study.independent_rows
        found.append(
            StudyFigures(
                "Profiles of other surveys, by depth",
                _by_part(rows, "independent", "predicted", units, labels),
            )
        )
    more = [] if study.means.empty else [_means(study.means, units, labels)]
    if len(study.partial):
        more += _partials(study.partial, labels)
    if more:
        found.append(StudyFigures("Means by depth, and what goes with carbon", tuple(more)))
    return tuple(one for one in found if one.pictures)


def _skill(scores: pd.DataFrame, labels: Labels) -> tuple[Picture, ...]:
    chosen = scores[scores["model"] == FULL]
    groups = ["all", *PART_LABELS]
    pictures = []
    for scale in dict.fromkeys(chosen["scale"]):
        here = chosen[chosen["scale"] == scale]
        series = [
            Series.of(split_label(split), here[here["split"] == split], "R2", groups)
            for split in dict.fromkeys(here["split"])
        ]
        pictures.append(
            depth_chart(
                series,
                name=f"study_skill_{scale}",
                title=f"{scale_title(scale)}: R² by what is left out",
                axis="R² = 1 − SSE/SST, with 95 % interval",
                labels=labels,
            )
        )
    return tuple(pictures)


def _scatter(assessment: Assessment, units: str, labels: Labels) -> StudyFigures:
    splits = list(dict.fromkeys(assessment.metrics["split"]))
    main = "block" if "block" in splits else splits[0]
    rows = assessment.out_of_fold(main)
    rows = rows.assign(part=part_codes(rows["top_cm"].to_numpy(), rows["bottom_cm"].to_numpy()))
    pictures = _by_part(rows, "study", "predicted out of fold", units, labels)
    heading = f"Observed against predicted by depth, {split_label(main)} left out"
    return StudyFigures(heading, pictures)


def _by_part(
    rows: pd.DataFrame, name: str, how: str, units: str, labels: Labels
) -> tuple[Picture, ...]:
    pictures = []
    for part, label in enumerate(PART_LABELS):
        here = rows[(rows["part"] == part) & rows["mean"].notna()]
        if len(here) < 2:
            continue
        obs, mean = here["obs"].to_numpy(float), here["mean"].to_numpy(float)
        spread = float(((obs - obs.mean()) ** 2).sum())
        note = f"n {len(here):,}"
        if spread > 0:
            note = f"R² {1 - float(((mean - obs) ** 2).sum()) / spread:.2f}\n{note}"
        pictures.append(
            observed_predicted(
                obs,
                mean,
                name=f"{name}_observed_predicted_{part}",
                title=group_words(label),
                note=note.replace("-", "−"),
                units=pretty_units(units),
                labels=labels,
                how=how,
            )
        )
    return tuple(pictures)


def _means(means: pd.DataFrame, units: str, labels: Labels) -> Picture:
    top, bottom = means["top_cm"].to_numpy(float), means["bottom_cm"].to_numpy(float)
    middle = (top + bottom) / 2
    title = "Means by depth"
    with style():
        figure, ax = chart(title, labels, tall=3.0, foot=0.95, left=0.78)
        for name, colour, dash in (("measured", ACCENT, "-"), ("predicted", TEAL, "--")):
            ax.plot(means[name], middle, dash, marker="o", ms=4, lw=1.3, color=colour, label=name)
        ax.set_ylim(float(np.max(bottom)), 0)
        ax.set_xlim(left=0)
        ax.set_ylabel("depth, cm")
        scale = "density" if units == "kg m-2" else "other"
        ax.set_xlabel(f"mean, {scale_units(scale, units)}")
        ax.grid(axis="x", zorder=0)
        legend_below(figure, ax, 2)
        words = "; ".join(
            f"{a:g} to {b:g} cm: measured {m:.2f}, predicted {p:.2f}"
            for a, b, m, p in zip(top, bottom, means["measured"], means["predicted"], strict=True)
        )
        return finish(figure, "study_means", title, f"{title}. {words}.")


def _partials(partial: pd.DataFrame, labels: Labels) -> Sequence[Picture]:
    pictures = []
    drivers = list(dict.fromkeys(partial["driver"]))
    for method in METHODS:
        here = partial[(partial["method"] == method) & partial["r"].notna()]
        if here.empty:
            continue
        named = {"r": "value", "low": "value_low", "high": "value_high"}
        series = [
            Series.of(
                group_words(label),
                here[here["group"] == label]
                .drop(columns="group")
                .rename(columns={**named, "driver": "group"}),
                "value",
                drivers,
            )
            for label in PART_LABELS
            if (here["group"] == label).any()
        ]
        if series:
            pictures.append(
                depth_chart(
                    series,
                    name=f"study_partial_{method.lower()}",
                    title=f"Partial correlation with carbon, {method}",
                    axis="partial correlation, with 95 % interval",
                    labels=labels,
                )
            )
    return pictures
