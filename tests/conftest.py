"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# What tests compute is small: more threads make it slower, and much so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Compiling a kernel at its first call is no reason to fail an example.
settings.register_profile("edaphos", deadline=None)
settings.load_profile("edaphos")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that take long and end with kernels', so that processes end together."""
    rank = {"engine": 1, "kernels": 2}
    items.sort(key=lambda item: rank.get(item.path.relative_to(ROOT / "tests").parts[0], 0))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real open data; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the open data folder, looked for at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def benchmark_module() -> Callable[[str], Any]:
    """Return how a module of the benchmarks is got; their folder need not be on the path."""

    def get(name: str) -> Any:
        sys.path.insert(0, str(ROOT))
        try:
            return importlib.import_module(f"benchmarks.{name}")
        finally:
            sys.path.remove(str(ROOT))

    return get


@pytest.fixture(scope="session")
def s3_servers(benchmark_module: Callable[[str], Any]) -> Any:
    """Return the module that runs S3 servers."""
    return benchmark_module("servers.s3")


@pytest.fixture(scope="session")
def rclone_endpoint(s3_servers: Any) -> Iterator[str]:
    """Endpoint of an rclone server; skips where there is no rclone."""
    yield from _running(s3_servers.available_rclone(), s3_servers.rclone_server)


@pytest.fixture(scope="session")
def moto_endpoint(s3_servers: Any) -> Iterator[str]:
    """Endpoint of a moto server; skips where there is none."""
    yield from _running(s3_servers.available_moto(), s3_servers.moto_server)


@pytest.fixture(scope="session")
def slurm(benchmark_module: Callable[[str], Any]) -> Iterator[Any]:
    """Return the module that calls a running Slurm of one node; skips where there is none."""
    server = benchmark_module("servers.slurm")
    missing = server.available()
    if missing is not None:
        pytest.skip(missing)
    with server.slurm():
        yield server


@pytest.fixture
def s3_folder(s3_servers: Any, rclone_endpoint: str) -> Iterator[str]:
    """Return an unused ``s3://`` folder of rclone's server: fast, but ignores write conditions."""
    with s3_servers.environment(rclone_endpoint):
        yield f"s3://{s3_servers.BUCKET}/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def moto_folder(s3_servers: Any, moto_endpoint: str) -> Iterator[str]:
    """Return an unused ``s3://`` folder of moto's server: slow, but keeps write conditions."""
    with s3_servers.environment(moto_endpoint):
        yield f"s3://{s3_servers.BUCKET}/{uuid.uuid4().hex[:12]}"


def _running(missing: str | None, server: Any) -> Iterator[str]:
    pytest.importorskip("obstore", reason="needs obstore: pip install 'edaphos[s3]'")
    if missing is not None:
        pytest.skip(missing)
    running: AbstractContextManager[str] = server()
    with running as endpoint:
        yield endpoint
