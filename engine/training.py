"""Training a net: one loop for every net, the same weights for the same seed.

Each epoch takes its seeds from the seed of the training and its own number: for the order of the
rows, for what augments each batch, and for dropout. So a training that goes on from a checkpoint
does what it would have done without the break, bit for bit on a CPU with the same number of
threads; on a GPU to within rounding.

Where several processes train one net together (:mod:`edaphos.engine.training_group`), each learns
from its part of every batch, with the order and the augmentation that one process would give them,
and all take the same steps and decide alike. The weights are then those of one process but for
rounding, and but for dropout, which each draws for its own rows. The first process alone writes
checkpoints, and all begin from the one that it read.

Torch keeps its random state and its number of threads for the whole process. Of several threads
of a process that call :func:`train`, one trains and the others wait.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, RunError, Stopped
from .need_torch import need_torch
from .place import Place
from .progress import QUIET, Reporter
from .training_checkpoint import load_checkpoint, save_checkpoint
from .training_curve import Curve
from .training_group import current
from .training_learner import Learner, alone, autocast, batches, cut, plain
from .training_spec import Batch, IntArray, Source, TrainSpec, laid, rate_of

#: Of how a net is trained, what changes its weights by no more than rounding; or, with several
#: processes, by another draw of dropout.
_NOT_TOLD = ("device", "threads", "processes")

__all__ = ["Batch", "Curve", "Source", "TrainSpec", "predict", "rate_of", "train"]


def train(
    net: Any,
    source: Source,
    rows: IntArray,
    validation_rows: IntArray,
    spec: TrainSpec,
    *,
    loss: Any = None,
    checkpoint: Place | None = None,
    checkpoint_seconds: float = 30.0,
    identity: Mapping[str, Any] | None = None,
    reporter: Reporter = QUIET,
    label: str = "training",
) -> Curve:
    """Train `net` in place and leave it with the weights of its best epoch, on the CPU.

    Alone, or with the other processes of the group that this thread is in.

    The best epoch is the one with the lowest loss over the validation rows; without such rows all
    epochs are run and the last one is kept. Parameters with ``requires_grad = False`` stay as they
    are, and so do the running statistics of a normalisation none of whose parameters is trained.

    Parameters
    ----------
    net
        A ``torch.nn.Module``, called with ``Batch.inputs``.
    source
        Of the batches.
    rows, validation_rows
        What is learned from, and what decides when to stop. No row may be in both.
    loss
        ``loss(prediction, target, weight)``, a mean weighted by `weight`, as in
        ``edaphos.kernels.losses``; the mean squared error by default.
    checkpoint
        A file from which the training goes on, if it is there, and to which it is saved at the
        end, when it is asked to stop, and every `checkpoint_seconds` at the end of an epoch.
    identity
        What else must be the same for the training to go on from a checkpoint: JSON values, by
        name.

    Raises
    ------
    InputError
        Rows that cannot be trained on, a device that is not there, torch that is not installed, or
        the checkpoint of another training.
    RunError
        A loss that is not a number, or another process of the group is gone or trains another net.
    """
    torch = need_torch()
    from edaphos.kernels.losses import weighted_mse

    rows, validation_rows = (np.asarray(r, np.int64) for r in (rows, validation_rows))
    _check_rows(rows, validation_rows)
    loss = loss or weighted_mse
    group = current()
    with alone(torch, spec) as device:
        learner = Learner(torch, net, source, spec, loss, device, group)
        configuration = {
            **{k: v for k, v in asdict(spec).items() if k not in _NOT_TOLD},
            "rows": _digest(rows),
            "validation rows": _digest(validation_rows),
            "loss": _name_of(loss),
            **learner.identity(),
            **(identity or {}),
        }
        found = None
        if checkpoint is not None and group.rank == 0:
            found = load_checkpoint(checkpoint, configuration)
        found, first = group.shared((found, configuration))
        if first != configuration:
            raise RunError(
                "the processes of one training train different nets or rows: give all workers the "
                f"same packages and files; found {configuration} and {first}"
            )
        curve = learner.restore(found) if found else Curve()

        def save() -> None:
            if checkpoint is not None and group.rank == 0:
                save_checkpoint(checkpoint, learner.checkpoint(curve), configuration)

        begun = saved = time.monotonic()
        before = curve.seconds
        epochs = range(len(curve.train), spec.epochs) if not curve.stopped else range(0)
        with reporter.task(label, len(epochs)) as progress:
            for epoch in epochs:
                rate = rate_of(spec, epoch, curve.validation)
                trained = learner.learn(rows, epoch, rate)
                judged = learner.judge(validation_rows, epoch)
                curve = _extended(curve, trained, judged, rate, spec)
                curve = replace(curve, seconds=before + time.monotonic() - begun)
                if curve.best == epoch + 1:
                    learner.keep()
                if curve.stopped or time.monotonic() - saved >= checkpoint_seconds:
                    save()
                    saved = time.monotonic()
                try:
                    progress.advance(note=_note(curve))
                    group.heed(epoch + 1 - epochs.start, len(epochs), _note(curve))
                except Stopped:
                    save()
                    raise
                if curve.stopped:
                    break
        learner.finish()
    return curve


def predict(net: Any, source: Source, rows: IntArray, spec: TrainSpec) -> NDArray[np.float32]:
    """Return what the net says of rows, ``(n, k)``, in evaluation mode, and leave it on the CPU.

    Of `spec` it takes ``batch``, ``precision``, ``device`` and ``threads``.
    """
    torch = need_torch()
    rows = np.asarray(rows, np.int64)
    with alone(torch, spec) as device:
        laid(net.to(device)).eval()
        found = []
        with torch.no_grad():
            for batch in batches(source, cut(rows, spec.batch), None):
                with autocast(torch, spec, device):
                    said = net(*batch.to(device).inputs)
                found.append(said.float().cpu().numpy())
        plain(net)
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)


def _extended(curve: Curve, trained: float, judged: float, rate: float, spec: TrainSpec) -> Curve:
    validation = (*curve.validation, judged)
    epoch = len(validation)
    better = math.isnan(judged) or not curve.best or judged < curve.best_validation
    best = epoch if better else curve.best
    stopped = ""
    if epoch == spec.epochs:
        stopped = "epochs"
    elif epoch - best >= spec.patience:
        stopped = "patience"
    return Curve(
        (*curve.train, trained), validation, (*curve.rate, rate), best, stopped, curve.seconds
    )


def _note(curve: Curve) -> str:
    said = f"loss {curve.train[-1]:.4g}"
    if math.isnan(curve.validation[-1]):
        return said
    return (
        f"{said}, validation {curve.validation[-1]:.4g} "
        f"(best {curve.best_validation:.4g} in epoch {curve.best})"
    )


def _check_rows(rows: IntArray, validation_rows: IntArray) -> None:
    if len(rows) < 2:
        raise InputError(f"training needs at least 2 rows, found {len(rows)}")
    shared = np.intersect1d(rows, validation_rows)
    if len(shared):
        raise InputError(
            f"{len(shared)} row(s) are for training and for validation at once, the first is "
            f"{shared[0]}; split them"
        )


def _digest(rows: IntArray) -> str:
    return f"{len(rows)} ({hashlib.sha256(rows.tobytes()).hexdigest()[:12]})"


def _name_of(loss: Any) -> str:
    return getattr(loss, "__qualname__", None) or repr(loss)
