"""Processes of benchmarks end with the one that began them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import os, sys, time
from benchmarks.processes import process_pool

if __name__ == "__main__":
    with process_pool(1) as pool:
        sys.stderr.write(f"{pool.submit(os.getpid).result()}\\n")
        pool.submit(time.sleep, 600).result()
"""


def test_a_pool_ends_with_a_process_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    begun = subprocess.Popen(
        [sys.executable, str(script)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert begun.stderr is not None
    worker = int(begun.stderr.readline())
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    ends = time.monotonic() + 30
    while _lives(worker):
        assert time.monotonic() < ends, "the worker goes on without its pool"
        time.sleep(0.1)


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, and nobody asked how
