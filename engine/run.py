"""A run: a folder that holds everything about one map, and knows whose map it is.

::

    run/
        manifest.json     hashed identity (what decides the bytes) and unhashed provenance
        model/            the fitted model
        land_index.npy    cells to map in each tile
        ledger/           what is finished
        map.zarr/         the map
        products/         COGs, STAC
        report.html       while the run goes on, a page of its progress
        progress.json     how far it is; lease.json whose it is, stop.json the wish to stop
        logs/             events as JSON lines
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .errors import InputError
from .grid import Grid
from .models.protocol import model_class
from .place import Place, place
from .store import write_atomically
from .whole_folder import on_disk

MANIFEST = "manifest.json"
MODEL = "model"
SCHEMA = 1

#: Packages whose version can change the bytes of a map.
VERSIONED = ("edaphos", "numpy", "numba", "scikit-learn", "zarr", "numcodecs")


@dataclass(frozen=True)
class GridSpec:
    """A grid in plain numbers, as manifests hold it."""

    crs: str
    origin: tuple[float, float]
    resolution: float
    shape: tuple[int, int]
    tile_size: int
    name: str

    @classmethod
    def of(cls, grid: Grid) -> GridSpec:
        """Describe a grid."""
        epsg = grid.crs.to_epsg()
        crs = f"EPSG:{epsg}" if epsg else grid.crs.to_wkt()
        return cls(crs, grid.origin, grid.resolution[0], grid.shape, grid.tile_size, grid.name)

    def build(self) -> Grid:
        """Return the grid."""
        if self.name in _presets():
            return Grid.preset(self.name, self.tile_size)
        west, north = self.origin
        bounds = (
            west,
            north - self.shape[0] * self.resolution,
            west + self.shape[1] * self.resolution,
            north,
        )
        return Grid.from_bounds(self.crs, bounds, self.resolution, self.tile_size, self.name)


def _presets() -> Sequence[str]:
    from .grid import PRESETS

    return PRESETS


@dataclass(frozen=True)
class Run:
    """A run's folder and its identity.

    Parameters
    ----------
    path
        The folder.
    identity
        Everything that decides the bytes of the map, JSON-compatible: the recipe, seeds,
        versions, and the digests of cube and profiles.
    """

    path: Place
    identity: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 of the identity."""
        return identity_hash(self.identity)

    @property
    def model_folder(self) -> Place:
        """Where the fitted model lies."""
        return self.path / MODEL

    @property
    def grid(self) -> Grid:
        """The map's grid."""
        raw = dict(self.identity["grid"])
        raw["origin"], raw["shape"] = tuple(raw["origin"]), tuple(raw["shape"])
        return GridSpec(**raw).build()

    @property
    def years(self) -> tuple[int, ...]:
        """The map's years."""
        return tuple(self.identity["years"])

    @property
    def cube_path(self) -> Place:
        """Where the cube lies."""
        return place(self.manifest()["provenance"]["cube"])

    def load_model(self) -> Any:
        """Open the fitted model, with depth consistency and its area of applicability if it has."""
        from .models.applicable import with_area  # compiles kernels, which a status need not
        from .models.consistent import with_consistency

        folder = on_disk(self.model_folder)
        model = model_class(self.identity["model"]["kind"]).load(folder)
        return with_area(with_consistency(model, folder), folder)

    def manifest(self) -> dict[str, Any]:
        """Read the manifest."""
        return _read_manifest(self.path)

    def note(self, **facts: Any) -> None:
        """Add facts to the unhashed provenance."""
        manifest = self.manifest()
        manifest["provenance"] = {**manifest["provenance"], **facts}
        write_atomically(
            self.path / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n"
        )

    @classmethod
    def open(cls, path: str | Place) -> Run:
        """Open an existing run."""
        path = place(path)
        return cls(path, _read_manifest(path)["identity"])

    @classmethod
    def start(cls, path: Place, identity: Mapping[str, Any], provenance: Mapping[str, Any]) -> Run:
        """Create a run in `path`, or continue the one there if it has the same identity.

        Raises
        ------
        InputError
            The folder holds another run (naming what differs), or something that is no run.
        """
        identity = json.loads(json.dumps(identity))
        run = cls(path, identity)
        if (path / MANIFEST).exists():
            held = _read_manifest(path)["identity"]
            if identity_hash(held) != run.hash:
                raise InputError(
                    f"{path} holds another run: {'; '.join(differences(held, identity)[:4])}. "
                    "Choose another output folder (--out), or delete this one to start again"
                )
            run.note(continued=_now(), **provenance)
            return run
        if path.exists() and any(path.iterdir()):
            _read_manifest(path)
        manifest = {
            "schema": SCHEMA,
            "hash": run.hash,
            "identity": identity,
            "provenance": {"started": _now(), "host": platform.node(), **provenance},
        }
        write_atomically(path / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        return run


def identity_hash(identity: Mapping[str, Any] | None) -> str:
    """Return the SHA-256 of an identity in canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(held: Any, wanted: Any, where: str = "") -> list[str]:
    """Return where two identities differ, as ``path: held -> wanted``."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        found: list[str] = []
        for key in sorted({*held, *wanted}):
            inner = f"{where}.{key}" if where else key
            found += differences(held.get(key), wanted.get(key), inner)
        return found
    if held == wanted:
        return []
    return [f"{where} is {_short(held)} there and {_short(wanted)} here"]


def versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of the packages that can change the bytes of a map, and of some more."""
    return {name: _version(name) for name in dict.fromkeys((*VERSIONED, *more))}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def files_digest(paths: Sequence[Path]) -> str:
    """Return the SHA-256 over the content of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _read_manifest(path: Place) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(
            f"{path} holds no run ({MANIFEST} is missing); choose a run's folder, or an empty or "
            "new one to write to (--out)"
        )
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise InputError(f"{file}: not readable as JSON ({error})") from error
    if manifest.get("schema", 0) > SCHEMA:
        raise InputError(
            f"{file}: schema {manifest['schema']} is newer than this edaphos knows ({SCHEMA}); "
            "install a newer edaphos"
        )
    if manifest.get("hash") != identity_hash(manifest.get("identity")):
        raise InputError(
            f"{file}: the identity is not the one that its hash was taken of, so somebody edited "
            "it; restore the file, or start a new run (--out)"
        )
    return manifest


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
