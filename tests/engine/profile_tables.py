"""Small profile tables for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("source", "profile", "lon", "lat", "year", "top", "bottom", "soc", "bd", "clay", "sand")


def layers(*rows: Mapping[str, Any], **common: Any) -> pd.DataFrame:
    """Return layers with plausible values where a row does not say otherwise."""
    base = {
        "source": "A", "profile": "p", "lon": 10.0, "lat": 50.0, "year": 2000, "top": 0,
        "bottom": 10, "soc": 20.0, "bd": 1.3, "clay": 20.0, "sand": 40.0,
    }  # fmt: skip
    return pd.DataFrame([{**base, **common, **row} for row in rows], columns=COLUMNS)


def write(path: Path, *tables: pd.DataFrame) -> Path:
    """Write tables below each other as CSV."""
    pd.concat(tables).to_csv(path, index=False)
    return path


def country(n: int = 60, *, seed: int = 0, **common: Any) -> pd.DataFrame:
    """Return `n` profiles of two layers spread over humid Europe, median topsoil about 18 g/kg."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        place = {"profile": f"c{i}", "lon": rng.uniform(0, 20), "lat": rng.uniform(45, 55)}
        soc = float(np.round(np.exp(rng.normal(2.9, 0.5)), 2))
        rows.append({**place, "soc": soc})
        rows.append({**place, "top": 10, "bottom": 30, "soc": soc / 2})
    return layers(*rows, **common)


def rules_of(report: Any) -> Sequence[str]:
    """Return the names of the rules in a report."""
    return [line.rule for line in report.lines]
