"""Where a tile's time goes when RothC predicts it: the same calls, each timed."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from edaphos.engine.models import rothc, rothc_phases
from edaphos.engine.models.protocol import TileInputs
from edaphos.engine.models.rothc import RothCModel
from edaphos.engine.tiles import Stopwatch

#: Functions that are timed, by what they do.
TIMED = (
    (rothc, "gather", "cells taken out, domain"),
    (rothc_phases, "thornthwaite_of_days", "evapotranspiration"),
    (rothc_phases, "year_map", "modifiers and the year's map"),
    (rothc_phases, "hold_stock", "equilibrium and inversion"),
    (rothc_phases, "simulate", "months"),
    (rothc_phases, "project", "years at once"),
)


def timed_phases(model: RothCModel, inputs: TileInputs) -> dict[str, float]:
    """Return seconds of each part of ``model.predict(inputs)``, the rest as ``placing``."""
    model.predict(inputs)
    watch = Stopwatch()
    patches = [
        patch.object(module, name, _timed(getattr(module, name), label, watch))
        for module, name, label in TIMED
    ]
    for item in patches:
        item.start()
    try:
        with watch.phase("all"):
            model.predict(inputs)
    finally:
        for item in patches:
            item.stop()
    total = watch.seconds.pop("all")
    return {**watch.seconds, "placing and the rest": total - sum(watch.seconds.values())}


def _timed(function: Any, label: str, watch: Stopwatch) -> Any:
    def run(*args: Any, **options: Any) -> Any:
        with watch.phase(label):
            return function(*args, **options)

    return run
