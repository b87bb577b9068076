"""A lease: a file that keeps two runs from working in one folder.

Nothing depends on it for correctness: tiles are written whole, each record names what it vouches
for, and two runs of one identity write the same bytes. The lease saves the work done twice.

``lease.json`` names its holder, who raises a counter in it every few seconds. Whoever finds the
counter still for a minute *of looking, on a monotonic clock of one's own* takes over; no two
machines' clocks are ever compared. A holder of this very machine that is dead is replaced at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .errors import RunError
from .place import Place
from .process_id import ProcessId
from .progress import QUIET, Reporter
from .store import create, keeps_conditions, read_version, replace_version

LEASE = "lease.json"
SCHEMA = 1
#: Seconds between two raises of the counter.
BEAT = 10.0
#: Seconds of looking in which the counter must rise.
EXPIRY = 60.0
#: Seconds between two looks at another's counter.
_LOOK = 1.0
#: Seconds after which a lease in a store that keeps no conditions is looked at again.
_SETTLE = 2.0


@dataclass(frozen=True)
class Holder:
    """What ``lease.json`` says.

    Parameters
    ----------
    owner
        A random name, new for each taking.
    process
        Who took it.
    counter
        Raised at every beat.
    """

    owner: str
    process: ProcessId
    counter: int = 0

    @classmethod
    def new(cls) -> Holder:
        """Return a holder that is this process."""
        return cls(uuid.uuid4().hex, ProcessId.here())

    def to_json(self) -> str:
        """Return what is stored."""
        told = {"owner": self.owner, "counter": self.counter, **asdict(self.process)}
        return json.dumps({"schema": SCHEMA, **told}) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Holder | None:
        """Read what :meth:`to_json` wrote; None where it is not that."""
        try:
            raw: dict[str, Any] = json.loads(text)
            names = ProcessId.__dataclass_fields__
            return cls(raw["owner"], ProcessId(**{n: raw[n] for n in names}), int(raw["counter"]))
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host}"


class Lease:
    """A lease that was taken.

    Parameters
    ----------
    folder
        The run's folder.
    holder
        As it was stored.
    """

    def __init__(self, folder: Place, holder: Holder) -> None:
        self._path = folder / LEASE
        self._holder = holder
        self._lock = threading.Lock()
        self._lost: str | None = None

    @property
    def holder(self) -> Holder:
        """Who holds it, and the counter as last raised."""
        return self._holder

    @property
    def lost(self) -> str | None:
        """Why the lease is another's now; None as long as it is ours."""
        return self._lost

    def beat(self) -> None:
        """Raise the counter, or find that the lease was lost.

        Raises
        ------
        StoreError, OSError
            The store failed: nothing is known then, and the next beat tells.
        """
        with self._lock:
            raised = replace(self._holder, counter=self._holder.counter + 1)
            for _ in range(3):
                try:
                    data, version = read_version(self._path)
                except FileNotFoundError:  # somebody tidied up
                    if create(self._path, raised.to_json()):
                        self._holder = raised
                        return
                    continue
                found = Holder.from_json(data)
                if found is None or found.owner != self._holder.owner:
                    self._lost = (
                        f"another run took over this folder ({found or 'its lease names nobody'}), "
                        "as this one gave no sign of life"
                    )
                    return
                if _replace(self._path, raised.to_json(), version):
                    self._holder = raised
                    return

    def release(self) -> None:
        """Give the lease back, if it still is ours."""
        with self._lock, suppress(FileNotFoundError):
            found = Holder.from_json(self._path.read_bytes())
            if found is not None and found.owner == self._holder.owner:
                self._path.unlink(missing_ok=True)


def read_holder(folder: Place) -> Holder | None:
    """Return who holds a folder's lease, or held it last; None where there is no lease."""
    try:
        return Holder.from_json((folder / LEASE).read_bytes())
    except FileNotFoundError:
        return None


def take(
    folder: Place,
    reporter: Reporter = QUIET,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    expiry: float = EXPIRY,
) -> Lease:
    """Take the lease of a run's folder.

    Parameters
    ----------
    folder
        The run's folder.
    reporter
        Told where something has to be waited for, or where the lease is only advice.
    clock, sleep
        A monotonic clock of this machine, seconds, and how to wait.
    expiry
        Seconds of looking without a beat after which a holder counts as gone.

    Raises
    ------
    RunError
        Another run works in this folder.
    """
    path, mine = folder / LEASE, Holder.new()
    advisory = not keeps_conditions(folder)
    if advisory:
        reporter.say(
            f"{folder}: this store does not keep to conditions on writing, so the lease is "
            "advisory here: two runs that start in the same moment are told apart only later"
        )
    told = False
    while True:
        try:
            data, version = read_version(path)
        except FileNotFoundError:
            taken = create(path, mine.to_json())
        else:
            found = Holder.from_json(data)
            if not (found and found.process.is_dead()):
                if not told:
                    told = True
                    reporter.say(
                        f"{folder} is held by {found or 'an unreadable lease'}; looking for up to "
                        f"{expiry:.0f} s whether it lives"
                    )
                _watch(path, version, clock, sleep, expiry)
            taken = _replace(path, mine.to_json(), version)
        if taken and advisory:
            sleep(_SETTLE)
            taken = _is_held_by(path, mine)
        if taken:
            return Lease(folder, mine)


def _watch(
    path: Place,
    version: str,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    expiry: float,
) -> None:
    """Look at a lease until it has stayed as it is for `expiry` seconds, or is gone.

    Raises
    ------
    RunError
        It changed: its holder lives, or another took it.
    """
    looked, last = 0.0, clock()
    while looked < expiry:
        sleep(min(_LOOK, expiry))
        try:
            data, now = read_version(path)
        except FileNotFoundError:
            return
        # a machine that slept, holder and all, has not been looked at while it slept
        looked += min(clock() - last, 2 * _LOOK)
        last = clock()
        if now != version:
            found = Holder.from_json(data)
            raise RunError(
                f"{path}: another run works in this folder: {found or 'an unreadable lease'}. "
                "Wait for it (`edaphos status`), stop it (`edaphos stop`), or choose another "
                "folder (--out)"
            )


def _is_held_by(path: Place, mine: Holder) -> bool:
    with suppress(FileNotFoundError):
        found = Holder.from_json(path.read_bytes())
        return found is not None and found.owner == mine.owner
    return False


def _replace(path: Place, text: str, version: str) -> bool:
    """Replace a lease if it is still in that version; on a disk no one can come between."""
    if not isinstance(path, Path):
        return replace_version(path, text, version)
    try:
        with _locked(path):
            return replace_version(path, text, version)
    except FileNotFoundError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file itself locked, where its file system knows locks.

    The file is replaced, not rewritten, so whoever waits here for the lock of a file that was
    replaced meanwhile gets it, and then finds another version.
    """
    with path.open("r+b") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            raise FileNotFoundError(str(path))
        yield
