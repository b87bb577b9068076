"""How long a run took, stage by stage, for its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .report_head import KeyNumber
from .tables import count, duration

_STAGES: Mapping[str, str] = {
    "cube": "covariate cube",
    "survey": "virtual survey",
    "profiles": "profiles read and checked",
    "samples": "covariates at profiles",
    "patches": "patches around profiles",
    "assess": "cross-validation",
    "fit": "model fitted",
    "study": "whole profiles studied",
    "map": "map produced",
    "ecosystems": "stocks by ecosystem",
    "products": "products written",
    "truth": "judged against the truth",
}


def time_taken(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return numbers and bars of the time a run took, None where its manifest tells none."""
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
