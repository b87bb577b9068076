"""What a training needs to go on exactly as if it had never ended, in one file.

Tensors lie in safetensors, everything else as JSON in the header of the same file, so that they
cannot be of different epochs. No state of a random generator is needed: each epoch seeds its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InputError, StoreError
from .place import Place
from .store import write_atomically
from .tensor_file import Tensors, read_tensor_file, tensor_file
from .training_curve import Curve


@dataclass(frozen=True)
class Checkpoint:
    """A training after a whole epoch.

    Parameters
    ----------
    net, best
        State of the net, now and at its best epoch.
    optimizer
        The optimizer's tensors, by ``<parameter>/<name>``.
    curve
        What came of the epochs so far; its length says how many there were.
    """

    net: Tensors
    best: Tensors
    optimizer: Tensors
    curve: Curve


def save_checkpoint(path: Place, found: Checkpoint, configuration: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    parts = {"net": found.net, "best": found.best, "optimizer": found.optimizer}
    tensors = {f"{part}/{k}": v for part, held in parts.items() for k, v in held.items()}
    about = {"configuration": configuration, "curve": found.curve.to_json()}
    write_atomically(path, tensor_file(tensors, about))


def load_checkpoint(path: Place, configuration: Mapping[str, Any]) -> Checkpoint | None:
    """Read a checkpoint; None where there is none.

    Raises
    ------
    InputError
        It was written by another training; the message says what differs.
    StoreError
        The file is damaged.
    """
    if not path.is_file():
        return None
    tensors, about = read_tensor_file(path, "delete it to train from the start")
    try:
        there, curve = about["configuration"], Curve.from_json(about["curve"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: no checkpoint ({error!r}); delete it") from error
    wanted = json.loads(json.dumps(configuration))
    differing = [
        f"{key} is {there.get(key)} there and {wanted.get(key)} here"
        for key in sorted({*there, *wanted})
        if there.get(key) != wanted.get(key)
    ]
    if differing:
        raise InputError(
            f"{path}: the checkpoint is of another training: {'; '.join(differing)}; delete it to "
            "train from the start"
        )
    parts: dict[str, Tensors] = {"net": {}, "best": {}, "optimizer": {}}
    for key, value in tensors.items():
        part, _, name = key.partition("/")
        parts[part][name] = value
    return Checkpoint(**parts, curve=curve)
