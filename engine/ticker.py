"""Doing something again and again beside the run, without ever failing it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class Ticker:
    """A thread that calls a function every few seconds while the block runs.

    Parameters
    ----------
    every
        Seconds between the end of a call and the next.
    call
        What is called. An error of it is handed to `failed` and the thread goes on.
    failed
        Told of each error.
    name
        The thread's name.
    """

    def __init__(
        self,
        every: float,
        call: Callable[[], None],
        failed: Callable[[Exception], None],
        name: str = "edaphos-ticker",
    ) -> None:
        self._every, self._call, self._failed = every, call, failed
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Make no further call, and wait for the one under way."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._every):
            try:
                self._call()
            except Exception as error:
                self._failed(error)
