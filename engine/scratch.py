"""A folder of this user's on this machine, for copies that its processes share."""

from __future__ import annotations

import os
import stat
import tempfile
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
