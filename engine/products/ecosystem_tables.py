"""Tables of stocks by ecosystem beside published ones, from what a run's folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..place import Place
from .tables import Table, count, fixed

#: What the totals of a beta map are kept in, in its run's folder.
FILE = "ecosystem_stocks.json"


def load_ecosystems(run_folder: Place) -> dict[str, Any] | None:
    """Read the totals by ecosystem of a run, None where it has none."""
    path = run_folder / FILE
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return found


def ecosystem_tables(found: Mapping[str, Any] | None) -> list[Table]:
    """Return the stocks by ecosystem and layer beside the published ones, and how beta is told."""
    if not found:
        return []
    return [_stocks(found), *_betas(found.get("beta_left_out"))]


def _stocks(found: Mapping[str, Any]) -> Table:
    heads: tuple[str, ...] = (
        "<ecosystem",
        "layer, cm",
        "area, million ha",
        "cells",
        "mean by area, t/ha",
        "mean by cell, t/ha",
        "published mean, t/ha",
        "total, Pg",
        "published total, Pg",
    )
    scenario = found.get("fragments")
    if scenario:
        heads += (f"with {100 * scenario['mean']:g} % fragments, Pg",)
    rows = []
    for i, one in enumerate(found["totals"]):
        row = (
            str(one["ecosystem"]),
            f"{one['top_cm']:g}–{one['bottom_cm']:g}",
            fixed(one["area_mha"], 0),
            count(one["cells"]),
            fixed(one["mean_t_ha"], 1),
            fixed(one["unweighted_t_ha"], 1),
            fixed(one.get("published_t_ha"), 1),
            total_words(one),
            fixed(one.get("published_pg"), 0),
        )
        rows.append((*row, total_words(scenario["totals"][i])) if scenario else row)
    return Table("Stocks by ecosystem", heads, tuple(rows), note_of(found))


def _betas(found: Sequence[Mapping[str, Any]] | None) -> list[Table]:
    if not found:
        return []
    heads = (
        "<ecosystem",
        "profiles",
        "mean beta, fitted",
        "as mapped",
        "from own soil",
        "R², as mapped",
        "R², from own soil",
        "published R²",
    )
    rows = [
        (
            str(one["ecosystem"]),
            count(one["profiles"]),
            *(fixed(one[name], 4) for name in ("observed", "mean_mapped", "mean_station")),
            *(fixed(one[name], 2) for name in ("r2_mapped", "r2_station", "published_r2")),
        )
        for one in found
    ]
    note = (
        "Of profiles left out of what the forests learned from; those whose carbon does not fall "
        "with depth take no part. As mapped: from soil properties that forests predict, which is "
        "what every cell has; from own soil: from those measured in the profile, as published "
        "scores are."
    )
    return [Table("Beta by ecosystem, of profiles left out", heads, tuple(rows), note)]


def total_words(one: Mapping[str, Any]) -> str:
    """Return a total with its interval as text."""
    text = fixed(one["total_pg"], 0)
    if one.get("low_pg") is None:
        return text
    return f"{text} [{fixed(one['low_pg'], 0)}, {fixed(one['high_pg'], 0)}]"


def note_of(found: Mapping[str, Any]) -> str:
    """Return what must be known of the totals."""
    told: list[str] = [
        "Areas are exact, times the share of the cell that is land and of the ecosystem. Means by "
        "area weigh each cell by it; means by cell, as a grid of degrees gives them, count a cell "
        "near the pole as one at the equator."
    ]
    errors = found.get("errors")
    if errors:
        told.append(
            f"In brackets: 90 % intervals from errors of cells with {errors['text']}. They hold "
            "what the forests do not know, not what the profiles do not stand for: where they were "
            "sampled, missing fragments, classes of land cover."
        )
    left = found.get("left_out")
    if left:
        told.append(
            f"A check that does not lean on the map's bounds: {left['profiles']:,} profiles left "
            f"out hold {left['ratio']:.2f} [{left['low']:.2f}, {left['high']:.2f}] times the "
            f"carbon predicted for their 0-100 cm (90 %, bootstrap over {left['blocks']:,} blocks)."
        )
    scenario = found.get("fragments")
    if scenario:
        told.append(
            "Stocks without coarse fragments are upper bounds. The last column is a scenario: "
            f"{100 * scenario['mean']:g} ± {100 * scenario['sd']:g} % of the volume, "
            f"{scenario['source']}."
        )
    return " ".join([*told, *_published(found)])


def _published(found: Mapping[str, Any]) -> Sequence[str]:
    words = found.get("published")
    return [str(words)] if words else []
