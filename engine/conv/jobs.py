"""Many trainings: folds, depths and seeds as tasks of a Dask cluster, or here one after another.

What a training leaves lies in a folder of its own, which is there whole or not at all. A run that
was cut off does those that are missing, and a training in the middle goes on from its checkpoint.

Torch keeps its number of threads and its random state for the whole process, so that of several
trainings in one worker process one runs and the others wait (:mod:`edaphos.engine.training`). A
cluster trains as many nets at once as it has worker processes, whatever their threads: one for
each core, with ``TrainSpec.threads = 1``, is the fastest. Where workers have GPUs, a training asks
for one to itself, and runs on no worker without.

A single large training can take several workers instead (:mod:`edaphos.engine.training_launch`).
"""

from __future__ import annotations

import fcntl
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from distributed import Client, get_client, get_worker, worker_client

from ..errors import EdaphosError, InputError, RunError, Stopped
from ..fan_out import fan_out
from ..gpu import gpu_offered, training_resources
from ..place import Place
from ..progress import QUIET, Reporter
from ..scratch import scratch_folder
from ..store import remove_tree
from ..training_group import GroupLost
from ..training_launch import over_workers
from ..whole_folder import is_whole, whole_folder

#: What a job does: ``function(task, out, begun)`` fills the folder `out`; below the place `begun`
#: it may keep what a later attempt goes on from, such as checkpoints.
Work = Callable[[Any, Path, Place], None]


@dataclass(frozen=True)
class Job:
    """One of many trainings.

    Parameters
    ----------
    of
        What tells it from the others: ``{"fold": 3, "depth": "0-5 cm", "seed": 1}``.
    task
        What the function is given.
    digest
        Of all else that the result depends on. A result under another digest is not taken for
        this one's.
    """

    of: Mapping[str, str | int]
    task: Any
    digest: str = ""

    @property
    def name(self) -> str:
        """Name of its folder.

        Examples
        --------
        >>> Job({"fold": 3, "depth": "0-5 cm"}, None, "f00d").name
        'fold-3_depth-0-5-cm_f00d'
        """
        parts = [f"{key}-{value}" for key, value in self.of.items()]
        return "_".join(
            re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.")
            for part in [*parts, self.digest]
            if part
        )

    def __str__(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in self.of.items())


def run_jobs(
    jobs: Sequence[Job],
    function: Work,
    folder: Place,
    *,
    client: Client | None = None,
    resources: Mapping[str, float] | None = None,
    hand_on: Literal["always", "gpu"] = "always",
    processes: int = 1,
    reporter: Reporter = QUIET,
    label: str = "training",
) -> list[Place]:
    """Do all jobs that are not done yet; return the folder of each, in order.

    Parameters
    ----------
    function
        See :data:`Work`. It must not show progress of its own beside that of `reporter`.
    folder
        Where results lie. All workers must be able to write to it.
    client
        Each job is a task of this client. Without one, a task of a cluster hands its jobs to the
        cluster that it runs on and gives up its thread meanwhile; anywhere else they are done here,
        one after another. Results are the same.
    resources
        What each task asks of its worker; by default a GPU to itself, where workers have any.
    hand_on
        Whether a task of a cluster hands its jobs on ``always``, or only where workers have a
        ``gpu``. A task that hands on lets others begin, which all hold what they need until theirs
        are done.
    processes
        Workers of `client` that do each job together, one job after another: each calls `function`,
        whose trainings are then one (:mod:`edaphos.engine.training`), and what the first leaves is
        kept. Inside a task, such as a fold of a cross-validation, a job stays on one process, as
        folds are spread over workers already.

    Raises
    ------
    InputError, RunError
        A job failed, named by what it is of; those done are kept. Or several processes were asked
        for without a cluster, or with more of them than it has workers.
    """
    folder = folder.absolute()  # workers may stand elsewhere
    places = {job.name: folder / job.name for job in jobs}
    if len(places) < len(jobs):
        raise ValueError(f"{len(jobs)} jobs share {len(places)} names: {', '.join(places)}")
    todo = [job for job in jobs if not is_whole(places[job.name])]
    if todo:
        with _cluster(client, hand_on) as found:
            if found is not None and resources is None:
                resources = training_resources(found)
            if processes > 1 and client is None and not _in_task():
                raise InputError(
                    f"training.processes = {processes} needs a cluster, and there is none here; "
                    "give a client, or set training.processes = 1"
                )
            if processes > 1 and client is not None:
                for job in todo:
                    together = partial(_run_together, function, folder, job)
                    over_workers(together, processes, client, reporter, f"{label}: {job}")
            else:
                one = partial(_run, function, folder)
                fan_out(one, todo, found, reporter, label, resources)
    for job in todo:
        if not is_whole(places[job.name]):
            raise RunError(
                f"{job}: done by a worker, and {places[job.name]} is not here; choose a folder "
                "that all workers share"
            )
    return list(places.values())


def _run(function: Work, folder: Place, job: Job) -> None:
    place, begun = folder / job.name, folder / f"{job.name}.begun"
    try:
        with _alone(place):
            if is_whole(place):  # by another model that needs the same, or an attempt thought lost
                return
            with whole_folder(place) as out:
                function(job.task, out, begun)
    except (Stopped, GroupLost):
        raise
    except Exception as error:
        if is_whole(place):  # the attempt that was taken for lost came first
            return
        raise _named(job, error) from error
    remove_tree(begun)


def _run_together(function: Work, folder: Place, job: Job, rank: int) -> None:
    """Be one of the processes that do a job; what the others than the first leave is let go."""
    if rank == 0:
        _run(function, folder, job)
        return
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as out:
        try:
            function(job.task, Path(out), folder / f"{job.name}.begun")
        except (Stopped, GroupLost):
            raise
        except Exception as error:
            raise _named(job, error) from error


def _named(job: Job, error: Exception) -> EdaphosError:
    """Return an error that says of which job; what the user can mend stays an InputError."""
    family: type[EdaphosError] = InputError if isinstance(error, InputError) else RunError
    return family(f"{job}: {str(error) or type(error).__name__}")


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Wait until nobody else is at the same job, where disks are; a lock ends with its holder."""
    if not isinstance(place, Path):
        yield
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = place.with_name(f"{place.name}.lock")
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _cluster(client: Client | None, hand_on: str) -> Iterator[Client | None]:
    """Yield the client to use: the one given, that of the task we are in, or none."""
    if client is not None:
        yield client
        return
    if not _in_task():
        yield None
        return
    if hand_on == "gpu" and not gpu_offered(get_client()):
        yield None
        return
    with worker_client() as own:  # gives this task's thread to others until the block ends
        yield own


def _in_task() -> bool:
    """Whether this is a task of a cluster."""
    try:
        get_worker()
    except ValueError:
        return False
    return True
