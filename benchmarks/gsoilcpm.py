"""What a model of the world, fine-tuned to a region, gains over forests of region and world.

The experiment of the published claim (Zhang L. et al. 2025), with the baseline that it lacks. Plan
and seeds stand in ``gsoilcpm.toml``. ``python -m benchmarks gsoilcpm --write`` puts the table into
``GSOILCPM.md`` and keeps the sums it was made of beside it; what is done is kept, and a run that
was ended goes on. ``--minutes 60`` begins no task after an hour. It needs the open data beside the
repository, and says so without them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .gsoilcpm_data import KEPT as BUILD
from .gsoilcpm_run import run, tasks_of
from .gsoilcpm_table import Scored, table
from .open_data import has_open_data
from .result import Result

PLAN = Path(__file__).with_suffix(".toml")
TABLE = Path(__file__).with_name("GSOILCPM.md")
KEPT = Path(__file__).with_name("gsoilcpm_records.parquet")


def measure(*, small: bool, write: bool = False, minutes: float | None = None) -> Iterator[Result]:
    """Yield for each contrast and region by how many per cent the MAE differs."""
    if not has_open_data("gsoilcpm"):
        return
    plan = read_plan(small)
    nothing = Path("/nonexistent")
    records = run(plan, BUILD / ("small" if small else "full"), nothing if small else KEPT, minutes)
    if not len(records):
        return
    if write and not small:
        records.to_parquet(KEPT, index=False)
        TABLE.write_text(table(records, plan), encoding="utf-8")
    for name, (ours, theirs) in plan["contrasts"].items():
        for (count, region), part in records.groupby(["locations", "region"], sort=False):
            scored = Scored(part)
            change = scored.change(ours, theirs, "MAE")
            if change is None:
                continue
            yield Result(
                name=f"{region}, {count or 'all'}",
                value=round(change.value, 2),
                unit="% of MAE",
                peer=name,
                ratio=round(1 + change.value / 100, 4),
                details={
                    "interval": [round(change.low, 2), round(change.high, 2)],
                    "splits": len(scored.splits(ours, theirs)),
                    "done": f"{records['digest'].nunique()} of {len(tasks_of(plan))}",
                },
            )


def read_plan(small: bool) -> dict[str, Any]:
    """Return what is to be run."""
    plan: dict[str, Any] = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    less = plan.pop("small")
    if small:
        plan |= {k: less[k] for k in ("splits", "locations", "curve", "inits")}
        plan["region"] = [r for r in plan["region"] if r["name"] in less["regions"]]
        plan["arm"] = [a for a in plan["arm"] if a["name"] in less["arms"]]
        plan["world"] = {
            **plan["world"],
            "training": {**plan["world"]["training"], "epochs": less["epochs"]},
            "unlabelled": {**plan["world"]["unlabelled"], "epochs": less["epochs"]},
        }
        plan["contrasts"] = {"head only or forest": ["head only", "forest, region"]}
    return plan
