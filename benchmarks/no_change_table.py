"""The tables of the benchmark of significant changes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .result import machine


@dataclass(frozen=True)
class Row:
    """What came of one arm in one world, in one year against 1980, at places nobody sampled.

    Parameters
    ----------
    world, arm, seed, year
        Of what it is.
    measured
        Whether the error of measurement was told.
    marked
        Share of cells marked as changed, false discoveries being controlled.
    wrong_sign
        Share of cells marked with a gain where there was a loss, or the other way round.
    below_5
        Share of cells with p below 0.05.
    true_change, change
        Means over the cells, kg/m².
    error
        Root mean square of predicted less true change, kg/m².
    half_width
        Of the 90 % interval of the change, kg/m², on average.
    change_inside, fresh_inside, truth_inside
        Share of cells whose true change, stock as a fresh sample measures it, and true stock lie
        in their 90 % intervals.
    """

    world: str
    arm: str
    seed: int
    year: int
    measured: bool
    marked: float
    wrong_sign: float
    below_5: float
    true_change: float
    change: float
    error: float
    half_width: float
    change_inside: float
    fresh_inside: float
    truth_inside: float


def still_worlds(plan: Mapping[str, Any]) -> list[str]:
    """Return the names of the worlds without change."""
    return [world["name"] for world in plan["world"] if world["truth"] == "still"]


def failures(rows: Sequence[Row], plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each case in which more cells light up than is accepted."""
    for world in still_worlds(plan):
        for arm in plan["arm"]:
            for year in plan["years"]:
                for measured in (True, False):
                    mine = _select(rows, world, arm["name"], year, measured)
                    share = np.mean([r.marked for r in mine]) if mine else 0.0
                    if share > plan["accepted"]:
                        yield (
                            f"{world}, {arm['name']}, {year}, error of measurement "
                            f"{'told' if measured else 'not told'}: {100 * share:.1f} % of cells "
                            f"are marked, more than {100 * plan['accepted']:g} %"
                        )


def table(rows: Sequence[Row], plan: Mapping[str, Any]) -> str:
    """Return the page."""
    missed = list(failures(rows, plan))
    about = (
        f"{plan['sites']} sites sampled in 1980 and in 2000, {plan['test_sites']} places that "
        "nobody sampled; measured stocks have an error of "
        f"{plan['measured_percent']:g} %. *Marked*: share of those places that the map marks as "
        "changed since 1980 (Benjamini-Hochberg, false discovery rate "
        f"{plan['false_discovery']:g}), mean over worlds, and the most in any one. *p < 0.05*: "
        "what would be marked without control of false discoveries. *Inside*: share of true "
        "changes, of fresh samples of the stock and of true stocks in their 90 % intervals. 1990 "
        "lies between the samplings, 2010 after them."
    )
    criterion = (
        f"At most {100 * plan['accepted']:g} % of places are to be marked where nothing changes, "
        "for each arm and year on average over the worlds, with drivers that are right (no trend) "
        "and wrong (rising)."
    )
    lines = [
        "# Significant changes where nothing changes, and where something does",
        "",
        *fill(
            "Written by `python -m benchmarks no_change --write`; worlds, arms and seeds were "
            f"fixed in `no_change.toml` before. {machine()}."
        ),
        "",
        *fill(about),
        "",
        "## The criterion",
        "",
        *fill(criterion),
        "",
        *(
            [f"- Not held: {told}." for told in missed]
            if missed
            else ["It holds in all cases below."]
        ),
    ]
    for measured in (True, False):
        lines += [
            "",
            f"## Error of measurement {'told' if measured else 'not told'}",
        ]
        for world in plan["world"]:
            lines += ["", f"### {world['name']} ({len(world['seeds'])} worlds)", "", *HEAD]
            for arm in plan["arm"]:
                for year in plan["years"]:
                    mine = _select(rows, world["name"], arm["name"], year, measured)
                    lines += [_line(mine)] if mine else []
    return "\n".join([*lines, ""])


HEAD = (
    "| arm | year | marked (most) | wrong sign | p < 0.05 | true change | predicted | error "
    "| half interval | change inside | fresh inside | true stock inside |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def _line(rows: Sequence[Row]) -> str:
    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows]))

    def percent(value: float) -> str:
        return f"{100 * value:.1f} %"

    cells = [
        rows[0].arm,
        str(rows[0].year),
        f"{percent(mean('marked'))} ({percent(max(row.marked for row in rows))})",
        percent(mean("wrong_sign")),
        percent(mean("below_5")),
        *(f"{mean(name):.2f}" for name in ("true_change", "change", "error", "half_width")),
        *(percent(mean(name)) for name in ("change_inside", "fresh_inside", "truth_inside")),
    ]
    return f"| {' | '.join(cells)} |"


def fill(text: str) -> list[str]:
    """Return a paragraph as lines."""
    return textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)


def _select(rows: Sequence[Row], world: str, arm: str, year: int, measured: bool) -> list[Row]:
    wanted = (world, arm, year, measured)
    return [r for r in rows if (r.world, r.arm, r.year, r.measured) == wanted]
