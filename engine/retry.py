"""Trying again what a store could not do just now, with growing pauses; and telling what can wait.

A failure of the store says nothing about a tile: it is tried again here, and if that does not help
the run stops with everything kept, instead of setting tile after tile aside.
"""

from __future__ import annotations

import asyncio
import errno
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from .errors import StoreError

T = TypeVar("T")

#: Pauses before each further attempt, seconds; a random part keeps workers from asking in step.
PAUSES = (0.1, 0.3, 1.0, 3.0, 6.0, 12.0)
#: Failures of a file system that pass by themselves.
_PASSING = {errno.EIO, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR, errno.EBUSY}
#: Failures of a file system that somebody has to mend.
_LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE}
#: Answers of a server that say that the request is at fault, and those of them that pass.
_REFUSED = re.compile(r"status code: (4\d\d)")
_PASSING_STATUS = {"408", "409", "425", "429"}


def store_failure(error: BaseException | None) -> str | None:
    """Return the reason if an error, or what caused it, is the store's fault; None if not."""
    while error is not None:
        if isinstance(error, StoreError):
            return str(error)
        if isinstance(error, OSError) and error.errno in _PASSING | _LASTING:
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror}"
        error = error.__cause__ or error.__context__
    return None


def passes(error: BaseException) -> bool:
    """Whether trying again may help."""
    if isinstance(error, FileNotFoundError | FileExistsError):
        return False
    if isinstance(error, OSError) and error.errno in _LASTING:
        return False
    if isinstance(error, OSError):
        return error.errno in _PASSING or isinstance(error, ConnectionError | TimeoutError)
    if "non-partial response" in str(error):  # the server's way, it will not change
        return False
    refused = _REFUSED.search(str(error))
    if refused and refused.group(1) not in _PASSING_STATUS:
        return False
    return type(error).__name__ in ("GenericError", "JoinError")


def pauses() -> Iterator[float]:
    """Yield the pauses, each lengthened by up to a half."""
    for pause in PAUSES:
        yield pause * (1 + random.random() / 2)


def retrying(
    call: Callable[[], T],
    on_retry: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return ``call()``; where it fails in a way that may pass, wait and try again.

    The last error is raised as it came.
    """
    for pause in pauses():
        try:
            return call()
        except Exception as error:
            if not passes(error):
                raise
        on_retry()
        sleep(pause)
    return call()


async def retrying_async(
    call: Callable[[], Awaitable[T]], on_retry: Callable[[], None] = lambda: None
) -> T:
    """Do as :func:`retrying`, for a coroutine function."""
    for pause in pauses():
        try:
            return await call()
        except Exception as error:
            if not passes(error):
                raise
        on_retry()
        await asyncio.sleep(pause)
    return await call()
