"""A map made under faults: killed, stopped, cut off from its store; the same bytes in the end.

Each trial makes the same small map by the command line and strikes it at random moments, starting
it again where it ended, until it ends well. Then its objects must be those of an undisturbed run,
byte for byte; right after each fault, whatever the ledger calls done must be so; and no tile may
have been made more often than the faults explain. ``--write`` puts the table into ``CHAOS.md``.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edaphos.engine.place import place

from . import chaos_clock
from .chaos_faults import FAULTS, STORE_FAILS, Fault
from .chaos_job import Job, can_repair
from .chaos_table import Plan, Trial, line, table
from .chaos_world import ChaosWorld, make_chaos_world
from .result import Result
from .servers import slurm
from .servers.fault_proxy import FaultProxy, Misbehaviour, fault_proxy
from .servers.s3 import BUCKET, available_rclone, rclone_server

TABLE = Path(__file__).with_name("CHAOS.md")
#: Starts of one run until it counts as never ending well.
STARTS = 12
#: What goes wrong with requests in the trials on S3.
TROUBLES = {
    "S3: 500 and 503": Misbehaviour(error_500=0.08, error_503=0.12),
    "S3: slow": Misbehaviour(late=0.2, delay=1.5),
    "S3: answers cut": Misbehaviour(cut=0.1),
    "S3: connections closed": Misbehaviour(closed=0.1),
    "S3: all of these": Misbehaviour(0.05, 0.05, 0.05, 0.05, 0.05),
    "S3: outage": Misbehaviour(error_503=1.0),
    "S3: long outage": Misbehaviour(error_503=1.0),
}
#: Seconds until the store answers again: one that is waited for, and one that ends the run.
OUTAGES = {"S3: outage": 10.0, "S3: long outage": 60.0}


def plans(small: bool) -> list[Plan]:
    """Return the trials; `small` has a dozen faults."""
    if small:
        return [
            Plan(("worker killed", "client stopped", "client killed")),
            Plan(("all processes killed", "worker stopped", "object cut short", "bit flipped")),
            Plan(("clock jumps", "worker killed"), "clock"),
            Plan(("disk full",), "small disk"),
            Plan(("S3: all of these", "worker killed"), "S3: all of these"),
        ]
    disk = [
        ("worker killed", "worker killed", "client killed"),
        ("client killed", "client killed", "client killed"),
        ("all workers killed", "worker stopped", "all processes killed"),
        ("client stopped", "client killed", "worker killed"),
        ("client interrupted", "client terminated", "worker killed"),
        ("object cut short", "object deleted", "bit flipped"),
        ("bit flipped", "record cut short", "object cut short"),
        ("all processes killed", "all processes killed", "all workers killed"),
        ("worker stopped", "client stopped", "client terminated"),
        ("client killed", "bit flipped", "worker killed"),
    ]
    trials = [Plan(faults) for faults in disk]
    trials += [Plan(("disk full", "disk full"), "small disk")] * 2
    trials += [Plan(("clock jumps", "worker killed", "clock jumps"), "clock")] * 2
    for trouble in TROUBLES:
        also = ("client killed",) if trouble in OUTAGES else ("worker killed", "client killed")
        trials.append(Plan((trouble, *also), trouble))
    jobs = ("Slurm job killed", "Slurm job cancelled", "Slurm job's processes killed")
    trials += [Plan(jobs, "slurm"), Plan((*jobs[::-1], "client killed"), "slurm")]
    trials.append(Plan(("S3: 500 and 503", "object cut short", "bit flipped"), "S3: 500 and 503"))
    return trials


def measure(*, small: bool, write: bool = False) -> Iterator[Result]:
    """Yield how many faults were struck, and in how many the promises were kept."""
    # a shell's background job ignores SIGINT, and so would everything it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="edaphos-chaos-") as scratch:
        folder = Path(scratch)
        side, seconds = (6, 0.2) if small else (8, 0.25)
        world = make_chaos_world(folder / "world", side=side, seconds=seconds)
        reference, undisturbed = _reference(world, folder / "reference")
        trials, skipped = [], []
        for seed, plan in enumerate(plans(small)):
            missing = _lacking(plan)
            if missing:
                skipped.append(f"{', '.join(plan.faults)}: {missing}")
                continue
            trial = _try(world, plan, seed, reference, folder / f"trial{seed}")
            trials.append(trial)
            sys.stderr.write(line(trial) + "\n")
    for reason in skipped:
        sys.stderr.write(f"chaos: left out: {reason}\n")
    if write:
        TABLE.write_text(table(trials, skipped, world.tiles, undisturbed), encoding="utf-8")
    yield _result(trials, skipped, world, undisturbed)


def _result(
    trials: Sequence[Trial], skipped: Sequence[str], world: ChaosWorld, undisturbed: float
) -> Result:
    faults = sum(len(t.struck) for t in trials)
    survived = sum(len(t.struck) for t in trials if t.well)
    return Result(
        name="chaos",
        value=survived,
        unit="faults survived",
        peer="faults struck, the map byte-identical to an undisturbed run's",
        ratio=round(survived / max(1, faults), 4),
        details={
            "trials": len(trials),
            "tiles": world.tiles,
            "seconds_undisturbed": round(undisturbed, 1),
            "faults_by_kind": dict(Counter(name for t in trials for name in t.struck)),
            "tiles_made_again": sum(t.again for t in trials),
            "tiles_made_again_explained": sum(t.explained for t in trials),
            "wrong_objects_counted_as_done": sum(len(t.wrongs) for t in trials),
            "problems": [p for t in trials for p in (*t.problems, *t.wrongs)],
            "left_out": list(skipped),
        },
    )


def _reference(world: ChaosWorld, out: Path) -> tuple[dict[str, str], float]:
    """Return the checksums of an undisturbed run, and its seconds."""
    job = Job(world, out)
    started = time.perf_counter()
    job.start()
    if job.wait() != 0:
        raise RuntimeError(f"the undisturbed run failed: {job.said()}")
    made = world.makes()
    if len(made) != world.tiles or set(made.values()) != {1}:
        raise RuntimeError(f"the undisturbed run made {made.total()} of {world.tiles} tiles")
    return job.objects(), time.perf_counter() - started


def _lacking(plan: Plan) -> str | None:
    """Return why a plan cannot be carried out here, None where it can."""
    if plan.where == "small disk" and os.geteuid() != 0:
        return "only root may mount a small disk"
    if plan.where == "clock":
        return chaos_clock.lacking()
    if plan.where == "slurm":
        return slurm.available()
    if plan.where in TROUBLES and (lacking := available_rclone()):
        return lacking
    if "bit flipped" in plan.faults and not can_repair():
        return "`edaphos map verify` has no --repair"
    return None


# -- one trial -------------------------------------------------------------------------------------


def _try(
    world: ChaosWorld, plan: Plan, seed: int, reference: Mapping[str, str], folder: Path
) -> Trial:
    """Carry a plan out; whatever goes wrong becomes one of the trial's problems."""
    trial, chance = Trial(plan, seed), random.Random(seed)
    world.forget_makes()
    folder.mkdir()
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        job, proxy = _prepare(world, plan, seed, folder, stack)
        stack.callback(_bury, job)
        try:
            _strike(job, plan, chance, trial, reference, proxy)
            _judge(job, trial, reference)
        except (AssertionError, RuntimeError) as error:
            trial.problems.append(str(error))
        trial.starts = job.starts
    trial.seconds = round(time.perf_counter() - started, 1)
    shutil.rmtree(folder, ignore_errors=True)
    return trial


def _prepare(
    world: ChaosWorld, plan: Plan, seed: int, folder: Path, stack: contextlib.ExitStack
) -> tuple[Job, FaultProxy | None]:
    """Return the run of a plan, what it needs standing until the stack is closed."""
    if plan.where in TROUBLES:
        endpoint = stack.enter_context(rclone_server(folder))
        proxy = stack.enter_context(fault_proxy(endpoint, seed=seed))
        return Job(world, place(f"s3://{BUCKET}/run"), {"AWS_ENDPOINT_URL": proxy.url}), proxy
    if plan.where == "small disk":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=False)
    if plan.where == "slurm":
        stack.enter_context(slurm.slurm())
        return Job(world, folder / "run", options=("--cluster", "slurm")), None
    if plan.where == "clock":
        return Job(world, folder / "run", clock=chaos_clock.Clock(folder)), None
    return Job(world, folder / "run"), None


def _bury(job: Job) -> None:
    if job.process is not None:
        job.kill_all()


def _strike(
    job: Job,
    plan: Plan,
    chance: random.Random,
    trial: Trial,
    reference: Mapping[str, str],
    proxy: FaultProxy | None,
) -> None:
    job.start()
    for number, name in enumerate(plan.faults):
        if name in TROUBLES:
            assert proxy is not None
            _trouble(job, name, trial, proxy)
            continue
        fault = FAULTS[name]
        # a later fault finds more tiles finished
        share = (number + chance.uniform(0.2, 0.9)) / (len(plan.faults) + 0.5)
        job.wait_for(int(share * job.world.tiles) + 1)
        time.sleep(chance.uniform(0, 0.4))
        _continue_if_ended(job, trial)
        if fault.offline:
            job.kill_all()
            trial.wrongs += job.wrongs(reference)  # before the damage: it is what must be found
        _one_fault(job, fault, chance, trial)
        if not fault.offline:
            trial.wrongs += job.wrongs(reference)
        if fault.ends or fault.offline:
            if not fault.offline:
                job.wait()
            job.start()
    if proxy is not None:
        trial.details.append(", ".join(f"{n} {name}" for name, n in sorted(proxy.counts.items())))
    while job.wait() != 0:
        trial.explained += STORE_FAILS
        trial.details.append(f"ended with {job.running.returncode}: {job.said()[-200:]}")
        trial.wrongs += job.wrongs(reference)
        if plan.where not in TROUBLES:
            raise AssertionError(f"ended with {job.running.returncode}: {job.said()}")
        if job.starts >= STARTS:
            raise AssertionError(f"did not end well in {STARTS} starts: {job.said()}")
        job.start()


def _one_fault(job: Job, fault: Fault, chance: random.Random, trial: Trial) -> None:
    """Let a fault strike; count it only if it did."""
    done = fault.act(job, chance)
    if fault.offline or done is not None:
        trial.explained += fault.again
    if done is None:
        trial.details.append(f"{fault.name}: came too late")
    else:
        trial.struck.append(fault.name)
        trial.details.append(f"{fault.name}: {done}")


def _trouble(job: Job, name: str, trial: Trial, proxy: FaultProxy) -> None:
    """Let the store misbehave from now on; an outage passes after a while."""
    job.wait_for(2)
    proxy.misbehaviour = TROUBLES[name]
    trial.struck.append(name)
    if name in OUTAGES:
        time.sleep(OUTAGES[name])
        proxy.misbehaviour = Misbehaviour()


def _continue_if_ended(job: Job, trial: Trial) -> None:
    """Start a run again that a misbehaving store ended."""
    if not job.alive() and job.running.returncode != 0:
        trial.explained += STORE_FAILS
        trial.details.append(f"ended with {job.running.returncode}: {job.said()[-200:]}")
        job.start()
        job.wait_for(1)


def _judge(job: Job, trial: Trial, reference: Mapping[str, str]) -> None:
    """Compare what a run left with the undisturbed run."""
    found = job.objects()
    trial.wrongs += job.wrongs(reference)
    different = sorted(key for key in reference if found.get(key) != reference[key])
    more = sorted(set(found) - set(reference))
    if different or more:
        trial.problems.append(
            f"{len(different)} objects differ ({', '.join(different[:3])}), "
            f"{len(more)} are too many ({', '.join(more[:3])})"
        )
    makes = job.world.makes()
    trial.again = makes.total() - job.world.tiles
    trial.most = max(makes.values())
    if trial.again > trial.explained:
        trial.problems.append(
            f"{trial.again} tiles were made again, the faults explain {trial.explained}"
        )
        trial.details += job.world.made_again()
    if len(makes) != job.world.tiles:
        trial.problems.append(f"{len(makes)} of {job.world.tiles} tiles were made")
