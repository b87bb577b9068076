"""A browser that tests drive: Chromium without a window, by the DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

#: None where there is no such browser.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
_KEYS = {"End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "Escape": 27}


class Browser:
    """One page of a running browser."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: WebSocketClientConnection) -> None:
        self._loop, self._socket, self._count = loop, socket, 0

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol; return its result."""
        self._count += 1
        return self._loop.run_until_complete(self._send(self._count, method, parameters))

    async def _send(self, number: int, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        sent = {"id": number, "method": method, "params": parameters}
        await self._socket.write_message(json.dumps(sent))
        while True:
            answer = json.loads(await self._socket.read_message() or "{}")
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def run(self, script: str) -> Any:
        """Return what an expression gives, as plain data."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, script
            time.sleep(0.05)

    def open(self, page: Path) -> None:
        """Open a file."""
        self.send("Page.navigate", url=page.as_uri())
        self.wait(f"location.href === {json.dumps(page.as_uri())}")
        self.wait("document.readyState === 'complete'")

    def press(self, key: str) -> None:
        """Press a key, where the focus is."""
        for kind in ("keyDown", "keyUp"):
            told = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
            self.send("Input.dispatchKeyEvent", type=kind, **told)

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


@contextmanager
def browser(profile: Path, width: int = 1200, height: int = 900) -> Iterator[Browser]:
    """Yield a browser that keeps its files in the folder `profile`."""
    assert CHROMIUM is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
    command = [CHROMIUM, *options, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()
    try:
        address = _page(profile / "DevToolsActivePort")

        async def connect() -> WebSocketClientConnection:
            return await websocket_connect(address, max_message_size=2**26)

        socket = loop.run_until_complete(connect())
        found = Browser(loop, socket)
        found.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        yield found
        socket.close()
    finally:
        process.terminate()
        process.wait(20)
        loop.close()


def _page(port_file: Path) -> str:
    """Return where the browser's page is to be talked to, once it is up."""
    end = time.monotonic() + 30
    while not (port_file.exists() and port_file.read_text().strip()):
        assert time.monotonic() < end, "the browser did not start"
        time.sleep(0.05)
    port = int(port_file.read_text().split()[0])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        pages = json.load(answer)
    return str(next(one for one in pages if one["type"] == "page")["webSocketDebuggerUrl"])
