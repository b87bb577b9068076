"""Pictures of an assessment: observed against predicted, skill and coverage by depth and source."""

from __future__ import annotations

import pandas as pd

from ..assess.assessment import Assessment
from ..assess.crossval import DEPTH_ONLY
from ..assess.strata import ABOVE, BELOW
from .charts import Series, depth_chart, observed_predicted, split_names
from .pictures import Labels, Picture
from .scales import pretty_units
from .words import family_title

#: A PICP90 passes within this band (rules of evidence: .87 to .93 around .90).
COVERAGE_BAND = (0.90, 0.87, 0.93)
#: A chart by source is drawn up to this many sources; the table holds any number.
MOST_SOURCES = 12


def assessed_quantity(assessment: Assessment) -> tuple[str, str]:
    """Return what was assessed and its units, as people write them."""
    target = assessment.settings.get("target", {})
    name, units = str(target.get("name", "soc")), str(target.get("units", "g kg-1"))
    return name, pretty_units(units)


def validation_pictures(
    assessment: Assessment, labels: Labels
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Return the scatter plots of each split, and the charts of skill and coverage."""
    quantity, units = assessed_quantity(assessment)
    axis = _skill_axis(quantity)
    names = split_names()
    splits = list(dict.fromkeys(assessment.metrics["split"]))
    scatter = []
    for split in splits:
        rows, overall = assessment.out_of_fold(split), assessment.table(split).iloc[0]
        scatter.append(
            observed_predicted(
                rows["obs"].to_numpy(float),
                rows["mean"].to_numpy(float),
                name=f"observed_predicted_{split}",
                title=f"Left out: {names.get(split, split)}",
                note=f"R² {overall['R2']:.2f}\nlog scale {overall['R2_log1p']:.2f}\n"
                f"n {overall['n']:,.0f}".replace("-", "−"),
                units=units,
                labels=labels,
            )
        )
    skill = [
        depth_chart(
            _by_depth(assessment, "R2_log1p", splits, baseline=True),
            name="skill_by_depth",
            title="Skill by depth",
            axis=axis,
            labels=labels,
        ),
        depth_chart(
            _by_depth(assessment, "PICP", splits, baseline=False),
            name="coverage_by_depth",
            title="Does the 90 % interval hold 90 %?",
            axis="share of observations inside, with 95 % interval",
            labels=labels,
            target=COVERAGE_BAND,
        ),
    ]
    by_source = assessment.table(splits[0], "source")
    if 1 < len(by_source) <= MOST_SOURCES:
        skill.append(_skill_by_source(assessment, splits, list(by_source["group"]), axis, labels))
    return tuple(scatter), tuple(skill)


def _skill_by_source(
    assessment: Assessment, splits: list[str], sources: list[str], axis: str, labels: Labels
) -> Picture:
    names = split_names()
    return depth_chart(
        [
            Series.of(
                names.get(split, split), assessment.table(split, "source"), "R2_log1p", sources
            )
            for split in splits[:3]
        ],
        name="skill_by_source",
        title="Skill by source",
        axis=axis,
        labels=labels,
    )


def _by_depth(
    assessment: Assessment, metric: str, splits: list[str], *, baseline: bool
) -> list[Series]:
    first = assessment.table(splits[0], "depth")
    groups = ["all", *(g for g in first["group"] if g not in (ABOVE, BELOW))]
    found = []
    for split in splits[:3]:
        table = pd.concat([assessment.table(split), assessment.table(split, "depth")])
        found.append(Series.of(split_names().get(split, split), table, metric, groups))
    alone = pd.concat(
        [assessment.table(splits[0], by, model=DEPTH_ONLY) for by in ("all", "depth")]
    )
    if baseline and len(alone):
        found.append(Series.of("depth alone", alone, metric, groups))
    return found


def _skill_axis(quantity: str) -> str:
    """Return what the axis of skill says."""
    name = "carbon" if quantity == "soc" else family_title(quantity).lower()
    return f"R² of log(1 + {name}), with 95 % interval"
