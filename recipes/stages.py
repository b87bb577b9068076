"""Timing the stages of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from edaphos.engine.errors import Stopped
from edaphos.engine.progress import Reporter
from edaphos.engine.run import Run
from edaphos.engine.watch import Watch


class Stages:
    """Times the stages and notes them in the run's manifest."""

    def __init__(self, reporter: Reporter, run: Run | None = None) -> None:
        self.reporter = reporter
        self.seconds: dict[str, float] = {}
        self._run = run
        self.watch: Watch | None = None

    def attach(self, run: Run, watch: Watch | None = None) -> None:
        """Note the stages, those before included, in this run; tell `watch` when another begins."""
        self._run, self.watch = run, watch

    @contextmanager
    def stage(self, name: str, label: str) -> Iterator[None]:
        """Time the block as a stage.

        Raises
        ------
        Stopped
            It has not begun, since somebody wished that the run stops.
        """
        if self.watch is not None:
            self.watch.stage(name)
            reason = self.watch.stop_reason()
            if reason is not None:
                raise Stopped(f"{reason}; everything finished is kept, run again to continue")
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 2)
        if seconds >= 0.1:
            self.reporter.say(f"{label}: {seconds:.1f} s")
        if self._run is not None:
            held = self._run.manifest()["provenance"].get("stage_seconds", {})
            longest = {k: max(v, held.get(k, 0.0)) for k, v in self.seconds.items()}
            self._run.note(stage_seconds={**held, **longest})
