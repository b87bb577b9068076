"""Stores and the ledger: whole or not at all, recorded with checksums."""

from __future__ import annotations

import google_crc32c
import numpy as np
import pytest
import zarr

from edaphos.engine.ledger import Ledger, Record
from edaphos.engine.store import (
    RecordingStore,
    StoredObject,
    checksum,
    list_objects,
    remove_partial,
    write_atomically,
    zarr_store,
)


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
