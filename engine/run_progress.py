"""How far a run is, as ``RUN/progress.json`` tells it, and the map of its tiles."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .place import Place
from .store import write_atomically

PROGRESS = "progress.json"
SCHEMA = 1
#: Stages after the map: what they make of it is no tile.
REPORT = "report"
PRODUCT_STAGES = ("initial stock", "pyramid", "products", REPORT)
State = Literal["running", "finished", "stopped", "failed"]


class TileState(IntEnum):
    """What became of a tile so far, in the order in which a picture hides one behind another."""

    NO_LAND = 0
    WAITING = 1
    DONE = 2
    RUNNING = 3
    FAILED = 4


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    state, reason
        What the run does, or how it ended; and why, where there is something to say.
    stage
        What it does now, such as ``map``.
    total, done, failed
        Tiles with soil, those of them that are finished, and those that failed and are not.
    running
        Names of the tiles that are with the cluster.
    cells, cells_done
        Cells of soil in all tiles, and in the finished ones.
    rate
        Land cells a second, of late; 0 where none is known.
    eta
        Seconds that the tiles may still take; None where that is not known.
    seconds
        Seconds since this process took the run up.
    phases
        Worker seconds by phase over the tiles of this process.
    retries
        How often a request to a store was repeated for them.
    workers, peak_memory
        Worker processes, and the largest resident memory of one of them in bytes.
    counter
        Raised at every writing: a counter that does not rise tells of a run that died.
    host, pid, time
        Who wrote this, and when by its clock, for people.
    """

    state: State = "running"
    reason: str = ""
    stage: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    running: tuple[str, ...] = ()
    cells: int = 0
    cells_done: int = 0
    rate: float = 0.0
    eta: float | None = None
    seconds: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    retries: int = 0
    workers: int = 0
    peak_memory: int = 0
    counter: int = 0
    host: str = ""
    pid: int = 0
    time: str = ""

    def write(self, run: Place) -> None:
        """Store it in a run's folder."""
        told = {"schema": SCHEMA, **asdict(self)}
        write_atomically(run / PROGRESS, json.dumps(told, indent=1) + "\n")

    @classmethod
    def read(cls, run: Place) -> Progress | None:
        """Read what :meth:`write` stored; None where nothing is.

        Raises
        ------
        InputError
            The file is something else.
        """
        path = run / PROGRESS
        try:
            raw: dict[str, Any] = json.loads(path.read_text())
            schema = raw.pop("schema")
            if schema != SCHEMA:
                raise InputError(
                    f"{path}: schema {schema}, this edaphos knows {SCHEMA}; look with the edaphos "
                    "that runs, or delete the file"
                )
            return cls(**{**raw, "running": tuple(raw["running"])})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: not readable as the progress of a run ({error}); delete the file"
            ) from error


def tile_states(
    counts: NDArray[np.int64],
    finished: Collection[str],
    failed: Collection[str] = (),
    running: Collection[str] = (),
) -> NDArray[np.uint8]:
    """Return a :class:`TileState` for each tile, ``(tile rows, tile columns)``.

    Parameters
    ----------
    counts
        Cells with soil in each tile.
    finished, failed, running
        Names of tiles; what is finished has not failed, and does not run.
    """
    states = np.where(counts > 0, TileState.WAITING, TileState.NO_LAND).astype(np.uint8)
    for names, state in (
        (failed, TileState.FAILED),
        (running, TileState.RUNNING),
        (finished, TileState.DONE),
    ):
        for name in names:
            row, _, col = name.partition("-")
            if not (row.isdigit() and col.isdigit()):
                continue
            where = int(row), int(col)
            inside = where[0] < states.shape[0] and where[1] < states.shape[1]
            if inside and counts[where] > 0:
                states[where] = state
    return states


def shrunk(states: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return the states with at most so many rows and columns, without losing what matters.

    A cell of the small map is what its tiles are that a picture must not hide: failed before
    running; then what most of its tiles with land are, done or waiting.
    """
    rows, cols = states.shape
    step = max(1, -(-rows // height), -(-cols // width))
    padded = np.zeros((-(-rows // step) * step, -(-cols // step) * step), np.uint8)
    padded[:rows, :cols] = states
    tall, wide = padded.shape[0] // step, padded.shape[1] // step
    split = padded.reshape(tall, step, wide, step)
    blocks = split.transpose(0, 2, 1, 3).reshape(tall, wide, -1)
    notable = blocks.max(axis=-1)
    waiting = (blocks == TileState.WAITING).sum(axis=-1)
    done = (blocks == TileState.DONE).sum(axis=-1)
    most = np.where(waiting >= done, TileState.WAITING, TileState.DONE)
    calm = (notable == TileState.DONE) | (notable == TileState.WAITING)
    small: NDArray[np.uint8] = np.where(calm, most, notable).astype(np.uint8)
    return small
