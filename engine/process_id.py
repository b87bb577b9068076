"""Which process something belongs to, so that one of this machine can be told to be dead."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessId:
    """A process of one machine since it was booted.

    Parameters
    ----------
    host, pid
        For people.
    boot_id, namespace
        The boot of the machine and the space in which `pid` counts; empty where they are not known.
    started
        When the process started, in the kernel's ticks since boot: a number that is used again
        belongs to another process.
    """

    host: str
    pid: int
    boot_id: str
    namespace: str
    started: int

    @classmethod
    def here(cls) -> ProcessId:
        """Return this process."""
        boot = _PROC / "sys/kernel/random/boot_id"
        try:
            boot_id = boot.read_text().strip()
            namespace = os.readlink(_PROC / "self/ns/pid")  # noqa: PTH115 the text, no path
        except OSError:
            boot_id = namespace = ""
        started = _started(os.getpid())
        return cls(platform.node(), os.getpid(), boot_id, namespace, started or 0)

    def is_of(self, other: ProcessId) -> bool:
        """Whether both belong to one machine in one boot, and their numbers count alike."""
        return bool(self.boot_id) and (self.boot_id, self.namespace) == (
            other.boot_id,
            other.namespace,
        )

    def is_dead(self) -> bool:
        """Whether this process is known to be over: it was of this machine and is not there."""
        return self.is_of(ProcessId.here()) and _started(self.pid) != self.started

    def is_alive(self) -> bool:
        """Whether this process is known to be there, if perhaps halted."""
        return self.is_of(ProcessId.here()) and _started(self.pid) == self.started


def _started(pid: int) -> int | None:
    """Return when a process started, in ticks since boot; None where it is over."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return None if fields[0] in "ZX" else int(fields[19])
