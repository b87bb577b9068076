"""Signals that ask a run to stop: what is running is finished, then the run ends.

Slurm sends SIGUSR1 to the batch job some minutes before its time is over, and SIGTERM when a job
is cancelled. Between two tiles a run asks whether one came.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: What each signal says.
REASONS = {
    signal.SIGUSR1: "the batch system says that this job's time ends soon (SIGUSR1)",
    signal.SIGTERM: "the process was asked to end (SIGTERM)",
}
#: Seconds after which nobody is thought to be asking any more.
HEEDED_WITHIN = 60.0


class StopSignals:
    """Which signal came, if any; asked between tiles.

    Parameters
    ----------
    late
        Called in a thread of its own when the block still runs `after` seconds after SIGUSR1.
    after
        Seconds.
    """

    def __init__(self, late: Callable[[], None] | None = None, after: float = 0.0) -> None:
        self.received: signal.Signals | None = None
        self.too_late = False
        self._late, self._after = late, after
        self._timer: threading.Timer | None = None
        self._asked = float("-inf")

    def stop_reason(self) -> str | None:
        """Return why the run should stop; None to go on."""
        self._asked = time.monotonic()
        return None if self.received is None else REASONS[self.received]

    @property
    def out_of_time(self) -> bool:
        """Whether the job is to come back: its time ends, and nobody wants it ended."""
        return self.received is signal.SIGUSR1

    def note(self, number: int, _: FrameType | None) -> None:
        """Note a signal; as a handler, in the main thread.

        SIGTERM wins over SIGUSR1: a job that is cancelled is not to come back. Where nobody asks
        for reasons to stop (no tiles are being made), and at the second time, it ends the program.
        """
        if number == signal.SIGUSR1:
            if self.received is None:
                self.received = signal.SIGUSR1
                self._start_timer()
            return
        heeded = time.monotonic() - self._asked < HEEDED_WITHIN
        again = self.received is signal.SIGTERM
        self.received = signal.SIGTERM
        self.cancel()
        if again or not heeded:
            raise SystemExit(128 + signal.SIGTERM)

    def cancel(self) -> None:
        """Call nobody when it gets late."""
        if self._timer is not None:
            self._timer.cancel()

    def _start_timer(self) -> None:
        if self._late is None:
            return
        self._timer = threading.Timer(self._after, self._call)
        self._timer.daemon = True
        self._timer.start()

    def _call(self) -> None:
        self.too_late = True
        if self._late is not None:
            self._late()


@contextmanager
def stop_signals(
    late: Callable[[], None] | None = None, after: float = 0.0
) -> Iterator[StopSignals]:
    """Note SIGUSR1 and SIGTERM while the block runs, instead of dying of them.

    See :class:`StopSignals`. Only a program's main thread can be told of signals; in others none
    is ever noted.
    """
    found = StopSignals(late, after)
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = {number: signal.signal(number, found.note) for number in REASONS}
    try:
        yield found
    finally:
        found.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
