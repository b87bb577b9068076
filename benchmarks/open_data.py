"""The open data beside the repository, which some benchmarks need."""

from __future__ import annotations

import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def has_open_data(benchmark: str) -> bool:
    """Whether the data are there; if not, say so in the benchmark's name."""
    if not DATA.is_dir():
        sys.stderr.write(f"{benchmark}: needs the open data folder, looked for at {DATA}\n")
    return DATA.is_dir()
