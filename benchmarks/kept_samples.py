"""Samples that a benchmark drew once, kept in a folder beside the squares cut around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from edaphos.engine.samples import Samples

ABOUT = "about.json"


def is_kept(folder: Path) -> bool:
    """Return whether samples were kept whole."""
    return (folder / ABOUT).exists()


def keep_samples(samples: Samples, folder: Path, **about: Any) -> None:
    """Keep samples, and what else is to be known of them; told last, so that all is there."""
    samples.table.to_parquet(folder / "samples.parquet", index=False)
    told = {
        "features": samples.features,
        "target": samples.target,
        "classes": samples.classes,
        **about,
    }
    (folder / ABOUT).write_text(json.dumps(told))


def kept_samples(folder: Path, patches: Path) -> tuple[Samples, dict[str, Any]]:
    """Return the samples, with their patches, and what was told of them."""
    about: dict[str, Any] = json.loads((folder / ABOUT).read_text())
    name, units = about["target"]
    samples = Samples(
        pd.read_parquet(folder / "samples.parquet"),
        tuple(about["features"]),
        (name, units),
        tuple(about["classes"]),
        patches,
    )
    return samples, about


def depths_of(about: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    """Return the depths that were told of samples, cm."""
    return tuple((float(top), float(bottom)) for top, bottom in about["depths"])
