"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Compiling a kernel at its first call is no reason to fail an example.
settings.register_profile("edaphos", deadline=None)
settings.load_profile("edaphos")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real open data; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the open data folder, looked for at {SHARED_DATA}")
    return SHARED_DATA
