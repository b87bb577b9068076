"""What hybrids of process and forest gain and lose in worlds whose truth is known everywhere.

Worlds, arms and variants stand in ``virtual_world.toml``. ``python -m benchmarks virtual_world
--write`` puts the tables into ``VIRTUAL_WORLD.md``; ``python -m benchmarks.virtual_world`` knows
``--cache``, where a run that was ended is gone on with, ``--small`` and ``--pilot``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from .result import Result, machine
from .virtual_world_plan import Form, read_plan
from .virtual_world_results import BASE, Results
from .virtual_world_run import KEPT, run_plan, write_records
from .virtual_world_table import table

TABLE = Path(__file__).with_name("VIRTUAL_WORLD.md")
CACHE = Path(__file__).resolve().parents[1] / "build" / "virtual_world"


def measure(*, small: bool, write: bool = False) -> Iterator[Result]:
    """Yield the error between samplings of every arm, over that of the forest alone."""
    yield from run("small" if small else "full", CACHE, write)


def run(form: Form, cache: Path, write: bool = False) -> Iterator[Result]:
    """Run what the cache has not yet, and yield a line for each variant and arm."""
    plan = read_plan(form)
    results = Results(plan, run_plan(plan, cache / form))
    if write and form == "full":
        write_records(results.records, KEPT)
        TABLE.write_text(table(results, machine()), encoding="utf-8")
    elif write:
        sys.stderr.write(table(results, machine()))
    for record in results.failures:
        sys.stderr.write(
            f"virtual_world: {record.arm} in {record.variant}, seed {record.seed}: {record.error}\n"
        )
    for variant in plan.variants:
        for arm in plan.arms:
            if arm.visited or not results.of(variant.name, arm.name):
                continue
            between = results.mean(variant.name, arm.name, "between")
            yield Result(
                name=f"virtual {variant.name}: {arm.name}",
                value=round(between, 4),
                unit="kg/m² RMSE",
                peer="the forest alone, at years not sampled",
                ratio=round(between / results.mean(variant.name, BASE, "between"), 4),
                details={
                    "worlds": len(results.of(variant.name, arm.name)),
                    **{
                        score: round(results.mean(variant.name, arm.name, score), 4)
                        for score in ("sampled", "trend", "change", "beyond", "roughness")
                    },
                },
            )


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.virtual_world", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of finished results")
    parser.add_argument("--small", action="store_true", help="a quick look")
    parser.add_argument("--pilot", action="store_true", help="the worlds that arms are tried on")
    parser.add_argument("--write", action="store_true", help="write (or, not full, print) tables")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    form: Form = "small" if options.small else "pilot" if options.pilot else "full"
    for result in run(form, options.cache, options.write):
        print(result.to_json() if options.json else result.to_text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
