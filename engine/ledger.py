"""The ledger: what is finished, recorded so that nothing half-written is taken for whole.

One JSON file for each tile, written atomically after the tile's objects. Its name tells tile,
outcome and digest, so that a resumed run needs only a listing::

    0003-0017.done.9f2c41d07b66a1e3.json
    0000-0004.empty.1b0c….json            no soil in this tile: only its status layer is written
    0003-0018.failed.1.json               the first failed attempt, with its traceback
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .store import StoredObject, write_atomically

LEDGER = "ledger"
SCHEMA = 1
Outcome = Literal["done", "empty", "failed"]


@dataclass(frozen=True)
class Record:
    """What became of one tile.

    Parameters
    ----------
    tile
        Name of the tile.
    outcome
        ``done``, ``empty`` (no soil) or ``failed``.
    objects
        Key, size and checksum of each object written.
    cells
        Cells that carry predictions.
    status
        Cells by status code.
    clipped
        Values out of the range of their encoding, by output.
    seconds
        Wall time by phase: ``read``, ``wait``, ``predict``, ``write``.
    bytes_read
        Bytes of covariates that the model received.
    worker, peak_memory
        Who did it, and the largest resident memory of that process so far, in bytes.
    error
        Traceback of a failed attempt.
    """

    tile: str
    outcome: Outcome
    objects: tuple[StoredObject, ...] = ()
    cells: int = 0
    status: Mapping[str, int] = field(default_factory=dict)
    clipped: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    bytes_read: int = 0
    worker: str = ""
    peak_memory: int = 0
    error: str = ""

    @property
    def digest(self) -> str:
        """Digest over the objects, 16 hex digits."""
        text = "\n".join(
            f"{o.key} {o.size} {o.crc32c}" for o in sorted(self.objects, key=lambda o: o.key)
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what :meth:`to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        raw.pop("schema")
        raw["objects"] = tuple(StoredObject(**o) for o in raw["objects"])
        return cls(**raw)


class Ledger:
    """The ledger of a run.

    Parameters
    ----------
    run
        The run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / LEDGER

    def write(self, record: Record) -> None:
        """Record an outcome; a failed attempt gets the next free number."""
        label = record.digest
        if record.outcome == "failed":
            label = str(1 + self.failures().get(record.tile, 0))
        write_atomically(
            self.folder / f"{record.tile}.{record.outcome}.{label}.json", record.to_json()
        )

    def finished(self) -> dict[str, Path]:
        """Return the record file of each tile that is done or empty."""
        return {tile: path for tile, outcome, path in self._files() if outcome != "failed"}

    def failures(self) -> dict[str, int]:
        """Return the number of failed attempts of each tile that has any."""
        counts: dict[str, int] = {}
        for tile, outcome, _ in self._files():
            if outcome == "failed":
                counts[tile] = counts.get(tile, 0) + 1
        return counts

    def forget_failures(self) -> None:
        """Delete the records of failed attempts, so that a new run tries those tiles again."""
        for _, outcome, path in self._files():
            if outcome == "failed":
                path.unlink(missing_ok=True)

    def forget(self, tile: str) -> None:
        """Delete a tile's records, so that it is made again."""
        for name, _, path in self._files():
            if name == tile:
                path.unlink(missing_ok=True)

    def records(self) -> Iterator[Record]:
        """Yield every finished record."""
        for path in sorted(self.finished().values()):
            yield Record.from_json(path.read_text())

    def errors(self) -> dict[str, str]:
        """Return the last traceback of each failed tile that was never finished."""
        finished = self.finished()
        found: dict[str, str] = {}
        for tile, outcome, path in sorted(self._files(), key=lambda f: f[2].name):
            if outcome == "failed" and tile not in finished:
                found[tile] = Record.from_json(path.read_text()).error
        return found

    def _files(self) -> Iterator[tuple[str, str, Path]]:
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                parts = path.name.split(".")
                if len(parts) == 4 and parts[3] == "json" and parts[0]:
                    yield parts[0], parts[1], path
