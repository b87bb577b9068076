"""A folder of this user's on this machine, for copies that its processes share."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from .errors import RunError


def scratch_folder() -> Path:
    """Return the folder, made where it is missing.

    It lies below ``TMPDIR``, where others may write too: what they could have put there under its
    name is refused, since models and sources are read from it.

    Raises
    ------
    RunError
        Another user owns what is there, or could write to it.
    """
    folder = Path(tempfile.gettempdir()) / f"edaphos-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise RunError(
            f"{folder}: expected a folder of yours that no one else can write to; remove it, or "
            "set TMPDIR to a folder of your own"
        )
    return folder


#: Begins the names of copies, and ends those of the files that are locked while one is held.
COPY, _LOCK = "copy-", ".lock"
#: Copies that this process holds, and the descriptors of their locked files.
_HELD: dict[Path, int] = {}


def hold(copy: Path) -> None:
    """Keep a copy in the scratch folder as long as this process lives.

    Several processes may hold it; the last to end removes it. The kernel takes back the lock of one
    that is killed, and the next process to end removes what that one left.

    Parameters
    ----------
    copy
        Its name begins with :data:`COPY`; it need not be there yet.
    """
    if copy in _HELD:
        return
    if not _HELD:
        atexit.register(let_go)
    while (file := _locked(copy, fcntl.LOCK_SH)) is None:
        pass  # the last holder removed the file in this moment
    _HELD[copy] = file


def let_go() -> None:
    """Hold no copy any more; remove those that nobody else holds."""
    folders = {copy.parent for copy in _HELD}
    for file in _HELD.values():
        os.close(file)
    _HELD.clear()
    for folder in folders:
        for copy in {_without_ending(path) for path in folder.glob(f"{COPY}*")}:
            mine = _locked(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if mine is None:
                continue
            for path in (copy, *folder.glob(f"{copy.name}.*")):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
            _lock_file(copy).unlink(missing_ok=True)
            os.close(mine)


def _without_ending(path: Path) -> Path:
    """Return the copy that a locked file, or a download that was cut off, belongs to."""
    return path.with_name(path.name.split(".")[0])


def _lock_file(copy: Path) -> Path:
    return copy.with_name(copy.name + _LOCK)


def _locked(copy: Path, how: int) -> int | None:
    """Return the descriptor of a copy's locked file; None where others hold it, or removed it."""
    path = _lock_file(copy)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError:  # a file system without locks: copies stay
        if how == fcntl.LOCK_SH:
            return file
        os.close(file)
        return None
    with suppress(FileNotFoundError):
        if os.fstat(file).st_ino == path.stat().st_ino:
            return file
    os.close(file)
    return None
