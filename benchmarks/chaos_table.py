"""The trials of a map under faults: what was done, what came of it, and the table of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .chaos_job import TILES_AT_ONCE, WORKERS
from .result import machine


@dataclass(frozen=True)
class Plan:
    """One trial: the faults that strike one run, and where the run lies.

    Parameters
    ----------
    faults
        Names, in order.
    where
        ``disk``, ``small disk`` (can be filled), ``clock`` (a disk, and a clock that can
        be set), ``slurm`` (a disk, and workers that are jobs), or a trouble of S3 by its name.
    """

    faults: tuple[str, ...]
    where: str = "disk"


@dataclass
class Trial:
    """What came of one plan."""

    plan: Plan
    seed: int
    struck: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    starts: int = 0
    again: int = 0
    explained: int = 0
    most: int = 0
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether everything promised was kept."""
        return not self.problems and not self.wrongs


def line(trial: Trial) -> str:
    """Return one line for people."""
    outcome = "well" if trial.well else "; ".join([*trial.problems, *trial.wrongs])
    return (
        f"{trial.seed:3}  {', '.join(trial.struck):70}  {trial.starts} starts, {trial.again} "
        f"(<= {trial.explained}) again, {trial.seconds:g} s: {outcome}"
    )


_HEAD = """# A map under faults

{faults} faults in {runs} runs of a map of {tiles} tiles, made by `edaphos run` with {workers} \
workers of {at_once} tiles at once; undisturbed it takes {undisturbed:.0f} s. Written by \
`python -m benchmarks chaos --write` on {machine}.

Each run is struck at random moments (seeded) by the faults named, in that order, and started \
again where it ended. *Again* counts tiles that were begun more than once; *explained* is how \
many the faults allow: a worker that is killed costs the {at_once} tiles it was making, a client \
{all}, a damaged object one. *Wrong* counts objects that the ledger called done, right after a \
fault or in the end, and that were not byte for byte those of the undisturbed run. *Well* tells \
whether in the end the whole map was byte-identical, and everything else held.
"""


def table(trials: Sequence[Trial], skipped: Sequence[str], tiles: int, undisturbed: float) -> str:
    """Return ``CHAOS.md``.

    Parameters
    ----------
    trials, skipped
        What was done, and what could not be and why.
    tiles, undisturbed
        Of the map: its tiles, and seconds of an undisturbed run.
    """
    head = _HEAD.format(
        faults=sum(len(t.struck) for t in trials),
        runs=len(trials),
        tiles=tiles,
        workers=WORKERS,
        at_once=TILES_AT_ONCE,
        all=WORKERS * TILES_AT_ONCE,
        undisturbed=undisturbed,
        machine=machine(),
    )
    rows = [
        f"| {t.seed} | {', '.join(t.struck)} | {t.starts} | {t.again} | {t.explained} | "
        f"{len(t.wrongs)} | {'yes' if t.well else '; '.join(t.problems) or 'no'} |"
        for t in trials
    ]
    kinds = Counter(name for t in trials for name in t.struck)
    lines = [
        head,
        "| run | faults | starts | again | explained | wrong | well |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "| fault | struck |",
        "| --- | --- |",
        *(f"| {name} | {count} |" for name, count in sorted(kinds.items())),
        "",
        *(f"- left out: {reason}" for reason in skipped),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
