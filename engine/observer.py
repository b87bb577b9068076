"""Who looks on while a run goes: told of every tile, asked whether to stop."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from .ledger import Record


class Observer(Protocol):
    """What :func:`edaphos.engine.produce.produce` tells, and whom it asks between tiles."""

    def begin(self, todo: Collection[str], finished: Collection[str]) -> None:
        """Note the tiles to be made by this call, and those found finished."""

    def submitted(self, tile: str) -> None:
        """Note that a tile went to the cluster."""

    def ended(self, record: Record) -> None:
        """Note that a tile is done, or that an attempt at it failed."""

    def stop_reason(self) -> str | None:
        """Return why no further tile may be started (those begun are waited for); None to go on."""


def never() -> str | None:
    """Give no reason to stop."""
    return None


class Nobody:
    """An observer that looks away and never stops a run."""

    def begin(self, todo: Collection[str], finished: Collection[str]) -> None:
        """Do nothing."""

    def submitted(self, tile: str) -> None:
        """Do nothing."""

    def ended(self, record: Record) -> None:
        """Do nothing."""

    def stop_reason(self) -> str | None:
        """Go on."""
        return None


class Stoppable:
    """An observer as it is, that further reasons can stop as well.

    Parameters
    ----------
    observer
        Who is told.
    reasons
        Asked after the observer; the first that gives a reason stops the run.
    """

    def __init__(self, observer: Observer, *reasons: Callable[[], str | None]) -> None:
        self._observer = observer
        self._reasons = (observer.stop_reason, *reasons)
        self.begin = observer.begin
        self.submitted = observer.submitted
        self.ended = observer.ended

    def stop_reason(self) -> str | None:
        """Return the first reason that anyone gives."""
        return next((told for ask in self._reasons if (told := ask()) is not None), None)
