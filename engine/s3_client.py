"""How a bucket is reached: endpoint and credentials, from the environment or the AWS files.

Nothing of it is ever stored: a place in a bucket is known by its ``s3://`` address alone, and every
process finds its own credentials, so that none travel in a manifest, a log or a task.
"""

from __future__ import annotations

import configparser
import os
import re
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import InputError

_SETTINGS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
    "endpoint_url": "endpoint",
}
_USER_IN_URL = re.compile(r"//[^/@\s]+@")
_SECRET = ("access_key_id", "secret_access_key", "session_token")


def s3_client(bucket: str, prefix: str = "") -> Any:
    """Return the ``obstore`` client of a bucket, or of what lies below a prefix of it.

    There is one for each process and set of credentials.
    """
    return _client(bucket, prefix, tuple(sorted(s3_settings().items())))


@lru_cache(maxsize=64)
def _client(bucket: str, prefix: str, settings: tuple[tuple[str, str], ...]) -> Any:
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise InputError(
            f"s3://{bucket}: needs the package obstore; install it with `pip install 'edaphos[s3]'`"
        ) from error
    given: dict[str, Any] = dict(settings)
    plain = given.get("endpoint", "").startswith("http://")
    return S3Store(
        bucket,
        prefix=prefix or None,
        **given,
        client_options={"timeout": "120s", "connect_timeout": "10s", "allow_http": plain},
        # what passes at once is tried again here, what takes longer in `retry.py`, which counts
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=30)},
    )


def s3_settings() -> dict[str, str]:
    """Return endpoint, region and credentials as found; the environment wins over the files.

    Read are the usual variables (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL_S3``, …) and, for the
    profile ``AWS_PROFILE``, ``~/.aws/credentials`` and ``~/.aws/config``. Where neither has
    credentials, obstore asks the machine's role.
    """
    env = os.environ
    found = _from_files(env.get("AWS_PROFILE", "default"))
    if env.get("AWS_ACCESS_KEY_ID"):
        for name in _SECRET:
            found.pop(name, None)
    for name, ours in _SETTINGS.items():
        if ours in _SECRET and env.get(name.upper()):
            found[ours] = env[name.upper()]
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    found["region"] = region or found.get("region", "us-east-1")
    endpoint = (
        env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or env.get("AWS_ENDPOINT")
    )
    if endpoint:
        found["endpoint"] = endpoint
    return found


def _from_files(profile: str) -> dict[str, str]:
    home = Path.home() / ".aws"
    files = {
        Path(os.environ.get("AWS_CONFIG_FILE", home / "config")): f"profile {profile}",
        Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials")): profile,
    }
    found: dict[str, str] = {}
    known = profile == "default"
    for path, section in ((path.expanduser(), section) for path, section in files.items()):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path)
        except configparser.Error as error:
            raise InputError(f"{path}: not readable as an AWS configuration file") from error
        name = profile if profile == "default" and "default" in parser else section
        if name in parser:
            known = True
            found |= {
                ours: parser[name][key] for key, ours in _SETTINGS.items() if key in parser[name]
            }
    if not known:
        raise InputError(
            f'AWS_PROFILE = "{profile}": no such profile in {" or ".join(map(str, files))}; '
            "correct the name, or unset it"
        )
    return found


def without_secrets(text: str) -> str:
    """Return a text in which no credential of this process can be read."""
    for name, value in s3_settings().items():
        if name in _SECRET and len(value) > 3:
            text = text.replace(value, "***")
    return _USER_IN_URL.sub("//***@", text)
