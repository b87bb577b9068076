"""Whether a net learns the deep soil better for having learned all depths first.

The arms of Han et al. 2025 and those that the paper lacks, on open profiles of the world, held out
by whole blocks. Plan and seeds stand in ``depth_transfer.toml``. ``python -m benchmarks
depth_transfer --write`` puts the table into ``DEPTH_TRANSFER.md`` and keeps the sums it was made of
beside it; what is done is kept, and a run that was ended goes on. ``--minutes 60`` begins no arm
after an hour. It needs the open data beside the repository, and says so without them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .depth_transfer_run import run, tasks_of
from .depth_transfer_scores import POOLED, SUMS, Scored
from .depth_transfer_table import table
from .open_data import has_open_data
from .result import Result

PLAN = Path(__file__).with_suffix(".toml")
TABLE = Path(__file__).with_name("DEPTH_TRANSFER.md")
KEPT = Path(__file__).with_name("depth_transfer_records.parquet")
CACHE = Path(__file__).resolve().parents[1] / "build" / "depth_transfer"


def measure(*, small: bool, write: bool = False, minutes: float | None = None) -> Iterator[Result]:
    """Yield for each contrast by how many per cent the pooled RMSE differs."""
    if not has_open_data("depth_transfer"):
        return
    plan = read_plan(small)
    nothing = Path("/nonexistent")
    records = run(plan, CACHE / ("small" if small else "full"), nothing if small else KEPT, minutes)
    if not len(records):
        return
    if write and not small:
        short = records.astype(dict.fromkeys(SUMS, np.float32))  # seven digits, half the bytes
        short[[*records.columns.difference(SUMS), *SUMS]].to_parquet(KEPT, index=False)
        TABLE.write_text(table(records, plan), encoding="utf-8")
    full = records[(records["share"] == 1) & (records["thinned"] == 1)]
    scored = Scored(full)
    for name, (ours, theirs) in plan["contrasts"].items():
        shared = sorted(
            set(full.loc[full["arm"] == ours, "split"])
            & set(full.loc[full["arm"] == theirs, "split"])
        )
        pair = scored.pair(plan, (ours, theirs), shared, POOLED)
        if pair is None:
            continue
        change = scored.change(*pair)
        yield Result(
            name=name,
            value=round(change.value, 2),
            unit="% of RMSE",
            peer="the other arm, same rows",
            ratio=round(1 + change.value / 100, 4),
            details={
                "interval": [round(change.low, 2), round(change.high, 2)],
                "splits": len(shared),
                "done": f"{records['digest'].nunique()} of {len(tasks_of(plan))}",
            },
        )


def read_plan(small: bool) -> dict[str, Any]:
    """Return what is to be run."""
    plan: dict[str, Any] = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    less = plan.pop("small")
    if small:
        plan |= {k: v for k, v in less.items() if k != "arms"} | {"share_splits": []}
        plan["arm"] = [{**a, "inits": 1} for a in plan["arm"] if a["name"] in less["arms"]]
        plan["contrasts"] = {
            name: pair for name, pair in plan["contrasts"].items() if set(pair) <= {*less["arms"]}
        }
    return plan
