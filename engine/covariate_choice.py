"""Which covariates a model learns from, chosen on its training rows alone.

Feature columns, a monthly variable's months one by one, pass the filter of
``kernels/covariate_filter.py``; what is left, ranked by its correlation with the target, is tried
in batches of growing size by a small model in inner folds of whole spatial blocks, and the batch
of least error is taken. Class variables compete by their correlation ratio and are nobody's twin.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np

from edaphos.kernels.covariate_filter import BATCHES, batch_sizes, filter_covariates

from .assess.crossval import fit_and_predict
from .assess.splits import inner_split
from .errors import InputError
from .models.protocol import ModelSpec
from .place import Place
from .samples import Samples

Scale = Literal["log1p", "none"]
#: What becomes of a covariate: ``beyond`` is weaker than those of the batch of least error.
Fate = Literal["kept", "constant", "weak", "twin", "beyond"]
#: What the metadata of a map by chosen covariates say.
CHOSEN = (
    "Covariates were chosen by their correlation with the target and with each other, and by the "
    "error of batches of them in spatial blocks left out (Han et al. 2025)."
)
#: The judge of batches, where none is given.
JUDGE = ModelSpec("forest", {"trees": 30, "quantiles": ()})


@dataclass(frozen=True)
class ChoiceSpec:
    """How covariates are chosen.

    Parameters
    ----------
    weak, twin
        Correlations with the target below, and with another covariate above which one goes.
    batches
        Numbers of covariates that are tried, capped at what the filter leaves.
    folds, block_deg, seed
        Of the inner folds, by spatial block.
    """

    weak: float = 0.05
    twin: float = 0.8
    batches: tuple[int, ...] = BATCHES
    folds: int = 5
    block_deg: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class Considered:
    """What became of one feature column.

    Parameters
    ----------
    feature
        Its name.
    fate
        Whether it is kept, or why not.
    r
        Correlation with the target on the scale that is learned; the correlation ratio of classes;
        None where it is not known.
    twin, twin_r
        The covariate for whose sake a twin went, and their correlation.
    """

    feature: str
    fate: Fate
    r: float | None
    twin: str = ""
    twin_r: float | None = None


@dataclass(frozen=True)
class CovariateChoice:
    """Which feature columns are kept, and why the others went.

    Parameters
    ----------
    kept
        Feature columns, those most strongly correlated with the target first; may be none.
    considered
        Every candidate, in the order given.
    errors
        Root mean square error out of fold of each batch that was tried, by its size.
    rows
        Training rows it was made on.
    """

    kept: tuple[str, ...]
    considered: tuple[Considered, ...]
    errors: Mapping[int, float] = field(default_factory=dict)
    rows: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``."""
        return asdict(self) | {"errors": {str(size): e for size, e in self.errors.items()}}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        considered = tuple(Considered(**one) for one in told["considered"])
        errors = {int(size): float(e) for size, e in told["errors"].items()}
        return cls(tuple(told["kept"]), considered, errors, told["rows"])


def choose_covariates(
    samples: Samples,
    candidates: Sequence[str],
    spec: ChoiceSpec | None = None,
    *,
    scale: Scale = "log1p",
    judge: ModelSpec = JUDGE,
) -> CovariateChoice:
    """Choose among feature columns by what training rows say.

    Parameters
    ----------
    samples
        The training rows, and no others; their weights count.
    candidates
        Feature columns of `samples`.
    spec
        Thresholds, batches, inner folds; default :class:`ChoiceSpec`.
    scale
        On which the target is learned: correlations and errors are taken there, as on the original
        one a few organic layers would decide.
    judge
        The model that tries batches; its setting ``covariates`` is replaced by each of them. It is
        not asked where only one batch can be tried.

    Raises
    ------
    InputError
        If samples lack a candidate, or hold too few places for the inner folds.
    """
    wanted = spec or ChoiceSpec()
    y = _scaled(samples.y, scale)
    found = filter_covariates(
        samples.matrix(tuple(candidates)),
        y,
        candidates,
        wanted.weak,
        wanted.twin,
        samples.weight,
        [j for j, name in enumerate(candidates) if name in samples.classes],
    )
    ranked = [candidates[j] for j in found.kept]
    sizes = batch_sizes(len(ranked), wanted.batches)
    errors: dict[int, float] = {}
    if len(sizes) > 1:
        errors = _batch_errors(samples, y, ranked, sizes, wanted, scale, judge)
        ranked = ranked[: min(errors, key=lambda size: (errors[size], size))]
    fates: list[Fate] = [
        "beyond" if why == "kept" and name not in ranked else why
        for name, why in zip(candidates, found.why, strict=True)
    ]
    considered = tuple(
        Considered(
            name,
            fate,
            _known(found.strength[j]),
            candidates[found.twin[j]] if fate == "twin" else "",
            _known(found.twin_r[j]),
        )
        for j, (name, fate) in enumerate(zip(candidates, fates, strict=True))
    )
    return CovariateChoice(tuple(ranked), considered, errors, len(samples))


def choices_of(model_folder: Place) -> dict[str, CovariateChoice]:
    """Return the choices that a saved model has made: of one, or of each depth's model.

    By the folder's name below `model_folder`, "" for itself.
    """
    found: dict[str, CovariateChoice] = {}
    folders = {"": model_folder}
    while (model_folder / (name := f"depth_{len(folders) - 1}") / "model.json").is_file():
        folders[name] = model_folder / name
    for name, folder in folders.items():
        told = _described(folder / "model.json")
        if told.get("choice"):
            found[name] = CovariateChoice.from_json(told["choice"])
    return found


def _described(path: Place) -> Mapping[str, Any]:
    """Return what a model says of itself in JSON; nothing of one that writes otherwise."""
    try:
        told = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError:
        return {}
    return told if isinstance(told, Mapping) else {}


def _batch_errors(
    samples: Samples,
    y: np.ndarray[Any, np.dtype[np.float64]],
    ranked: Sequence[str],
    sizes: Sequence[int],
    spec: ChoiceSpec,
    scale: Scale,
    judge: ModelSpec,
) -> dict[int, float]:
    """Return the weighted error out of fold of the first so many covariates."""
    split = inner_split(samples, folds=spec.folds, seed=spec.seed, block_deg=spec.block_deg)
    target = samples.target[0]
    # the centre on the scale that errors are taken on, where the judge tells it
    names = (f"{target}_logmean", f"{target}_mean") if scale == "log1p" else (f"{target}_mean",)
    errors = {}
    for size in sizes:
        settings = {**judge.settings, "covariates": tuple(ranked[:size])}
        square = np.empty(len(samples))
        for fold in range(len(split)):
            out = split.held_out(fold)
            predicted = fit_and_predict(ModelSpec(judge.kind, settings), samples, out)
            name = next((name for name in names if name in predicted), None)
            if name is None:
                raise InputError(
                    f'model "{judge.kind}" cannot judge covariates: predict_rows must return '
                    f'"{names[-1]}", found {", ".join(sorted(predicted)) or "nothing"}'
                )
            square[out] = (_scaled(predicted[name], scale) - y[out]) ** 2
        errors[size] = float(np.sqrt(np.average(square, weights=samples.weight)))
    return errors


def _scaled(
    values: np.ndarray[Any, np.dtype[np.float64]], scale: Scale
) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.log1p(np.maximum(values, 0.0)) if scale == "log1p" else values


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
