"""Places in buckets have the part of a path's interface that is used; errors tell no secret."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edaphos.engine import retry
from edaphos.engine.errors import InputError, StoreError
from edaphos.engine.place import S3Path, place, store_error
from edaphos.engine.s3_client import s3_settings, without_secrets


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.001, 0.001))


@pytest.fixture
def no_aws(monkeypatch, tmp_path) -> Path:
    """Neither variables nor files of AWS; the folder that the files are looked for in."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION",
                 "DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT_URL_S3", "ENDPOINT"):  # fmt: skip
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def test_addresses_and_paths() -> None:
    assert place("runs/a") == Path("runs/a")
    assert place("s3://maps//world/") == S3Path("maps", "world") == place(place("s3://maps/world"))
    there = place("s3://maps/world/a.zarr")
    assert str(there / "/c/0/") == "s3://maps/world/a.zarr/c/0"
    assert (there.name, there.stem, str(there.parent)) == ("a.zarr", "a", "s3://maps/world")
    assert there.with_name("b") == S3Path("maps", "world/b")
    assert there.absolute() == there.resolve() == there
    assert str(place("s3://maps")) == "s3://maps" == str(place("s3://maps/world").parent)
    assert sorted([there, place("s3://maps/a")])[0].name == "a"
    with pytest.raises(TypeError, match="is no file on a disk"):
        Path(there)


@pytest.mark.parametrize(
    ("address", "message"),
    [("s3://", "expected s3://bucket/folder"), ("gs://maps/x", '"gs" is not known'),
     ("s3://maps/../secret", "mean nothing in a bucket")],
)  # fmt: skip
def test_addresses_that_mean_nothing_are_refused(address, message) -> None:
    with pytest.raises(InputError, match=message):
        place(address)


def test_a_missing_package_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(InputError, match=r"pip install 'edaphos\[s3\]'"):
        place("s3://maps/world")


def test_objects_of_a_bucket(s3_folder) -> None:
    folder = place(s3_folder)
    assert not folder.exists()
    assert not folder.is_dir()
    odd = ["a b", "a%20d", "ü", "x?y#z", "a=1&b"]
    for name in odd:
        (folder / "in" / name).write_bytes(name.encode())
    assert all((folder / "in" / name).read_text() == name for name in odd)
    assert {path.name for path in (folder / "in").iterdir()} == set(odd)
    assert [path.name for path in folder.iterdir()] == ["in"]
    assert set(folder.objects()) == {f"in/{name}" for name in odd}
    assert (folder / "in").is_dir()
    assert (folder / "in").exists()
    assert not (folder / "in").is_file()
    assert not (folder / "i").exists()  # a prefix of a name is no folder
    assert (folder / "in/ü").is_file()
    folder.unlink_below(["in/ü", "in/a b", "in/never"])
    assert set(folder.objects()) == {"in/a%20d", "in/x?y#z", "in/a=1&b"}
    (folder / "in/x?y#z").unlink()
    (folder / "in/x?y#z").unlink(missing_ok=True)
    for call in ((folder / "in/x?y#z").unlink, (folder / "gone").read_bytes):
        with pytest.raises(FileNotFoundError, match=s3_folder):
            call()


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_is_named(s3_folder) -> None:
    nowhere = place("s3://nowhere/x")
    for call in (nowhere.objects, nowhere.exists, lambda: nowhere.write_bytes(b"1")):
        with pytest.raises(StoreError, match=r"s3://nowhere/x: .*bucket") as told:
            call()
        assert "correct" in str(told.value)


def test_wrong_credentials_are_told_at_once_and_not_shown(
    s3_folder, s3_servers, rclone_endpoint, monkeypatch
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (60.0,))  # nobody waits for a refusal to pass
    key, secret = s3_servers.ACCESS_KEY, "ANOTHERSECRET99"
    with s3_servers.environment(rclone_endpoint, key, secret):
        for call in (place(s3_folder).objects, lambda: (place(s3_folder) / "a").write_bytes(b"1")):
            with pytest.raises(
                StoreError, match=r"403 SignatureDoesNotMatch.*AWS_ACCESS_KEY_ID"
            ) as t:
                call()
            assert secret not in str(t.value)
            assert key not in str(t.value)


def test_a_server_that_does_not_answer_is_asked_again_then_named(s3_servers) -> None:
    nobody = f"http://127.0.0.1:{s3_servers.free_port()}"
    with (
        s3_servers.environment(nobody, "ACCESSKEY77", "SECRETKEY7777"),
        pytest.raises(StoreError, match="check AWS_ENDPOINT_URL and the network") as told,
    ):
        place("s3://maps/a").read_bytes()
    assert "ACCESSKEY77" not in str(told.value)
    assert "SECRETKEY7777" not in str(told.value)


def test_an_error_that_holds_credentials_is_shown_without(s3_servers) -> None:
    with s3_servers.environment("http://me:mine@host", "ACCESSKEY77", "SECRETKEY7777"):
        shown = str(
            store_error(
                "s3://m/a", OSError("GET http://me:mine@host?k=ACCESSKEY77&s=SECRETKEY7777")
            )
        )
    assert "http://***@host?k=***&s=***" in shown
    assert without_secrets("nothing") == "nothing"


# -- settings -------------------------------------------------------------------------------------


def test_the_environment_wins_over_the_files(no_aws, monkeypatch) -> None:
    assert s3_settings() == {"region": "us-east-1"}
    (no_aws / "credentials").write_text(
        "[default]\naws_access_key_id = FILEKEY\naws_secret_access_key = FILESECRET\n"
        "aws_session_token = FILETOKEN\n[lab]\naws_access_key_id = LABKEY\n"
        "aws_secret_access_key = LABSECRET\n"
    )
    (no_aws / "config").write_text("[profile lab]\nregion = eu-west-1\nendpoint_url = http://lab\n")
    assert s3_settings()["access_key_id"] == "FILEKEY"
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert s3_settings() == {
        "access_key_id": "LABKEY", "secret_access_key": "LABSECRET", "region": "eu-west-1",
        "endpoint": "http://lab",
    }  # fmt: skip
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://here")
    monkeypatch.setenv("AWS_REGION", "mars-1")
    assert (s3_settings()["endpoint"], s3_settings()["region"]) == ("http://here", "mars-1")
    monkeypatch.setenv("AWS_PROFILE", "default")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OWNKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "OWNSECRET")
    found = s3_settings()  # the file's token belongs to the file's key
    assert (found["access_key_id"], found.get("session_token")) == ("OWNKEY", None)


def test_variables_that_are_not_of_aws_are_not_taken(no_aws, monkeypatch) -> None:
    monkeypatch.setenv("ENDPOINT_URL", "http://another-program")
    monkeypatch.setenv("REGION", "another")
    assert s3_settings() == {"region": "us-east-1"}


def test_an_unknown_profile_is_refused(no_aws, monkeypatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lba")
    with pytest.raises(InputError, match=r'AWS_PROFILE = "lba": no such profile in .*config'):
        s3_settings()
    (no_aws / "config").write_text("no section\n")
    with pytest.raises(InputError, match="not readable as an AWS configuration file"):
        s3_settings()
