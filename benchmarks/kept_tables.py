"""Runs tasks that each give a table, some at once, and keeps what is done, so that runs go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from .processes import PROCESSES, process_pool

Told = Mapping[str, Any]


def kept_tables(
    name: str,
    plan: Told,
    tasks: Mapping[str, Any],
    judged: Callable[[Told, Any, Path], tuple[pd.DataFrame, float]],
    cache: Path,
    kept: Path,
    minutes: float | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the tables of all tasks that are done, by digest, running what is missing.

    Parameters
    ----------
    name
        Of the benchmark, for its progress.
    plan
        As the TOML has it.
    tasks
        By digest, a dataclass each, whose fields become columns.
    judged
        Runs a task of the plan in a process of one thread; returns its table and the seconds it
        took. It may leave files of its own in the cache.
    cache, kept
        Folder of what is running, and file of what an earlier table was made of.
    minutes
        No task is begun after so many; None: until all is done.
    """
    known = {} if not kept.exists() else _by_digest(pd.read_parquet(kept))
    for path in cache.glob("*.parquet"):
        known |= _by_digest(pd.read_parquet(path))
    missing = [key for key in tasks if key not in known]
    started, ends = time.monotonic(), None if minutes is None else 60 * minutes
    with process_pool() as pool:
        waiting: dict[Any, str] = {}
        queue, finished = iter(missing), 0

        def begin() -> None:
            late = ends is not None and time.monotonic() - started > ends
            key = None if late else next(queue, None)
            if key is not None:
                waiting[pool.submit(judged, dict(plan), tasks[key], cache)] = key

        for _ in range(PROCESSES):
            begin()
        while waiting:
            future = next(as_completed(waiting))
            key = waiting.pop(future)
            begin()
            table, seconds = future.result()
            known[key] = table.assign(**asdict(tasks[key]), digest=key)
            known[key].to_parquet(cache / f"{key}.partial", index=False)
            (cache / f"{key}.partial").rename(cache / f"{key}.parquet")
            finished += 1
            left = (time.monotonic() - started) / finished * (len(missing) - finished) / 60
            sys.stderr.write(
                f"{name}: {finished} of {len(missing)}, about {left:.0f} min left "
                f"({_words(tasks[key])}, {seconds:.0f} s)\n"
            )
    return known


def arm_of(plan: Told, name: str) -> Told:
    """Return an arm of a plan by its name."""
    found: Told = next(arm for arm in plan["arm"] if arm["name"] == name)
    return found


def add_made(
    known: dict[str, pd.DataFrame],
    tasks: Mapping[str, Any],
    made: Callable[[Told, Any, Path], pd.DataFrame | None],
    plan: Told,
    cache: Path,
) -> None:
    """Add the tables of tasks that are made of what others left, where these ran here.

    Parameters
    ----------
    known
        Tables that are there already, by digest; added to.
    tasks
        By digest.
    made
        Returns the table of a task of the plan, None where a part of it did not run here.
    """
    for key, task in tasks.items():
        table = known.get(key)
        table = made(plan, task, cache) if table is None else table
        if table is not None:
            known[key] = table.assign(**asdict(task), digest=key)


def _by_digest(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(key): part for key, part in table.groupby("digest")}


def _words(task: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in asdict(task).items())


def done(
    known: Mapping[str, pd.DataFrame], digests: Sequence[str], columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the tables of the tasks that are done as one; with `columns` alone before any is."""
    found = [known[key] for key in digests if key in known]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(columns))
