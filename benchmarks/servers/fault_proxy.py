"""An HTTP proxy that misbehaves on purpose, for standing before an S3 server on loopback.

With given probabilities, drawn from a seed, a request is answered 500 or 503 without being passed
on, answered late, answered with half a body, or not answered at all. What was done is counted.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: Headers that are of one connection, and not passed on.
_OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect"}


@dataclass(frozen=True)
class Misbehaviour:
    """How often each thing goes wrong: probabilities of a request, 0 to 1.

    Parameters
    ----------
    error_500, error_503
        Answered so, without the server knowing of the request.
    late
        Answered only after `delay` seconds.
    cut
        The answer's body breaks off half way; what the request asked for was done.
    closed
        The connection is closed instead of an answer: before the server knows of the request, or,
        as often, after it did what was asked.
    delay
        Seconds.
    """

    error_500: float = 0.0
    error_503: float = 0.0
    late: float = 0.0
    cut: float = 0.0
    closed: float = 0.0
    delay: float = 1.0


GOOD = Misbehaviour()


class FaultProxy:
    """A running proxy.

    Parameters
    ----------
    target
        The server's address, such as ``http://127.0.0.1:9000``.
    misbehaviour
        What goes wrong; may be set anew at any time.
    seed
        Of the chances.
    """

    def __init__(self, target: str, misbehaviour: Misbehaviour = GOOD, seed: int = 0) -> None:
        parts = urlsplit(target)
        self.target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.misbehaviour = misbehaviour
        self.counts: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def draw(self) -> str:
        """Return what becomes of the next request, and count it."""
        now = self.misbehaviour
        names = ("error_500", "error_503", "late", "cut", "closed")
        with self._lock:
            self.counts["requests"] += 1
            left = self._chance.random()
            for name in names:
                left -= getattr(now, name)
                if left < 0:
                    if name == "closed" and self._chance.random() < 0.5:
                        name = "closed_after"
                    self.counts[name] += 1
                    return name
        return "passed"

    def start(self) -> None:
        """Listen, in a thread."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def fault_proxy(
    target: str, misbehaviour: Misbehaviour = GOOD, seed: int = 0
) -> Iterator[FaultProxy]:
    """Yield a proxy that listens on loopback before `target`, and stop it in the end."""
    proxy = FaultProxy(target, misbehaviour, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: FaultProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are killed break their connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Pass on, or not."""
        proxy = self.server.proxy
        fate = proxy.draw()
        body = self._body()
        if fate in ("error_500", "error_503"):
            self._refuse(int(fate.removeprefix("error_")))
            return
        if fate == "closed":
            self._hang_up()
            return
        if fate == "late":
            time.sleep(proxy.misbehaviour.delay)
        connection = http.client.HTTPConnection(*proxy.target, timeout=120)
        try:
            self._ask(connection, body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if fate == "closed_after":
            self._hang_up()
            return
        self._answer(answer, data, cut=fate == "cut")

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _ask(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        # the signature covers the Host header: it goes through as it came
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _OF_CONNECTION | {"content-length"}:
                connection.putheader(name, value)
        if body or self.command in ("PUT", "POST"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)

    def _answer(self, answer: http.client.HTTPResponse, data: bytes, *, cut: bool) -> None:
        self.send_response(answer.status, answer.reason)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        for name, value in answer.getheaders():
            if name.lower() not in _OF_CONNECTION | {"content-length", "date", "server"}:
                self.send_header(name, value)
        if answer.status not in (204, 304) and length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        if cut:
            self.wfile.write(data[: len(data) // 2])
            self._hang_up()
        elif self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: int) -> None:
        code = {500: "InternalError", 503: "SlowDown"}[status]
        data = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
