"""The golden runs of the official RothC programs, as arrays, sites and input files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.rothc_checks import COLUMNS
from edaphos.engine.rothc_input import SiteInput

GOLDEN = Path(__file__).parent / "golden" / "rothc"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/case.json"))
POOLS = ["DPM", "RPM", "BIO", "HUM"]


@dataclass(frozen=True, eq=False)
class Case:
    """One golden run: `monthly` has the official state at the end of each forward month."""

    about: dict[str, Any]
    input: pd.DataFrame
    monthly: pd.DataFrame

    @property
    def start(self) -> dict[str, float]:
        return self.about["equilibrium"]

    def site(self) -> SiteInput:
        columns = {c.field: self.input[c.official].to_numpy(np.float64) for c in COLUMNS}
        soil = {name: float(self.about[name]) for name in ("clay", "depth", "iom")}
        return SiteInput(**soil, **columns).checked()


def load(folder: Path) -> Case:
    """Read a case from its folder, compressed or not."""

    def table(name: str) -> pd.DataFrame:
        plain = folder / f"{name}.csv"
        return pd.read_csv(plain if plain.exists() else folder / f"{name}.csv.gz")

    return Case(json.loads((folder / "case.json").read_text()), table("input"), table("monthly"))


def golden(name: str) -> Case:
    return load(GOLDEN / name)
