"""Folders are there whole or not at all, on a disk and in a bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edaphos.engine.errors import InputError, RunError, StoreError
from edaphos.engine.place import Place, place
from edaphos.engine.scratch import let_go, scratch_folder
from edaphos.engine.whole_folder import MARKER, is_whole, on_disk, whole_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """Where this machine's copies go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture(params=["disk", "bucket"])
def folder(request, tmp_path) -> Place:
    if request.param == "disk":
        return tmp_path / "model"
    return place(request.getfixturevalue("s3_folder")) / "model"


def fill(folder: Place, text: str = "weights") -> None:
    with whole_folder(folder) as made:
        (made / "trees").mkdir()
        (made / "trees" / "0.npy").write_text(text)
        (made / "model.json").write_text("{}")


def test_no_name_is_taken_before_the_content_is_on_the_disk(tmp_path, monkeypatch) -> None:
    """A power cut may keep a renamed folder whose files are empty."""
    real, flushed = os.fsync, set()

    def fsync(descriptor: int) -> None:
        assert not (tmp_path / "model").exists()
        flushed.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    fill(tmp_path / "model")
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert len(files) == 2
    assert {path.stat().st_ino for path in files} <= flushed


def test_what_was_filled_can_be_read(folder) -> None:
    assert not is_whole(folder)
    fill(folder)
    assert is_whole(folder)
    here = on_disk(folder)
    assert (here / "trees" / "0.npy").read_text() == "weights"
    assert on_disk(folder) == here


def test_what_was_not_finished_is_not_there(folder, temporary) -> None:
    def stopped() -> None:
        with whole_folder(folder) as made:
            (made / "model.json").write_text("{}")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        stopped()
    assert not is_whole(folder)
    fill(folder)
    assert is_whole(folder)


def test_an_upload_that_is_cut_off_is_not_there(s3_folder, monkeypatch) -> None:
    """Also where an older one was: its marker would vouch for a mixture."""
    folder = place(s3_folder) / "model"
    fill(folder)
    real, stored = type(folder).write_bytes, []

    def cut(self, data: bytes) -> int:
        if stored:
            raise StoreError("gone")
        stored.append(self)
        return real(self, data)

    monkeypatch.setattr(type(folder), "write_bytes", cut)
    with pytest.raises(StoreError):
        fill(folder, "others")
    assert not is_whole(folder)


def test_a_copy_whose_files_were_cleared_away_is_fetched_again(s3_folder) -> None:
    folder = place(s3_folder) / "model"
    fill(folder)
    copy = on_disk(folder) / "trees" / "0.npy"
    copy.unlink()
    assert (on_disk(folder) / "trees" / "0.npy").read_text() == "weights"


def test_a_new_folder_in_its_place_is_fetched(s3_folder) -> None:
    folder = place(s3_folder) / "model"
    fill(folder)
    before = on_disk(folder)
    fill(folder, "others")
    assert (on_disk(folder) / "trees" / "0.npy").read_text() == "others"
    assert (before / "trees" / "0.npy").read_text() == "weights"


@pytest.mark.parametrize("how", ["cut", "missing"])
def test_a_file_that_is_not_what_was_stored_is_refused(s3_folder, temporary, how) -> None:
    folder = place(s3_folder) / "model"
    fill(folder)
    if how == "cut":
        (folder / "trees/0.npy").write_bytes(b"weig")
    else:
        (folder / "trees/0.npy").unlink()
    with pytest.raises(StoreError, match=r"trees/0\.npy: is missing, or does not match"):
        on_disk(folder)
    assert [path for path in scratch_folder().iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("key", ["../../out.txt", "/tmp/out.txt", "a/../../../out.txt"])
def test_a_marker_cannot_have_anything_written_elsewhere(s3_folder, temporary, key) -> None:
    folder = place(s3_folder) / "model"
    fill(folder)
    (folder / MARKER).write_bytes(json.dumps({"files": {key: "00000000"}}).encode())
    with pytest.raises(InputError, match="is no key of an object"):
        on_disk(folder)
    (folder / MARKER).write_bytes(b"{")
    with pytest.raises(StoreError, match="not readable"):
        on_disk(folder)


def test_copies_lie_where_nobody_else_can_write(temporary, tmp_path) -> None:
    folder = scratch_folder()
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(RunError, match="no one else can write to"):
        scratch_folder()
    folder.rmdir()
    (tmp_path / "anothers").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "anothers")
    with pytest.raises(RunError, match=str(os.getuid())):
        scratch_folder()


HOLDER = """
import sys
from edaphos.engine.place import place
from edaphos.engine.whole_folder import on_disk
print(on_disk(place(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_a_copy_goes_with_the_last_process_that_held_it(s3_folder, temporary) -> None:
    folder = place(s3_folder) / "model"
    fill(folder)

    def holder() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)],
            env={**os.environ, "TMPDIR": str(temporary)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    first, second, killed = (holder() for _ in range(3))
    copies = {Path(process.stdout.readline().strip()) for process in (first, second, killed)}
    assert len(copies) == 1
    (copy,) = copies
    killed.kill()
    killed.wait()
    first.communicate("")
    assert (copy / "trees" / "0.npy").read_text() == "weights", "the second still reads it"
    second.communicate("")
    assert list(copy.parent.iterdir()) == []


def test_what_killed_processes_left_goes_with_the_next_that_ends(s3_folder, temporary) -> None:
    folder = place(s3_folder) / "model"
    fill(folder)
    old = scratch_folder() / "copy-0123"
    for left in (old, old.with_name("copy-0123.abc_")):
        left.mkdir()
        (left / "model.json").write_text("{}")
    old.with_name("copy-0123.lock").touch()
    on_disk(folder)
    let_go()
    assert list(scratch_folder().iterdir()) == []
