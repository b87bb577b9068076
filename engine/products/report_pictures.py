"""The pictures of a report: which are drawn, on which scales, under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..assess.assessment import Assessment
from ..assess.profile_study import ProfileStudy
from ..training_curve import Training
from .applicability_part import applicability_picture, distance_pictures
from .canvas import Canvas, Depth, depth_words, picture_labels
from .charts import Series, depth_chart
from .colours import WIDTH
from .figures import draw_multiples, draw_profiles, draw_status
from .frame import frame_of
from .importance_pictures import importance_pictures
from .interval_pictures import interval_pictures
from .layers import depth_label, mean_layers
from .level_pictures import level_pictures
from .pictures import Picture
from .preview import Preview, block_means, make_preview
from .scales import ColourScale, carbon_scale, pretty_units, robust_scale, signed_scale
from .series_pictures import SeriesPictures, draw_series, is_series
from .study_pictures import StudyFigures, study_pictures
from .through_time import ThroughTime, draw_through_time
from .totals import Totals
from .training_pictures import training_pictures
from .trends import Trends
from .validation_pictures import COVERAGE_BAND, validation_pictures
from .words import quantity_title

#: Blocks along a side of the squares that a map of local coverage averages over.
COVERAGE_BLOCKS = 4


@dataclass(frozen=True)
class Truth:
    """What is known of a virtual world, where the map can be judged everywhere.

    Parameters
    ----------
    table
        Columns ``target`` (``cell mean``, ``fresh sample``), ``scale``, ``weighting``, ``depth``,
        ``group``, ``n``, ``ME``, ``RMSE``, ``R2``, ``PICP90``, ``MPIW``.
    images
        ``truth``, ``error`` (map minus truth, g/kg), ``covered_fresh`` (share of fresh samples
        inside the interval), each ``(depth, y, x)`` over blocks of cells.
    depths
        Bounds in cm of the images' depths.
    block
        Cells of the map along a side of a block.
    note
        What the truth is.
    """

    table: pd.DataFrame
    images: Mapping[str, NDArray[np.float32]]
    depths: tuple[Depth, ...]
    block: int
    note: str = ""


@dataclass(frozen=True)
class DepthPictures:
    """The maps of one depth."""

    label: str
    mean: Picture
    width: Picture | None = None
    relative: Picture | None = None


@dataclass(frozen=True)
class TruthPictures:
    """The maps of one depth of a virtual world."""

    label: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class ReportPictures:
    """All pictures of a report; what is absent has no data."""

    overview: Picture | None = None
    depths: tuple[DepthPictures, ...] = ()
    series: SeriesPictures | None = None
    status: Picture | None = None
    applicability: Picture | None = None
    profiles: Picture | None = None
    scatter: tuple[Picture, ...] = ()
    levels: tuple[Picture, ...] = ()
    intervals: tuple[Picture, ...] = ()
    importance: tuple[Picture, ...] = ()
    study: tuple[StudyFigures, ...] = ()
    skill: tuple[Picture, ...] = ()
    distances: tuple[Picture, ...] = ()
    truth: tuple[TruthPictures, ...] = ()
    truth_coverage: Picture | None = None
    through_time: ThroughTime | None = None
    training: tuple[Picture, ...] = ()

    def every(self) -> list[Picture]:
        """Return all pictures, each once."""
        found = [self.overview, self.status, self.applicability, self.profiles]
        found += [self.truth_coverage, *self.distances]
        found += self.series.every() if self.series else []
        for one in self.depths:
            found += [one.mean, one.width, one.relative]
        found += [*self.scatter, *self.levels, *self.skill, *self.intervals, *self.importance]
        found += [picture for group in self.study for picture in group.pictures]
        found += [picture for one in self.truth for picture in one.pictures]
        found += self.through_time.every() if self.through_time else []
        found += self.training
        return [picture for picture in found if picture is not None]


def draw_all(
    ds: xr.Dataset,
    assessment: Assessment | None = None,
    locations: pd.DataFrame | None = None,
    truth: Truth | None = None,
    totals: Totals | None = None,
    trends: Trends | None = None,
    significance: Sequence[Mapping[str, Any]] = (),
    small: xr.Dataset | None = None,
    trainings: Sequence[Training] = (),
    study: ProfileStudy | None = None,
) -> ReportPictures:
    """Draw every picture that there is data for."""
    preview = make_preview(ds)
    frame = frame_of(preview.grid, preview.status)
    means = [layer for layer in mean_layers(ds) if layer.year_index == 0]
    if not means:
        return ReportPictures()
    first = means[0]
    canvas = Canvas(
        preview,
        frame,
        picture_labels(ds),
        first.quantity,
        pretty_units(first.units),
        tuple(layer.depth for layer in means if layer.quantity == first.quantity),
    )
    series = draw_series(ds, canvas, totals) if is_series(ds) else None
    overview, depths = (series.overview, ()) if series else _depth_pictures(canvas)
    scatter, skill = validation_pictures(assessment, canvas.labels) if assessment else ((), ())
    return ReportPictures(
        overview=overview,
        depths=depths,
        series=series,
        status=draw_status(preview, frame, labels=canvas.labels),
        applicability=applicability_picture(canvas),
        profiles=None if locations is None else _profiles(canvas, locations),
        scatter=scatter,
        levels=level_pictures(assessment, canvas.labels) if assessment else (),
        intervals=interval_pictures(assessment, canvas.labels) if assessment else (),
        importance=importance_pictures(assessment, canvas.labels) if assessment else (),
        skill=skill,
        distances=distance_pictures(assessment, canvas.labels) if assessment else (),
        study=study_pictures(study, assessment, first.units, canvas.labels) if study else (),
        truth=_truth_pictures(canvas, truth) if truth else (),
        truth_coverage=_truth_coverage(canvas, truth.table) if truth else None,
        through_time=draw_through_time(ds, canvas, assessment, trends, significance, small),
        training=training_pictures(trainings, canvas.labels),
    )


def _depth_pictures(canvas: Canvas) -> tuple[Picture, tuple[DepthPictures, ...]]:
    name = quantity_title(canvas.quantity)
    means = {d: canvas.preview.of(canvas.quantity, "mean", d) for d in canvas.depths}
    scale = carbon_scale(list(means.values()), canvas.units)
    overview = draw_multiples(
        canvas.preview,
        canvas.frame,
        {depth_words(d): v for d, v in means.items()},
        scale,
        name="overview",
        title=f"{name}, mean, by depth",
        labels=canvas.labels,
    )
    found_widths = {d: canvas.width(canvas.quantity, d) for d in canvas.depths}
    widths = {d: w for d, w in found_widths.items() if w is not None}
    relative = {d: _ratio(w, means[d]) for d, w in widths.items()}
    units = canvas.units
    wide = robust_scale(list(widths.values()), "log", WIDTH, f"{units}, logarithmic scale")
    share = robust_scale(list(relative.values()), "linear", WIDTH, "width ÷ mean")
    found = []
    for d in canvas.depths:
        key, words = depth_label(d), depth_words(d)
        parts: dict[str, Picture] = {}
        if d in widths:
            parts["width"] = canvas.draw(
                widths[d], wide, f"width_{key}", f"Width of the 90 % interval, {words}"
            )
            parts["relative"] = canvas.draw(
                relative[d], share, f"relative_width_{key}", f"Width relative to the mean, {words}"
            )
        mean = canvas.draw(means[d], scale, f"mean_{key}", f"{name}, {words}, mean")
        found.append(DepthPictures(words, mean, **parts))
    return overview, tuple(found)


def _ratio(width: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean > 0, width / mean, np.nan).astype(np.float32)


def _profiles(canvas: Canvas, locations: pd.DataFrame) -> Picture:
    places = locations[["lon", "lat"]].drop_duplicates()
    return draw_profiles(
        canvas.preview,
        canvas.frame,
        places["lon"].to_numpy(float),
        places["lat"].to_numpy(float),
        labels=canvas.labels,
    )


def _truth_pictures(canvas: Canvas, truth: Truth) -> tuple[TruthPictures, ...]:
    images = {k: _spread(canvas.preview, v, truth.block) for k, v in truth.images.items()}
    if "covered_fresh" in truth.images:
        shares = _pooled(truth.images["covered_fresh"])
        images["covered_fresh"] = _spread(canvas.preview, shares, truth.block)
    units = canvas.units
    scales = {
        "truth": carbon_scale(list(images["truth"]), units),
        "error": signed_scale(list(images["error"]), f"map minus truth, {units}"),
        "covered_fresh": ColourScale(0.5, 1.0, "linear", WIDTH, "share inside"),
    }
    titles = {
        "truth": "The truth",
        "error": "Error of the map",
        "covered_fresh": "Interval holds a fresh sample",
    }
    return tuple(
        TruthPictures(
            depth_words(depth),
            tuple(
                canvas.draw(
                    images[key][d],
                    scales[key],
                    f"{key}_{depth_label(depth)}",
                    f"{titles[key]}, {depth_words(depth)}",
                )
                for key in titles
                if key in images
            ),
        )
        for d, depth in enumerate(truth.depths)
    )


def _spread(preview: Preview, images: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Lay block means on the preview's cells; sea and unmapped land stay without a value."""
    rows, cols = (
        np.minimum((np.arange(n) * preview.factor + preview.factor // 2) // block, limit - 1)
        for n, limit in zip(preview.status.shape, images.shape[1:], strict=True)
    )
    laid = images[:, rows[:, None], cols[None, :]].astype(np.float32)
    mapped = np.any([np.isfinite(v) for v in preview.values.values()], axis=0)
    laid[:, ~mapped] = np.nan
    return laid


def _pooled(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average shares over squares of blocks: in one cell an interval just holds or does not."""
    pooled = np.stack([block_means(image, COVERAGE_BLOCKS) for image in images])
    wide = pooled.repeat(COVERAGE_BLOCKS, axis=1).repeat(COVERAGE_BLOCKS, axis=2)
    return wide[:, : images.shape[1], : images.shape[2]]


def _truth_coverage(canvas: Canvas, table: pd.DataFrame) -> Picture:
    chosen = table[(table["weighting"] == "area") & (table["scale"] == "g/kg")]
    chosen = chosen[chosen["group"] == "all"].assign(group=chosen["depth"] + " cm")
    groups = list(dict.fromkeys(chosen["group"]))
    series = [
        Series.of(label, chosen[chosen["target"] == target], "PICP90", groups)
        for target, label in (("fresh sample", "fresh sample"), ("cell mean", "cell mean"))
        if (chosen["target"] == target).any()
    ]
    return depth_chart(
        series,
        name="truth_coverage",
        title="Coverage everywhere",
        axis="area-weighted share inside the 90 % interval",
        labels=canvas.labels,
        target=COVERAGE_BAND,
    )
