"""Stores and the ledger: whole or not at all, recorded with checksums."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import numpy as np
import pytest
import zarr

from edaphos.engine import retry
from edaphos.engine.errors import InputError, StoreError
from edaphos.engine.ledger import Ledger, Record
from edaphos.engine.place import place
from edaphos.engine.store import (
    RecordingStore,
    StoredObject,
    checksum,
    create,
    keeps_conditions,
    list_objects,
    read_version,
    remove_partial,
    remove_tree,
    replace_version,
    safe_key,
    write_atomically,
    zarr_store,
)


@pytest.fixture
def generic_error() -> type[Exception]:
    """What obstore raises where it has no word of its own for it."""
    return pytest.importorskip("obstore.exceptions").GenericError


def test_the_recording_store_knows_what_lies_on_disk(tmp_path) -> None:
    store = RecordingStore(zarr_store(tmp_path / "a.zarr"))
    array = zarr.create_array(
        store=store, shape=(64, 64), chunks=(16, 16), shards=(32, 32), dtype="float32"
    )
    array[...] = np.arange(64 * 64).reshape(64, 64)
    held = list_objects(tmp_path / "a.zarr")
    written = store.written()
    assert {o.key: o.size for o in written} == held
    for item in written:
        data = (tmp_path / "a.zarr" / item.key).read_bytes()
        assert item.crc32c == f"{google_crc32c.value(data):08x}" == checksum(data)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "note.json"
    write_atomically(path, "old")

    def broken(fd: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_half_written_files_are_not_listed_and_can_be_removed(tmp_path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "0").write_bytes(b"whole")
    (tmp_path / "c" / "1.abc.partial").write_bytes(b"ha")
    assert list_objects(tmp_path) == {"c/0": 5}
    assert remove_partial(tmp_path) == 1
    assert not (tmp_path / "c" / "1.abc.partial").exists()


def test_records_come_back_and_the_listing_tells_the_outcome(tmp_path) -> None:
    ledger = Ledger(tmp_path)
    objects = (StoredObject("soc_mean/c/0/0/1/2", 10, "0a0b0c0d"),)
    done = Record("0001-0002", "done", objects, cells=5, seconds={"read": 0.5})
    ledger.write(done)
    ledger.write(Record("0001-0003", "failed", error="ValueError: no"))
    ledger.write(Record("0001-0003", "failed", error="ValueError: still no"))
    (tmp_path / "ledger" / ".0009-0009.done.x.json.partial").write_text("{")
    assert set(ledger.finished()) == {"0001-0002"}
    assert ledger.failures() == {"0001-0003": 2}
    assert ledger.errors() == {"0001-0003": "ValueError: still no"}
    assert list(ledger.records()) == [done]
    ledger.write(done)  # the same bytes again: the same record
    assert len(list((tmp_path / "ledger").glob("0001-0002.*"))) == 1


# -- buckets --------------------------------------------------------------------------------------


def test_what_is_recorded_lies_in_the_bucket(s3_folder) -> None:
    folder = place(s3_folder)
    store = RecordingStore(zarr_store(folder / "a.zarr"))
    array = zarr.create_array(
        store=store, shape=(64, 64), chunks=(16, 16), shards=(32, 32), dtype="float32"
    )
    values = np.arange(64 * 64, dtype="float32").reshape(64, 64)
    array[...] = values
    written = store.written()
    assert {o.key: o.size for o in written} == list_objects(folder / "a.zarr")
    assert all(checksum((folder / "a.zarr" / o.key).read_bytes()) == o.crc32c for o in written)
    again = zarr.open_array(zarr_store(folder / "a.zarr", read_only=True), mode="r")
    np.testing.assert_array_equal(again[5:40, 17:33], values[5:40, 17:33])
    remove_tree(folder / "a.zarr")
    assert not folder.exists()


def test_a_store_that_fails_for_a_while_is_asked_again(
    s3_folder, monkeypatch, generic_error
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.001,) * 3)
    store = RecordingStore(zarr_store(place(s3_folder)))
    inner = store._store._store
    real, failures = type(inner).set, [generic_error("status code: 503 Service Unavailable")] * 2

    async def failing(self, key, value) -> None:
        if failures:
            raise failures.pop()
        await real(self, key, value)

    monkeypatch.setattr(type(inner), "set", failing)
    array = zarr.create_array(store=store, shape=(4,), chunks=(4,), dtype="i4")
    array[...] = 1
    assert store.retries == 2
    assert list_objects(place(s3_folder)) == {o.key: o.size for o in store.written()}
    failures += [generic_error("status code: 503 Service Unavailable")] * 9
    with pytest.raises(StoreError, match="run again when the store answers"):
        array[...] = 2


@pytest.mark.parametrize(("status", "again"), [(500, True), (503, True), (429, True), (403, False),
                                               (404, False), (400, False)])  # fmt: skip
def test_what_is_refused_for_good_is_not_asked_again(status, again, generic_error) -> None:
    assert retry.passes(generic_error(f"Server returned status code: {status} Whatever")) == again


def test_pauses_grow_and_the_last_error_is_raised() -> None:
    slept, asked = [], []

    def call() -> None:
        asked.append(1)
        raise ConnectionError(f"attempt {len(asked)}")

    with pytest.raises(ConnectionError, match=f"attempt {len(retry.PAUSES) + 1}"):
        retry.retrying(call, sleep=slept.append)
    assert len(slept) == len(retry.PAUSES)
    pairs = zip(retry.PAUSES, slept, strict=True)
    assert all(pause <= found <= 1.5 * pause for pause, found in pairs)
    assert slept == sorted(slept)


@pytest.mark.parametrize("where", ["disk", "bucket"])
def test_one_of_several_writers_creates_a_file(where, tmp_path, request) -> None:
    folder = tmp_path if where == "disk" else place(request.getfixturevalue("moto_folder"))
    path = folder / "lease.json"
    assert keeps_conditions(folder)
    assert list_objects(folder) == {}
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: create(path, f"writer {n}"), range(8)))
    assert sum(made) == 1
    assert path.read_text() == f"writer {made.index(True)}"
    data, version = read_version(path)
    assert replace_version(path, "next", version)
    assert not replace_version(path, "late", version)
    assert path.read_bytes() == b"next" != data
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_version(path)


def test_a_server_that_ignores_conditions_is_found_out(s3_folder) -> None:
    assert not keeps_conditions(place(s3_folder))
    assert list_objects(place(s3_folder)) == {}


def test_a_lost_answer_does_not_make_a_writer_doubt_itself(
    moto_folder, monkeypatch, generic_error
) -> None:
    """The object is there, its answer is not: the second attempt finds what the first has put."""
    import obstore

    monkeypatch.setattr(retry, "PAUSES", (0.001,))
    real, lost = obstore.put, [generic_error("connection closed before the answer")]

    def put(*args, **known) -> object:
        answer = real(*args, **known)
        if lost:
            raise lost.pop()
        return answer

    monkeypatch.setattr(obstore, "put", put)
    path = place(moto_folder) / "lease.json"
    assert create(path, "mine")
    assert not create(path, "another's")
    lost.append(generic_error("connection closed before the answer"))
    assert replace_version(path, "mine still", read_version(path)[1])


def test_a_bucket_that_is_not_there_is_named(s3_folder) -> None:
    nowhere = place("s3://nowhere/x")
    with pytest.raises(StoreError, match="there is no bucket nowhere"):
        create(nowhere / "a", "1")
    with pytest.raises(StoreError, match="there is no bucket nowhere"):
        zarr.create_array(store=zarr_store(nowhere), shape=(4,), chunks=(4,), dtype="i4")


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "..\\x", "c:\\x"]
)
def test_keys_cannot_leave_their_folder(key) -> None:
    with pytest.raises(InputError, match="is no key of an object"):
        safe_key(key)
    assert safe_key("stacks/a..b/c/0/1") == "stacks/a..b/c/0/1"


def test_a_file_is_created_once_without_hard_links_too(tmp_path, monkeypatch) -> None:
    def unknown(*_: object) -> None:
        raise PermissionError("this file system has no hard links")

    monkeypatch.setattr("os.link", unknown)
    assert create(tmp_path / "lease.json", "first")
    assert not create(tmp_path / "lease.json", "second")
    assert [path.name for path in tmp_path.iterdir()] == ["lease.json"]
    assert (tmp_path / "lease.json").read_text() == "first"
