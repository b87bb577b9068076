"""A wall clock that can be set for the processes of one run, and for no others.

libfaketime was tried first, and is no true imitation of a clock that is set: release 0.9.10 makes
every ``time.sleep`` of Python fail ("Invalid argument"), as it changes how programs wait, too. The
few lines of C here change what the wall clock says, and nothing else.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def lacking() -> str | None:
    """Return why no clock can be set here, None where it can."""
    if shutil.which("cc") is None:
        return "needs a C compiler; install it with `apt-get install gcc`"
    if not sysconfig.get_config_var("HAVE_SEM_CLOCKWAIT"):
        return "this Python waits for locks by the wall clock; take one built with glibc >= 2.30"
    return None


class Clock:
    """A wall clock that can be set.

    Parameters
    ----------
    folder
        Where the library, and what the clock is set to, are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._library, self._setting = folder / "clock.so", folder / "clock"
        command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(self._library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        self._setting.write_bytes(bytes(8))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of processes that go by this clock."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._setting)}

    def set(self, ahead: int) -> None:
        """Set the clock, at once, to `ahead` seconds ahead of the true time."""
        with self._setting.open("r+b") as file:  # it is mapped into memory, so never cut short
            file.write(struct.pack("=q", ahead))
