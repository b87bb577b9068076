"""Progress people can read: what is done, how fast, and when it will end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .errors import Stopped

#: Lines that are left out where no step ends, before one says that work goes on.
PATIENCE = 6


class Reporter:
    """Where progress goes: a live bar on a terminal, a line now and then elsewhere, or nowhere.

    Parameters
    ----------
    quiet
        Print nothing.
    every
        Seconds between lines where there is no terminal; where no step ends, six times as many.
    """

    def __init__(self, *, quiet: bool = False, every: float = 10.0) -> None:
        self.quiet = quiet
        self.every = every
        self.console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)

    def say(self, message: str) -> None:
        """Print one line."""
        self.console.print(message, markup=False)

    def heed(self) -> None:
        """Be asked between two steps of a task; do nothing."""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[TaskProgress]:
        """Show a task of `total` steps while the block runs."""
        if self.quiet or total == 0:
            yield TaskProgress(None, label, total, self)
        elif self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self.console) as bar:
                yield TaskProgress(bar, label, total, self)
        else:
            progress = TaskProgress(None, label, total, self)
            yield progress
            progress.finish()


class TaskProgress:
    """One running task; call :meth:`advance` as steps complete."""

    def __init__(self, bar: Progress | None, label: str, total: int, reporter: Reporter) -> None:
        self._bar, self._label, self._total, self._reporter = bar, label, total, reporter
        self._done = 0
        self._note = ""
        self._started = self._last = time.monotonic()
        self._id = bar.add_task(label, total=total, note="") if bar else None

    def heed(self) -> None:
        """Be asked whether to go on, within a step; say after a while that it does."""
        self._reporter.heed()
        now = time.monotonic()
        if self._bar is None and now - self._last >= PATIENCE * self._reporter.every:
            self._last = now
            self._reporter.say(self._line(now))

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` as done; `note` is shown beside the bar."""
        self._reporter.heed()
        self._done += steps
        self._note = note or self._note
        if self._bar is not None and self._id is not None:
            self._bar.update(self._id, advance=steps, note=self._note)
            return
        now = time.monotonic()
        if now - self._last >= self._reporter.every:
            self._last = now
            self._reporter.say(self._line(now))

    def finish(self) -> None:
        """Print the closing line where there is no terminal."""
        if self._done:
            self._reporter.say(self._line(time.monotonic()))

    def _line(self, now: float) -> str:
        elapsed = now - self._started
        left = elapsed / self._done * (self._total - self._done) if self._done else float("nan")
        note = f", {self._note}" if self._note else ""
        eta = f", ETA {left:.0f} s" if 0 < self._done < self._total else ""
        return f"{self._label}: {self._done}/{self._total}{note}, {elapsed:.0f} s{eta}"


class Interruptible(Reporter):
    """A reporter as it is, whose tasks end between two steps when there is a reason to stop.

    Parameters
    ----------
    reporter
        Where progress goes.
    reason
        Asked at every step; what it returns, unless None, stops the task.
    """

    def __init__(self, reporter: Reporter, reason: Callable[[], str | None]) -> None:
        super().__init__(quiet=reporter.quiet, every=reporter.every)
        self.console = reporter.console
        self._reason = reason

    def heed(self) -> None:
        """Raise `Stopped` where there is a reason."""
        reason = self._reason()
        if reason is not None:
            raise Stopped(f"{reason}; everything finished is kept, run again to continue")


#: A reporter that says nothing, for library calls that pass none.
QUIET = Reporter(quiet=True)
