"""What a report opens with: what the map is, its key numbers, how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from ..assess.assessment import Assessment
from .layers import layers, mean_layers, years_of
from .report_tables import headline, main_split, split_label
from .scales import pretty_units
from .series_pictures import is_series
from .series_tables import Change, changes
from .tables import area, count, duration, fixed, interval, signed
from .totals import Totals
from .validation_pictures import assessed_quantity
from .words import family, family_title, listed, quantity_title, scenario_words, series_word

#: Changes that get a box of their own; the table holds them all.
MOST_CHANGES = 4


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


def lede(ds: xr.Dataset, units: str) -> str:
    """Return in a sentence what a map holds."""
    found = layers(ds)
    depths = list(dict.fromkeys(la.depth for la in found))
    held = [{la.statistic for la in found if la.quantity == q} for q in _main(ds)]
    shared = set.intersection(*held) if held else {la.statistic for la in found}
    statistics = [s for s in dict.fromkeys(la.statistic for la in found) if s in shared]
    years = [str(year) for year in years_of(ds)]
    span = f"{depths[0][0]:g} to {depths[-1][1]:g} cm" if depths else "no depth"
    when = listed(years) if len(years) < 4 else f"{years[0]} to {years[-1]}"
    if is_series(ds):
        return _series_lede(ds, span, when, listed(statistics))
    number = f"{len(depths)} depth interval{'s' if len(depths) != 1 else ''}"
    return f"{number} from {span}, each with {listed(statistics)}, in {units}, for {when}."


def _series_lede(ds: xr.Dataset, span: str, when: str, statistics: str) -> str:
    means = mean_layers(ds)
    first = means[0]
    mine = _main(ds)
    names = [scenario_words(q) for q in mine if scenario_words(q)]
    others = dict.fromkeys(family_title(q) for q in _quantities(ds) if q not in mine)
    text = f"{family_title(first.quantity)}, {span}, in {pretty_units(first.units)}, for {when}"
    if names:
        text += (
            f"; {len(names)} {series_word(mine)}{'s' if len(names) > 1 else ''}: {listed(names)}"
        )
    text += f". Each with {statistics}."
    return text + (f" Also: {listed([o.lower() for o in others])}." if others else "")


def _quantities(ds: xr.Dataset) -> list[str]:
    return list(dict.fromkeys(la.quantity for la in mean_layers(ds)))


def _main(ds: xr.Dataset) -> list[str]:
    """Return the quantities of the family that a report opens with."""
    found = _quantities(ds)
    return [q for q in found if family(q) == family(found[0])]


def resolutions(attrs: Mapping[str, Any]) -> str:
    """Return nominal and covariate resolution as a sentence."""
    return (
        f"Cells of {attrs.get('nominal_resolution') or 'unknown size'}; "
        f"covariates of {attrs.get('covariate_resolution') or 'unknown resolution'}."
    )


def key_numbers(
    ds: xr.Dataset,
    assessment: Assessment | None,
    provenance: Mapping[str, Any],
    totals: Totals | None,
) -> list[KeyNumber]:
    """Return the numbers a report opens with."""
    attrs = ds.attrs
    found = change_numbers(changes(totals), attrs) if totals and is_series(ds) else []
    if assessment is not None:
        found += skill_numbers(assessment, mapped=_quantities(ds))
    production = provenance.get("production", {})
    whole = totals.select("all") if totals else []
    cells = whole[0].cells if whole else production.get("cells")
    if cells:
        about = area(whole[0].area_km2) if whole else "cells with a value"
        found.append(KeyNumber("Land cells mapped", count(cells), about))
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


def change_numbers(found: list[Change], attrs: Mapping[str, Any]) -> list[KeyNumber]:
    """Return the total at the start, and its change under each scenario."""
    if not found:
        return []
    first = found[0]
    start, end = first.start, first.end
    about = "the initial map, by construction" if attrs.get("scenario") else "over all mapped cells"
    numbers = [
        KeyNumber(
            f"{family_title(first.quantity)}, {start.year}",
            f"{fixed(start.total_pg, first.digits)} Pg",
            f"{about}{_without(first, at_end=False)}",
            strong=True,
        )
    ]
    if start.year == end.year:
        return numbers
    for change in found[:MOST_CHANGES]:
        difference = (change.end.total_pg or 0.0) - (change.start.total_pg or 0.0)
        share = 100 * difference / change.start.total_pg if change.start.total_pg else float("nan")
        label = scenario_words(change.quantity) or quantity_title(change.quantity)
        numbers.append(
            KeyNumber(
                f"{start.year} to {end.year}, {label}",
                f"{signed(difference, change.digits)} Pg",
                f"{signed(share)} %{_without(change, at_end=True)}",
                strong=True,
            )
        )
    return numbers


def _without(change: Change, *, at_end: bool) -> str:
    """Return what a total, or its change, is without flagged cells, where there are any."""
    if change.unflagged is None:
        return ""
    start, end = (row.total_pg or 0.0 for row in change.unflagged)
    value = signed(end - start, change.digits) if at_end else fixed(start, change.digits)
    return f"; without flagged cells {value} Pg"


def skill_numbers(assessment: Assessment, mapped: list[str]) -> list[KeyNumber]:
    """Return R² and coverage; what was assessed is named where it is not what is mapped."""
    row, split = headline(assessment), split_label(main_split(assessment))
    quantity = assessed_quantity(assessment)[0]
    what = "" if quantity in mapped else f"{family_title(quantity)}: "
    return [
        KeyNumber(
            f"{what}R², {split}",
            fixed(row.get("R2")),
            f"log scale {fixed(row.get('R2_log1p'))} "
            f"{interval(row.get('R2_log1p_low'), row.get('R2_log1p_high'))}",
            interval(row.get("R2_low"), row.get("R2_high")),
            strong=True,
        ),
        KeyNumber(
            f"{what}inside the 90 % interval" if what else "Inside the 90 % interval",
            f"{fixed(100 * row.get('PICP', float('nan')), 0)} %",
            f"of {count(row['n'])} layers, {split}",
            interval(
                100 * row.get("PICP_low", float("nan")), 100 * row.get("PICP_high", float("nan")), 0
            ),
            strong=True,
        ),
    ]


def not_the_map(ds: xr.Dataset, assessment: Assessment) -> str:
    """Return a warning where what was assessed is an input of what is mapped, else nothing."""
    quantity, mapped = assessed_quantity(assessment)[0], _quantities(ds)
    if quantity in mapped or not mapped:
        return ""
    return (
        f"What is validated here is {family_title(quantity).lower()}, which the model learns from "
        f"soil profiles and takes as an input; the mapped {family_title(mapped[0]).lower()} "
        "itself is not validated."
    )


def summary(assessment: Assessment) -> str:
    """Return in a few sentences how good predictions are, and what covariates add."""
    settings, row = assessment.settings, headline(assessment)
    degrees = settings.get("assess", {}).get("block_deg")
    split = main_split(assessment)
    how = f"spatial blocks of {degrees:g}°" if split == "block" and degrees else split_label(split)
    quantity = assessed_quantity(assessment)[0]
    of = "" if quantity == "soc" else f"{family_title(quantity).lower()} in "
    text = [
        f"Leaving out {how}, predictions of {of}{count(row['n'])} soil layers reach an R² of "
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
