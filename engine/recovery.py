"""What a run does about damage: remove what was cut off, find what is wrong, make it anew."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .errors import InputError
from .grid import tile_name
from .land import LAND_INDEX
from .ledger import Entry, Ledger, sizes_digest
from .map_store import MAP
from .progress import QUIET, Reporter
from .run import Run
from .store import StoredObject, checksum, list_objects

#: Objects read at once while checksums are recomputed: reading waits for disk or network.
READERS = 8


@dataclass(frozen=True)
class Problem:
    """Something wrong with a tile of a map."""

    tile: str
    text: str

    def __str__(self) -> str:
        return f"tile {self.tile}: {self.text}"


def clear_unfinished(run: Run) -> list[str]:
    """Make the map hold what the ledger vouches for, and nothing else.

    Two listings tell: a tile whose objects are not those of its record, in number and size, is
    forgotten, and objects that no record vouches for are deleted (a cut-off task's, or a forgotten
    tile's): writing part of a shard would read what is there first. Returns the names of forgotten
    tiles.
    """
    folder = run.path / MAP
    held = objects_by_tile(run)
    ledger = Ledger(run.path)
    forgotten: list[Entry] = []
    vouched: set[str] = set()
    for entry in ledger.entries():
        if entry.outcome == "failed":
            continue
        if sizes_digest(held.get(entry.tile, {})) == entry.sizes:
            vouched.add(entry.tile)
        else:
            forgotten.append(entry)
    _forget(run, ledger, forgotten)
    for tile, objects in held.items():
        if tile not in vouched:
            for key in objects:
                (folder / key).unlink(missing_ok=True)
    return sorted({entry.tile for entry in forgotten})


def objects_by_tile(run: Run) -> dict[str, dict[str, int]]:
    """Return keys and sizes of the map's shards, by the tile that they belong to."""
    data = {*(o.name for o in run.load_model().emits.outputs), "status"}
    found: dict[str, dict[str, int]] = {}
    for key, size in list_objects(run.path / MAP).items():
        parts = key.split("/")
        if parts[0] in data and parts[1] == "c" and parts[-1].isdigit():
            tile = tile_name(int(parts[-2]), int(parts[-1]))
            found.setdefault(tile, {})[key] = size
    return found


def verify_map(run: Run, reporter: Reporter = QUIET) -> list[Problem]:
    """Recompute the checksum of every object in the ledger; return what is wrong.

    Wrong is, too, a record that cannot be read or does not match its name, and an object that no
    record names.
    """
    ledger = Ledger(run.path)
    problems: list[Problem] = []
    items: list[tuple[str, StoredObject]] = []
    for entry in ledger.finished().values():
        try:
            record = ledger.read(entry)
        except InputError as error:
            problems.append(Problem(entry.tile, str(error)))
        else:
            items += [(entry.tile, item) for item in record.objects]
    named = {item.key for _, item in items}
    for tile, objects in objects_by_tile(run).items():
        problems += [
            Problem(tile, f"{key} is not in the ledger")
            for key in sorted(objects)
            if key not in named
        ]

    def check(item: tuple[str, StoredObject]) -> Problem | None:
        tile, expected = item
        try:
            data = (run.path / MAP / expected.key).read_bytes()
        except FileNotFoundError:
            return Problem(tile, f"{expected.key} is missing")
        if checksum(data) != expected.crc32c:
            return Problem(tile, f"{expected.key} does not match its checksum")
        return None

    with (
        ThreadPoolExecutor(READERS) as pool,
        reporter.task("Verifying objects", len(items)) as progress,
    ):
        for found in pool.map(check, items):
            problems += [found] if found else []
            progress.advance()
    return sorted(problems, key=str)


def forget_tiles(run: Run, tiles: set[str]) -> None:
    """Delete the records of tiles, so that the next production makes them anew."""
    ledger = Ledger(run.path)
    _forget(run, ledger, [e for e in ledger.entries() if e.tile in tiles])


def _forget(run: Run, ledger: Ledger, entries: list[Entry]) -> None:
    if any(entry.outcome == "empty" for entry in entries):
        # these tiles are written while the land index is made; it goes first, for if it outlived
        # their records nobody would make them again
        (run.path / LAND_INDEX).unlink(missing_ok=True)
    ledger.forget(entries)


def tiles_within(run: Run, box: tuple[float, float, float, float]) -> Iterator[str]:
    """Yield the names of tiles that touch a box: west, south, east, north in the map's CRS."""
    west, south, east, north = box
    if not (west < east and south < north):
        raise InputError(
            f"region {west:g},{south:g},{east:g},{north:g}: expected west < east and south < north"
        )
    (x0, y0), (width, height) = run.grid.origin, run.grid.resolution
    for tile in run.grid.tiles():
        w = tile.window
        left, top = x0 + w.col0 * width, y0 - w.row0 * height
        right, bottom = left + w.width * width, top - w.height * height
        if left < east and right > west and bottom < north and top > south:
            yield tile.name
