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
from .store import checksum, list_objects, write_atomically

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
    partial.rename(folder)


def upload(made: Path, folder: S3Path) -> None:
    """Store every file of a folder, and the marker that names them after them."""
    files = {}
    for key in sorted(list_objects(made)):
        data = (made / key).read_bytes()
        (folder / key).write_bytes(data)
        files[key] = checksum(data)
    write_atomically(folder / MARKER, json.dumps({"schema": SCHEMA, "files": files}) + "\n")


def on_disk(folder: Place) -> Path:
    """Return the folder itself, or a copy of one in a bucket that this machine's processes share.

    Raises
    ------
    StoreError
        A file is not what the marker says.
    """
    if not isinstance(folder, S3Path):
        return folder
    marker = (folder / MARKER).read_text()
    name = hashlib.sha256(f"{folder} {marker}".encode()).hexdigest()[:24]
    target = Path(tempfile.gettempdir()) / f"edaphos-{_user()}" / name
    with _LOCK:
        if not target.is_dir():
            _download(folder, json.loads(marker)["files"], target)
    return target


def _download(folder: S3Path, files: dict[str, str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Path(tempfile.mkdtemp(prefix=target.name, dir=target.parent))
    for key, expected in files.items():
        data = (folder / key).read_bytes()
        path = (made / key).resolve()
        if checksum(data) != expected or made.resolve() not in path.parents:
            raise StoreError(f"{folder / key}: does not match its checksum in {MARKER}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        made.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(made, ignore_errors=True)


def _user() -> str:
    import os

    return str(os.getuid())
