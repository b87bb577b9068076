"""The truth of a virtual world in a run's folder, so that a report can be written again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from edaphos.engine.products.report import Truth
from edaphos.engine.store import write_atomically

from .virtual_judge import TruthScore

#: Folder in a run.
TRUTH = "truth"


def save_truth(folder: Path, score: TruthScore, note: str) -> None:
    """Write a score and what the truth is; the note comes last, so that it marks a whole folder."""
    folder.mkdir(exist_ok=True)
    score.table().to_csv(folder / "score.csv", index=False)
    np.savez_compressed(folder / "images.npz", **score.images)  # type: ignore[arg-type]
    settings = {"depths": score.settings.depths, "block": score.settings.block}
    write_atomically(folder / "settings.json", json.dumps(settings))
    write_atomically(folder / "note.txt", note)


def load_truth(folder: Path) -> Truth:
    """Read what :func:`save_truth` wrote."""
    settings = json.loads((folder / "settings.json").read_text())
    with np.load(folder / "images.npz", allow_pickle=False) as images:
        return Truth(
            table=pd.read_csv(folder / "score.csv", keep_default_na=False, na_values=[""]),
            images={name: images[name] for name in images.files},
            depths=tuple((float(a), float(b)) for a, b in settings["depths"]),
            block=settings["block"],
            note=(folder / "note.txt").read_text(),
        )
