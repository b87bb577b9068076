"""One HTML file that says what a map is, how far to trust it, and how it was made.

Nothing is fetched when it is opened: pictures, style and script are inside. A part without data
is left out, or says what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import xarray as xr

from ..assess.assessment import Assessment
from ..map_view import open_map
from ..run import identity_hash
from ..store import write_atomically
from .layers import layers, sources_of
from .report_pictures import ReportPictures, Truth, draw_all
from .report_tables import (
    count,
    duration,
    fixed,
    headline,
    interval,
    main_split,
    metric_tables,
    qa_tables,
    split_label,
    status_table,
    totals_tables,
    truth_tables,
)
from .scales import pretty_units
from .totals import Totals

__all__ = ["KeyNumber", "ReportInputs", "Truth", "gather", "render", "write_report"]

REPORT = "report.html"
PICTURES = "pictures"

_STAGES = {
    "cube": "covariate cube",
    "survey": "virtual survey",
    "profiles": "profiles read and checked",
    "samples": "covariates at profiles",
    "assess": "cross-validation",
    "fit": "model fitted",
    "map": "map produced",
    "products": "products written",
    "truth": "judged against the truth",
}


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
    """

    dataset: xr.Dataset
    assessment: Assessment | None = None
    qa: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] | None = None
    recipe: str = ""
    totals: Totals | None = None
    locations: pd.DataFrame | None = None
    truth: Truth | None = None
    products: Path | None = None


@dataclass(frozen=True)
class KeyNumber:
    """A number worth a box of its own."""

    label: str
    value: str
    about: str
    range: str = ""
    strong: bool = False

    @property
    def words(self) -> bool:
        """Whether the value is a phrase rather than a number."""
        return len(self.value) > 14


def gather(
    run_folder: Path, *, totals: Totals | None = None, truth: Truth | None = None
) -> ReportInputs:
    """Collect what a run's folder holds; files that are not there leave their part out."""
    assessment = run_folder / "assessment"
    qa, manifest = run_folder / "profiles_qa.json", run_folder / "manifest.json"
    recipe, places = run_folder / "recipe.toml", run_folder / "profiles_locations.csv"
    products = run_folder / "products"
    return ReportInputs(
        dataset=open_map(run_folder),
        assessment=Assessment.load(assessment) if assessment.is_dir() else None,
        qa=json.loads(qa.read_text()) if qa.is_file() else None,
        manifest=json.loads(manifest.read_text()) if manifest.is_file() else None,
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
        totals=totals,
        locations=pd.read_csv(places) if places.is_file() else None,
        truth=truth,
        products=products if products.is_dir() else None,
    )


def write_report(run_folder: Path, inputs: ReportInputs) -> Path:
    """Write ``report.html``, and its pictures as PNG files beside it.

    Returns
    -------
    Path
        The report. It appears only when whole.
    """
    pictures = draw_all(inputs.dataset, inputs.assessment, inputs.locations, inputs.truth)
    for picture in pictures.every():
        picture.save(run_folder / PICTURES)
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
        jinja2.filters.Markup((here / name).read_text(encoding="utf-8"))
        for name in ("report.css", "report.js")
    )
    return template.render(css=style, js=script, **_context(run_name, inputs, pictures))


def _context(run_name: str, inputs: ReportInputs, pictures: ReportPictures) -> dict[str, Any]:
    ds, attrs = inputs.dataset, inputs.dataset.attrs
    found = layers(ds)
    first = next((la for la in found if la.statistic == "mean"), found[0] if found else None)
    units = pretty_units(first.units) if first else ""
    manifest = inputs.manifest or {}
    context: dict[str, Any] = {
        "title": attrs.get("title", "Soil map"),
        "banner": attrs.get("banner", ""),
        "version": attrs.get("edaphos_version", ""),
        "license": attrs.get("license", ""),
        "complete": bool(attrs.get("complete", True)),
        "lede": _lede(ds, units),
        "resolutions": _resolutions(attrs),
        "key_numbers": _key_numbers(inputs),
        "pictures": pictures,
        "assessment": _assessment(inputs.assessment, units),
        "truth": _truth(inputs.truth),
        "totals": totals_tables(inputs.totals) if inputs.totals else [],
        "qa": qa_tables(inputs.qa) if inputs.qa else [],
        "sampling": _sampling(manifest.get("provenance", {})),
        "status_cells": status_table(manifest.get("provenance", {}).get("cells_by_status", {})),
        "sources": [_source(s) for s in sources_of(ds)],
        "time": _time(manifest),
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


def _sampling(provenance: Mapping[str, Any]) -> list[str]:
    """Return what became of the checked layers when covariates were drawn for them."""
    counts = provenance.get("samples", {})
    notes = [str(warning) for warning in provenance.get("unsampled_depths", [])]
    if counts:
        notes.append(
            f"Of {counts['rows']:,} checked layers {counts['kept']:,} train the model; "
            f"{counts['off_grid']:,} lie off the grid and {counts['lacking']:,} lack a covariate."
        )
    return notes


def _contents(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("maps", "Maps by depth"),
        ("validation", "How far to trust it"),
        *([("truth", "Against the truth")] if context["truth"] else []),
        ("where", "Values and profiles"),
        *([("totals", "Means and totals")] if context["totals"] else []),
        ("profiles", "Profile quality"),
        ("sources", "Sources"),
        ("time", "Time taken"),
        ("recipe", "Recipe"),
        ("open", "Open it elsewhere"),
    ]


def _lede(ds: xr.Dataset, units: str) -> str:
    found = layers(ds)
    depths = list(dict.fromkeys(la.depth for la in found))
    statistics = list(dict.fromkeys(la.statistic for la in found))
    years = [str(y) for y in np.atleast_1d(ds["year"].values)]
    span = f"{depths[0][0]:g} to {depths[-1][1]:g} cm" if depths else "no depth"
    kinds = ", ".join(statistics[:-1]) + (" and " if len(statistics) > 1 else "") + statistics[-1]
    return (
        f"{len(depths)} depth intervals from {span}, each with {kinds}, in {units}, "
        f"for {' and '.join(years) if len(years) < 4 else f'{years[0]} to {years[-1]}'}."
    )


def _resolutions(attrs: Mapping[str, Any]) -> str:
    return (
        f"Cells of {attrs.get('nominal_resolution') or 'unknown size'}; "
        f"covariates of {attrs.get('covariate_resolution') or 'unknown resolution'}."
    )


def _key_numbers(inputs: ReportInputs) -> list[KeyNumber]:
    attrs = inputs.dataset.attrs
    found = _skill_numbers(inputs.assessment) if inputs.assessment is not None else []
    provenance = (inputs.manifest or {}).get("provenance", {})
    production = provenance.get("production", {})
    whole = inputs.totals.select("all") if inputs.totals else []
    cells = whole[0].cells if whole else production.get("cells")
    if cells:
        area = f"{whole[0].area_km2 / 1e6:.1f} million km²" if whole else "cells with a value"
        found.append(KeyNumber("Land cells mapped", count(cells), area))
    stages = provenance.get("stage_seconds", {})
    if stages:
        workers = production.get("workers")
        about = f"whole run, {workers} workers" if workers else "whole run"
        found.append(KeyNumber("Wall time", duration(sum(stages.values())), about))
    nominal = str(attrs.get("nominal_resolution") or "unknown")
    covariates = str(attrs.get("covariate_resolution") or "unknown")
    found.append(KeyNumber("Cell size", nominal, "nominal; what the eye sees"))
    found.append(KeyNumber("Covariates", covariates, "their own size; what the map knows"))
    return found


def _skill_numbers(assessment: Assessment) -> list[KeyNumber]:
    row, split = headline(assessment), split_label(main_split(assessment))
    return [
        KeyNumber(
            f"R², {split}",
            fixed(row.get("R2")),
            f"log scale {fixed(row.get('R2_log1p'))} "
            f"{interval(row.get('R2_log1p_low'), row.get('R2_log1p_high'))}",
            interval(row.get("R2_low"), row.get("R2_high")),
            strong=True,
        ),
        KeyNumber(
            "Inside the 90 % interval",
            f"{fixed(100 * row.get('PICP', float('nan')), 0)} %",
            f"of {count(row['n'])} layers, {split}",
            interval(
                100 * row.get("PICP_low", float("nan")), 100 * row.get("PICP_high", float("nan")), 0
            ),
            strong=True,
        ),
    ]


def _assessment(assessment: Assessment | None, units: str) -> dict[str, Any] | None:
    if assessment is None or assessment.metrics.empty:
        return None
    return {
        "summary": _summary(assessment),
        "tables": metric_tables(assessment, units),
        "notes": list(assessment.notes),
    }


def _summary(assessment: Assessment) -> str:
    settings, row = assessment.settings, headline(assessment)
    degrees = settings.get("assess", {}).get("block_deg")
    split = main_split(assessment)
    how = f"spatial blocks of {degrees:g}°" if split == "block" and degrees else split_label(split)
    text = [
        f"Leaving out {how}, predictions of {count(row['n'])} soil layers reach an R² of "
        f"{fixed(row.get('R2'))} (1 − SSE/SST), and {fixed(row.get('R2_log1p'))} on the "
        "logarithmic scale."
    ]
    gain = _overall(assessment.gain, split)
    if gain is not None:
        text.append(
            f"A model that sees depth alone reaches {fixed(gain['other'])} on the logarithmic "
            f"scale: the covariates add {fixed(gain['difference'])} "
            f"{interval(gain['low'], gain['high'])}."
        )
    flattery = _overall(assessment.flattery, "random")
    if flattery is not None:
        text.append(
            f"Splitting rows at random would have shown {fixed(flattery['value'])}: "
            f"{fixed(flattery['difference'])} too good."
        )
    return " ".join(text)


def _overall(table: pd.DataFrame, split: str) -> Mapping[str, Any] | None:
    if table.empty:
        return None
    chosen = table[(table["split"] == split) & (table["by"] == "all")]
    chosen = chosen[chosen["metric"] == "R2_log1p"]
    return None if chosen.empty else dict(chosen.iloc[0])


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


def _source(source: Mapping[str, Any]) -> dict[str, str]:
    keys = ("name", "role", "resolution", "licence", "citation")
    return {key: str(source.get(key) or "") for key in keys}


def _time(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    provenance = manifest.get("provenance", {})
    stages: Mapping[str, float] = provenance.get("stage_seconds", {})
    production: Mapping[str, Any] = provenance.get("production", {})
    if not (stages or production):
        return None
    numbers = []
    if stages:
        numbers.append(KeyNumber("Wall time", duration(sum(stages.values())), "all stages"))
    if production.get("seconds") and production.get("cells"):
        rate = production["cells"] / production["seconds"]
        numbers.append(KeyNumber("Mapping speed", f"{rate:,.0f}", "land cells a second"))
    if production.get("workers"):
        numbers.append(KeyNumber("Workers", count(production["workers"]), "processes"))
    if production.get("peak_memory"):
        peak = f"{production['peak_memory'] / 2**20:,.0f} MiB"
        numbers.append(KeyNumber("Peak memory", peak, "largest worker"))
    longest = max(stages.values(), default=0) or 1
    bars = [
        {
            "label": _STAGES.get(name, name.replace("_", " ")),
            "value": duration(seconds),
            "percent": f"{100 * seconds / longest:.1f}",
        }
        for name, seconds in stages.items()
    ]
    return {"numbers": numbers, "bars": bars}
