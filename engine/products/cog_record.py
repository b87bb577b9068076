"""What an export has finished: noted file by file, so that a killed one goes on where it stopped.

Each note is an empty file whose name tells the product's file, the state of the map that it shows,
and its size in bytes: one listing of the notes and one of the products tell what is there::

    exported/soc_0-5cm_mean.tif.9f2c41d07b66a1e3.48210431
"""

from __future__ import annotations

from ..place import Place
from ..store import list_objects, write_atomically

FOLDER = "exported"
#: Size of a file that was not written, since the map has no data there.
NO_DATA = 0


class Exported:
    """The notes of one export.

    Parameters
    ----------
    folder
        Of the products.
    state
        Tells the map's state, as letters and digits; the files of another state are made again.
        Empty: every file is made again, and nothing is noted.
    """

    def __init__(self, folder: Place, state: str) -> None:
        self.folder: Place = folder / FOLDER
        self.state = state
        self._sizes: dict[str, int] = {}
        if not state:
            return
        held = list_objects(folder)
        for key in [k for k in held if k.startswith(f"{FOLDER}/")]:
            note = key.removeprefix(f"{FOLDER}/")
            name, noted, size = _parts(note)
            if noted == state and held.get(name, NO_DATA) == size:
                self._sizes[name] = size
            else:
                (self.folder / note).unlink(missing_ok=True)

    def size(self, key: str) -> int | None:
        """Return the bytes of a finished file (0: none was due), None where it is to be made."""
        return self._sizes.get(key)

    def note(self, key: str, size: int) -> None:
        """Note that a file, by its key from the folder of products, has taken its place."""
        self._sizes[key] = size
        if self.state:
            write_atomically(self.folder / f"{key}.{self.state}.{size}", b"")


def _parts(note: str) -> tuple[str, str, int]:
    name, _, rest = note.rpartition(".")
    name, _, state = name.rpartition(".")
    return name, state, int(rest) if rest.isdigit() else -1
