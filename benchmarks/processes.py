"""How benchmarks of many small runs share the machine: some processes, each of one thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

PROCESSES = 2
#: Libraries that would start threads of their own in each process.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let processes that are started meanwhile compute in one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def process_pool(processes: int = PROCESSES) -> Iterator[ProcessPoolExecutor]:
    """Yield new processes of one thread each, which end with this one however it ends.

    Those of a pool that was killed would else finish what they do, and what waits behind it.
    """
    with (
        one_thread(),
        ProcessPoolExecutor(
            processes, get_context("spawn"), initializer=_end_with, initargs=(os.getpid(),)
        ) as pool,
    ):
        yield pool


def _end_with(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
