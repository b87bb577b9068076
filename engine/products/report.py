"""One HTML file that says what a map is, how far to trust it, and how it was made.

Nothing is fetched when it is opened: pictures, style and script are inside. A part without data
is left out, or says what is missing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

import jinja2
import pandas as pd
import xarray as xr
from markupsafe import Markup

from ..assess.assessment import Assessment
from ..assess.profile_study import ProfileStudy, load_study
from ..covariate_choice import CovariateChoice, choices_of
from ..map_store import MAP
from ..map_view import open_map
from ..place import Place
from ..run import MODEL, identity_hash
from ..store import write_atomically
from ..training_curve import Training, load_curves
from ..whole_folder import is_whole, on_disk
from .applicability_part import distance_tables, inside_by_year, inside_tables
from .arm_tables import arm_tables
from .canvas import depth_words, picture_labels
from .changing_truth import ChangingTruth, changing_tables, load_errors
from .choice_tables import choice_tables
from .compared_tables import compared_tables
from .depth_curves import depth_curves
from .ecosystem_tables import ecosystem_tables, load_ecosystems
from .interval_pictures import interval_score_tables
from .layers import layers, mean_layers, read_directly, sources_of, years_of
from .production import ProductionSummary, production_summary, production_tables
from .progress_page import tile_map
from .report_head import KeyNumber, key_numbers, lede, not_the_map, resolutions, summary
from .report_pictures import ReportPictures, Truth, draw_all
from .report_tables import metric_tables, qa_tables, status_table, totals_tables, truth_tables
from .report_time import time_taken
from .scales import pretty_units
from .series_pictures import is_series
from .series_tables import series_tables
from .study_tables import study_part
from .tables import Table
from .totals import Totals
from .training_pictures import training_tables
from .trends import Trends
from .validation_pictures import assessed_quantity
from .words import quantity_title, series_word

__all__ = ["KeyNumber", "ReportInputs", "Truth", "gather", "render", "write_report"]

REPORT = "report.html"
PICTURES = "pictures"


@dataclass(frozen=True)
class ReportInputs:
    """What a report is made from; all but the map may be absent.

    Parameters
    ----------
    dataset
        As ``open_map`` returns it.
    assessment
        Cross-validation of the model.
    qa
        ``QAReport.to_json()`` of the profiles.
    manifest
        The run's manifest: ``identity`` and ``provenance`` (``stage_seconds``, ``production``, …).
    recipe
        The recipe's TOML, word for word.
    totals
        Area-weighted means and totals.
    locations
        Columns ``lon``, ``lat`` of the profiles.
    truth
        For a virtual world.
    products
        Folder of the COGs, if they were written.
    production
        What the tiles took.
    study
        Of whole profiles, beside the assessment.
    changing
        For a virtual world of several years.
    trends
        Means by region and year, for a map of several models.
    small
        The map in coarser cells, for pictures of every year.
    choices
        Covariates that the model chose, or those of each depth.
    trainings
        How the model's nets were trained.
    zonal
        Totals by zones that were asked for, as tables.
    ecosystems
        Stocks by ecosystem of a beta map.
    """

    dataset: xr.Dataset
    assessment: Assessment | None = None
    qa: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] | None = None
    recipe: str = ""
    totals: Totals | None = None
    locations: pd.DataFrame | None = None
    truth: Truth | None = None
    products: Place | None = None
    production: ProductionSummary | None = None
    study: ProfileStudy | None = None
    changing: ChangingTruth | None = None
    trends: Trends | None = None
    small: xr.Dataset | None = None
    choices: Mapping[str, CovariateChoice] = field(default_factory=dict)
    trainings: tuple[Training, ...] = ()
    zonal: tuple[Table, ...] = ()
    ecosystems: Mapping[str, Any] | None = None


def gather(
    run_folder: Place,
    *,
    totals: Totals | None = None,
    truth: Truth | None = None,
    trends: Trends | None = None,
    coarser: str | None = None,
) -> ReportInputs:
    """Collect what a run's folder holds; files that are not there leave their part out.

    `coarser` is the group of the map's store with coarser cells that pictures of every year are
    made from.
    """
    dataset, store = open_map(run_folder), run_folder / MAP
    assessment = run_folder / "assessment"
    qa, manifest = run_folder / "profiles_qa.json", run_folder / "manifest.json"
    recipe, places = run_folder / "recipe.toml", run_folder / "profiles_locations.csv"
    products = run_folder / "products"
    return ReportInputs(
        dataset=read_directly(dataset, store),
        assessment=Assessment.load(on_disk(assessment)) if is_whole(assessment) else None,
        qa=json.loads(qa.read_text()) if qa.is_file() else None,
        manifest=json.loads(manifest.read_text()) if manifest.is_file() else None,
        recipe=recipe.read_text() if recipe.is_file() else "",
        totals=totals,
        locations=pd.read_csv(io.StringIO(places.read_text())) if places.is_file() else None,
        truth=truth,
        products=products if products.is_dir() else None,
        production=production_summary(run_folder),
        changing=load_errors(run_folder),
        trends=trends,
        small=None if coarser is None else read_directly(dataset, store, coarser),
        choices=choices_of(run_folder / MODEL),
        trainings=load_curves(run_folder / MODEL),
        study=load_study(run_folder),
        ecosystems=load_ecosystems(run_folder),
    )


def write_report(run_folder: Place, inputs: ReportInputs) -> Place:
    """Write ``report.html``, and its pictures as files beside it.

    Returns
    -------
    Place
        The report. It appears only when whole.
    """
    pictures = draw_all(
        inputs.dataset,
        inputs.assessment,
        inputs.locations,
        inputs.truth,
        inputs.totals,
        inputs.trends,
        (inputs.manifest or {}).get("provenance", {}).get("significance", ()),
        inputs.small,
        inputs.trainings,
        inputs.study,
    )
    if pictures.series:
        curves = depth_curves(inputs.ecosystems, picture_labels(inputs.dataset))
        charts = (*pictures.series.charts, *curves)
        pictures = replace(pictures, series=replace(pictures.series, charts=charts))
    for picture in pictures.every():
        picture.save(run_folder / PICTURES)
    if pictures.through_time:
        pictures.through_time.save(run_folder, run_folder / PICTURES)
    path = run_folder / REPORT
    write_atomically(path, render(run_folder.name, inputs, pictures))
    return path


def render(run_name: str, inputs: ReportInputs, pictures: ReportPictures) -> str:
    """Return the report as HTML."""
    here = resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((here / "report.html").read_text(encoding="utf-8"))
    style, script = (
        Markup((here / name).read_text(encoding="utf-8")) for name in ("report.css", "report.js")
    )
    moving = pictures.through_time and pictures.through_time.slider
    if moving:
        style, script = style + Markup(moving.style), script + Markup(moving.script)
    return template.render(css=style, js=script, **_context(run_name, inputs, pictures))


def _context(run_name: str, inputs: ReportInputs, pictures: ReportPictures) -> dict[str, Any]:
    ds, attrs = inputs.dataset, inputs.dataset.attrs
    found = layers(ds)
    first = next(iter([*mean_layers(ds), *found]), None)
    units = pretty_units(first.units) if first else ""
    manifest = inputs.manifest or {}
    provenance, years = manifest.get("provenance", {}), years_of(ds)
    context: dict[str, Any] = {
        "title": attrs.get("title", "Soil map"),
        "banner": attrs.get("banner", ""),
        "version": attrs.get("edaphos_version", ""),
        "license": attrs.get("license", ""),
        "complete": bool(attrs.get("complete", True)),
        "lede": lede(ds, units),
        "scenario": str(attrs.get("scenario", "")),
        "method": str(attrs.get("method", "")),
        "support": str(attrs.get("support", "")),
        "series": is_series(ds),
        "word": series_word(layer.quantity for layer in mean_layers(ds)),
        "maps_title": _maps_title(ds),
        "years": years,
        "resolutions": resolutions(attrs),
        "key_numbers": key_numbers(ds, inputs.assessment, provenance, inputs.totals),
        "pictures": pictures,
        "assessment": _assessment(ds, inputs.assessment),
        "study": study_part(inputs.study, first.units if first else ""),
        "learns": _learns(manifest),
        "truth": _truth(inputs.truth) or _changing(inputs.changing),
        "totals": [
            *ecosystem_tables(inputs.ecosystems),
            *(_totals(ds, inputs.totals) if inputs.totals else []),
            *inputs.zonal,
        ],
        "choices": _choices(ds, inputs.choices),
        "trainings": training_tables(inputs.trainings),
        "qa": qa_tables(inputs.qa) if inputs.qa else [],
        "sampling": _sampling(provenance),
        "status_cells": status_table(
            provenance.get("cells_by_status", {}), provenance.get("initial_stock_pg")
        ),
        "inside": inside_tables(inside_by_year(ds)),
        "sources": [_source(s) for s in sources_of(ds)],
        "time": time_taken(manifest),
        "production": _production(inputs.production),
        "recipe": inputs.recipe,
        "identity": identity_hash(manifest["identity"]) if manifest.get("identity") else "",
        "run_name": run_name,
        "variable": first.variable if first else "",
        "example": first.name if first else "",
        "units": units,
        "has_stac": bool(inputs.products and (inputs.products / "collection.json").is_file()),
    }
    context["contents"] = _contents(context)
    return context


def _choices(ds: xr.Dataset, choices: Mapping[str, CovariateChoice]) -> list[Table]:
    """Return the tables of chosen covariates; models by depth are in the order of the map's."""
    depths = list(dict.fromkeys(layer.depth for layer in mean_layers(ds)))
    words = {f"depth_{d}": depth_words(depth) for d, depth in enumerate(depths)}
    return choice_tables(choices, words)


def _sampling(provenance: Mapping[str, Any]) -> list[str]:
    """Return what became of the checked layers when covariates were drawn for them."""
    counts = provenance.get("samples", {})
    notes = [str(warning) for warning in provenance.get("unsampled_depths", [])]
    harmonised = provenance.get("harmonised")
    if harmonised:
        notes.append(f"{harmonised}.")
    if counts and "rows" not in counts:  # sites, told in their own words
        notes.append(f"{provenance.get('sampling', '')}.")
    elif counts:
        notes.append(
            f"Of {counts['rows']:,} {'rows at depths' if harmonised else 'checked layers'} "
            f"{counts['kept']:,} train the model; "
            f"{counts['off_grid']:,} lie off the grid and {counts['lacking']:,} lack a covariate."
        )
        if counts.get("lacking_target"):
            notes.append(
                f"{counts['lacking_target']:,} have no value of {counts['target']}, which the "
                "model learns, and are left out."
            )
    return notes


def _learns(manifest: Mapping[str, Any]) -> bool:
    """Whether the model learns from profiles: not where the run's recipe says that it has none."""
    recipe = manifest.get("identity", {}).get("recipe")
    return not isinstance(recipe, Mapping) or recipe.get("profiles", True) is not None


def _totals(ds: xr.Dataset, totals: Totals) -> list[Table]:
    """Return the tables of totals: of a series by scenario and year, then the first one's zones."""
    if not is_series(ds):
        return totals_tables(totals)
    first = mean_layers(ds)[0]
    zones = totals_tables(totals, first.variable, years_of(ds)[-1])[1:]
    words = quantity_title(first.quantity)
    return [
        *series_tables(totals),
        *(replace(t, title=f"{words}, {years_of(ds)[-1]}. {t.title}") for t in zones),
    ]


def _contents(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("maps", context["maps_title"]),
        *([("years", "Change through time")] if context["pictures"].through_time else []),
        ("validation", "How far to trust it"),
        *([("study", "Whole profiles")] if context["study"] else []),
        *([("importance", "Covariates' worth")] if context["pictures"].importance else []),
        *([("truth", "Against the truth")] if context["truth"] else []),
        ("where", "Values and profiles" if context["learns"] else "Values"),
        *([("totals", "Means and totals")] if context["totals"] else []),
        *([("profiles", "Profile quality")] if context["learns"] else []),
        *([("covariates", "Covariates")] if context["choices"] else []),
        *([("training", "Training")] if context["trainings"] else []),
        ("sources", "Sources"),
        ("time", "Time taken"),
        *([("production", "Production")] if context["production"] else []),
        ("recipe", "Recipe"),
        ("open", "Open it elsewhere"),
    ]


def _maps_title(ds: xr.Dataset) -> str:
    word = series_word(layer.quantity for layer in mean_layers(ds))
    if not is_series(ds) or word == "quantity":
        return "Maps by quantity and depth" if is_series(ds) else "Maps by depth"
    return f"Maps by {word} and year"


def _assessment(ds: xr.Dataset, assessment: Assessment | None) -> dict[str, Any] | None:
    if assessment is None or assessment.metrics.empty:
        return None
    return {
        "summary": f"{not_the_map(ds, assessment)} {summary(assessment)}".strip(),
        "warning": not_the_map(ds, assessment),
        "tables": [
            *arm_tables(assessment.arms, assessment.settings["model"]["kind"]),
            *metric_tables(assessment, assessed_quantity(assessment)[1]),
            *compared_tables(assessment, assessed_quantity(assessment)[1]),
            *interval_score_tables(assessment, assessed_quantity(assessment)[1]),
            *distance_tables(assessment),
        ],
        "notes": list(assessment.notes),
    }


def _truth(truth: Truth | None) -> dict[str, Any] | None:
    if truth is None:
        return None
    return {
        "paragraphs": (
            truth.note
            or "The world is virtual, so the map can be compared with the truth in every cell."
        ).split("\n\n"),
        "tables": truth_tables(truth.table),
    }


def _changing(truth: ChangingTruth | None) -> dict[str, Any] | None:
    if truth is None:
        return None
    return {"paragraphs": truth.note.split("\n\n"), "tables": changing_tables(truth)}


def _production(found: ProductionSummary | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"map": tile_map(found.states), "tables": production_tables(found)}


def _source(source: Mapping[str, Any]) -> dict[str, str]:
    keys = ("name", "role", "resolution", "licence", "citation")
    return {key: str(source.get(key) or "") for key in keys}
