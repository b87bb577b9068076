"""How trainings went: their losses by epoch, kept beside the model for the report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import StoreError
from .place import Place
from .store import write_atomically

#: The file of a model's folder that the report looks for.
CURVES = "curves.json"


@dataclass(frozen=True)
class Curve:
    """The course of one training.

    Parameters
    ----------
    train
        Loss of each epoch over the training rows, as met while learning: with dropout, each batch
        before the step that it caused.
    validation
        Loss of each epoch over the validation rows, after it; NaN where there are none.
    rate
        Learning rate of each epoch.
    best
        The epoch, counted from 1, whose weights were kept; 0 before the first.
    stopped
        Why it ended: ``"epochs"`` (all were run) or ``"patience"``; empty while it runs.
    seconds
        Wall time, over all runs that it took.
    """

    train: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()
    rate: tuple[float, ...] = ()
    best: int = 0
    stopped: str = ""
    seconds: float = 0.0

    @property
    def best_validation(self) -> float:
        """Validation loss of the epoch that was kept, NaN if there is none."""
        return self.validation[self.best - 1] if self.best else math.nan

    def to_json(self) -> dict[str, Any]:
        """Return it in plain values; what is not finite becomes None."""
        plain = asdict(self)
        for name in ("train", "validation", "rate"):
            plain[name] = [v if math.isfinite(v) else None for v in plain[name]]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Curve:
        """Take what :meth:`to_json` gave."""
        lines = {
            name: tuple(math.nan if v is None else float(v) for v in plain[name])
            for name in ("train", "validation", "rate")
        }
        return cls(
            **lines,
            best=int(plain["best"]),
            stopped=str(plain["stopped"]),
            seconds=float(plain["seconds"]),
        )


@dataclass(frozen=True)
class Training:
    """One training among those of a model.

    Parameters
    ----------
    name
        What was trained, such as ``all depths`` or ``0-5 cm``; trainings of one name are drawn
        into one chart.
    curve
        How it went.
    seed
        Tells trainings of one name apart.
    rows, validation_rows
        How many rows it saw, and how many decided when to stop.
    loss
        What the loss is, with units: ``mean squared error of log(1 + g/kg)``.
    """

    name: str
    curve: Curve
    seed: int = 0
    rows: int = 0
    validation_rows: int = 0
    loss: str = field(default="loss")


def save_curves(folder: Place, trainings: Sequence[Training]) -> None:
    """Write ``curves.json`` into a model's folder."""
    plain = [{**asdict(t), "curve": t.curve.to_json()} for t in trainings]
    write_atomically(folder / CURVES, json.dumps({"trainings": plain}) + "\n")


def load_curves(folder: Place) -> tuple[Training, ...]:
    """Read what :func:`save_curves` wrote; empty where a model has no such file.

    Raises
    ------
    StoreError
        The file is damaged.
    """
    path = folder / CURVES
    if not path.is_file():
        return ()
    try:
        found = json.loads(path.read_text())["trainings"]
        return tuple(Training(**{**t, "curve": Curve.from_json(t["curve"])}) for t in found)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not readable ({error}); fit the model again") from error
