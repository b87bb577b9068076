"""Out-of-fold predictions: one fresh model for each fold, here or on a Dask cluster."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import EdaphosError, InputError, RunError
from ..fan_out import as_they_end
from ..importance import Explained, ExplainSpec
from ..importance import explain as explain_rows
from ..models.applicable import ApplicableModel
from ..models.protocol import ModelSpec, RowModel
from ..progress import QUIET, Reporter, TaskProgress
from ..samples import Samples
from .scoring import Floats, Predictions
from .splits import Split

if TYPE_CHECKING:
    from distributed import Client

#: What a fold's model said: its outputs, and what else it was asked.
Outcome = tuple[dict[str, Floats], Explained | None]
#: What is kept of every model's predictions.
FOUR = ("mean", "lower", "centre", "upper")
#: What arms are called in tables.
FULL, DEPTH_ONLY = "full", "depth_only"


@dataclass(frozen=True)
class FoldJob:
    """One model to train on all folds but one, and to ask for that one."""

    arm: str
    spec: ModelSpec
    split: str
    fold: int
    fold_name: str
    explain: ExplainSpec | None = None


def depth_only(spec: ModelSpec) -> ModelSpec | None:
    """Return the same model without covariates, so that depth is all it sees.

    That is what the model's own ``depth_only`` says, or setting ``covariates`` to an empty tuple;
    None for a model without either.
    """
    own: ModelSpec | None = getattr(spec.build(), "depth_only", None)
    if own is not None or "covariates" not in spec.settings:
        return own
    # to depth alone all places are alike
    return replace(spec, settings={**spec.settings, "covariates": ()}, applicability=None)


def cross_validate(
    samples: Samples,
    splits: Sequence[Split],
    arms: Mapping[tuple[str, str], ModelSpec],
    outputs: Mapping[str, Sequence[str]],
    *,
    client: Client | None = None,
    reporter: Reporter = QUIET,
    scratch: Path | None = None,
    explain: Mapping[tuple[str, str], ExplainSpec] | None = None,
) -> dict[tuple[str, str], Predictions]:
    """Predict every row by models that were not trained on its fold.

    Parameters
    ----------
    samples
        All rows.
    splits
        Their folds.
    arms
        Model to be trained for each (arm, split name).
    outputs
        Names of the model outputs that may hold ``mean``, ``lower``, ``centre`` and ``upper``,
        best first, and any further prediction, which goes to ``beside`` under its name. Only the
        mean must be there.
    client
        A Dask client: each fold is one task. Without one, folds run here, one by one. The values
        are the same.
    scratch
        With a client, a folder that all workers can read; the samples lie there while they work.
        Default: this machine's folder for temporary files, which serves a local cluster.
    explain
        What the models of some arms are also asked of the rows left out; their `explained` holds
        what they said.

    Raises
    ------
    InputError
        If the model cannot predict rows.
    RunError
        If a model fails or gives arrays of the wrong length; names split and fold.
    """
    jobs = [
        FoldJob(
            arm, spec, split.name, fold, split.fold_names[fold], (explain or {}).get((arm, name))
        )
        for (arm, name), spec in arms.items()
        for split in splits
        if split.name == name
        for fold in range(len(split))
    ]
    folds = {split.name: split.folds for split in splits}
    found = {
        key: {name: np.full(len(samples), np.nan) for name in {*FOUR, *outputs}} for key in arms
    }
    with reporter.task("cross-validation", len(jobs)) as progress:
        run = (
            _run_here(samples, folds, jobs)
            if client is None
            else _run_on(client, samples, folds, jobs, scratch, progress)
        )
        explained: dict[tuple[str, str], dict[int, Explained]] = {key: {} for key in arms}
        for job, (predicted, told) in run:
            if told is not None:
                explained[job.arm, job.split][job.fold] = told
            rows = folds[job.split] == job.fold
            arrays = found[job.arm, job.split]
            for name, accepted in outputs.items():
                output = next((o for o in accepted if o in predicted), None)
                if output is not None:
                    arrays[name][rows] = predicted[output]
                elif name == "mean":
                    raise InputError(
                        f'model "{job.spec.kind}": predict_rows must return "{accepted[0]}", '
                        f"found {', '.join(sorted(predicted)) or 'nothing'}"
                    )
            progress.advance(note=f"{job.split}, {job.arm}")
    return {
        key: Predictions(
            **{name: arrays[name] for name in FOUR},
            beside={name: arrays[name] for name in outputs if name not in FOUR},
            explained=tuple(told for _, told in sorted(explained[key].items())),
        )
        for key, arrays in found.items()
    }


def fit_and_predict(
    spec: ModelSpec, samples: Samples, held_out: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Train a fresh model on all other rows; return its outputs for those held out."""
    return _outputs(_trained(spec, samples, held_out), samples, held_out)


def _trained(spec: ModelSpec, samples: Samples, held_out: NDArray[np.bool_]) -> RowModel:
    model = spec.build()
    if not isinstance(model, RowModel):
        raise InputError(f'model "{spec.kind}" has no predict_rows, which cross-validation needs')
    return model.fit(samples.take(~held_out))


def _outputs(model: RowModel, samples: Samples, held_out: NDArray[np.bool_]) -> dict[str, Floats]:
    predicted = model.predict_rows(samples.take(held_out))
    arrays = {name: np.asarray(values, np.float64) for name, values in predicted.items()}
    for name, values in arrays.items():
        if values.shape != (held_out.sum(),):
            raise RunError(
                f'output "{name}" has shape {values.shape}, expected ({held_out.sum()},): '
                "one value for each row"
            )
    return arrays


def _run(job: FoldJob, samples: Samples, folds: NDArray[np.int64]) -> Outcome:
    """Train the model of a fold, and return what it says of the rows left out."""
    out = folds == job.fold
    model = _trained(job.spec, samples, out)
    predicted = _outputs(model, samples, out)
    if job.explain is None:
        return predicted, None
    own = model.model if isinstance(model, ApplicableModel) else model
    return predicted, explain_rows(
        own, samples.take(out), np.flatnonzero(out), job.explain, job.fold
    )


def _run_here(
    samples: Samples, folds: Mapping[str, NDArray[np.int64]], jobs: Iterable[FoldJob]
) -> Iterator[tuple[FoldJob, Outcome]]:
    for job in jobs:
        try:
            outcome = _run(job, samples, folds[job.split])
        except Exception as error:
            raise _failure(job, error) from error
        yield job, outcome


def _run_on(
    client: Client,
    samples: Samples,
    folds: Mapping[str, NDArray[np.int64]],
    jobs: Sequence[FoldJob],
    scratch: Path | None,
    progress: TaskProgress,
) -> Iterator[tuple[FoldJob, Outcome]]:
    # A file outlives a lost worker, which scattered data would not.
    with tempfile.TemporaryDirectory(prefix="edaphos-cv-", dir=scratch) as folder:
        _store(Path(folder), samples, folds)
        job_of = {client.submit(_run_stored, folder, job, pure=False): job for job in jobs}
        try:
            for future in as_they_end(job_of, progress.heed):
                job = job_of.pop(future)
                error = future.exception()
                if error is not None:
                    raise _failure(job, error) from error
                yield job, future.result()
                future.release()
        finally:
            client.cancel(list(job_of))


def _run_stored(folder: str, job: FoldJob) -> Outcome:
    samples, folds = _load(Path(folder))
    return _run(job, samples, folds[job.split])


def _store(folder: Path, samples: Samples, folds: Mapping[str, NDArray[np.int64]]) -> None:
    samples.table.reset_index(drop=True).to_parquet(folder / "samples.parquet")
    about = {
        "features": samples.features,
        "target": samples.target,
        "classes": samples.classes,
        "patches": None if samples.patches is None else str(samples.patches.absolute()),
        "splits": list(folds),
    }
    (folder / "samples.json").write_text(json.dumps(about))
    np.save(folder / "folds.npy", np.stack(list(folds.values())))


def _load(folder: Path) -> tuple[Samples, dict[str, NDArray[np.int64]]]:
    about: dict[str, Any] = json.loads((folder / "samples.json").read_text())
    name, units = about["target"]
    table = pd.read_parquet(folder / "samples.parquet")
    folds = np.load(folder / "folds.npy")
    samples = Samples(
        table,
        tuple(about["features"]),
        (name, units),
        tuple(about["classes"]),
        None if about["patches"] is None else Path(about["patches"]),
    )
    return samples, dict(zip(about["splits"], folds, strict=True))


def _failure(job: FoldJob, error: BaseException) -> EdaphosError:
    """Name the fold that failed; what the user can mend stays an InputError."""
    family = InputError if isinstance(error, InputError) else RunError
    what = str(error) or type(error).__name__
    told = {FULL: "", DEPTH_ONLY: " without covariates"}.get(job.arm, f" ({job.arm})")
    return family(
        f'model "{job.spec.kind}{told}", split "{job.split}", fold {job.fold_name}: {what}'
    )
