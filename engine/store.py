"""Reading and writing Zarr stores so that every written object is known by size and checksum."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore

from .errors import InputError, StoreError
from .place import Place, S3Path, no_bucket, place, store_error
from .retry import retrying, retrying_async
from .s3_client import s3_client


@dataclass(frozen=True)
class StoredObject:
    """One object of a store: its key, size in bytes and CRC-32C as eight hex digits."""

    key: str
    size: int
    crc32c: str


def safe_key(key: str) -> str:
    """Return an object's key; refuse one that could lead out of the folder it is a key of."""
    parts = key.split("/")
    if not key or "\\" in key or any(part in ("", ".", "..") for part in parts):
        raise InputError(f'"{key}" is no key of an object: expected names joined by "/"')
    return key


def checksum(data: bytes | memoryview) -> str:
    """Return the CRC-32C (Castagnoli) of `data` as eight hex digits."""
    return f"{google_crc32c.value(bytes(data)):08x}"


class _Retrying(WrapperStore[Store]):
    """A store whose requests are tried again; `retries` counts how often that was needed."""

    def __init__(self, store: Store, where: str) -> None:
        super().__init__(store)
        self.where = where
        self.retries = 0
        # some servers send the part that was asked for as if it were the whole: ask for the whole
        self._ranges = True

    def _with_store(self, store: Store) -> _Retrying:
        return _Retrying(store, self.where)

    def _count(self) -> None:
        self.retries += 1

    async def _attempt(self, key: str, call: Any) -> Any:
        try:
            return await retrying_async(call, self._count)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise store_error(f"{self.where}/{key}", error) from None

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        if byte_range is not None and self._ranges:
            try:
                return await self._get(key, prototype, byte_range)
            except StoreError as error:
                if "non-partial response" not in str(error):
                    raise
                self._ranges = False
        whole = await self._get(key, prototype, None)
        return whole if whole is None or byte_range is None else _part(whole, byte_range)

    async def _get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None
    ) -> Buffer | None:
        found: Buffer | None = await self._attempt(
            key, lambda: self._store.get(key, prototype, byte_range)
        )
        return found

    async def set(self, key: str, value: Buffer) -> None:
        try:
            await self._attempt(key, lambda: self._store.set(key, value))
        except FileNotFoundError:
            where = place(self.where)
            assert isinstance(where, S3Path)
            raise no_bucket(where / key) from None

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        # Zarr asks for this to make sure that a group is there; a server that ignores the condition
        # would put an empty group over the one with attributes
        if not await self.exists(key):
            await self._attempt(key, lambda: self._store.set_if_not_exists(key, value))

    async def delete(self, key: str) -> None:
        await self._attempt(key, lambda: self._store.delete(key))

    async def exists(self, key: str) -> bool:
        return bool(await self._attempt(key, lambda: self._store.exists(key)))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        async def names() -> AsyncIterator[str]:
            async def collect() -> list[str]:
                return [name async for name in self._store.list_dir(prefix)]

            for name in await self._attempt(prefix, collect):
                yield name

        return names()


def _part(whole: Buffer, wanted: ByteRequest) -> Buffer:
    if isinstance(wanted, RangeByteRequest):
        return whole[wanted.start : wanted.end]
    if isinstance(wanted, OffsetByteRequest):
        return whole[wanted.offset :]
    return whole[max(0, len(whole) - wanted.suffix) :]


class RecordingStore(WrapperStore[Store]):
    """A store that remembers size and checksum of each object set through it.

    One instance serves one task: what it recorded is what that task wrote. An object in a folder is
    on the disk itself, not in a cache that a dying node takes along, before it counts as written.
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
        if isinstance(self._store, LocalStore):
            sync(Path(self._store.root) / key)
        with self._lock:
            self.seconds += time.perf_counter() - started
            self._written[key] = StoredObject(key, len(data), checksum(data))

    @property
    def retries(self) -> int:
        """How often a request had to be tried again."""
        return int(getattr(self._store, "retries", 0))

    def written(self) -> list[StoredObject]:
        """Objects written so far, by key."""
        with self._lock:
            return [self._written[key] for key in sorted(self._written)]


def sync(path: Path) -> None:
    """Return when a file's content is on the disk itself."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def zarr_store(where: str | Place, *, read_only: bool = False) -> Store:
    """Open a folder, or a prefix of a bucket, as a Zarr store."""
    where = place(where)
    if isinstance(where, S3Path):
        from zarr.storage import ObjectStore

        below = s3_client(where.bucket, where.key)
        return _Retrying(ObjectStore(below, read_only=read_only), str(where))
    return LocalStore(where, read_only=read_only)


def write_atomically(path: Place, data: bytes | str) -> None:
    """Write a file whole or not at all: to a temporary neighbour, flushed to disk, then renamed.

    In a bucket an object appears whole by itself.
    """
    payload = data.encode() if isinstance(data, str) else data
    if isinstance(path, S3Path):
        path.write_bytes(payload)
        return
    temporary = _draft(path, payload)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def create(path: Place, data: bytes | str) -> bool:
    """Write a file only if there is none; return whether it was written.

    Of several that try at once one succeeds, where the store keeps that promise
    (:func:`keeps_conditions` tells). In a bucket the data must name their writer: an answer may get
    lost and the writing be tried again, so the same data found there count as written by this call.
    """
    payload = data.encode() if isinstance(data, str) else data
    if isinstance(path, S3Path):
        return _conditional_put(path, payload, "create")
    temporary = _draft(path, payload)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        return _create_exclusively(path, payload)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _create_exclusively(path: Path, payload: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def replace_version(path: Place, data: bytes | str, version: str) -> bool:
    """Write a file only if it is still in the `version` that was read; return whether it was.

    On a disk another writer may come between the look and the writing: there this is advice.
    """
    payload = data.encode() if isinstance(data, str) else data
    if isinstance(path, S3Path):
        return _conditional_put(path, payload, {"e_tag": version})
    if read_version(path)[1] != version:
        return False
    write_atomically(path, payload)
    return True


def read_version(path: Place) -> tuple[bytes, str]:
    """Return a file and what tells its version; raise `FileNotFoundError` where there is none."""
    if isinstance(path, S3Path):
        import obstore

        def fetch() -> tuple[bytes, str]:
            found = obstore.get(path.client, path.key)
            return bytes(found.bytes()), str(found.meta["e_tag"])

        return path.attempt(fetch)
    data = path.read_bytes()
    return data, checksum(data)


def keeps_conditions(folder: Place) -> bool:
    """Whether a store keeps to "only if there is none": tried out on an object that is removed."""
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        return create(probe, b"1") and not create(probe, b"2")
    finally:
        probe.unlink(missing_ok=True)


def _conditional_put(path: S3Path, payload: bytes, mode: Any) -> bool:
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        retrying(lambda: obstore.put(path.client, path.key, payload, mode=mode))
    except (AlreadyExistsError, PreconditionError):
        try:
            return path.read_bytes() == payload
        except FileNotFoundError:
            return False
    except FileNotFoundError:
        if mode == "create":
            raise no_bucket(path) from None
        return False
    except Exception as error:
        raise store_error(str(path), error) from None
    return True


def _draft(path: Path, payload: bytes) -> Path:
    """Write a temporary neighbour of a file, flushed to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def list_objects(folder: Place) -> dict[str, int]:
    """Return key and size of every finished object below `folder`."""
    if isinstance(folder, S3Path):
        return folder.objects()
    found: dict[str, int] = {}
    stack = [(folder, "")]
    while stack:
        current, prefix = stack.pop()
        if not current.is_dir():
            continue
        with os.scandir(current) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append((Path(entry.path), f"{prefix}{entry.name}/"))
                elif not entry.name.endswith(".partial"):
                    found[prefix + entry.name] = entry.stat().st_size
    return found


def remove_partial(folder: Place) -> int:
    """Delete what interrupted writers left below `folder`; return how many files that was."""
    if isinstance(folder, S3Path):
        return 0  # an upload that was cut off leaves no object
    removed = 0
    for path in folder.rglob("*.partial"):
        path.unlink(missing_ok=True)
        removed += 1
    return removed


def remove_tree(folder: Place) -> None:
    """Delete a folder with everything in it, if it is there."""
    if isinstance(folder, S3Path):
        folder.unlink_below(list(folder.objects()))
    else:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
