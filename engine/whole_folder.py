"""Folders that are there whole or not at all, on a disk or in a bucket: models, assessments.

On a disk such a folder is filled under another name and then renamed. In a bucket its files are
stored first and then ``whole.json``, which names them: a folder without it is not there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StoreError
from .place import Place, S3Path
from .scratch import COPY, hold, scratch_folder
from .store import checksum, list_objects, safe_key, sync, write_atomically

MARKER = "whole.json"
SCHEMA = 1
_LOCK = threading.Lock()


def is_whole(folder: Place) -> bool:
    """Whether the folder is there."""
    return (folder / MARKER).is_file() if isinstance(folder, S3Path) else folder.is_dir()


@contextmanager
def whole_folder(folder: Place) -> Iterator[Path]:
    """Yield a folder on this disk to fill; it takes the place of `folder` when it is complete."""
    if isinstance(folder, S3Path):
        with tempfile.TemporaryDirectory(prefix="edaphos-") as made:
            yield Path(made)
            upload(Path(made), folder)
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    for key in list_objects(partial):
        sync(partial / key)  # a name must not outlive a power cut that its content did not
    partial.rename(folder)


def upload(made: Path, folder: S3Path) -> None:
    """Store every file of a folder, and after them the marker that names them."""
    (folder / MARKER).unlink(missing_ok=True)  # until the new one is there, nothing is
    files = {}
    for key in sorted(list_objects(made)):
        data = (made / key).read_bytes()
        (folder / key).write_bytes(data)
        files[key] = checksum(data)
    write_atomically(folder / MARKER, json.dumps({"schema": SCHEMA, "files": files}) + "\n")


def on_disk(folder: Place) -> Path:
    """Return the folder itself, or a copy of one in a bucket that this machine's processes share.

    The copy goes with the last process that asked for it.

    Raises
    ------
    StoreError
        A file is not what the marker says.
    """
    if not isinstance(folder, S3Path):
        return folder
    marker = (folder / MARKER).read_text()
    files = _files(marker, folder)
    name = hashlib.sha256(f"{folder} {marker}".encode()).hexdigest()[:24]
    target = scratch_folder() / f"{COPY}{name}"
    with _LOCK:
        hold(target)
        whole = target.is_dir() and all((target / key).is_file() for key in files)
        if not whole:  # what is old may get cleared away
            shutil.rmtree(target, ignore_errors=True)
            _download(folder, files, target)
    return target


def _files(marker: str, folder: Place) -> dict[str, str]:
    """Return key and checksum of the files that a marker names."""
    try:
        return {safe_key(key): str(crc) for key, crc in json.loads(marker)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{folder / MARKER}: not readable ({error}); delete the folder {folder} and run again"
        ) from error


def _download(folder: S3Path, files: dict[str, str], target: Path) -> None:
    made = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    for key, expected in files.items():
        try:
            data = (folder / key).read_bytes()
        except FileNotFoundError:
            data = None
        path = made / key
        if data is None or checksum(data) != expected:
            shutil.rmtree(made, ignore_errors=True)
            raise StoreError(f"{folder / key}: is missing, or does not match {MARKER}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        made.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(made, ignore_errors=True)
