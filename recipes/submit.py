"""Submitting a run to Slurm as one batch job, which comes back until the map is made.

The job runs ``edaphos run`` in the shell's place, so that the signal that Slurm sends before the
time is over reaches it. It then stops handing out tiles, waits for those begun, and has itself
queued again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from edaphos.engine.cluster import ClusterSpec
from edaphos.engine.cluster_worker import exports
from edaphos.engine.errors import InputError, RunError, Stopped
from edaphos.engine.place import Place, S3Path, place
from edaphos.engine.run import MANIFEST
from edaphos.engine.signals import StopSignals, stop_signals
from edaphos.engine.store import write_atomically

from .cluster_schema import ClientTable

#: Folder of a run that has begun, for its batch job's script, output and number.
FOLDER = "submit"
JOB = "job.json"
SCRIPT = "job.sh"
SCHEMA = 1
#: Variables by which the job tells the run how it was submitted.
LEAD, ORIGIN, RECORD = "EDAPHOS_SIGNAL_LEAD", "EDAPHOS_JOB_SCRIPT", "EDAPHOS_JOB_RECORD"
#: Seconds before the job's end at which it is queued again, tiles finished or not.
RESERVE = 30.0
#: Seconds in which Slurm ends a job that it queues again.
END_WITHIN = 10.0


def script_folder(out: Place) -> Path:
    """Return where a run's batch job keeps its script and output.

    That is a folder of the run, once it has begun: one that has not takes an empty folder only.
    Else, and for a run in a bucket, where Slurm cannot write, it is a local folder of the run's
    name below ``edaphos-jobs``.
    """
    if isinstance(out, S3Path) or not _begun(out):
        return Path("edaphos-jobs").absolute() / _local_name(out)
    return out.absolute() / FOLDER


def job_record(out: Place) -> Place:
    """Return the file that a job's number goes to."""
    return out / FOLDER / JOB if _begun(out) else script_folder(out) / JOB


def job_script(
    spec: ClusterSpec, client: ClientTable, out: Place, name: str, command: Sequence[str]
) -> str:
    """Return the batch script that runs a command of ``edaphos``.

    Parameters
    ----------
    spec
        Where the run computes; what its workers are asked for holds for this job where one job
        holds everything.
    client
        What is asked for the job that holds the run.
    out
        The run.
    name
        Of the job.
    command
        Arguments of ``edaphos``.

    Raises
    ------
    InputError
        The job would get its signal before it begins.
    """
    slurm = spec.slurm
    walltime = client.walltime or slurm.walltime
    if client.lead >= seconds(walltime):
        raise InputError(
            f"cluster.slurm.client.lead is {client.lead} s, no less than the walltime {walltime}; "
            "lower it, or ask for more time"
        )
    folder = script_folder(out)
    asked = [f"--job-name={name}", f"--time={walltime}"]
    asked += [f"--partition={slurm.queue}"] if slurm.queue else []
    asked += [f"--account={slurm.account}"] if slurm.account else []
    if slurm.nested:
        asked += ["--nodes=1", "--ntasks=1", f"--cpus-per-task={client.cores}"]
        asked += [f"--mem={_megabytes(client.memory)}M"]
    else:
        nodes = spec.jobs[0]
        asked += [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
        asked += [f"--cpus-per-task={slurm.cores}", f"--mem={_megabytes(slurm.memory)}M"]
    output = str(folder / "job-").replace("%", "%%") + "%j.log"
    asked += [f"--signal=B:USR1@{client.lead}", "--requeue", "--open-mode=append"]
    asked += [f"--output={output}"]
    asked += slurm.directives if slurm.nested else slurm.options
    told = {LEAD: str(client.lead), ORIGIN: str(folder / SCRIPT), RECORD: str(job_record(out))}
    if path := os.environ.get("PYTHONPATH"):
        told["PYTHONPATH"] = path
    run = [slurm.python or sys.executable, "-m", "edaphos.recipes.cli", *command]
    lines = ["#!/bin/bash", *(f"#SBATCH {_directive(one)}" for one in asked), ""]
    # until Python listens, the signal must not end the job
    lines += ["trap '' USR1", *slurm.prologue, *exports(told)]
    lines += [f"cd {shlex.quote(str(Path.cwd()))} || exit 1", f"exec {shlex.join(run)}", ""]
    return "\n".join(lines)


def submit(out: Place, script: str) -> str:
    """Write a run's batch script, submit it, and return the job's number.

    Raises
    ------
    InputError
        There is no ``sbatch`` here, or a job of this run is waiting or running.
    RunError
        Slurm refused the job.
    """
    if shutil.which("sbatch") is None:
        raise InputError(
            "`sbatch` is not on this machine; submit where Slurm is, or look at the script with "
            "--dry-run"
        )
    held = job_of(out)
    state = None if held is None else job_state(held)
    if state is not None:
        raise InputError(
            f"{out}: job {held} already makes this run ({state.lower()}); look at it with "
            f"`edaphos status {out}`, or end it with `edaphos stop {out}`"
        )
    file = script_folder(out) / SCRIPT
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, script)
    return _submitted(file, job_record(out))


def job_of(out: Place) -> str | None:
    """Return the number of the job last submitted for a run; None if there is none."""
    local = Path("edaphos-jobs").absolute() / _local_name(out) / JOB
    for file in (out / FOLDER / JOB, local):
        if file.is_file():
            return str(json.loads(file.read_text())["job"])
    return None


def job_state(job: str) -> str | None:
    """Return a job's state in Slurm's words; None where it has ended or Slurm does not know it.

    Raises
    ------
    RunError
        Slurm does not answer: nothing is known then, least of all that the job is over.
    """
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode == 0:
        return told.stdout.strip() or None
    if "invalid job id" in told.stderr.lower():
        return None
    raise RunError(f"squeue tells nothing of job {job} ({told.stderr.strip()}); ask again later")


def requeue_self(environ: Mapping[str, str] = os.environ) -> str:
    """Have this batch job queued again, and return what was done.

    Where Slurm refuses (the site or a ``--no-requeue`` forbids it), the script is submitted anew.

    Raises
    ------
    RunError
        Neither is possible; names both reasons.
    """
    job = environ["SLURM_JOB_ID"]
    told = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if told.returncode == 0:
        return f"job {job} is queued again"
    try:
        new = _submitted(Path(environ[ORIGIN]), place(environ[RECORD]))
    except RunError as error:
        raise RunError(
            f"job {job} could not be queued again ({told.stderr.strip()}), nor submitted anew: "
            f"{error}"
        ) from error
    return f"job {new} is submitted in place of {job}, which Slurm would not queue again"


@contextmanager
def batch_job(
    say: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> Iterator[StopSignals]:
    """Heed signals while a run goes, and come back where it runs in a submitted job.

    A run that stops because of SIGUSR1 is queued again, and so is one that has not stopped
    ``RESERVE`` seconds before the job's end. Outside of such a job signals only stop the run.

    Parameters
    ----------
    say
        Told in one line what became of the job.
    environ
        The job's variables.
    """
    lead = environ.get(LEAD) if "SLURM_JOB_ID" in environ else None
    if lead is None:
        with stop_signals() as signals:
            yield signals
        return

    def too_late() -> None:
        say(f"not all tiles ended in time; {requeue_self(environ)}")

    with stop_signals(too_late, max(float(lead) - RESERVE, 1.0)) as signals:
        try:
            yield signals
        except Stopped:
            if signals.out_of_time and not signals.too_late:
                signals.cancel()
                say(requeue_self(environ))
                _await_end(signals)
            raise


def _await_end(signals: StopSignals) -> None:
    """Let Slurm end this job to queue it again: one that ends by itself before that has failed."""
    until = time.monotonic() + END_WITHIN
    while time.monotonic() < until and signals.received is not signal.SIGTERM:
        time.sleep(0.1)


def seconds(walltime: str) -> int:
    """Return the seconds of a walltime as Slurm reads it.

    >>> [seconds(text) for text in ("10", "1:30", "2:00:00", "1-0", "1-12:30")]
    [600, 90, 7200, 86400, 131400]
    """
    days, dash, rest = walltime.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:  # days-hours:minutes:seconds, from the left
        hours, minutes, secs = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, secs = parts
    else:  # minutes:seconds
        hours, (minutes, secs) = 0, (*parts, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + secs


def _begun(out: Place) -> bool:
    return (out / MANIFEST).is_file()


def _local_name(out: Place) -> str:
    digest = hashlib.sha256(str(out.absolute()).encode()).hexdigest()[:8]
    return f"{out.name}-{digest}"


def _submitted(script: Path, record: Place) -> str:
    told = subprocess.run(
        ["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False
    )
    if told.returncode != 0:
        raise RunError(f"sbatch refused {script}: {told.stderr.strip()}")
    job = told.stdout.strip().split(";")[0]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"schema": SCHEMA, "job": job, "script": str(script), "submitted": now}
    write_atomically(record, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return job


def _directive(option: str) -> str:
    """Return an option as sbatch reads it from a script, quoted where it holds blanks."""
    name, sign, value = option.partition("=")
    return f"{name}={shlex.quote(value)}" if sign and " " in value else option


def _megabytes(memory: str) -> int:
    """Return an amount of memory in Slurm's megabytes, rounded up."""
    from dask.utils import parse_bytes

    return -(-int(parse_bytes(memory)) // 2**20)
