"""Several models under the same folds: each trained, held out and scored on the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..errors import InputError
from .crossval import DEPTH_ONLY, FULL
from .scoring import (
    DIFFERENCE_COLUMNS,
    BlockBootstrap,
    Floats,
    Predictions,
    Scored,
    Stratum,
    difference_table,
    score,
)
from .splits import Split

#: Columns of :func:`compare_models`.
COLUMNS: tuple[str, ...] = ("split", "against", *DIFFERENCE_COLUMNS)


def check_compared(names: Iterable[str], splits: Sequence[Split], kinds: Sequence[str]) -> None:
    """Refuse models to be compared by names that are taken, or without a split of these kinds."""
    names = list(names)
    for name in names:
        if not name or name in (FULL, DEPTH_ONLY):
            raise InputError(
                f'a model to be compared cannot be called "{name}"; give it a name of its own'
            )
    if names and not any(split.kind in kinds for split in splits):
        raise InputError(
            f"models are compared under splits by {', '.join(kinds) or 'nothing'}, and there are "
            f"only {', '.join(split.name for split in splits)}: add one to assess.splits"
        )


def compare_models(
    obs: Floats,
    predicted: Mapping[tuple[str, str], Predictions],
    names: Sequence[str],
    strata: Mapping[str, Sequence[Stratum]],
    bootstrap: BlockBootstrap,
    measures: tuple[str, ...],
    *,
    coverage: float = 0.9,
    weight: Floats | None = None,
) -> pd.DataFrame:
    """Return what the assessed model gains over each other one.

    Every model is scored on the rows of a split that all of them predict: only there are they like
    for like. So are two distributions only by quantiles of the levels that both models give; the
    CRPS of either alone rests on all of its own. Intervals come from the same draws of blocks on
    both sides, so they are of the paired difference.

    Parameters
    ----------
    obs
        Observed values, ``(n,)``.
    predicted
        Out-of-fold predictions by model and split; ``full`` is the assessed model.
    names
        The other models.
    strata
        Groupings of the rows, by split.
    bootstrap, coverage, weight
        As for :func:`~edaphos.engine.assess.scoring.score`.
    measures
        Scores to be compared.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`: ``value`` of the assessed model, ``other`` that of the model it is compared
        with (``against``), ``difference`` the first less the second. Empty without other models.
    """
    tables = []
    for split in dict.fromkeys(name for model, name in predicted if model in names):
        arms = {model: predicted[model, split] for model in (FULL, *names)}
        shared = np.all([np.isfinite(p.mean) for p in arms.values()], axis=0)
        groups, draws = [s.take(shared) for s in strata[split]], bootstrap.take(shared)
        scored: dict[tuple[str, frozenset[float]], Scored] = {}
        for name in names:
            levels = frozenset(arms[FULL].quantiles) & frozenset(arms[name].quantiles)
            for model in (FULL, name):
                if (model, levels) not in scored:
                    scored[model, levels] = score(
                        obs[shared],
                        arms[model].at_levels(levels).take(shared),
                        groups,
                        draws,
                        coverage=coverage,
                        weight=None if weight is None else weight[shared],
                    )
            table = difference_table(scored[FULL, levels], scored[name, levels], measures)
            table.insert(0, "split", split)
            table.insert(1, "against", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))
