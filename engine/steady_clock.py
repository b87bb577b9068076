"""A clock for Dask that nobody sets: also a preload module of Dask's processes.

Dask and Tornado plan by the wall clock (``time.time``). Where it is set back by a day while
messages wait the few milliseconds to be sent together (``distributed.batched``), they wait for a
day, and so does the run; heartbeats and all else that Tornado does periodically stop for as long.
Where it is set ahead, the scheduler takes workers for lost that it has just heard of, and their
tiles are made again. See dask/distributed#4528 and tornadoweb/tornado#2333.

``dask scheduler --preload edaphos.engine.steady_clock`` and ``dask worker ... --preload
edaphos.engine.steady_clock`` give the same to a cluster that is started by hand.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import distributed.metrics
import tornado.ioloop

#: Seconds from the start of the monotonic clock to that of the wall clock, as this module found it.
_SINCE = time.time() - time.monotonic()


def steady_time() -> float:
    """Return the wall clock's time (s since 1970) as if nobody set it while this process runs."""
    return _SINCE + time.monotonic()


def go_by_steady_time() -> None:
    """Let Dask and Tornado in this process go by :func:`steady_time` from now on."""
    named = [m for name, m in list(sys.modules.items()) if name.split(".")[0] == "distributed"]
    for module in named:
        if vars(module).get("time") is time.time:
            vars(module)["time"] = steady_time
    # what is imported later takes it from here
    vars(distributed.metrics)["time"] = steady_time
    tornado.ioloop.IOLoop.time = _loop_time  # type: ignore[assignment,method-assign]


def dask_setup(process: Any) -> None:
    """Let a worker, nanny or scheduler go by :func:`steady_time` before it has any company."""
    del process
    go_by_steady_time()


def _loop_time(loop: tornado.ioloop.IOLoop) -> float:
    del loop
    return steady_time()
