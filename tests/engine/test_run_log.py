"""The log of a run: whole lines, in segments, written seldom, without a secret."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from edaphos.engine import run_log
from edaphos.engine.place import place
from edaphos.engine.run_log import LOGS, RunLog
from edaphos.engine.store import list_objects


def lines(log: RunLog, segments: int) -> list[dict]:
    text = "".join(log.path(n).read_text() for n in range(segments))
    return [json.loads(line) for line in text.splitlines()]


def test_events_are_lines_of_json_with_time_and_order(tmp_path) -> None:
    log = RunLog(tmp_path)
    log.event("started", workers=2, versions={"numpy": "2"})
    log.event("tile", tile="0000-0001", seconds_by_phase={"read": 0.5})
    assert not (tmp_path / LOGS).exists()  # nothing is written before it is flushed
    log.flush()
    first, second = lines(log, 1)
    assert first["event"] == "started"
    assert first["versions"] == {"numpy": "2"}
    assert second["tile"] == "0000-0001"
    assert first["seconds"] <= second["seconds"]
    assert first["time"].endswith("+00:00")
    assert list_objects(tmp_path / LOGS).keys() == {log.path().name}


def test_a_large_log_goes_on_in_further_segments(tmp_path, monkeypatch) -> None:
    log = RunLog(tmp_path, segment=1000)
    written: list[int] = []
    store = run_log.write_atomically
    monkeypatch.setattr(
        run_log,
        "write_atomically",
        lambda path, data: (written.append(len(data)), store(path, data)),
    )
    for n in range(100):
        log.event("tile", number=n)
        if n % 7 == 0:
            log.flush()
    log.flush()
    log.flush()
    sizes = list_objects(tmp_path / LOGS)
    assert len(sizes) > 5
    assert max(sizes.values()) < 1100
    assert [line["number"] for line in lines(log, len(sizes))] == list(range(100))
    assert max(written) < 1100  # a flush costs no more however long the log is
    assert len(written) <= 100 / 7 + 1 + len(sizes)


def test_many_threads_lose_no_line(tmp_path) -> None:
    log = RunLog(tmp_path, segment=2000)

    def work(thread: int) -> None:
        for n in range(50):
            log.event("tile", number=100 * thread + n)
            if n % 10 == 0:
                log.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    log.flush()
    found = lines(log, len(list_objects(tmp_path / LOGS)))
    assert sorted(line["number"] for line in found) == [
        100 * t + n for t in range(8) for n in range(50)
    ]


def test_a_store_that_fails_keeps_lines_waiting(tmp_path, monkeypatch) -> None:
    log = RunLog(tmp_path, segment=300)
    store = run_log.write_atomically

    def broken(path, data) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(run_log, "write_atomically", broken)
    for n in range(5):
        log.event("tile", number=n)
        with pytest.raises(OSError, match="no space"):
            log.flush()
    monkeypatch.setattr(run_log, "write_atomically", store)
    log.flush()
    found = lines(log, len(list_objects(tmp_path / LOGS)))
    assert [line["number"] for line in found] == list(range(5))


def test_what_waits_is_bounded(tmp_path) -> None:
    log = RunLog(tmp_path, segment=200)
    for n in range(200):
        log.event("tile", number=n)
    assert log.lost_segments > 0
    log.flush()
    assert len(list_objects(tmp_path / LOGS)) <= run_log.WAITING + 1


def test_no_credential_gets_into_a_log(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "PUBLICPART")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very/secret+key")
    log = RunLog(tmp_path)
    log.event("failed", error='Traceback "very/secret+key"', more={"at": ["u://me:pw@host/x"]})
    log.flush()
    text = log.path().read_text()
    assert "secret" not in text
    assert "pw@" not in text
    assert json.loads(text)["error"] == 'Traceback "***"'


def test_wrong_settings_of_aws_do_not_stop_a_log(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very/secret+key")
    log = RunLog(tmp_path)
    log.event("failed", error="very/secret+key")
    log.flush()
    assert "very/secret" not in log.path().read_text()


def test_a_log_can_lie_in_a_bucket(s3_folder: str) -> None:
    log = RunLog(place(s3_folder), segment=300)
    for n in range(20):
        log.event("tile", number=n)
        log.flush()
    found = lines(log, len(list_objects(place(s3_folder) / LOGS)))
    assert [line["number"] for line in found] == list(range(20))
