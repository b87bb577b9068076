"""Doing one thing to many items, here or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .progress import QUIET, Reporter

T = TypeVar("T")
R = TypeVar("R")

#: Seconds between two looks at whether somebody wants a task stopped.
LOOK_SECONDS = 1.0


def fan_out(
    function: Callable[[T], R],
    items: Sequence[T],
    client: Any = None,
    reporter: Reporter = QUIET,
    label: str = "",
    resources: Mapping[str, float] | None = None,
) -> list[R]:
    """Return ``[function(item) for item in items]``, on a ``distributed.Client`` if one is given.

    A bounded number of tasks is in flight, each of which asks for `resources`. The first error
    stops the rest and is raised.
    """
    with reporter.task(label, len(items)) as progress:
        if client is None:
            results = []
            for item in items:
                results.append(function(item))
                progress.advance()
            return results
        return _on_cluster(function, items, client, progress, resources)


def _on_cluster(
    function: Callable[[T], R],
    items: Sequence[T],
    client: Any,
    progress: Any,
    resources: Mapping[str, float] | None,
) -> list[R]:
    limit = 2 * max(1, sum(client.nthreads().values())) + 2
    places: dict[Any, int] = {}
    results: dict[int, R] = {}
    waiting = iter(enumerate(items))

    def submit() -> None:
        for place, item in waiting:
            places[client.submit(function, item, pure=False, resources=resources)] = place
            return

    for _ in range(limit):
        submit()
    try:
        for future in as_they_end(places, progress.heed):
            results[places.pop(future)] = future.result()
            progress.advance()
            submit()
    except BaseException:
        client.cancel(list(places))
        raise
    return [results[place] for place in range(len(items))]


def as_they_end(running: Collection[Any], heed: Callable[[], None]) -> Iterator[Any]:
    """Yield futures as they end, until none is left in `running`, and look up every second.

    Parameters
    ----------
    running
        The futures; whoever is given one takes it out, and may put in others.
    heed
        Called meanwhile; what it raises ends the wait.
    """
    from distributed import TimeoutError as NotYet
    from distributed import wait

    while running:
        try:
            done = wait(list(running), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done
        except NotYet:
            heed()
            continue
        yield from done
