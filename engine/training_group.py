"""One training over several processes: which belong to it, and what they sum.

Each process holds the whole net, learns from its part of each batch, and takes the same steps: the
gradients of a batch are summed over processes by their weights, so that they are those of the
whole batch. Nets here are small, so one sum of all gradients at once is faster than one for each
layer, and the names of weights stay as they are, other than in ``DistributedDataParallel``.

Processes sum over TCP (gloo), on GPUs with NCCL, by the network on which their Dask workers talk.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import psutil

from .errors import RunError, Stopped
from .need_torch import need_torch
from .training_spec import IntArray, Tensor

T = TypeVar("T")

#: Seconds that those that came first wait for the last.
START_SECONDS = 300.0
#: Seconds after which a process that the others wait for counts as lost. One that ends, however it
#: ends, is missed at once; this is for one that stands still.
STILL_SECONDS = 300.0


class GroupLost(RunError):
    """Another process of the training is gone; it can go on from its last checkpoint."""


@dataclass(frozen=True)
class Group:
    """The processes of one training, seen from one of them.

    Parameters
    ----------
    rank, size
        Which of them this is, from 0, and how many there are.
    told
        Called by the first of them after each epoch with epochs done, epochs in all, and a note.
    asked
        Whether somebody asked this process to stop.
    """

    rank: int = 0
    size: int = 1
    told: Callable[[int, int, str], None] | None = None
    asked: Callable[[], bool] | None = None

    def part(self, rows: IntArray) -> tuple[IntArray, int]:
        """Return this process's part of rows, of nearly equal size, and how many are before it."""
        first, end = (len(rows) * k // self.size for k in (self.rank, self.rank + 1))
        return rows[first:end], first

    def summed(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over processes, in place, and return it.

        Raises
        ------
        GroupLost
            One of them is gone.
        """
        if self.size > 1:
            with _lost_where_it_fails():
                _distributed().all_reduce(tensor)
        return tensor

    def shared(self, value: T) -> T:
        """Return the first process's value in all of them.

        Raises
        ------
        GroupLost
            One of them is gone.
        """
        if self.size == 1:
            return value
        held = [value]
        with _lost_where_it_fails():
            cpu = need_torch().device("cpu")
            _distributed().broadcast_object_list(held, src=0, device=cpu)
        return held[0]

    def heed(self, done: int, total: int, note: str) -> None:
        """Tell how far the training is, and stop where any of its processes was asked to.

        Raises
        ------
        Stopped
            In all processes alike.
        GroupLost
            One of them is gone.
        """
        if self.told is not None and self.rank == 0:
            self.told(done, total, note)
        asked = self.asked is not None and self.asked()
        if self.size > 1:
            asked = bool(self.summed(need_torch().tensor([float(asked)])) > 0)
        if asked:
            raise Stopped("asked to stop; everything finished is kept, run again to continue")


#: A training of one process.
ALONE = Group()
_MINE: ContextVar[Group] = ContextVar("group", default=ALONE)


def current() -> Group:
    """Return the group of the training that this thread takes part in."""
    return _MINE.get()


@dataclass(frozen=True)
class Meeting:
    """Where processes of one training find each other.

    Parameters
    ----------
    name
        Of this attempt.
    hosts
        Address of each process's machine, in the order of ranks.
    port
        Open on the first.
    """

    name: str
    hosts: tuple[str, ...]
    port: int


#: By the name of an attempt: its meeting place, in the first process; who was asked to stop.
_OPEN: dict[str, Any] = {}
_ASKED: set[str] = set()
#: Torch knows one group in each process.
_ONE_AT_A_TIME = threading.Lock()
_now: list[str] = []


def open_meeting(name: str, host: str, size: int) -> int:
    """Open a meeting place in the process that will be the first; return its port."""
    _OPEN[name] = _distributed().TCPStore(
        host, 0, size, is_master=True, wait_for_workers=False, timeout=_span(START_SECONDS)
    )
    return int(_OPEN[name].port)


@contextmanager
def joined(
    meeting: Meeting, rank: int, told: Callable[[int, int, str], None] | None = None
) -> Iterator[Group]:
    """Be one of the processes of a training while the block runs.

    Raises
    ------
    RunError
        Not all of them came in time.
    GroupLost
        One is gone.
    """
    size = len(meeting.hosts)
    with _ONE_AT_A_TIME:
        _now.append(meeting.name)
        try:
            if size > 1:
                _meet(meeting, rank)
            group = Group(rank, size, told, lambda: meeting.name in _ASKED)
            token = _MINE.set(group)
            try:
                yield group
            finally:
                _MINE.reset(token)
        finally:
            _now.clear()
            _OPEN.pop(meeting.name, None)
            _ASKED.discard(meeting.name)
            if size > 1 and _distributed().is_initialized():
                _distributed().destroy_process_group()


def ask_to_stop(name: str) -> None:
    """Have this process's training stop after its epoch, or before it begins."""
    if name in _now:
        _ASKED.add(name)
    else:
        _OPEN.pop(name, None)


def give_up(name: str) -> None:
    """Have this process's training not wait for one that is lost.

    On CPUs it does not: its connections break. A GPU would wait.
    """
    ask_to_stop(name)
    if name not in _now:
        return
    distributed = _distributed()
    if distributed.is_initialized() and "nccl" in distributed.get_backend_config():
        distributed.distributed_c10d._abort_process_group()


def _meet(meeting: Meeting, rank: int) -> None:
    torch, distributed = need_torch(), _distributed()
    size = len(meeting.hosts)
    _use_network_of(meeting.hosts[rank])
    with _lost_where_it_fails():
        store = _OPEN.get(meeting.name) if rank == 0 else None
        if store is None and rank == 0:
            raise GroupLost("the process where the others were to meet was started anew")
        store = store or distributed.TCPStore(
            meeting.hosts[0], meeting.port, size, is_master=False, timeout=_span(START_SECONDS)
        )
        here, until = store.add("here", 1), time.monotonic() + START_SECONDS
        while here < size:
            if meeting.name in _ASKED:
                raise Stopped("asked to stop before all processes of the training came")
            if time.monotonic() > until:
                raise RunError(
                    f"{here} of {size} processes of one training came within "
                    f"{START_SECONDS:.0f} s: the workers of the others are busy with something "
                    "else, or do not reach this one. Leave workers free for it, or set "
                    "training.processes lower"
                )
            time.sleep(0.02)
            here = store.add("here", 0)
        gpu = torch.cuda.is_available() and distributed.is_nccl_available()
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=_span(STILL_SECONDS),
        )


def _use_network_of(host: str) -> None:
    """Have sums go by the network interface of an address, unless the environment says which."""
    address = socket.gethostbyname(host) if ":" not in host else host
    for name, held in psutil.net_if_addrs().items():
        if any(one.address == address for one in held):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


@contextmanager
def _lost_where_it_fails() -> Iterator[None]:
    try:
        yield
    except RunError:
        raise
    except (RuntimeError, OSError) as error:
        # without the place in its code, and the advice that follows
        words = re.sub(r"^\[[^]]*\] *", "", str(error)).split(". ")[0].partition("\n")[0]
        raise GroupLost(
            f"another process of the training is gone ({words or type(error).__name__})"
        ) from error


def _distributed() -> Any:
    need_torch()
    import torch.distributed

    return torch.distributed


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
