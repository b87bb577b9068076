"""How the skill of a forest of carbon stocks falls with depth, and what flatters it.

The study of Wang et al. 2025 on open profiles of the world: stock of a layer and stock for each
centimetre, left out by row, by profile, by spatial block and by source. Arms, splits and seeds
stand in ``whole_profile.toml``. ``python -m benchmarks whole_profile --write`` puts the tables into
``WHOLE_PROFILE.md``; what is done is kept under ``build/``, and a run that was ended goes on.
``--minutes 30`` begins no arm after half an hour. It needs the open data beside the repository, and
says so without them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .open_data import has_open_data
from .result import Result
from .whole_profile_run import run, tasks_of
from .whole_profile_scores import Found, Judged
from .whole_profile_table import page

PLAN = Path(__file__).with_suffix(".toml")
TABLE = Path(__file__).with_name("WHOLE_PROFILE.md")
CACHE = Path(__file__).resolve().parents[1] / "build" / "whole_profile"


def measure(*, small: bool, write: bool = False, minutes: float | None = None) -> Iterator[Result]:
    """Yield how far R² falls from topsoil to deep soil, and what a split by rows adds to it."""
    if not has_open_data("whole_profile"):
        return
    plan = read_plan(small)
    done = run(plan, CACHE, "small" if small else "full", minutes)
    judged = Judged(plan, done)
    if write and not small:
        TABLE.write_text(page(judged, len(done.said), len(tasks_of(plan))), encoding="utf-8")
    top, deep = "0-30 cm", "100-200 cm"
    for population in plan["populations"]:
        for scale in ("stock", "density"):  # each by the forests that learned it
            block = judged.scored(population, "paper", scale, "block")
            rows = judged.scored(population, "paper", scale, "random")
            if block is None or rows is None:
                continue
            there = block.value(scale, top)[0]
            fall, leak = block.gap(scale, top, scale, deep), rows.less(block, scale, top)
            yield _result(f"{population} {scale} fall", fall, "deep soil", there - fall[0])
            yield _result(f"{population} {scale} flattery", leak, "5 degree blocks", there)


def _result(name: str, found: Found, peer: str, of_peer: float) -> Result:
    value, low, high = found
    details = {"interval": [round(low, 3), round(high, 3)], "R2 of the peer": round(of_peer, 3)}
    return Result(name, round(value, 3), "R2", peer, round((of_peer + value) / of_peer, 3), details)


def read_plan(small: bool) -> dict[str, Any]:
    """Return what is to be run."""
    plan: dict[str, Any] = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    less = plan.pop("small")
    if small:
        plan["forest"]["trees"] = less.pop("trees")
        plan |= less
    return plan
