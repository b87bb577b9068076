"""Assessment: how good predictions are for places, profiles and sources not trained on.

Folds by spatial block, by profile and at random stand side by side, with a model that sees depth
alone beside them: the difference between splits is how much closeness flatters, the difference
to the depth model is what covariates are worth. Further models may stand beside under the same
folds; what the assessed one gains over each comes with a paired interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import InputError
from ..importance import explain_spec
from ..models.columns import quantile_name
from ..models.protocol import DISSIMILARITY, ModelSpec
from ..progress import QUIET, Reporter
from ..samples import Samples
from .arms import arm_rows, compare_arms
from .assessment import Assessment
from .comparison import check_compared, compare_models
from .crossval import DEPTH_ONLY, FULL, cross_validate, depth_only
from .explained import dependence_table, importance_table
from .interval_scoring import interval_tables
from .knndm import nearest_distances
from .score_tables import COMPARED, flattery_table, gain_table, metrics_table, prediction_table
from .scoring import (
    FEWEST_BLOCKS,
    SCORED_LEVELS,
    BlockBootstrap,
    Floats,
    Predictions,
    quantile_key,
    score,
)
from .splits import (
    Split,
    location_blocks,
    location_codes,
    location_points,
    make_split,
    split_table,
)
from .strata import (
    KoeppenSource,
    applicability_strata,
    koeppen_zones,
    row_strata,
    row_table,
    tercile_stratum,
)

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["AssessSpec", "Assessment", "assess"]


@dataclass(frozen=True)
class AssessSpec:
    """How to assess a model.

    Parameters
    ----------
    folds
        Folds of each split (a split by source has one for each source).
    block_deg
        Side of the spatial blocks, of the split and of the bootstrap, degrees of latitude.
    splits
        Kinds of split, from ``block``, ``profile``, ``random``, ``source``, ``knndm``.
    extra_block_deg
        Further block splits, named as ``block-2deg``.
    baseline
        Kinds of split in which a model that sees depth alone, and models to be compared, stand
        beside.
    bootstrap
        Replicates of the block bootstrap; 0 for no intervals.
    seed
        Of folds and bootstrap.
    coverage
        Nominal coverage of the prediction interval: 0.9 reads outputs ``q05`` and ``q95``.
    weighted
        Score with the samples' declustering weights.
    koeppen
        Where climate zones come from.
    explain
        Whether the models of the first split are also asked what they use their covariates for
        (:mod:`~edaphos.engine.importance`), if they can be.
    """

    folds: int = 5
    block_deg: float = 5.0
    splits: tuple[str, ...] = ("block", "profile", "random")
    extra_block_deg: tuple[float, ...] = ()
    baseline: tuple[str, ...] = ("block",)
    bootstrap: int = 1000
    seed: int = 0
    coverage: float = 0.9
    weighted: bool = False
    koeppen: KoeppenSource = field(default_factory=KoeppenSource)
    explain: bool = False

    def __post_init__(self) -> None:
        if not self.splits and not self.extra_block_deg:
            raise InputError('assessment needs at least one split, such as splits = ["block"]')
        if self.bootstrap < 0:
            raise InputError(f"bootstrap replicates must not be negative, found {self.bootstrap}")
        _quantile_suffixes(self.coverage)


def assess(
    samples: Samples,
    spec: ModelSpec,
    assess_spec: AssessSpec | None = None,
    *,
    compare: Mapping[str, ModelSpec] | None = None,
    client: Client | None = None,
    reporter: Reporter = QUIET,
    scratch: Path | None = None,
    places: Floats | None = None,
) -> Assessment:
    """Cross-validate a model and score it.

    Parameters
    ----------
    samples
        All rows; each is held out once in each split. Rows without a target, which a model in space
        and time needs of the years between samples, are predicted but not scored.
    spec
        The model; a fresh one is built for each fold. It must have ``predict_rows``.
    assess_spec
        Splits, bootstrap, coverage; default :class:`AssessSpec`.
    compare
        Further models by what they are called, trained and scored under the same folds.
    client
        Dask client: each fold is one task; the outcome is the same with and without.
    reporter
        Where progress goes.
    scratch
        With a client, a folder that all workers can read (see
        :func:`~edaphos.engine.assess.crossval.cross_validate`).
    places
        Longitude and latitude of places that the map is predicted at, ``(m, 2)``: a split by
        ``knndm`` matches their distances from the samples, and those of all splits are told.

    Raises
    ------
    InputError
        If splits cannot be made of these samples, a model cannot predict rows, or models to be
        compared have no split to be compared under.
    RunError
        If a fold fails.
    """
    wanted = assess_spec or AssessSpec()
    others = compare or {}
    splits = _splits(samples, wanted, places)
    check_compared(others, splits, wanted.baseline)
    plain = depth_only(spec)
    arms = {(FULL, split.name): spec for split in splits}
    beside_it = {**({} if plain is None else {DEPTH_ONLY: plain}), **others}
    for split in splits:
        if split.kind in wanted.baseline:
            arms |= {(name, split.name): other for name, other in beside_it.items()}
    beside: Mapping[str, str] = getattr(spec.build(), "beside", {})
    outputs = {**_outputs(samples, wanted), **{name: (name,) for name in beside}}
    asked = explain_spec(spec.build(), samples, wanted.seed) if wanted.explain else None
    predicted = cross_validate(
        samples,
        splits,
        arms,
        outputs,
        client=client,
        reporter=reporter,
        scratch=scratch,
        explain={} if asked is None else {(FULL, splits[0].name): asked},
    )
    everywhere = arm_rows(samples, splits, _arms(predicted, beside), beside)
    told = predicted[FULL, splits[0].name].explained
    known = np.isfinite(samples.y)
    samples, splits = samples.take(known), [split.take(known) for split in splits]
    predicted = {key: found.take(known) for key, found in predicted.items()}
    zones = koeppen_zones(samples, wanted.koeppen)
    common = row_strata(samples, zones)
    bootstrap = BlockBootstrap.draw(
        location_blocks(samples, wanted.block_deg), wanted.bootstrap, wanted.seed
    )
    weight = samples.weight if wanted.weighted else None
    strata = {
        split.name: [*common, *applicability_strata(predicted[FULL, split.name], samples)]
        for split in splits
    }
    scored = {
        (arm, split): score(
            samples.y,
            p,
            [*strata[split], tercile_stratum(p.mean)],
            bootstrap,
            coverage=wanted.coverage,
            weight=weight,
        )
        for (arm, split), p in predicted.items()
    }
    return Assessment(
        settings=_settings(samples, spec, others, wanted, splits, bootstrap),
        rows=row_table(samples, zones),
        predictions=prediction_table(predicted, splits),
        splits=split_table(splits, samples),
        metrics=metrics_table(scored),
        gain=gain_table(scored),
        flattery=flattery_table(scored, splits),
        compared=compare_models(
            samples.y,
            predicted,
            list(others),
            strata,
            bootstrap,
            COMPARED,
            coverage=wanted.coverage,
            weight=weight,
        ),
        notes=_notes(predicted, bootstrap, zones is None, plain is None),
        arms=compare_arms(samples, _arms(predicted, beside), beside),
        arm_rows=everywhere,
        importance=importance_table(samples, told, common, bootstrap),
        dependence=dependence_table(samples, told, asked),
        intervals=interval_tables(samples.y, predicted, strata, bootstrap, weight=weight),
        distances=pd.DataFrame()
        if places is None
        else nearest_distances(*location_points(samples), location_codes(samples), splits, places),
    )


def _arms(
    predicted: Mapping[tuple[str, str], Predictions], names: Iterable[str]
) -> dict[str, dict[str, Floats]]:
    """Return the further predictions of the model that are to be compared, by split and name."""
    return {
        split: {name: p.beside[name] for name in names}
        for (arm, split), p in predicted.items()
        if arm == FULL
    }


def _splits(samples: Samples, wanted: AssessSpec, places: Floats | None) -> list[Split]:
    """Make the splits that were asked for, and the block splits of other sizes."""
    asked = [(kind, kind, wanted.block_deg) for kind in wanted.splits]
    asked += [("block", f"block-{degrees:g}deg", degrees) for degrees in wanted.extra_block_deg]
    return [
        make_split(
            samples,
            kind,
            folds=wanted.folds,
            seed=wanted.seed,
            block_deg=degrees,
            name=name,
            places=places,
        )
        for kind, name, degrees in asked
    ]


def _quantile_suffixes(coverage: float) -> tuple[str, str]:
    """Return the names of the bounds of a central interval, ``q05`` and ``q95`` for 0.9."""
    tail = 50 * (1 - coverage)
    if not 0 < coverage < 1 or abs(tail - round(tail)) > 1e-9:
        raise InputError(
            "coverage must lie between 0 and 1 and leave whole per cents on either side, such as "
            f"0.9 (Q0.05 to Q0.95); found {coverage}"
        )
    return f"q{round(tail):02d}", f"q{100 - round(tail):02d}"


def _outputs(samples: Samples, wanted: AssessSpec) -> dict[str, tuple[str, ...]]:
    """Return the model outputs that may hold each prediction, the first that is there counts."""
    target = samples.target[0]
    lower, upper = _quantile_suffixes(wanted.coverage)
    suffixes = {
        "mean": ("mean",),
        "lower": (lower,),
        "centre": ("logmean", "q50"),
        "upper": (upper,),
    }
    levels = {quantile_key(q): (quantile_name(target, q),) for q in SCORED_LEVELS}
    return {
        **{name: tuple(f"{target}_{s}" for s in found) for name, found in suffixes.items()},
        **levels,
        DISSIMILARITY: (DISSIMILARITY,),
    }


def _settings(
    samples: Samples,
    spec: ModelSpec,
    others: Mapping[str, ModelSpec],
    wanted: AssessSpec,
    splits: Sequence[Split],
    bootstrap: BlockBootstrap,
) -> dict[str, Any]:
    table = samples.table
    return {
        "assess": asdict(wanted),
        "model": _told(spec),
        "compare": {name: _told(other) for name, other in others.items()},
        "target": {"name": samples.target[0], "units": samples.target[1]},
        "rows": len(samples),
        "profiles": int(table["profile_id"].nunique()),
        "locations": len(np.unique(location_codes(samples))),
        "blocks": bootstrap.counts.shape[1],
        "rows_by_source": table["source"].astype(str).value_counts().sort_index().to_dict(),
        "rows_by_fold": {
            s.name: dict(zip(s.fold_names, np.bincount(s.folds).tolist(), strict=True))
            for s in splits
        },
    }


def _told(spec: ModelSpec) -> dict[str, Any]:
    return {"kind": spec.kind, "settings": dict(spec.settings)}


def _notes(
    predicted: Mapping[tuple[str, str], Predictions],
    bootstrap: BlockBootstrap,
    no_zones: bool,
    no_baseline: bool,
) -> tuple[str, ...]:
    """Say what the tables cannot: what is missing in them and why."""
    notes = []
    for (arm, split), p in predicted.items():
        missing = int(np.isnan(p.mean).sum())
        if missing:
            notes.append(
                f"{missing} of {len(p.mean)} rows have no prediction ({arm} model, split "
                f'"{split}") and are in none of its scores'
            )
    if no_baseline:
        notes.append('no depth-only model stands beside: the model has no setting "covariates"')
    if no_zones:
        notes.append("no scores by Köppen zone: samples hold neither monthly climate nor zones")
    if bootstrap.counts.shape[1] < FEWEST_BLOCKS:
        notes.append(f"no intervals: fewer than {FEWEST_BLOCKS} spatial blocks")
    return tuple(notes)
