"""The log of a run: events as lines of JSON in ``RUN/logs/``, in segments that are written whole.

Objects in a bucket cannot be appended to, so the current segment is rewritten every few seconds,
and a new one is begun when it is large: what an event costs does not grow with the run.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from datetime import UTC, datetime
from typing import Any

from .errors import InputError
from .place import Place
from .s3_client import without_secrets
from .store import write_atomically

LOGS = "logs"
SCHEMA = 1
#: Bytes from which a segment is full.
SEGMENT = 2**20
#: Full segments that wait for a store that does not answer; older ones are let go.
WAITING = 8


class RunLog:
    """One process's log.

    Parameters
    ----------
    run
        The run's folder.
    segment
        Bytes from which a new segment is begun.
    """

    def __init__(self, run: Place, segment: int = SEGMENT) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self._folder = run / LOGS
        self._stem = f"{stamp}-{_plain(platform.node())}-{os.getpid()}"
        self._segment = segment
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._full: list[tuple[int, bytes]] = []
        self._number = 0
        self._lines: list[bytes] = []
        self._size = 0
        self._dirty = False
        self.lost_segments = 0

    def event(self, event: str, **facts: Any) -> None:
        """Note an event; nothing is written before :meth:`flush`.

        Parameters
        ----------
        event
            What happened, such as ``tile``.
        facts
            JSON-compatible; credentials in texts are blotted out.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        seconds = round(time.monotonic() - self._started, 3)
        told = {"time": now, "seconds": seconds, "event": event, **_blotted(facts)}
        line = (json.dumps(told, default=str) + "\n").encode()
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            self._dirty = True
            if self._size >= self._segment:
                self._full.append((self._number, b"".join(self._lines)))
                self._number += 1
                self._lines, self._size, self._dirty = [], 0, False
                if len(self._full) > WAITING:
                    del self._full[0]
                    self.lost_segments += 1

    def flush(self) -> None:
        """Write what is new.

        Raises
        ------
        StoreError, OSError
            The store failed; the lines are kept for the next time.
        """
        with self._writing:
            while True:
                with self._lock:
                    if self._full:
                        number, data = self._full[0]
                    elif self._dirty:
                        number, data = self._number, b"".join(self._lines)
                        self._dirty = False
                    else:
                        return
                try:
                    write_atomically(self.path(number), data)
                except BaseException:
                    with self._lock:
                        self._dirty = self._dirty or bool(self._lines)
                    raise
                with self._lock:
                    if self._full and self._full[0][0] == number:
                        del self._full[0]

    def path(self, number: int = 0) -> Place:
        """Return where a segment lies; they are numbered from 0."""
        return self._folder / f"{self._stem}{f'-{number}' if number else ''}.jsonl"


def _plain(host: str) -> str:
    """Return a host's name as part of a file's name."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in host) or "host"


def _blotted(value: Any) -> Any:
    """Return a JSON-compatible value without any credential in its texts."""
    if isinstance(value, str):
        return blot(value)
    if isinstance(value, dict):
        return {key: _blotted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_blotted(inner) for inner in value]
    return value


def blot(text: str) -> str:
    """Return a text in which no credential can be read, or none of it where that cannot be told."""
    if not text:
        return text
    try:
        return without_secrets(text)
    except InputError as error:  # the AWS settings themselves are wrong
        return f"(left out, as it may hold credentials that cannot be found out: {error})"
