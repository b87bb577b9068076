"""``edaphos status`` and ``edaphos stop``: looking at a run from elsewhere, and ending it well."""

from __future__ import annotations

import getpass
import platform
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Annotated

import typer

from .console import errors, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from edaphos.engine.place import Place
    from edaphos.engine.run_status import RunStatus

RunPlace = Annotated[str, typer.Argument(help="A run's folder, or its s3:// address.")]
#: Seconds in which a running process must be seen to live.
SIGN_OF_LIFE = 60.0


def status(
    run: RunPlace,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds to look for a sign of life of a run on another machine (it gives one "
            "every 10 s); without it what was last said is told.",
        ),
    ] = 0.0,
    picture: Annotated[bool, typer.Option("--map/--no-map", help="Draw the tiles.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, for scripts.")
    ] = False,
) -> None:
    """Tell how a run stands: tiles, failures, speed, time left; from its folder alone."""
    with errors():
        from edaphos.engine.place import place
        from edaphos.engine.run import MANIFEST
        from edaphos.engine.run_status import run_status

        from .submit import job_of

        folder = place(run)
        job = job_of(folder)
        if job is not None and not (folder / MANIFEST).is_file():
            words = f"submitted as Slurm job {job}; it has not begun to map"
            if as_json:
                print_json({"schema": 1, "run": run, "state": "submitted", "reason": words})
            else:
                typer.echo(f"{run}: {words}")
            return
        found = run_status(folder, wait)
        if as_json:
            print_json(found.to_dict())
            return
        typer.echo("\n".join(status_lines(found)))
        if picture and found.states.size:
            from rich.console import Console

            from .tile_map import tile_map

            console = Console(highlight=False)
            console.print(tile_map(found.states, console), no_wrap=True, crop=False)


def status_lines(found: RunStatus) -> list[str]:
    """Return a run's status in words."""
    from edaphos.engine.products.tables import duration
    from edaphos.engine.run_progress import PRODUCT_STAGES

    sure = "" if found.sure else " (not sure)"
    reason = f": {found.reason}" if found.reason else ""
    lines = [f"{found.run}: {found.state}{sure}{reason}"]
    after = found.stage in PRODUCT_STAGES
    if found.stage and found.state in ("running", "died"):
        made = " (the tiles are made; what is made of them follows)" if after else ""
        lines.append(f"stage: {found.stage}{made}")
    if found.total is not None:
        failed = f", {found.failed:,} failed" if found.failed else ""
        running = f", {found.running:,} with the cluster" if found.running else ""
        share = f" ({100 * found.done / found.total:.1f} %)" if found.total else ""
        lines.append(f"tiles: {found.done:,} of {found.total:,}{share}{running}{failed}")
    if found.rate and not after:
        left = f", {duration(found.eta)} left" if found.eta is not None else ""
        lines.append(f"speed: {found.rate:,.0f} land cells/s{left}")
    if found.phases:
        phases = ", ".join(f"{name} {duration(s)}" for name, s in found.phases.items())
        lines.append(f"worker time: {phases}")
    if found.peak_memory:
        workers = f" of {found.workers:,} worker(s)" if found.workers else ""
        lines.append(f"peak memory{workers}: {found.peak_memory / 2**20:,.0f} MiB")
    if found.retries:
        lines.append(f"requests repeated: {found.retries:,}")
    lines += [f"failed {tile}: {reason[:200]}" for tile, reason in found.failures.items()]
    if found.failed > len(found.failures):
        lines.append(f"and {found.failed - len(found.failures):,} more failed")
    if found.said:
        lines.append(f"last said: {found.said}, after {duration(found.seconds)}")
    return lines


def stop(
    run: RunPlace,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the run has ended.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
) -> None:
    """Stop a run: tiles that were begun are finished, everything finished is kept.

    A Slurm job that still waits in its queue is cancelled.
    """
    with errors():
        from edaphos.engine.place import place

        def say(words: str) -> None:
            if not quiet:
                typer.echo(words, err=True)

        typer.echo(f"{run}: {stop_run(place(run), wait, say)}")


def stop_run(
    folder: Place,
    wait: bool,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Stop a run, and return in words what became of it.

    Raises
    ------
    InputError
        There is neither a run nor a submitted job.
    RunError
        The run gives no sign of life, or its job could not be cancelled.
    """
    from edaphos.engine.lease import LEASE
    from edaphos.engine.run import Run
    from edaphos.engine.run_progress import Progress
    from edaphos.engine.run_status import Life, life
    from edaphos.engine.watch import ask_to_stop

    from .submit import job_of

    job = job_of(folder)
    if job is None:
        Run.open(folder)
    held = (folder / LEASE).is_file()
    if not held:
        return _cancelled(job, say) or "nothing runs there"
    if life(folder, 0.0) == Life.DEAD:
        return (
            _cancelled(job, say) or "nothing runs there; what ran has died, run again to continue"
        )
    ask_to_stop(folder, f"{getpass.getuser()}@{platform.node()}")
    if not wait:
        return "was asked to stop; tiles that were begun are finished first"
    _wait(folder, say, sleep)
    # a job whose time ran out meanwhile may be queued again, or submitted anew
    again = _cancelled(job_of(folder), say)
    progress = Progress.read(folder)
    finished = progress is not None and progress.state == "finished"
    ended = "has finished meanwhile" if finished else "has stopped; run again to continue"
    return ended + (f" ({again})" if again else "")


def _wait(folder: Place, say: Callable[[str], None], sleep: Callable[[float], None]) -> None:
    """Wait until the lease is gone; say now and then how many tiles are still being made."""
    from edaphos.engine.errors import RunError
    from edaphos.engine.lease import read_holder
    from edaphos.engine.run_progress import Progress

    first = before = read_holder(folder)
    still, told = 0.0, -1
    while True:
        now = read_holder(folder)
        if now is None or (first is not None and now.owner != first.owner):
            return
        if now.process.is_dead():
            return
        still = 0.0 if now != before else still + 1.0
        before = now
        if still >= SIGN_OF_LIFE:
            raise RunError(
                f"{folder}: {now} gave no sign of life for {SIGN_OF_LIFE:.0f} s of looking; it "
                "stops when it wakes, and the next run takes over from it"
            )
        progress = Progress.read(folder)
        tiles = len(progress.running) if progress is not None else 0
        if tiles != told:
            told = tiles
            stage = f", in the stage {progress.stage}" if progress is not None else ""
            say(f"waiting for {now}: {tiles} tile(s) with the cluster{stage}")
        sleep(1.0)


def _cancelled(job: str | None, say: Callable[[str], None]) -> str | None:
    """Cancel a job that waits, or runs without having taken the run up; None if there is none."""
    from edaphos.engine.errors import RunError

    from .submit import job_state

    if job is None:
        return None
    if shutil.which("squeue") is None:
        say(f"it was submitted as Slurm job {job}; no Slurm is on this machine to ask about it")
        return None
    state = job_state(job)
    if state is None:
        return None
    told = subprocess.run(["scancel", job], capture_output=True, text=True, check=False)
    if told.returncode != 0:
        raise RunError(f"scancel {job}: {told.stderr.strip()}")
    return f"Slurm job {job}, which was {state.lower()}, is cancelled"
