"""How nets were trained: losses by epoch as charts, and all trainings in a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ..training_curve import Curve, Training
from .charts import chart, legend_below
from .colours import ACCENT, MUTED, TEAL
from .pictures import Labels, Picture, finish, style
from .scales import number
from .tables import Table, count, duration, fixed

#: As many names have a chart; the table holds any number of trainings.
MOST_CHARTS = 12
#: Largest over smallest loss from which the scale is logarithmic.
WIDE = 10.0
_STOPPED = {"patience": "no better epoch", "epochs": "all epochs run"}


def training_pictures(trainings: Sequence[Training], labels: Labels) -> tuple[Picture, ...]:
    """Draw the losses of the trainings of each name, in the order in which names come first."""
    order = list(dict.fromkeys(t.name for t in trainings))
    by_name = sorted(trainings, key=lambda t: order.index(t.name))
    groups = [(name, tuple(found)) for name, found in groupby(by_name, key=lambda t: t.name)]
    return tuple(
        _picture(f"training_{place}", name, found, labels)
        for place, (name, found) in enumerate(groups[:MOST_CHARTS], 1)
    )


def training_tables(trainings: Sequence[Training]) -> list[Table]:
    """Return a table of all trainings; nothing where there are none."""
    if not trainings:
        return []
    rows = tuple(
        (
            t.name,
            str(t.seed),
            count(t.rows),
            count(t.validation_rows),
            count(len(t.curve.train)),
            count(t.curve.best),
            _loss(t.curve.train, t.curve.best),
            _loss(t.curve.validation, t.curve.best),
            _STOPPED.get(t.curve.stopped, t.curve.stopped),
            duration(t.curve.seconds),
        )
        for t in trainings
    )
    heads = ("<trained", "seed", "rows", "validation rows", "epochs", "best epoch")
    losses = ("loss there", "validation loss there", "<ended by", "time")
    return [Table("Trainings", (*heads, *losses), rows, f"Loss: {_words_of_loss(trainings)}.")]


def _picture(name: str, of: str, trainings: Sequence[Training], labels: Labels) -> Picture:
    title, several = f"Training: {of}", len(trainings) > 1
    with style():
        figure, ax = chart(title, labels, tall=2.5, foot=0.9, left=0.78)
        for place, training in enumerate(trainings):
            _draw(ax, training.curve, first=place == 0, faint=several)
        wide = _spans_wide(trainings)
        if wide:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.yaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(lambda value, _: number(value))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        ax.grid(axis="y", zorder=0)
        ax.set_axisbelow(True)
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss, logarithmic scale" if wide else "loss")
        named = len(ax.get_legend_handles_labels()[1])
        legend_below(figure, ax, named, handlelength=1.4, columnspacing=1.2)
        words = "; ".join(_words(t) for t in trainings)
        return finish(figure, name, title, f"Loss by epoch. {title}. {words}.")


def _spans_wide(trainings: Sequence[Training]) -> bool:
    """Whether the losses need a logarithmic scale, and all of them have a place on one."""
    held = np.array([v for t in trainings for v in (*t.curve.train, *t.curve.validation)])
    held = held[np.isfinite(held)]
    return bool(len(held) and held.min() > 0 and held.max() / held.min() > WIDE)


def _draw(ax: Axes, curve: Curve, *, first: bool, faint: bool) -> None:
    epochs = np.arange(1, len(curve.train) + 1)
    shade = 0.6 if faint else 1.0
    lines = ((curve.train, MUTED, "training"), (curve.validation, TEAL, "validation"))
    for values, colour, label in lines:
        if np.isfinite(values).any():
            told = label if first else None
            ax.plot(epochs, values, color=colour, lw=1.4, alpha=shade, label=told, zorder=3)
    best = curve.best_validation if np.isfinite(curve.best_validation) else None
    if best is None and curve.best:
        best = curve.train[curve.best - 1]
    if best is not None:
        told = "epoch that is kept" if first else None
        ax.plot([curve.best], [best], "o", color=ACCENT, ms=6, label=told, zorder=4, ls="none")


def _words(training: Training) -> str:
    curve = training.curve
    kept = f"epoch {curve.best} of {len(curve.train)} is kept"
    validation = _loss(curve.validation, curve.best)
    return f"seed {training.seed}: {kept}, validation loss {validation}"


def _loss(values: Sequence[float], epoch: int) -> str:
    return fixed(values[epoch - 1], 4) if epoch else fixed(None)


def _words_of_loss(trainings: Sequence[Training]) -> str:
    return "; ".join(dict.fromkeys(t.loss for t in trainings))
