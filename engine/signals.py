"""Signals that ask a run to stop: what is running is finished, then the run ends.

Slurm sends SIGUSR1 to the batch job some minutes before its time is over, and SIGTERM when a job
is cancelled. Nothing is done inside the handlers but to note the signal, and to set off a timer
where one is wanted.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: What each signal says.
REASONS = {
    signal.SIGUSR1: "the batch system says that this job's time ends soon (SIGUSR1)",
    signal.SIGTERM: "the process was asked to end (SIGTERM)",
}


class StopSignals:
    """Which signal came, if any; asked between tiles."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def stop_reason(self) -> str | None:
        """Return why the run should stop; None to go on."""
        return None if self.received is None else REASONS[self.received]


@contextmanager
def stop_signals(
    too_late: Callable[[], None] | None = None, after: float = 0.0
) -> Iterator[StopSignals]:
    """Note SIGUSR1 and SIGTERM while the block runs, instead of dying of them.

    A second SIGTERM ends the process, as one does without this.

    Parameters
    ----------
    too_late
        Called in a thread of its own when the block still runs `after` seconds after SIGUSR1 came.
    after
        Seconds.

    Notes
    -----
    Only a program's main thread may do so; in others no signal is ever noted.
    """
    found = StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    timers: list[threading.Timer] = []

    def note(number: int, _: FrameType | None) -> None:
        came = signal.Signals(number)
        if came is signal.SIGTERM:
            signal.signal(signal.SIGTERM, before[signal.SIGTERM])
        # being cancelled outweighs being out of time: such a job is not to come back
        if found.received is None or came is signal.SIGTERM:
            found.received = came
        if came is signal.SIGTERM:
            for timer in timers:
                timer.cancel()
        elif too_late is not None and not timers and found.received is signal.SIGUSR1:
            timers.append(threading.Timer(after, too_late))
            timers[0].daemon = True
            timers[0].start()

    before = {number: signal.getsignal(number) for number in REASONS}
    for number in REASONS:
        signal.signal(number, note)
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()
