"""Run arms in virtual worlds: two processes, results kept line by line, so that a run goes on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edaphos.engine.hybrid.arm import Arm
from edaphos.engine.hybrid.couplings import ForestOnly, TrustedCourse, make_arm
from edaphos.engine.hybrid.learners import ForestLearner
from edaphos.engine.hybrid.process import Process
from edaphos.engine.hybrid.rothc_process import RothCProcess
from edaphos.engine.hybrid.seen import PlaceAndTime
from edaphos.engine.hybrid.site_years import Drivers, Floats, SiteYears

from .processes import PROCESSES, process_pool
from .virtual_world_make import World, make_world
from .virtual_world_plan import ArmPlan, Plan, Task
from .virtual_world_scores import score, score_visited

#: What the table was made of, as good as the code it was made with: to be deleted, and the cache,
#: when an arm is changed.
KEPT = Path(__file__).with_name("virtual_world_records.jsonl")


@dataclass(frozen=True)
class Record:
    """What one arm made of one world: its scores, or why there are none.

    Parameters
    ----------
    variant, seed, arm, digest
        Of what it is.
    scores
        By name.
    seconds
        It took to fit and predict.
    error
        What went wrong, if anything.
    said
        What the arm reports of itself, such as a tuned weight.
    """

    variant: str
    seed: int
    arm: str
    digest: str
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    said: dict[str, Any] = field(default_factory=dict)


def run_plan(plan: Plan, cache: Path, processes: int = PROCESSES) -> list[Record]:
    """Return all records of a plan, running what the cache has not, and telling how far it is.

    What :data:`KEPT` holds of the same plan counts as run.
    """
    cache.mkdir(parents=True, exist_ok=True)
    store = cache / "records.jsonl"
    earlier = (*read_records(KEPT), *read_records(store))
    known = {(r.variant, r.seed, r.arm): r for r in earlier}
    wanted = {
        (task.variant.name, task.seed, arm.name): plan.digest(task.variant, arm)
        for task in plan.tasks()
        for arm in task.arms
    }
    done = {key: r for key, r in known.items() if wanted.get(key) == r.digest and not r.error}
    missing = [
        replace(task, arms=left)
        for task in plan.tasks()
        if (
            left := tuple(
                a for a in task.arms if (task.variant.name, task.seed, a.name) not in done
            )
        )
    ]
    with store.open("a", encoding="utf-8") as file:
        for records in _progress(_run(plan, missing, processes), len(missing)):
            for record in records:
                file.write(json.dumps(vars(record)) + "\n")
                done[record.variant, record.seed, record.arm] = record
            file.flush()
    return [done[key] for key in wanted]


def read_records(store: Path) -> Iterator[Record]:
    """Yield the records of a file, as far as its lines are whole."""
    if not store.exists():
        return
    for line in store.read_text(encoding="utf-8").splitlines():
        try:
            yield Record(**json.loads(line))
        except (json.JSONDecodeError, TypeError):
            continue  # cut short when a run was ended, or of another version


def write_records(records: Iterable[Record], store: Path) -> None:
    """Write records into a file of their own, one a line."""
    text = "".join(json.dumps(vars(r)) + "\n" for r in records)
    store.write_text(text, encoding="utf-8")


def _run(plan: Plan, tasks: Sequence[Task], processes: int) -> Iterator[list[Record]]:
    if processes < 2 or len(tasks) < 2:
        yield from (run_task(plan, task) for task in tasks)
        return
    with process_pool(processes) as pool:
        for future in as_completed([pool.submit(run_task, plan, task) for task in tasks]):
            yield future.result()


def _progress(steps: Iterable[list[Record]], total: int) -> Iterator[list[Record]]:
    started = time.perf_counter()
    for number, records in enumerate(steps, 1):
        yield records
        spent = time.perf_counter() - started
        left = spent / number * (total - number)
        what = f"{records[0].variant}, seed {records[0].seed}" if records else ""
        sys.stderr.write(
            f"virtual_world: {number} of {total} worlds, {spent / 60:.1f} min, "
            f"about {left / 60:.1f} min left ({what})\n"
        )
        sys.stderr.flush()


# -- one world -----------------------------------------------------------------------------------


class CalibratedOnce:
    """RothC that remembers what it was calibrated on: arms of one world need the same again."""

    kind: ClassVar[str] = RothCProcess.kind

    def __init__(self, process: RothCProcess) -> None:
        self.process = process
        self._known: list[tuple[Drivers, Floats, Self]] = []

    def simulate(self, drivers: Drivers, start: NDArray[np.int64], stock: Floats) -> Floats:
        """Carry stocks on, as the process does."""
        return self.process.simulate(drivers, start, stock)

    def calibrate(self, drivers: Drivers, stock: Floats) -> Self:
        """Return the process fitted to these very arrays, or its fit from before."""
        for known_drivers, known_stock, fitted in self._known:
            if known_drivers is drivers and known_stock is stock:
                return fitted
        fitted = type(self)(self.process.calibrate(drivers, stock))
        self._known = [*self._known[-7:], (drivers, stock, fitted)]
        return fitted

    def draws(self, count: int, seed: int) -> list[Self]:
        """Return draws of the process."""
        return [type(self)(drawn) for drawn in self.process.draws(count, seed)]


def run_task(plan: Plan, task: Task) -> list[Record]:
    """Make a world and run arms in it."""
    world = make_world(task.variant, task.seed, test_sites=plan.test_sites)
    process = CalibratedOnce(RothCProcess(**plan.process))
    return [run_arm(plan, world, arm, process) for arm in task.arms]


def run_arm(plan: Plan, world: World, arm: ArmPlan, process: Process) -> Record:
    """Fit and score one arm; what it raises is kept as its result."""
    blank = Record(world.variant.name, world.seed, arm.name, plan.digest(world.variant, arm))
    started = time.perf_counter()
    try:
        learner = ForestLearner(**plan.learner, seed=world.seed)
        made = _make(arm, process, learner).fit(world.train)
        if arm.visited:
            scores = score_visited(world, made.predict(world.train))
        else:
            scores = score(world, made.predict(world.test))
    except Exception as error:  # an arm that fails is a result, and the others go on
        return replace(blank, error=f"{type(error).__name__}: {error}"[:300])
    return replace(
        blank,
        scores={k: round(float(v), 6) for k, v in scores.items()},
        seconds=round(time.perf_counter() - started, 2),
        said=_said(made),
    )


class ForestApart(ForestOnly):
    """The forest alone, told places and time apart: it sees what guarded hybrids see."""

    def fit(self, data: SiteYears) -> Self:
        """Learn from the observations of `data`; return self."""
        self._view = PlaceAndTime.of(data)
        return super().fit(self._view(data))

    def predict(self, data: SiteYears) -> Floats:
        """Return stocks ``(S, Y)`` kg/m²."""
        return super().predict(self._view(data))


def _make(arm: ArmPlan, process: Process, learner: ForestLearner) -> Arm:
    if arm.make == "ml_apart":
        return ForestApart(learner, **arm.options)
    return make_arm(arm.make, process, learner, **arm.options)


def _said(made: Any) -> dict[str, Any]:
    """Return the numbers an arm reports of itself: a tuned weight, trust in terms."""
    course = made if isinstance(made, TrustedCourse) else getattr(made, "course", None)
    told = {} if course is None else {k: round(float(v), 3) for k, v in course.trust.items()}
    weight = getattr(made, "w_p_found", None)
    return told if weight is None else {"w_p": weight, **told}
