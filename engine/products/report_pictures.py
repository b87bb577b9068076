"""The pictures of a report: which are drawn, on which scales, under which names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..assess.assessment import Assessment
from ..assess.crossval import DEPTH_ONLY
from ..assess.strata import ABOVE, BELOW
from .charts import Series, depth_chart, observed_predicted, split_names
from .colours import WIDTH
from .figures import draw_map, draw_multiples, draw_profiles, draw_status
from .frame import Frame, frame_of
from .layers import depth_label
from .pictures import Labels, Picture
from .preview import Preview, block_means, make_preview
from .scales import ColourScale, carbon_scale, pretty_units, robust_scale, signed_scale

Depth = tuple[float, float]

#: A PICP90 passes within this band (rules of evidence: .87 to .93 around .90).
COVERAGE_BAND = (0.90, 0.87, 0.93)
#: A chart by source is drawn up to this many sources; the table holds any number.
MOST_SOURCES = 12
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
    status: Picture | None = None
    profiles: Picture | None = None
    scatter: tuple[Picture, ...] = ()
    skill: tuple[Picture, ...] = ()
    truth: tuple[TruthPictures, ...] = ()
    truth_coverage: Picture | None = None

    def every(self) -> list[Picture]:
        """Return all pictures, each once."""
        found = [self.overview, self.status, self.profiles, self.truth_coverage]
        for one in self.depths:
            found += [one.mean, one.width, one.relative]
        found += [*self.scatter, *self.skill]
        found += [picture for one in self.truth for picture in one.pictures]
        return [picture for picture in found if picture is not None]


@dataclass(frozen=True)
class _Canvas:
    preview: Preview
    frame: Frame
    labels: Labels
    quantity: str
    units: str
    depths: tuple[Depth, ...] = field(default=())

    def draw(self, values: NDArray[Any], scale: ColourScale, name: str, title: str) -> Picture:
        return draw_map(
            self.preview, self.frame, values, scale, name=name, title=title, labels=self.labels
        )


def picture_labels(ds: xr.Dataset) -> Labels:
    """Return banner and caption of a map's pictures."""
    nominal = ds.attrs.get("nominal_resolution") or "unknown size"
    covariates = ds.attrs.get("covariate_resolution") or "unknown"
    caption = f"cells {nominal} · covariates {covariates}"
    if not ds.attrs.get("complete", True):
        caption += " · INCOMPLETE: some tiles are not computed yet"
    return Labels(str(ds.attrs.get("banner", "")), caption)


def draw_all(
    ds: xr.Dataset,
    assessment: Assessment | None = None,
    locations: pd.DataFrame | None = None,
    truth: Truth | None = None,
) -> ReportPictures:
    """Draw every picture that there is data for."""
    preview = make_preview(ds)
    frame = frame_of(preview.grid, preview.status)
    means = [layer for layer in preview.layers if layer.statistic == "mean"]
    if not means:
        return ReportPictures()
    first = means[0]
    canvas = _Canvas(
        preview,
        frame,
        picture_labels(ds),
        first.quantity,
        pretty_units(first.units),
        tuple(layer.depth for layer in means if layer.quantity == first.quantity),
    )
    overview, depths = _depth_pictures(canvas)
    scatter, skill = _validation_pictures(assessment, canvas) if assessment else ((), ())
    return ReportPictures(
        overview=overview,
        depths=depths,
        status=draw_status(preview, frame, labels=canvas.labels),
        profiles=None if locations is None else _profiles(canvas, locations),
        scatter=scatter,
        skill=skill,
        truth=_truth_pictures(canvas, truth) if truth else (),
        truth_coverage=_truth_coverage(canvas, truth.table) if truth else None,
    )


def _words(depth: Depth) -> str:
    return depth_label(depth).replace("-", "–").replace("cm", " cm")


def _depth_pictures(canvas: _Canvas) -> tuple[Picture, tuple[DepthPictures, ...]]:
    name = {"soc": "Soil organic carbon", "stock": "Soil carbon stock"}.get(
        canvas.quantity, canvas.quantity
    )
    means = {d: canvas.preview.of(canvas.quantity, "mean", d) for d in canvas.depths}
    scale = carbon_scale(list(means.values()), canvas.units)
    overview = draw_multiples(
        canvas.preview,
        canvas.frame,
        {_words(d): v for d, v in means.items()},
        scale,
        name="overview",
        title=f"{name}, mean, by depth",
        labels=canvas.labels,
    )
    widths = _widths(canvas)
    relative = {d: _ratio(w, means[d]) for d, w in widths.items()}
    units = canvas.units
    wide = robust_scale(list(widths.values()), "log", WIDTH, f"{units}, logarithmic scale")
    share = robust_scale(list(relative.values()), "linear", WIDTH, "width ÷ mean")
    found = []
    for d in canvas.depths:
        key, words = depth_label(d), _words(d)
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


def _widths(canvas: _Canvas) -> dict[Depth, NDArray[np.float32]]:
    if not (canvas.preview.has("Q0.05") and canvas.preview.has("Q0.95")):
        return {}
    return {
        d: canvas.preview.of(canvas.quantity, "Q0.95", d)
        - canvas.preview.of(canvas.quantity, "Q0.05", d)
        for d in canvas.depths
    }


def _ratio(width: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean > 0, width / mean, np.nan).astype(np.float32)


def _profiles(canvas: _Canvas, locations: pd.DataFrame) -> Picture:
    places = locations[["lon", "lat"]].drop_duplicates()
    return draw_profiles(
        canvas.preview,
        canvas.frame,
        places["lon"].to_numpy(float),
        places["lat"].to_numpy(float),
        labels=canvas.labels,
    )


def _validation_pictures(
    assessment: Assessment, canvas: _Canvas
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
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
                units=canvas.units,
                labels=canvas.labels,
            )
        )
    skill = [
        depth_chart(
            _by_depth(assessment, "R2_log1p", splits, baseline=True),
            name="skill_by_depth",
            title="Skill by depth",
            axis="R² of log(1 + carbon), with 95 % interval",
            labels=canvas.labels,
        ),
        depth_chart(
            _by_depth(assessment, "PICP", splits, baseline=False),
            name="coverage_by_depth",
            title="Does the 90 % interval hold 90 %?",
            axis="share of observations inside, with 95 % interval",
            labels=canvas.labels,
            target=COVERAGE_BAND,
        ),
    ]
    by_source = assessment.table(splits[0], "source")
    if 1 < len(by_source) <= MOST_SOURCES:
        skill.append(_skill_by_source(assessment, splits, list(by_source["group"]), canvas))
    return tuple(scatter), tuple(skill)


def _skill_by_source(
    assessment: Assessment, splits: list[str], sources: list[str], canvas: _Canvas
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
        axis="R² of log(1 + carbon), with 95 % interval",
        labels=canvas.labels,
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


def _truth_pictures(canvas: _Canvas, truth: Truth) -> tuple[TruthPictures, ...]:
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
            _words(depth),
            tuple(
                canvas.draw(
                    images[key][d],
                    scales[key],
                    f"{key}_{depth_label(depth)}",
                    f"{titles[key]}, {_words(depth)}",
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


def _truth_coverage(canvas: _Canvas, table: pd.DataFrame) -> Picture:
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
