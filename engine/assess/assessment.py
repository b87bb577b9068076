"""What an assessment found, as tables, and how it lies on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError
from ..store import write_atomically
from .crossval import FULL

SCHEMA = 1
ARMS, ARM_ROWS = "arms.csv", "arm_rows.parquet"

# Columns of the tables in JSON that are not numbers on a scale.
_TEXT = {"split", "against", "model", "by", "group", "metric", "what", "covariate"}
_COUNTS = {"n", "blocks", "places"}


@dataclass(frozen=True)
class Assessment:
    """The outcome, as tables.

    Parameters
    ----------
    settings
        What was assessed, on how many rows, and how.
    rows
        One row for each sample: ``row``, ``profile_id``, ``source``, …, ``obs``, ``depth``,
        ``koeppen``.
    predictions
        Out-of-fold predictions: ``split``, ``model`` (``full``, ``depth_only``, or what another
        model that was compared is called), ``row``, ``fold``, ``block``, ``mean``, ``lower``,
        ``centre``, ``upper``.
    splits
        ``split``, ``profile_id``, ``top_cm``, ``bottom_cm``, ``block``, ``fold``.
    metrics
        ``split``, ``model``, ``by``, ``group``, ``n``, ``blocks`` and every score of
        :data:`~edaphos.engine.assess.scoring.SCORES` with ``_low`` and ``_high``: the 95 % interval
        from a bootstrap over spatial blocks, NaN where a group has fewer than five of them.
    gain
        Full model minus depth alone: ``split``, ``by``, ``group``, ``n``, ``blocks``,
        ``metric``, ``value``, ``other`` (of the depth model), ``difference``, ``low``, ``high``.
    flattery
        Every other split minus the block split: as `gain`, with ``against``.
    notes
        What a reader of the numbers must know.
    compared
        The model minus each other one under the same folds, as
        :func:`~edaphos.engine.assess.comparison.compare_models` returns it; empty without any.
    arms
        Of a model that gives several predictions to be compared: as
        :func:`~edaphos.engine.assess.arms.compare_arms` returns them, else empty.
    arm_rows
        Their predictions of every held-out site and year, as
        :func:`~edaphos.engine.assess.arms.arm_rows` returns them.
    intervals
        Central intervals of several nominal coverages, by split and model, as
        :func:`~edaphos.engine.assess.interval_scoring.interval_table` returns them; empty for
        models that give no quantiles.
    importance, dependence
        What the model uses its covariates for, as :mod:`~edaphos.engine.assess.explained` tells;
        empty where it was not asked.
    distances
        How far the map's places, the samples, and the folds of each split are from their nearest
        sample, as :func:`~edaphos.engine.assess.knndm.nearest_distances` returns them; empty
        where the map's places were not told.
    """

    settings: Mapping[str, Any]
    rows: pd.DataFrame
    predictions: pd.DataFrame
    splits: pd.DataFrame
    metrics: pd.DataFrame
    gain: pd.DataFrame
    flattery: pd.DataFrame
    notes: tuple[str, ...] = ()
    compared: pd.DataFrame = field(default_factory=pd.DataFrame)
    arms: pd.DataFrame = field(default_factory=pd.DataFrame)
    arm_rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    intervals: pd.DataFrame = field(default_factory=pd.DataFrame)
    importance: pd.DataFrame = field(default_factory=pd.DataFrame)
    dependence: pd.DataFrame = field(default_factory=pd.DataFrame)
    distances: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def bias(self) -> pd.DataFrame:
        """Bias of the mean by depth, source and tercile of the prediction, in units of the target.

        ``ME`` is predicted minus observed; ``ME_percent`` is per cent of the observed mean.
        """
        wanted = self.metrics["by"].isin(["all", "depth", "source", "prediction_tercile"])
        keys = ["split", "model", "by", "group", "n", "blocks"]
        columns = [*keys, "mean_obs", "mean_pred", "ME", "ME_low", "ME_high"]
        table = self.metrics.loc[wanted & (self.metrics["model"] == FULL), columns]
        percent = 100 * table["ME"] / table["mean_obs"].where(table["mean_obs"] != 0)
        return table.assign(ME_percent=percent).reset_index(drop=True)

    def table(self, split: str, by: str = "all", model: str = FULL) -> pd.DataFrame:
        """Return the metrics of one split and grouping, one row for each group."""
        m = self.metrics
        rows = (m["split"] == split) & (m["by"] == by) & (m["model"] == model)
        return m[rows].reset_index(drop=True)

    def out_of_fold(self, split: str, model: str = FULL) -> pd.DataFrame:
        """Return the samples of one split with their out-of-fold predictions, in row order."""
        p = self.predictions
        chosen = p[(p["split"] == split) & (p["model"] == model)].drop(columns=["split", "model"])
        return self.rows.merge(chosen, on="row", validate="one_to_one")

    def to_json(self) -> str:
        """Return settings, tables of scores and notes as JSON; what is undefined is ``null``."""
        document = {
            "schema": SCHEMA,
            "settings": self.settings,
            "notes": self.notes,
            "metrics": self.metrics,
            "bias": self.bias,
            "gain": self.gain,
            "flattery": self.flattery,
            "compared": self.compared,
            "intervals": self.intervals,
            "importance": self.importance,
            "dependence": self.dependence,
            "distances": self.distances,
        }
        return json.dumps(_plain(document), indent=1, allow_nan=False)

    def save(self, folder: Path) -> None:
        """Write ``assessment.json``, ``splits.csv``, ``rows.parquet``, ``predictions.parquet``.

        And ``arms.csv`` and ``arm_rows.parquet``, where several predictions were compared.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("rows", "predictions"):
            write_atomically(folder / f"{name}.parquet", getattr(self, name).to_parquet())
        write_atomically(folder / "splits.csv", self.splits.to_csv(index=False))
        if len(self.arms):
            write_atomically(folder / ARMS, self.arms.to_csv(index=False))
            write_atomically(folder / ARM_ROWS, self.arm_rows.to_parquet(index=False))
        # Last, so that an interrupted write leaves no assessment rather than half of one.
        write_atomically(folder / "assessment.json", self.to_json())

    @classmethod
    def load(cls, folder: Path) -> Assessment:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If the folder holds no finished assessment.
        """
        path = folder / "assessment.json"
        if not path.is_file():
            raise InputError(f"{folder} holds no finished assessment: {path.name} is missing")
        document = json.loads(path.read_text())
        if document.get("schema") != SCHEMA:
            raise InputError(
                f"{path}: expected schema {SCHEMA}, found {document.get('schema')}; assess again"
            )
        return cls(
            settings=document["settings"],
            rows=pd.read_parquet(folder / "rows.parquet"),
            predictions=pd.read_parquet(folder / "predictions.parquet"),
            splits=pd.read_csv(folder / "splits.csv", dtype={"profile_id": str, "split": str}),
            metrics=_frame(document["metrics"]),
            gain=_frame(document["gain"]),
            flattery=_frame(document["flattery"]),
            notes=tuple(document["notes"]),
            compared=_frame(document.get("compared", [])),
            arms=_arms(folder / ARMS),
            arm_rows=_arm_rows(folder / ARM_ROWS),
            intervals=_frame(document.get("intervals", [])),
            importance=_frame(document.get("importance", [])),
            dependence=_frame(document.get("dependence", [])),
            distances=_frame(document.get("distances", [])),
        )


def _arms(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    return pd.read_csv(path, dtype={"split": str, "arm": str, "rows": str})


def _arm_rows(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame()


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table from its JSON records, ``null`` as NaN."""
    table = pd.DataFrame(records)
    for name in table.columns:
        if name in _COUNTS:
            table[name] = table[name].astype(np.int64)
        elif name not in _TEXT:
            table[name] = table[name].astype(np.float64)
    return table


def _plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: NaN and infinities as null, tables as records."""
    if isinstance(value, pd.DataFrame):
        return [_plain(record) for record in value.to_dict("records")]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
