"""The chaos benchmark: what it does to a store, and that it tells when something is wrong."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edaphos.engine.store import checksum

BODY = bytes(range(256)) * 8


@pytest.fixture(scope="module")
def chaos(benchmark_module):
    """The benchmark's modules."""
    names = ("chaos", "chaos_job", "chaos_table", "chaos_world", "memory", "servers.fault_proxy")
    return SimpleNamespace(**{n.split(".")[-1]: benchmark_module(n) for n in names})


# -- the proxy ---------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A server that answers with a body, and remembers what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append((self.command, self.path, self.headers["Host"], self._sent()))
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

        do_PUT = do_GET

        def _sent(self):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def log_message(self, *args):
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{running.server_address[1]}", asked=asked)
    running.shutdown()
    running.server_close()


def ask(proxy, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, "/maps/key?a=b%2Fc", body, {"Host": "signed.example"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_good_proxy_changes_nothing(chaos, server) -> None:
    with chaos.fault_proxy.fault_proxy(server.url) as proxy:
        assert ask(proxy) == (200, BODY)
        assert ask(proxy, "PUT", b"data") == (200, BODY)
        assert proxy.counts == {"requests": 2}
    path, host = "/maps/key?a=b%2Fc", "signed.example"
    assert server.asked == [("GET", path, host, b""), ("PUT", path, host, b"data")]


@pytest.mark.parametrize("status", [500, 503])
def test_a_refusal_never_reaches_the_server(chaos, server, status) -> None:
    wrong = chaos.fault_proxy.Misbehaviour(**{f"error_{status}": 1.0})
    with chaos.fault_proxy.fault_proxy(server.url, wrong) as proxy:
        found, body = ask(proxy, "PUT", b"data")
        assert found == status
        assert b"<Error>" in body
        assert proxy.counts[f"error_{status}"] == 1
    assert server.asked == []


def test_bodies_are_cut_and_connections_closed(chaos, server) -> None:
    Misbehaviour = chaos.fault_proxy.Misbehaviour
    with chaos.fault_proxy.fault_proxy(server.url, Misbehaviour(cut=1.0)) as proxy:
        with pytest.raises(http.client.IncompleteRead) as cut:
            ask(proxy)
        assert cut.value.partial == BODY[: len(BODY) // 2]
        proxy.misbehaviour = Misbehaviour(closed=1.0)
        for _ in range(12):
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                ask(proxy)
        before, after = proxy.counts["closed"], proxy.counts["closed_after"]
    assert before + after == 12
    assert min(before, after) > 0
    assert len(server.asked) == 1 + after


def test_chances_come_from_the_seed(chaos, server) -> None:
    half = chaos.fault_proxy.Misbehaviour(error_503=0.3, late=0.2, cut=0.2)

    def fates(seed: int) -> list[str]:
        with chaos.fault_proxy.fault_proxy(server.url, half, seed) as proxy:
            return [proxy.draw() for _ in range(2000)]

    found = fates(1)
    assert found == fates(1) != fates(2)
    counts = Counter(found)
    assert counts["error_503"] == pytest.approx(600, abs=80)
    assert counts["passed"] == pytest.approx(600, abs=80)


# -- judging -----------------------------------------------------------------------------------


def left_behind(chaos, folder: Path, data: bytes):
    """Return a run of one tile whose ledger records one object."""
    world = chaos.chaos_world.ChaosWorld(folder, 1)
    (folder / "makes").mkdir()
    (folder / "makes" / "0-0").write_text("1 2.0\n")
    run = folder / "run"
    (run / "map.zarr" / "status" / "c").mkdir(parents=True)
    (run / "map.zarr" / "status" / "c" / "0").write_bytes(data)
    (run / "ledger").mkdir()
    item = {"key": "status/c/0", "size": len(data), "crc32c": checksum(data)}
    record = json.dumps({"objects": [item]})
    (run / "ledger" / "0000-0000.done.12.34.json").write_text(record)
    (run / "ledger" / "0000-0001.failed.1.json").write_text("not looked at")
    return chaos.chaos_job.Job(world, run)


def test_what_is_wrongly_counted_as_done_is_told(chaos, tmp_path) -> None:
    job = left_behind(chaos, tmp_path, b"right")
    reference = {"status/c/0": checksum(b"right")}
    assert job.finished() == 1
    assert job.wrongs(reference) == []
    other = {"status/c/0": checksum(b"other")}
    assert "not what the undisturbed run wrote" in job.wrongs(other)[0]
    path = tmp_path / "run" / "map.zarr" / "status" / "c" / "0"
    path.write_bytes(b"wrong")
    assert "not as recorded" in job.wrongs(reference)[0]
    path.unlink()
    assert "missing" in job.wrongs(reference)[0]


@pytest.mark.parametrize(("explained", "well"), [(1, True), (0, False)])
def test_tiles_made_too_often_are_told(chaos, tmp_path, explained, well) -> None:
    job = left_behind(chaos, tmp_path, b"right")
    (tmp_path / "makes" / "0-0").write_text("1 2.0\n7 3.0\n")
    trial = chaos.chaos_table.Trial(chaos.chaos_table.Plan(("worker killed",)), 0)
    trial.explained = explained
    chaos.chaos._judge(job, trial, {"status/c/0": checksum(b"right")})
    assert trial.again == 1
    assert trial.well is well


def test_a_map_that_differs_is_told(chaos, tmp_path) -> None:
    job = left_behind(chaos, tmp_path, b"right")
    trial = chaos.chaos_table.Trial(chaos.chaos_table.Plan(()), 0)
    chaos.chaos._judge(job, trial, {"status/c/1": checksum(b"right")})
    assert "1 objects differ (status/c/1), 1 are too many (status/c/0)" in trial.problems[0]


def test_the_full_form_has_fifty_faults_and_each_is_known(chaos) -> None:
    full, short = chaos.chaos.plans(small=False), chaos.chaos.plans(small=True)
    known = {*chaos.chaos.FAULTS, *chaos.chaos.TROUBLES}
    named = [name for plan in (*full, *short) for name in plan.faults]
    assert set(named) == known
    assert sum(len(plan.faults) for plan in full) >= 50
    assert sum(len(plan.faults) for plan in short) >= 12


# -- a trial -----------------------------------------------------------------------------------


def test_a_map_survives_a_bad_store_and_a_killed_worker(chaos, rclone_endpoint, tmp_path) -> None:
    world = chaos.chaos_world.make_chaos_world(tmp_path / "world", side=3, seconds=0.3)
    reference, _ = chaos.chaos._reference(world, tmp_path / "reference")
    plan = chaos.chaos_table.Plan(("S3: all of these", "worker killed"), "S3: all of these")
    trial = chaos.chaos._try(world, plan, 1, reference, tmp_path / "trial")
    assert trial.well, (trial.problems, trial.wrongs)
    assert "S3: all of these" in trial.struck


# -- memory ------------------------------------------------------------------------------------


def test_a_slope_is_found_with_its_interval(chaos) -> None:
    noise = np.random.default_rng(0).normal(0, 5, 4000)
    flat = chaos.memory.slope(1000 + noise)
    assert flat.low < 0 < flat.high
    rising = chaos.memory.slope(1000 + 0.02 * np.arange(4000) + noise)
    assert rising.value == pytest.approx(0.02, abs=0.001)
    assert rising.low > 0.015
