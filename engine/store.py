"""Reading and writing Zarr stores so that every written object is known by size and checksum."""

from __future__ import annotations

import os
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, WrapperStore


@dataclass(frozen=True)
class StoredObject:
    """One object of a store: its key, size in bytes and CRC-32C as eight hex digits."""

    key: str
    size: int
    crc32c: str


def checksum(data: bytes | memoryview) -> str:
    """Return the CRC-32C (Castagnoli) of `data` as eight hex digits."""
    return f"{google_crc32c.value(bytes(data)):08x}"


class RecordingStore(WrapperStore[Store]):
    """A store that remembers size and checksum of each object set through it.

    One instance serves one task: what it recorded is what that task wrote.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._lock = threading.Lock()
        self._written: dict[str, StoredObject] = {}
        self.seconds = 0.0

    async def set(self, key: str, value: Buffer) -> None:
        """Store `value` under `key` and record it."""
        data = value.to_bytes()
        started = time.perf_counter()
        await self._store.set(key, value)
        with self._lock:
            self.seconds += time.perf_counter() - started
            self._written[key] = StoredObject(key, len(data), checksum(data))

    def written(self) -> list[StoredObject]:
        """Objects written so far, by key."""
        with self._lock:
            return [self._written[key] for key in sorted(self._written)]


def local_store(path: str | Path, *, read_only: bool = False) -> Store:
    """Open a folder as a Zarr store."""
    return LocalStore(path, read_only=read_only)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all: to a temporary neighbour, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    payload = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def list_objects(folder: Path) -> dict[str, int]:
    """Return key and size of every finished object below `folder`."""
    found: dict[str, int] = {}
    stack = [folder]
    while stack:
        current = stack.pop()
        if not current.is_dir():
            continue
        with os.scandir(current) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(Path(entry.path))
                elif not entry.name.endswith(".partial"):
                    key = Path(entry.path).relative_to(folder).as_posix()
                    found[key] = entry.stat().st_size
    return found


def remove_partial(folder: Path) -> int:
    """Delete what interrupted writers left below `folder`; return how many files that was."""
    removed = 0
    for path in folder.rglob("*.partial"):
        path.unlink(missing_ok=True)
        removed += 1
    return removed
