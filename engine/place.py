"""Places: folders and files on a disk, or below ``s3://`` in a bucket.

A :data:`Place` on a disk is a plain :class:`pathlib.Path`; one in a bucket is an :class:`S3Path`,
which has the part of a path's interface that the engine uses. What the two do differently
(writing whole or not at all, listing, Zarr) lies in :mod:`edaphos.engine.store`.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from .errors import EdaphosError, InputError, StoreError
from .retry import retrying
from .s3_client import s3_client, without_secrets

T = TypeVar("T")
SCHEME = "s3://"
#: As many objects as one request to S3 may delete.
_DELETED_AT_ONCE = 1000
#: What a server says in its answer, and the status before it.
_STATUS = re.compile(r"status code: (\d{3})")
_ANSWER = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)
_NO_CREDENTIALS = (
    "the credentials do not allow this, or are not valid there; check AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and the bucket's policy"
)


@dataclass(frozen=True)
class S3Path:
    """An object, or the objects below a prefix, of an S3-compatible store.

    Parameters
    ----------
    bucket, key
        The bucket, and the key without slashes at its ends.
    """

    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}".rstrip("/")

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is no file on a disk")

    def __truediv__(self, other: str) -> S3Path:
        return S3Path(self.bucket, "/".join(p for p in (self.key, other.strip("/")) if p))

    def __lt__(self, other: S3Path) -> bool:
        return (self.bucket, self.key) < (other.bucket, other.key)

    @property
    def name(self) -> str:
        """The last part of the key, or the bucket."""
        return self.key.rsplit("/", 1)[-1] or self.bucket

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> S3Path:
        """One level up."""
        return S3Path(self.bucket, self.key.rpartition("/")[0])

    def with_name(self, name: str) -> S3Path:
        """Return the neighbour of that name."""
        return self.parent / name

    def absolute(self) -> S3Path:
        """Return itself: it is absolute."""
        return self

    def resolve(self) -> S3Path:
        """Return itself."""
        return self

    # -- objects --------------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """The bucket's ``obstore`` client."""
        return s3_client(self.bucket)

    def read_bytes(self) -> bytes:
        """Return the object, or raise `FileNotFoundError`."""
        import obstore

        return bytes(self.attempt(lambda: obstore.get(self.client, self.key).bytes()))

    def read_text(self) -> str:
        """Return the object as text."""
        return self.read_bytes().decode()

    def write_bytes(self, data: bytes) -> int:
        """Store an object; a reader sees the old one or the new one, whole."""
        import obstore

        try:
            self.attempt(lambda: obstore.put(self.client, self.key, data))
        except FileNotFoundError:
            raise no_bucket(self) from None
        return len(data)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        import obstore

        if not missing_ok and not self.is_file():
            raise FileNotFoundError(str(self))
        try:
            self.attempt(lambda: obstore.delete(self.client, self.key))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def is_file(self) -> bool:
        """Whether there is such an object."""
        import obstore

        try:
            self.attempt(lambda: obstore.head(self.client, self.key))
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether there are objects below."""
        import obstore

        prefix = f"{self.key}/" if self.key else None
        return bool(self.attempt(lambda: next(iter(obstore.list(self.client, prefix)), ())))

    def exists(self) -> bool:
        """Whether there is such an object, or objects below."""
        return (bool(self.key) and self.is_file()) or self.is_dir()

    def iterdir(self) -> Iterator[S3Path]:
        """Yield what lies one level below, prefixes included."""
        import obstore

        prefix = f"{self.key}/" if self.key else None
        found = self.attempt(lambda: obstore.list_with_delimiter(self.client, prefix))
        for below in found["common_prefixes"]:
            yield S3Path(self.bucket, below.strip("/"))
        for item in found["objects"]:
            yield S3Path(self.bucket, item["path"])

    def objects(self) -> dict[str, int]:
        """Return key (from here) and size of every object below."""
        import obstore

        prefix = f"{self.key}/" if self.key else ""
        batches = self.attempt(lambda: list(obstore.list(self.client, prefix or None)))
        return {i["path"].removeprefix(prefix): i["size"] for batch in batches for i in batch}

    def unlink_below(self, keys: Sequence[str]) -> None:
        """Delete objects by their keys from here; those that are not there are none."""
        import obstore

        for start in range(0, len(keys), _DELETED_AT_ONCE):
            some = [(self / key).key for key in keys[start : start + _DELETED_AT_ONCE]]
            self.attempt(lambda some=some: obstore.delete(self.client, some))  # type: ignore[misc]

    def attempt(self, call: Callable[[], T]) -> T:
        """Return ``call()``, tried again where that may help; errors name this place.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        StoreError
            Anything else; never with a credential in its text.
        """
        try:
            return retrying(call)
        except FileNotFoundError:
            raise FileNotFoundError(str(self)) from None
        except EdaphosError:
            raise
        except Exception as error:
            raise store_error(str(self), error) from None


Place = Path | S3Path


def no_bucket(where: S3Path) -> StoreError:
    """Return the error for something that is to be written to a bucket that is not there."""
    return StoreError(f"{where}: there is no bucket {where.bucket}; create it, or correct the name")


def store_error(where: str, error: BaseException) -> StoreError:
    """Return an error of a store in words: what it answered, without any credential."""
    text = without_secrets(str(error)).strip()
    status, answer = _STATUS.search(text), _ANSWER.search(text)
    number = int(status.group(1)) if status else 0
    if answer:
        reason = f"{number or ''} {answer.group(1)}: {answer.group(2)}".strip()
    else:
        reason = (text.splitlines() or [type(error).__name__])[0]
    return StoreError(f"{where}: {reason[:300]}; {_hint(type(error).__name__, number)}")


def _hint(name: str, status: int) -> str:
    if status in (401, 403) or name in ("PermissionDeniedError", "UnauthenticatedError"):
        return _NO_CREDENTIALS
    if status == 404:
        return "create the bucket, or correct its name"
    if name == "GenericError" and not status:
        return "check AWS_ENDPOINT_URL and the network"
    return "run again when the store answers"


def place(where: str | Path | S3Path) -> Place:
    """Return a folder or file by its path, or by an address such as ``s3://bucket/folder``.

    >>> str(place("s3://maps/world/") / "map.zarr")
    's3://maps/world/map.zarr'
    """
    if isinstance(where, Path | S3Path):
        return where
    if where.startswith(SCHEME):
        if importlib.util.find_spec("obstore") is None:
            raise InputError(
                f"{where}: needs the package obstore; install it with `pip install 'edaphos[s3]'`"
            )
        bucket, _, key = where.removeprefix(SCHEME).partition("/")
        if not bucket:
            raise InputError(f"{where}: expected s3://bucket/folder")
        parts = [part for part in key.split("/") if part]
        if {".", ".."} & set(parts):
            raise InputError(f'{where}: "." and ".." mean nothing in a bucket; write them out')
        return S3Path(bucket, "/".join(parts))
    scheme, sign, _ = where.partition("://")
    if sign:
        raise InputError(f'{where}: "{scheme}" is not known; use a folder, or s3://bucket/folder')
    return Path(where)
