"""Whether the beta model tells subsoil carbon better than a constant, a class mean or a forest.

Made-up profiles of known beta; open profiles held out by whole blocks; and the recipe's own map of
the world with its totals beside the paper's. Plan and seeds stand in ``beta_profile.toml``.
``python -m benchmarks beta_profile --write`` puts the table into ``BETA_PROFILE.md``; what is done
is kept in ``build/beta_profile``, and a run that was ended goes on. It needs the open data beside
the repository, and says so without them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edaphos.engine.progress import Reporter

from .beta_profile_itself import beta_scores
from .beta_profile_real import Soils, predictions, prepare
from .beta_profile_scores import contrast, group
from .beta_profile_synthetic import synthetic
from .beta_profile_table import table
from .beta_profile_world import world
from .open_data import has_open_data
from .result import Result

PLAN = Path(__file__).with_suffix(".toml")
TABLE = Path(__file__).with_name("BETA_PROFILE.md")
BUILD = Path(__file__).resolve().parents[1] / "build" / "beta_profile"


def measure(*, small: bool, write: bool = False) -> Iterator[Result]:
    """Yield for each contrast by how many per cent the absolute error in mineral soils differs."""
    if not has_open_data("beta_profile"):
        return
    plan = read_plan(small)
    BUILD.mkdir(parents=True, exist_ok=True)
    samples, settings = prepare(BUILD, Reporter())
    soils = Soils(samples, settings)
    said = predictions(soils, plan["real"], BUILD / ("small" if small else "full"))
    names = settings.ecosystems.names
    if write and not small:
        itself = beta_scores(soils, plan["real"], plan["beta"])
        text = table(plan, names, synthetic(plan["synthetic"]), said, itself, world(BUILD))
        TABLE.write_text(text, encoding="utf-8")
    part = group(said, "mineral soils", names)
    for name, (ours, theirs) in plan["real"]["contrasts"].items():
        value, low, high = contrast(part, ours, theirs, plan["real"]["bootstrap"])["MAE"]
        yield Result(
            name=name,
            value=round(value, 2),
            unit="% of MAE",
            peer=theirs,
            ratio=round(1 + value / 100, 4),
            details={"interval": [round(low, 2), round(high, 2)], "splits": said["seed"].nunique()},
        )


def read_plan(small: bool) -> dict[str, Any]:
    """Return what is to be run."""
    plan: dict[str, Any] = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    less = plan.pop("small")
    if small:
        plan["synthetic"]["profiles"] = less["profiles"]
        plan["real"] |= {"seeds": less["seeds"], "trees": less["trees"]}
        plan["beta"]["repeats"] = less["repeats"]
    return plan
