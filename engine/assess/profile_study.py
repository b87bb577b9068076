"""What a study of whole profiles found: how skill falls with depth, and what flatters it.

Out-of-fold predictions of every split are scored by part of the profile (``parts.py``), beside
models that are told properties measured on the layer, partial correlations with the drivers
(``partial.py``), and profiles of other surveys (``independent.py``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import InputError
from ..measured import with_measured
from ..models.protocol import ModelSpec
from ..place import Place
from ..progress import QUIET, Reporter
from ..samples import Samples
from ..store import write_atomically
from ..whole_folder import is_whole, on_disk
from .assess import AssessSpec
from .assessment import Assessment
from .crossval import FULL, cross_validate
from .parts import depth_means, gain_table, part_scores, score_table
from .scoring import BlockBootstrap, Floats
from .splits import location_blocks, make_split

if TYPE_CHECKING:
    from distributed import Client

FOLDER = "profile_study"
NOTES = "notes.json"
BASE = "covariates"
#: Columns that hold text although all of it may look like numbers.
_TEXT = dict.fromkeys(
    ("split", "model", "against", "scale", "group", "method", "driver", "note", "profile_id"), str
)


@dataclass(frozen=True)
class ProfileStudy:
    """The outcome, as tables; those that were not asked for are empty.

    Parameters
    ----------
    scores
        ``split``, ``model``, then as :func:`~edaphos.engine.assess.parts.score_table`.
    flattery
        Each other split less the block split, paired: ``split``, then as
        :func:`~edaphos.engine.assess.parts.gain_table`.
    measured
        Scores of models that are told measured properties, on the rows that have them.
    measured_gain
        Each of them less the model of covariates alone, paired.
    means
        Mean by depth, as :func:`~edaphos.engine.assess.parts.depth_means`.
    partial
        As :func:`~edaphos.engine.assess.partial.partial_correlations`.
    independent, independent_rows
        As :func:`~edaphos.engine.assess.independent.judge`.
    notes
        What a reader of the numbers must know.
    """

    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    flattery: pd.DataFrame = field(default_factory=pd.DataFrame)
    measured: pd.DataFrame = field(default_factory=pd.DataFrame)
    measured_gain: pd.DataFrame = field(default_factory=pd.DataFrame)
    means: pd.DataFrame = field(default_factory=pd.DataFrame)
    partial: pd.DataFrame = field(default_factory=pd.DataFrame)
    independent: pd.DataFrame = field(default_factory=pd.DataFrame)
    independent_rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Write each table that holds something as CSV, and the notes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _tables():
            table: pd.DataFrame = getattr(self, name)
            if len(table):
                write_atomically(folder / f"{name}.csv", table.to_csv(index=False))
        write_atomically(folder / NOTES, json.dumps(self.notes, indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> ProfileStudy:
        """Read what :meth:`save` wrote."""
        found = {
            name: pd.read_csv(folder / f"{name}.csv", dtype=_TEXT, keep_default_na=True)
            for name in _tables()
            if (folder / f"{name}.csv").is_file()
        }
        return cls(**found, notes=tuple(json.loads((folder / NOTES).read_text())))


def _tables() -> list[str]:
    return [f.name for f in fields(ProfileStudy) if f.name != "notes"]


def load_study(run_folder: Place) -> ProfileStudy | None:
    """Return the study in a run's folder, None where there is none."""
    folder = run_folder / FOLDER
    return ProfileStudy.load(on_disk(folder)) if is_whole(folder) else None


def by_parts(assessment: Assessment) -> dict[str, pd.DataFrame]:
    """Return tables ``scores``, ``flattery`` and ``means`` of what was predicted out of fold."""
    quantity = str(assessment.settings["target"]["name"])
    told = assessment.settings["assess"]
    found, arms = {}, assessment.predictions[["split", "model"]].drop_duplicates()
    bootstrap: BlockBootstrap | None = None
    for split, model in arms.itertuples(index=False):
        rows = assessment.out_of_fold(split, model)
        if bootstrap is None:  # the first split has the blocks of the assessment
            bootstrap = BlockBootstrap.draw(
                rows["block"].to_numpy(np.int64), int(told["bootstrap"]), int(told["seed"])
            )
        found[split, model] = part_scores(quantity, *_columns(rows), bootstrap)
    scores = [score_table(s, split=split, model=model) for (split, model), s in found.items()]
    flattery = [
        gain_table(s, found["block", FULL], split=split)
        for (split, model), s in found.items()
        if model == FULL and split != "block" and ("block", FULL) in found
    ]
    main = "block" if ("block", FULL) in found else str(arms["split"].iloc[0])
    return {
        "scores": pd.concat(scores, ignore_index=True),
        "flattery": pd.concat(flattery, ignore_index=True) if flattery else pd.DataFrame(),
        "means": depth_means(quantity, *_columns(assessment.out_of_fold(main))),
    }


def _columns(rows: pd.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    obs, mean, top, bottom = (
        rows[name].to_numpy(np.float64) for name in ("obs", "mean", "top_cm", "bottom_cm")
    )
    return obs, mean, top, bottom


def compare_measured(
    samples: Samples,
    spec: ModelSpec,
    measured: Sequence[str],
    assess: AssessSpec,
    *,
    client: Client | None = None,
    reporter: Reporter = QUIET,
    places: Floats | None = None,
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Compare a model of covariates with ones that are told measured properties, one by one more.

    All learn from the same rows, those in which every property is known; a property that no row
    has is left out.

    Parameters
    ----------
    samples
        All rows.
    spec
        The model, which has a setting ``covariates``.
    measured
        Names of :data:`~edaphos.engine.measured.MEASURED`, in the order in which they are added.
    assess
        Splits and bootstrap, as of the assessment.
    places
        Of the map, as :func:`~edaphos.engine.assess.assess.assess` takes them.

    Returns
    -------
    tables, notes
        ``measured`` and ``measured_gain``, or nothing; what is to be said.
    """
    held = [name for name in measured if len(with_measured(samples, [name]))]
    notes = [
        f'no layer has "{name}", so that there is no model with it'
        for name in measured
        if name not in held
    ]
    rows = with_measured(samples, held)
    if held and len(rows) < assess.folds:
        notes.append(
            f"{len(rows):,} layers have {', '.join(held)} all at once: too few for models with them"
        )
    if not held or len(rows) < assess.folds:
        return {}, notes
    arms = {BASE: spec}
    for i in range(len(held)):
        more = (*spec.settings["covariates"], *held[: i + 1])
        name = " + ".join((BASE, *held[: i + 1]))
        arms[name] = ModelSpec(spec.kind, {**spec.settings, "covariates": more})
    folds, seed, degrees = assess.folds, assess.seed, assess.block_deg
    splits = []
    for kind in assess.splits:
        try:
            splits.append(
                make_split(rows, kind, folds=folds, seed=seed, block_deg=degrees, places=places)
            )
        except InputError as error:
            notes.append(f"measured predictors, {kind} split: {error}")
    outputs = {"mean": (f"{samples.target[0]}_mean",)}
    wanted = {(arm, split.name): one for split in splits for arm, one in arms.items()}
    found = cross_validate(rows, splits, wanted, outputs, client=client, reporter=reporter)
    bootstrap = BlockBootstrap.draw(location_blocks(rows, degrees), assess.bootstrap, seed)
    scored = {
        key: part_scores(rows.target[0], rows.y, p.mean, rows.top, rows.bottom, bootstrap)
        for key, p in found.items()
    }
    notes.append(
        f"{len(rows):,} of {len(samples):,} layers have {', '.join(held)}; all models with and "
        "without these learned from them alone"
    )
    scores = [score_table(s, split=split, model=arm) for (arm, split), s in scored.items()]
    gains = [
        gain_table(s, scored[BASE, split], split=split, model=arm)
        for (arm, split), s in scored.items()
        if arm != BASE
    ]
    if not scores:
        return {}, notes
    return {"measured": pd.concat(scores), "measured_gain": pd.concat(gains)}, notes
