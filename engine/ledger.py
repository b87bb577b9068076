"""The ledger: what is finished, recorded so that nothing half-written is taken for whole.

One JSON file for each tile, written atomically after the tile's objects. Its name tells tile,
outcome, the digest of its objects and that of their keys and sizes alone, so that a resumed run
needs only two listings, of the ledger and of the map, and opens no record::

    0003-0017.done.9f2c41d07b66a1e3.4d1f09ab.json
    0000-0004.empty.1b0c….77aa….json      no soil in this tile: only its status layer is written
    0003-0018.failed.1.json               the first failed attempt, with its traceback
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from .errors import InputError
from .place import Place, S3Path
from .store import StoredObject, list_objects, safe_key, write_atomically

LEDGER = "ledger"
SCHEMA = 2
#: Records read at once from a bucket, where each read waits for the network.
READERS = 16
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
    retries
        How often a request to the store had to be repeated.
    error
        Traceback of a failed attempt.
    window
        Rows and columns of the tile in the grid, ``(row0, col0, height, width)``, of a failed one.
    store
        Why the store could not be read or written, where that is what failed: no fault of the tile.
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
    retries: int = 0
    error: str = ""
    window: tuple[int, int, int, int] | None = None
    store: str = ""

    @property
    def digest(self) -> str:
        """Digest over the objects, 16 hex digits."""
        text = "\n".join(
            f"{o.key} {o.size} {o.crc32c}" for o in sorted(self.objects, key=lambda o: o.key)
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def sizes(self) -> str:
        """Digest over keys and sizes of the objects: what a listing of the map can be held to."""
        return sizes_digest({o.key: o.size for o in self.objects})

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what :meth:`to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        schema = raw.pop("schema")
        if schema != SCHEMA:
            raise InputError(
                f"a ledger record of schema {schema}, this edaphos knows {SCHEMA}: continue the "
                "run with the edaphos that began it, or start it again in another folder (--out)"
            )
        raw["objects"] = tuple(StoredObject(**o) for o in raw["objects"])
        for item in raw["objects"]:
            safe_key(item.key)
        raw["window"] = tuple(raw["window"]) if raw["window"] else None
        return cls(**raw)


def sizes_digest(sizes: Mapping[str, int]) -> str:
    """Return a digest over keys and sizes, 8 hex digits."""
    text = "\n".join(f"{key} {sizes[key]}" for key in sorted(sizes))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Entry:
    """What the name of a record tells."""

    tile: str
    outcome: Outcome
    digest: str
    sizes: str
    name: str


class Ledger:
    """The ledger of a run.

    Parameters
    ----------
    run
        The run's folder.
    """

    def __init__(self, run: Place) -> None:
        self.folder: Place = run / LEDGER

    def write(self, record: Record) -> None:
        """Record an outcome; a failed attempt gets the next free number."""
        if record.outcome == "failed":
            label = str(1 + self.failures().get(record.tile, 0))
        else:
            label = f"{record.digest}.{record.sizes}"
        write_atomically(
            self.folder / f"{record.tile}.{record.outcome}.{label}.json", record.to_json()
        )

    def entries(self) -> list[Entry]:
        """Return what the names of all records tell: one listing, no record is opened."""
        found = (_entry(name) for name in sorted(list_objects(self.folder)))
        return [entry for entry in found if entry is not None]

    def finished(self) -> dict[str, Entry]:
        """Return the entry of each tile that is done or empty."""
        return {e.tile: e for e in self.entries() if e.outcome != "failed"}

    def failures(self) -> dict[str, int]:
        """Return the number of failed attempts of each tile that has any."""
        counts: dict[str, int] = {}
        for entry in self.entries():
            if entry.outcome == "failed":
                counts[entry.tile] = counts.get(entry.tile, 0) + 1
        return counts

    def forget_failures(self) -> None:
        """Delete the records of failed attempts, so that a new run tries those tiles again."""
        self.forget(e for e in self.entries() if e.outcome == "failed")

    def forget(self, entries: Iterable[Entry]) -> None:
        """Delete records, so that their tiles are made again."""
        for entry in entries:
            (self.folder / entry.name).unlink(missing_ok=True)

    def read(self, entry: Entry) -> Record:
        """Read a record.

        Raises
        ------
        InputError
            It is no record, or not the one that its name tells of.
        """
        path = self.folder / entry.name
        try:
            record = Record.from_json(path.read_text())
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not readable as a ledger record ({error})") from error
        if record.outcome != "failed" and (record.digest, record.sizes) != (
            entry.digest,
            entry.sizes,
        ):
            raise InputError(f"{path}: the record does not match the digests in its name")
        return record

    def records(self) -> Iterator[Record]:
        """Yield every finished record, by tile."""
        entries = sorted(self.finished().values(), key=lambda e: e.name)
        if isinstance(self.folder, S3Path):
            with ThreadPoolExecutor(READERS) as pool:
                yield from pool.map(self.read, entries)
        else:
            yield from map(self.read, entries)

    def errors(self) -> dict[str, str]:
        """Return the last traceback of each failed tile that was never finished."""
        entries = self.entries()
        finished = {e.tile for e in entries if e.outcome != "failed"}
        last = {e.tile: e for e in entries if e.outcome == "failed" and e.tile not in finished}
        return {tile: self.read(entry).error for tile, entry in sorted(last.items())}


def _entry(name: str) -> Entry | None:
    parts = name.split(".")
    if len(parts) < 4 or parts[-1] != "json" or not parts[0]:
        return None
    tile, outcome = parts[0], parts[1]
    if outcome == "failed" and len(parts) == 4:
        return Entry(tile, "failed", parts[2], "", name)
    if outcome in ("done", "empty") and len(parts) == 5:
        return Entry(tile, cast(Outcome, outcome), parts[2], parts[3], name)
    return None
