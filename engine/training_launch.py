"""One training over several Dask workers: which they are, and what is done where one is lost.

Each of its processes is a task pinned to a worker of its own. Where a worker is lost the others
end, and the training goes on from its last checkpoint with the workers that are there then.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any
from uuid import uuid4

from distributed import Client, Future, get_worker, wait
from distributed import TimeoutError as NotYet
from distributed.comm import get_address_host
from distributed.scheduler import KilledWorker

from .errors import InputError, RunError, Stopped
from .gpu_claim import RESOURCE
from .progress import Reporter, TaskProgress
from .training_group import (
    START_SECONDS,
    GroupLost,
    Meeting,
    ask_to_stop,
    give_up,
    joined,
    open_meeting,
)

#: How often a training may lose a worker.
LOSSES = 3
#: Seconds that workers that are missing are waited for.
WAIT_SECONDS = 30.0
#: Seconds between two looks at workers, at progress and at whether somebody wants it stopped.
LOOK_SECONDS = 0.5
#: Seconds in which processes that are asked to stop may end their epoch.
STOP_SECONDS = 10.0


def over_workers(
    one: Callable[[int], None],
    processes: int,
    client: Client,
    reporter: Reporter,
    label: str,
) -> None:
    """Call ``one(rank)`` in so many worker processes at once, as one group.

    Raises
    ------
    InputError
        There are fewer workers, or they speak by TLS.
    RunError
        Workers were lost again and again, or did not start together.
    """
    for losses in range(LOSSES + 1):
        workers = _chosen(client, processes, fewer=losses > 0)
        try:
            _Attempt(client, workers, reporter, label).run(one)
            return
        except GroupLost as error:
            lost = error
        reporter.say(f"{label}: {lost}; goes on from its last checkpoint")
    raise RunError(
        f"{label}: lost a worker {LOSSES + 1} times, the last time: {lost}. What it has learned is "
        "kept: see why workers end (memory, time limits), and run again to continue"
    ) from lost


class _Attempt:
    """One group while it trains, seen by who started it."""

    def __init__(
        self, client: Client, workers: dict[str, float], reporter: Reporter, label: str
    ) -> None:
        self.client, self.workers, self.label = client, workers, label
        self.name = f"training-{uuid4().hex[:12]}"
        self.shown = _Shown(reporter, label)
        gpu = all(workers.values())
        self.how: dict[str, Any] = {
            "pure": False,
            "allow_other_workers": False,
            "resources": {RESOURCE: 1.0} if gpu else None,
        }
        self.futures: dict[Future, str] = {}

    def run(self, one: Callable[[int], None]) -> None:
        addresses = list(self.workers)
        ranks: list[Future] = []
        try:
            hosts = tuple(get_address_host(address) for address in addresses)
            port = self._submitted(open_meeting, self.name, hosts[0], len(hosts), at=addresses[0])
            self._until([port], START_SECONDS)
            meeting = Meeting(self.name, hosts, port.result())
            ranks = [
                self._submitted(_take_part, one, meeting, rank, at=address)
                for rank, address in enumerate(addresses)
            ]
            self._until(ranks)
        except BaseException as error:
            if isinstance(error, GroupLost) and ranks and ranks[0].status == "finished":
                return  # all was there already, and the first did not take part
            self._end(ask_to_stop if isinstance(error, Stopped | KeyboardInterrupt) else give_up)
            raise self._reason(error) from None
        finally:
            self.client.cancel(list(self.futures))
            self.shown.close()

    def _submitted(self, function: Callable[..., Any], *given: Any, at: str) -> Future:
        future = self.client.submit(function, *given, workers=[at], **self.how)
        self.futures[future] = at
        return future

    def _until(self, futures: Sequence[Future], seconds: float = float("inf")) -> None:
        """Wait until all are done; look up meanwhile.

        Raises
        ------
        GroupLost
            A worker is gone, or a process lost another.
        """
        until = time.monotonic() + seconds
        left = set(futures)
        while left:
            try:
                done = wait(left, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done
            except NotYet:
                done = set()
            for future in done:
                try:
                    future.result()
                except KilledWorker as error:
                    raise GroupLost(f"worker {self.futures[future]} is gone") from error
            left -= done
            if left:
                self.shown.look(self.client, self.name)
                gone = sorted(self.workers.keys() - self.client.nthreads().keys())
                if gone:
                    raise GroupLost(f"worker {gone[0]} is gone")
                if time.monotonic() > until:
                    raise RunError(
                        f"{self.label}: a worker did not begin within {seconds:.0f} s, it is busy "
                        "with something else. Leave training.processes workers free for it, or "
                        "set it lower"
                    )

    def _end(self, how: Callable[[str], None]) -> None:
        """Have all processes end in this way, and wait a little until they have."""
        if self.client.status != "running":
            return
        alive = sorted(self.workers.keys() & self.client.nthreads().keys())
        if alive:
            self.client.run(how, self.name, workers=alive, on_error="ignore")
        until = time.monotonic() + STOP_SECONDS
        while time.monotonic() < until:
            there = self.client.nthreads()
            if not any(f.status == "pending" and at in there for f, at in self.futures.items()):
                return
            time.sleep(0.1)

    def _reason(self, error: BaseException) -> BaseException:
        """Return what went wrong first: a process that lost another says nothing of why."""
        if not isinstance(error, GroupLost):
            return error
        found = [f.exception() for f in self.futures if f.status == "error"]
        return next((e for e in found if e is not None and not isinstance(e, GroupLost)), error)


class _Shown:
    """Progress of the epochs of a training, as its first process tells it."""

    def __init__(self, reporter: Reporter, label: str) -> None:
        self.reporter, self.label = reporter, label
        self.stack, self.of = ExitStack(), 0
        self.progress: TaskProgress | None = None
        self.done = 0

    def look(self, client: Client, name: str) -> None:
        self.reporter.heed()
        events = client.get_events(name)
        if not events:
            return
        done, total, note = events[-1][1]
        if total != self.of or done < self.done:  # another training of the same net
            self.close()
            self.progress = self.stack.enter_context(self.reporter.task(self.label, total))
            self.of, self.done = total, 0
        if self.progress is not None and done > self.done:
            self.progress.advance(done - self.done, note)
            self.done = done

    def close(self) -> None:
        self.stack.close()


def _take_part(one: Callable[[int], None], meeting: Meeting, rank: int) -> None:
    """Be one process of a training; a task."""
    tell = partial(_told, get_worker(), meeting.name)
    with joined(meeting, rank, tell):
        one(rank)


def _told(worker: Any, name: str, done: int, total: int, note: str) -> None:
    worker.log_event(name, (done, total, note))


def _chosen(client: Client, processes: int, *, fewer: bool) -> dict[str, float]:
    """Return so many workers, each a process of its own, and the GPUs that they offer.

    Those with a GPU, where there are any. With `fewer`, those that are there will do.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        told = client.run(_told_of_worker, on_error="ignore")
        own = {process: (address, gpus) for address, (process, gpus) in sorted(told.items())}
        found = dict(sorted(own.values()))
        gpu = {address: gpus for address, gpus in found.items() if gpus}
        able = gpu or found
        if len(able) >= processes or time.monotonic() > until:
            break
        time.sleep(LOOK_SECONDS)
    if any(address.startswith("tls://") for address in able):
        raise InputError(
            f"training.processes = {processes}: gradients would go unencrypted between workers "
            "that speak by TLS; set training.processes = 1"
        )
    if len(able) < processes and not (fewer and able):
        with_gpu = " with a GPU" if gpu else ""
        raise InputError(
            f"training.processes = {processes}, and the cluster has {len(able)} worker "
            f"process(es){with_gpu}; start more (cluster.workers), or set training.processes to "
            f"{max(1, len(able))} or less"
        )
    return dict(list(able.items())[:processes])


def _told_of_worker(dask_worker: Any) -> tuple[tuple[str, int], float]:
    gpus = float(dask_worker.state.total_resources.get(RESOURCE, 0.0))
    return (platform.node(), os.getpid()), gpus
